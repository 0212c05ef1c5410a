//! One row: from nothing to ledgers, and from ledgers to the verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::clients::{AUDIT, Clients, writer};
use super::cluster::{Cluster, Side};
use super::judge::{Judged, Seen};
use super::segments::{Held, cut_off};
use super::sides::{Heard, Window};
use super::table::{InSync, Lease, Row};
use super::{HOLD, Options, SplitsError, judge, unwritten};
use crate::checker::may_be_there;
use crate::clock::{Clock, micros, now};
use crate::fabric::{Cut, Fabric};
use crate::folder::Folder;
use crate::ledger::header::{Drill, Header, Target};
use crate::ledger::row::Row as LedgerRow;
use crate::ledger::{DRILL_FILE, ENDING, LedgerWriter, SCHEMA, read_file};
use crate::targets::Description;

/// From the load's begin to the cut, and from the healing to the load's end.
const CALM: Duration = Duration::from_secs(3);

/// Before the end of a cut: what is answered then is what a side has settled to. Later than a session, the
/// search for another leader, and the time of a record that nobody takes.
const SETTLED: Duration = Duration::from_secs(5);

/// Who leads before the cut.
const FIRST: Option<i32> = Some(1);

pub(super) async fn run(
    options: &Options,
    fabric: &Fabric,
    row: Row,
    lease: Option<Lease>,
    tell: &dyn Fn(&str),
) -> Result<Judged, SplitsError> {
    let name = cell_name(row, lease);
    let folder = options.out.join(&name);
    let made = fs::create_dir_all(&folder).and_then(|()| folder.canonicalize());
    let folder = made.map_err(|cause| unwritten(&folder, cause))?;
    let programs = Folder::of_programs(&folder, options.keep);
    let programs = programs.map_err(|cause| unwritten(&folder, cause))?;
    let (replicas, m, acks) = (row.replicas(), row.min_insync_replicas, row.acks.name());
    tell(&format!(
        "{name}: starting three controllers and {replicas} brokers, m={m}, acks={acks}"
    ));
    let mut cluster = Cluster::prepare(&options.software, fabric, row, lease, programs.path())?;
    cluster.start().await?;
    let drill = format!("{:x}-{:x}", std::process::id(), now());
    let ledgers = folder.join("ledgers");
    let mut run = Run {
        ledger: begin_ledger(&cluster, &name, row, &ledgers, &drill)?,
        clients: Clients {
            lab: &options.lab,
            ledgers: &ledgers,
            drill: &drill,
        },
        fabric,
        row,
        cluster,
        tell,
    };
    let done = run.split().await?;
    let description = run.end(&ledgers).await?;
    let seen = read(&ledgers, &done)?;
    judge::judge(row, lease, description, &seen, &ledgers)
}

/// Names the folder of a row, too.
fn cell_name(row: Row, lease: Option<Lease>) -> String {
    match lease {
        Some(lease) => format!("{}-lease-{}", row.id, lease.name()),
        None => row.id.to_owned(),
    }
}

fn begin_ledger(
    cluster: &Cluster<'_>,
    cell: &str,
    row: Row,
    ledgers: &Path,
    drill: &str,
) -> Result<LedgerWriter, SplitsError> {
    let described = cluster.describe().clone();
    let header = Header {
        schema: SCHEMA.to_owned(),
        drill: drill.to_owned(),
        clock: Clock::read().map_err(SplitsError::Clock)?,
        began_us: now(),
        client: None,
        cell: Some(Drill {
            model: "split".to_owned(),
            target: Target {
                program: described.program,
                version: described.version,
                settings: described.settings,
            },
            cell: cell.to_owned(),
            placebo: false,
            run: 1,
            claims: vec![row.claim.to_owned()],
            network: vec!["A namespace for each node, and no delay between them".to_owned()],
            clusters: vec!["split".to_owned()],
        }),
    };
    let path = ledgers.join(DRILL_FILE);
    let made = fs::create_dir_all(ledgers);
    let made = made.and_then(|()| LedgerWriter::create(&path, &header));
    made.map_err(|cause| unwritten(&path, cause))
}

/// A row whose nodes are there.
struct Run<'a> {
    fabric: &'a Fabric,
    row: Row,
    cluster: Cluster<'a>,
    ledger: LedgerWriter,
    clients: Clients<'a>,
    tell: &'a dyn Fn(&str),
}

/// What was done, and what the first leader's log lost by it.
struct Done {
    window: Window,
    cut_off: u64,
    healed_after: Duration,
}

impl<'a> Run<'a> {
    async fn split(&mut self) -> Result<Done, SplitsError> {
        let apart = self.prepare().await?;
        let mut load = Vec::new();
        for side in [Side::Isolated, Side::Others] {
            load.push(self.clients.consume(&self.cluster, side).await?);
            let acks = self.row.acks;
            load.push(self.clients.produce(&self.cluster, side, acks).await?);
        }
        self.phase("load begins")?;
        tokio::time::sleep(CALM).await;
        self.check_ready().await?;
        let (mut window, held) = self.cut(apart).await?;
        let began = Instant::now();
        let all: Vec<i32> = (1..=self.row.replicas()).collect();
        self.cluster.until_in_sync(&all, None, &all).await?;
        let healed_after = began.elapsed();
        window.in_sync_us = now();
        self.phase("all replicas are in sync again")?;
        tokio::time::sleep(CALM).await;
        for mut client in load {
            client.check()?;
            client.stop().await?;
        }
        self.phase("load ended")?;
        self.clients.audit(&self.cluster).await?;
        self.cluster.check()?;
        Ok(Done {
            window,
            cut_off: cut_off(&held, &self.cluster.held_by_first()?),
            healed_after,
        })
    }

    /// Makes the topic as the row wants it. Where only the leader's side should be in sync, the others are
    /// back and kept away from its records by the cut that is returned.
    async fn prepare(&mut self) -> Result<Option<Cut<'a>>, SplitsError> {
        self.cluster.make_topic().await?;
        let all: Vec<i32> = (1..=self.row.replicas()).collect();
        self.cluster.until_in_sync(&all, FIRST, &all).await?;
        if self.row.in_sync == InSync::All {
            return Ok(None);
        }
        (self.tell)("stopping the other side's brokers, which come back without a record");
        self.cluster.stop_others().await?;
        let ones = self.cluster.brokers_of(Side::Isolated);
        self.cluster.until_in_sync(&ones, FIRST, &ones).await?;
        let cut = self.fabric.cut(&self.cluster.ways_between_brokers())?;
        self.cluster.start_others().await?;
        Ok(Some(cut))
    }

    /// What the cut finds is what the row speaks of.
    async fn check_ready(&mut self) -> Result<(), SplitsError> {
        self.cluster.check()?;
        let all: Vec<i32> = (1..=self.row.replicas()).collect();
        let in_sync = match self.row.in_sync {
            InSync::All => all.clone(),
            InSync::LeadersSide => self.cluster.brokers_of(Side::Isolated),
        };
        match self.cluster.ailment(&all, FIRST, &in_sync).await {
            None => Ok(()),
            Some(state) => Err(SplitsError::NotReady {
                row: self.row.id,
                state,
            }),
        }
    }

    /// Cuts, holds and heals; what the first leader's log had just before the healing.
    async fn cut(&mut self, apart: Option<Cut<'_>>) -> Result<(Window, Held), SplitsError> {
        let from_us = now();
        let cut = self.fabric.cut(&self.cluster.ways_between_sides())?;
        let cut_us = now();
        let (isolated, others) = (self.row.isolated, self.row.others);
        let text =
            format!("{isolated} of the replicas, the leader, cut off from {others} and the quorum");
        self.fault(from_us, None, &text)?;
        (self.tell)(&format!("cut for {} s", HOLD.as_secs()));
        tokio::time::sleep(HOLD).await;
        self.cluster.check()?;
        let held = self.cluster.held_by_first()?;
        let heal_us = now();
        cut.heal()?;
        if let Some(apart) = apart {
            apart.heal()?;
        }
        self.fault(from_us, Some(now()), &text)?;
        let window = Window {
            cut_us,
            settled_us: heal_us - micros(SETTLED),
            heal_us,
            in_sync_us: now(),
        };
        Ok((window, held))
    }

    /// Ends the nodes, and the ledger; what the cluster was.
    async fn end(mut self, ledgers: &Path) -> Result<Description, SplitsError> {
        self.cluster.kill_all().await?;
        let path = ledgers.join(DRILL_FILE);
        let ended = self.ledger.end(now());
        ended.map_err(|cause| unwritten(&path, cause))?;
        Ok(self.cluster.describe().clone())
    }

    fn phase(&mut self, text: &str) -> Result<(), SplitsError> {
        self.row_of_ledger(&LedgerRow::Phase {
            at_us: now(),
            text: text.to_owned(),
        })
    }

    fn fault(&mut self, from_us: u64, to_us: Option<u64>, text: &str) -> Result<(), SplitsError> {
        self.row_of_ledger(&LedgerRow::Fault {
            from_us,
            to_us,
            text: text.to_owned(),
        })
    }

    /// At once on disk: what happened stays known even if the lab ends here.
    fn row_of_ledger(&mut self, row: &LedgerRow) -> Result<(), SplitsError> {
        let wrote = self.ledger.row(row).and_then(|()| self.ledger.flush());
        wrote.map_err(|cause| unwritten(&self.clients.ledgers.join(DRILL_FILE), cause))
    }
}

/// What the ledgers of producers and audit say of the cut.
fn read(ledgers: &Path, done: &Done) -> Result<Seen, SplitsError> {
    let mut seen = Seen {
        cut_off: done.cut_off,
        healed_after: done.healed_after,
        isolated: heard(ledgers, Side::Isolated, &done.window)?,
        others: heard(ledgers, Side::Others, &done.window)?,
        ..Seen::default()
    };
    let there = found(ledgers, Side::Isolated)?;
    let of_cut = &seen.isolated;
    let is_there = |sequence: &&u64| there.copies.contains_key(*sequence);
    let (sequences, acked) = (&of_cut.sequences, &of_cut.acked_sequences);
    seen.stayed = sequences.iter().filter(is_there).count() as u64;
    seen.dirty_lost = acked.len() as u64 - acked.iter().filter(is_there).count() as u64;
    for (heard, there) in [
        (&seen.isolated, there),
        (&seen.others, found(ledgers, Side::Others)?),
    ] {
        for (sequence, &outcome) in &heard.in_flight {
            let copies = there.copies.get(sequence).copied().unwrap_or(0);
            seen.doubled_in_flight += copies.saturating_sub(1);
            seen.late_in_flight += u64::from(there.late.contains(sequence));
            seen.refused_in_flight += u64::from(copies > 0 && !may_be_there(outcome));
        }
    }
    Ok(seen)
}

/// The records of one side's producer, as the audit found them.
#[derive(Default)]
struct Found {
    /// How often each is there.
    copies: BTreeMap<u64, u64>,
    /// Whose first copy stands behind a later record.
    late: BTreeSet<u64>,
}

/// An audit reads the only partition in the order of its log.
fn found(ledgers: &Path, side: Side) -> Result<Found, SplitsError> {
    let mut audit = read_file(&ledger_path(ledgers, AUDIT))?;
    let producer = writer(side);
    let mut found = Found::default();
    while let Some(row) = audit.next_row()? {
        if let LedgerRow::Read(row) = row
            && row.id.producer == producer
        {
            found.add(row.id.sequence);
        }
    }
    Ok(found)
}

impl Found {
    fn add(&mut self, sequence: u64) {
        let highest = self.copies.last_key_value();
        let is_behind = highest.is_some_and(|(&highest, _)| sequence < highest);
        let copies = self.copies.entry(sequence).or_default();
        *copies += 1;
        if *copies == 1 && is_behind {
            self.late.insert(sequence);
        }
    }
}

fn heard(ledgers: &Path, side: Side, window: &Window) -> Result<Heard, SplitsError> {
    let mut heard = Heard::default();
    let mut ledger = read_file(&ledger_path(ledgers, &writer(side)))?;
    while let Some(row) = ledger.next_row()? {
        if let LedgerRow::Intended(row) = row {
            heard.add(window, &row);
        }
    }
    Ok(heard)
}

/// Of a client's only start.
fn ledger_path(ledgers: &Path, client: &str) -> PathBuf {
    ledgers.join(format!("{client}-1.{ENDING}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_late_if_its_first_copy_stands_behind_a_later_one() {
        let mut found = Found::default();
        [1, 2, 5, 3, 2, 5, 6]
            .into_iter()
            .for_each(|it| found.add(it));
        assert_eq!(found.late, BTreeSet::from([3]));
        let copies: Vec<(u64, u64)> = found.copies.into_iter().collect();
        assert_eq!(copies, [(1, 1), (2, 2), (3, 1), (5, 2), (6, 1)]);
    }
}
