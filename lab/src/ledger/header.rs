//! The first line of a ledger: who wrote it, where that client stood, and by which clock.
//!
//! It is one JSON object. Fields are added, never changed; a reader skips those it does not know.

use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Micros};

/// The first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub schema: String,
    /// The same in all ledgers of one cell, and in the payload of every record.
    pub drill: String,
    pub clock: Clock,
    /// When the client began.
    pub began_us: Micros,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Client>,
    /// Of the lab's own ledger only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<Drill>,
}

/// A client, and where it stood.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Client {
    /// Stays the same when the client is restarted, also against another cluster.
    pub name: String,
    pub kind: ClientKind,
    /// 1 at its first start.
    pub incarnation: u32,
    pub site: String,
    /// The cluster it was pointed at; the name, as records of one cluster are readable on others.
    pub cluster: String,
    pub bootstrap: String,
    /// The client library and its version.
    pub library: String,
    /// Settings of the library, without secrets.
    #[serde(default)]
    pub settings: Vec<String>,
    /// Of a producer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Topics that are written or read.
    pub topics: Vec<String>,
    /// Of an audit: the moment for which it speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientKind {
    Producer,
    /// Reads what comes, as an application does.
    Consumer,
    /// Reads topics from their beginning to the end that they had when it began.
    Audit,
}

/// When an audit was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// What the clients of the survivors could read when they were switched.
    Switch,
    /// What is there at the end, everything back that comes back.
    Final,
}

/// The records of a producer and their times, fixed before the first is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// When the record with sequence 0 is due; the same in every incarnation.
    pub start_us: Micros,
    pub records_per_second: u32,
    /// The first one of this incarnation.
    pub first_sequence: u64,
    /// Distinct keys; record n has key `k` and n modulo this.
    pub keys: u32,
    /// Bytes of each value.
    pub record_bytes: u32,
}

impl Schedule {
    /// When a record is due.
    pub fn intended_us(&self, sequence: u64) -> Micros {
        let rate = u128::from(self.records_per_second.max(1));
        let after = u128::from(sequence) * 1_000_000 / rate;
        self.start_us
            .saturating_add(u64::try_from(after).unwrap_or(u64::MAX))
    }

    /// How many records, counted from sequence 0, are due before `time`.
    pub fn due_before(&self, time: Micros) -> u64 {
        let passed = u128::from(time.saturating_sub(self.start_us));
        let due = (passed * u128::from(self.records_per_second)).div_ceil(1_000_000);
        u64::try_from(due).unwrap_or(u64::MAX)
    }

    pub fn key(&self, sequence: u64) -> String {
        format!("k{}", sequence % u64::from(self.keys.max(1)))
    }
}

/// The cell that a drill measures: one model on one target, with one kind of fault or none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drill {
    pub model: String,
    pub target: Target,
    pub cell: String,
    /// The same procedure without the fault.
    #[serde(default)]
    pub placebo: bool,
    pub run: u32,
    /// What the deployment's description claims for this cell, for the report.
    #[serde(default)]
    pub claims: Vec<String>,
    /// What was emulated of the network between sites; empty when everything was plain loopback.
    #[serde(default)]
    pub network: Vec<String>,
    pub clusters: Vec<String>,
}

/// What was under test, as the lab's targets describe themselves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target {
    pub program: String,
    pub version: String,
    #[serde(default)]
    pub settings: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_says_when_each_record_is_due() {
        let schedule = Schedule {
            start_us: 1_000,
            records_per_second: 300,
            first_sequence: 0,
            keys: 7,
            record_bytes: 100,
        };
        for sequence in [0, 1, 2, 3, 299, 300, 301, 10_000_000] {
            let due = schedule.intended_us(sequence);
            assert_eq!(schedule.due_before(due), sequence, "{sequence} at {due}");
            assert_eq!(schedule.due_before(due + 1), sequence + 1, "{sequence}");
        }
        assert_eq!(schedule.intended_us(300), 1_001_000);
        assert_eq!(schedule.key(15), "k1");
    }
}
