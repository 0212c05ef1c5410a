//! Members that are real clients: kcat, and Java's consumer driven by `java/Member.java`.

use super::ledger::Ledger;
use super::{Blow, Group, Kind, SESSION_MS, Slot, TOPIC};
use crate::support::peers::Peers;
use crate::support::process::Program;
use rustix::process::Signal;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// A client ends long before this when it is asked to.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) struct Clients {
    peers: Peers,
    classes: String,
}

pub(super) struct Member {
    slot: Slot,
    program: Program,
}

impl Clients {
    pub(super) fn prepare(peers: Peers) -> Self {
        let classes = concat!(env!("CARGO_TARGET_TMPDIR"), "/churn-classes").to_owned();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chaos/java/Member.java");
        peers.compile(&[source.display().to_string()], &classes);
        Self { peers, classes }
    }

    pub(super) fn start(&self, at: SocketAddr, slot: Slot, instance: Option<&str>) -> Member {
        let program = match slot.kind {
            Kind::Java { members } => self.start_java(at, slot, members, instance),
            Kind::Kcat | Kind::Raw => self.start_kcat(at, slot, instance),
        };
        Member { slot, program }
    }

    fn start_kcat(&self, at: SocketAddr, slot: Slot, instance: Option<&str>) -> Program {
        let strategy = match slot.group {
            Group::Eager => "range",
            Group::Cooperative => "cooperative-sticky",
        };
        let mut settings = vec![
            format!("session.timeout.ms={SESSION_MS}"),
            "heartbeat.interval.ms=500".to_owned(),
            "auto.commit.interval.ms=300".to_owned(),
            "auto.offset.reset=earliest".to_owned(),
            format!("partition.assignment.strategy={strategy}"),
        ];
        settings.extend(instance.map(|id| format!("group.instance.id={id}")));
        let settings = settings.iter().flat_map(|setting| ["-X", setting]);
        let group = ["-G", slot.group.name(), "-u", "-q"].into_iter();
        let args: Vec<&str> = group.chain(settings).chain([TOPIC]).collect();
        self.peers.start_kcat(&at.to_string(), &args)
    }

    fn start_java(
        &self,
        at: SocketAddr,
        slot: Slot,
        members: usize,
        instance: Option<&str>,
    ) -> Program {
        let assignor = match slot.group {
            Group::Eager => "RangeAssignor",
            Group::Cooperative => "CooperativeStickyAssignor",
        };
        let mut args = vec![
            at.to_string(),
            slot.group.name().to_owned(),
            TOPIC.to_owned(),
            format!("org.apache.kafka.clients.consumer.{assignor}"),
            members.to_string(),
            format!("session.timeout.ms={SESSION_MS}"),
            "heartbeat.interval.ms=500".to_owned(),
            "max.poll.interval.ms=10000".to_owned(),
        ];
        args.extend(instance.map(|id| format!("group.instance.id={id}-%d")));
        self.peers.start_own_java(&self.classes, "Member", &args)
    }
}

impl Member {
    /// Ends it, and notes what it was told.
    pub(super) fn end(self, blow: Blow, ledger: &Ledger) {
        match blow {
            Blow::Leave => self.program.signal(Signal::TERM),
            Blow::Kill => self.program.kill_now(),
        }
        let ended = self.program.wait(LIMIT);
        if let Kind::Java { .. } = self.slot.kind {
            for line in ended.stdout.lines() {
                note(ledger, self.slot.group, line);
            }
        }
    }
}

/// The last line of a process that was killed may be cut short: it tells nothing.
fn note(ledger: &Ledger, group: Group, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        ["assigned", generation, member, partitions] => {
            let Ok(generation) = generation.parse() else {
                return;
            };
            let partitions: Vec<i32> = partitions
                .split(',')
                .filter_map(|partition| partition.parse().ok())
                .collect();
            ledger.assigned(group, generation, member, &partitions);
        }
        ["committed", partition, offset] => {
            if let (Ok(partition), Ok(offset)) = (partition.parse(), offset.parse()) {
                ledger.committed(group, partition, offset);
            }
        }
        _ => {}
    }
}
