//! Leaders: how long partitions are without one when a node that leads thousands of them is killed.
//!
//! Owns: the topics, the kills, the clock between a kill and the last new leader. Must not know: how a
//! node is ended ([`crate::trio`]).
//!
//! Before each kill three replicas are in sync and preferred leaders lead, so that each node leads a
//! third. From SIGKILL on, one survivor is asked for its metadata again and again; the time ends with
//! the first answer in which nothing is led by the dead node and nothing by nobody. There is no other
//! load.
//!
//! Reading order: [`files`], [`report`].

mod files;
mod report;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use isthmus_client::admin::NewTopic;
use tokio::time::Instant;

use crate::folder::Folder;
use crate::targets::Software;
use crate::trio::{NODES, Trio, TrioError};
pub use files::{TooFewFiles, raise_open_files};
use report::Kill;
pub use report::{Outcome, REPORT_FILE};

/// Apache Kafka refuses to make a topic of more than 10 000 partitions, and a request for many takes
/// long; so there are topics of so many.
const TOPIC_PARTITIONS: u32 = 500;

/// Between two questions to a survivor. An answer about 10 000 partitions takes longer than this to
/// make.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// After all is well, for what the nodes still do in the background.
const CALM: Duration = Duration::from_secs(3);

/// What is killed how often.
#[derive(Clone, Debug)]
pub struct Options {
    pub software: Software,
    /// With three replicas each.
    pub partitions: u32,
    pub kills: u32,
    /// The report goes there.
    pub out: PathBuf,
    /// Leave data and logs of the programs there as well.
    pub keep: bool,
}

/// Nothing was measured. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum LeadersError {
    #[error(transparent)]
    Trio(#[from] TrioError),
    #[error("write {}: {cause}", path.display())]
    Write {
        path: PathBuf,
        cause: std::io::Error,
    },
}

/// Runs it all, and writes the report. The limit of open files is the caller's to raise, as nodes
/// inherit it.
pub async fn leaders(options: &Options, tell: &dyn Fn(&str)) -> Result<Outcome, LeadersError> {
    let made = fs::create_dir_all(&options.out).and_then(|()| options.out.canonicalize());
    let out = made.map_err(|cause| unwritten(&options.out, cause))?;
    let programs = Folder::of_programs(&out, options.keep);
    let programs = programs.map_err(|cause| unwritten(&out, cause))?;
    tell("starting three nodes");
    let mut trio = Trio::prepare(&options.software, programs.path())?;
    trio.start().await?;
    let topics = topics(options.partitions);
    tell(&format!("making {} partitions", options.partitions));
    let replicas = i16::try_from(NODES).expect("three fit");
    for (name, partitions) in &topics {
        trio.make(&NewTopic::new(name, *partitions, replicas))
            .await?;
    }
    let names: Vec<&str> = topics.iter().map(|(name, _)| name.as_str()).collect();
    trio.until_well(&names).await?;
    let mut kills = Vec::new();
    for number in 0..options.kills {
        let kill = kill(&mut trio, number, &names).await?;
        let (node, led, seconds) = (kill.node, kill.led, kill.seconds);
        let role = if kill.is_controller {
            ", the active controller"
        } else {
            ""
        };
        let (done, all) = (number + 1, options.kills);
        tell(&format!(
            "{done} of {all}: killed node {node}{role}; its {led} partitions have leaders after {seconds:.2} s"
        ));
        kills.push(kill);
    }
    let outcome = Outcome::new(trio.describe(), options.partitions, kills);
    let path = out.join(REPORT_FILE);
    let wrote = fs::write(&path, outcome.to_json() + "\n");
    wrote.map_err(|cause| unwritten(&path, cause))?;
    Ok(outcome)
}

fn unwritten(path: &Path, cause: std::io::Error) -> LeadersError {
    LeadersError::Write {
        path: path.to_owned(),
        cause,
    }
}

/// Names, each with its partitions.
fn topics(partitions: u32) -> Vec<(String, i32)> {
    let whole = partitions / TOPIC_PARTITIONS;
    let rest = partitions % TOPIC_PARTITIONS;
    let counts = (0..whole).map(|_| TOPIC_PARTITIONS);
    let counts = counts.chain((rest > 0).then_some(rest));
    let named = counts.enumerate().map(|(number, count)| {
        let count = i32::try_from(count).expect("a topic's partitions are few");
        (format!("leaders-{number}"), count)
    });
    named.collect()
}

/// One kill, from a cluster that is well to one that is well again.
async fn kill(trio: &mut Trio, number: u32, topics: &[&str]) -> Result<Kill, LeadersError> {
    trio.until_led_as_preferred(topics).await?;
    tokio::time::sleep(CALM).await;
    let ids = trio.ids();
    let controller = trio.controller(&ids).await?;
    // Each in turn, so that the controller's node is among three.
    let place = number as usize % ids.len();
    let (node, survivor) = (ids[place], ids[(place + 1) % ids.len()]);
    let led = trio.ask(survivor, topics).await?.led_by(node);
    let began = Instant::now();
    trio.kill(node).await?;
    trio.until_led_without(node, survivor, topics, ASK_EVERY)
        .await?;
    let seconds = began.elapsed().as_secs_f64();
    trio.restart(node).await?;
    trio.until_well(topics).await?;
    Ok(Kill {
        node,
        is_controller: node == controller,
        led,
        seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_have_as_many_partitions_as_were_asked_for() {
        for partitions in [1, 499, 500, 501, 10_000] {
            let topics = topics(partitions);
            let sum: i32 = topics.iter().map(|it| it.1).sum();
            assert_eq!(u32::try_from(sum).unwrap(), partitions);
            assert!(topics.iter().all(|it| it.1 > 0));
        }
        assert_eq!(topics(10_000).len(), 20);
    }
}
