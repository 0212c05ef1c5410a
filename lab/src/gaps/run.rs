//! The kills, one after the other.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use isthmus_client::admin::NewTopic;
use tokio::time::Instant;

use super::report::{self, ClientGaps, Kill};
use super::{GapsError, Options, Outcome};
use crate::clock::{Micros, now};
use crate::folder::Folder;
use crate::trio::clients::{Acks, Client, Clients, Library, Producer};
use crate::trio::silence::Acknowledged;
use crate::trio::{NODES, Trio};

/// Of each client. A third of it goes to each partition, so that a gap is known to some 10 ms.
const RECORDS_PER_SECOND: u32 = 300;

/// Before each kill, for clients that still find their way.
const CALM: Duration = Duration::from_secs(2);

/// From new leaders to the start of the killed node: for clients to find them.
const SETTLE: Duration = Duration::from_secs(4);

/// Between two looks at a survivor, or at what clients wrote.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// For a client to be answered everywhere; Java's first batch waits for its compiler.
const ANSWER_MAX: Duration = Duration::from_secs(60);

pub(super) async fn run(options: &Options, tell: &dyn Fn(&str)) -> Result<Outcome, GapsError> {
    let made = fs::create_dir_all(&options.out).and_then(|()| options.out.canonicalize());
    let out = made.map_err(|cause| unwritten(&options.out, cause))?;
    let programs = Folder::of_programs(&out, options.keep);
    let programs = programs.map_err(|cause| unwritten(&out, cause))?;
    tell("starting three nodes");
    let mut trio = Trio::prepare(&options.software, programs.path())?;
    trio.start().await?;
    let ledgers = out.join("ledgers");
    let drill = format!("{:x}-{:x}", std::process::id(), now());
    let clients = Clients {
        lab: &options.lab,
        jars: options.jars.as_ref(),
        ledgers: &ledgers,
        drill: &drill,
        namespace: None,
    };
    let mut load = Load::start(options, &mut trio, &clients).await?;
    let mut kills: Vec<Kill> = Vec::new();
    for number in 0..options.kills {
        let with_controller = takes_controller(number, options.kills, options.with_controller);
        trio.until_well(&load.topics()).await?;
        trio.until_led_as_preferred(&load.topics()).await?;
        let since = kills.last().map_or(0, |kill| kill.back_us);
        load.until_answered(&ledgers, since).await?;
        let kill = load.kill(&mut trio, number, with_controller).await?;
        let (node, leaders) = (kill.node, kill.new_leaders_after_seconds);
        let role = if with_controller {
            ", the active controller"
        } else {
            ""
        };
        let (done, all) = (number + 1, options.kills);
        tell(&format!(
            "{done} of {all}: killed node {node}{role}; led by others after {leaders:.2} s"
        ));
        kills.push(kill);
    }
    let measured = load.end(&ledgers, &kills).await?;
    report::write(options, trio.describe(), kills, measured, &out)
}

fn unwritten(path: &Path, cause: std::io::Error) -> GapsError {
    GapsError::Write {
        path: path.to_owned(),
        cause,
    }
}

/// Spread evenly over all kills.
fn takes_controller(number: u32, kills: u32, with_controller: u32) -> bool {
    let before = |number: u32| u64::from(number) * u64::from(with_controller) / u64::from(kills);
    before(number + 1) > before(number)
}

/// A client that runs.
struct Writer {
    name: String,
    library: Library,
    acks: Acks,
    client: Client,
}

/// The clients and their topics.
struct Load {
    writers: Vec<Writer>,
    topics: Vec<String>,
}

impl Load {
    async fn start(
        options: &Options,
        trio: &mut Trio,
        clients: &Clients<'_>,
    ) -> Result<Self, GapsError> {
        let mut load = Self {
            writers: Vec::new(),
            topics: Vec::new(),
        };
        for &library in &options.libraries {
            for &acks in &options.acks {
                let name = format!("{}-acks-{}", library.name(), acks.name());
                trio.make(&topic(&name, &trio.ids())).await?;
                trio.until_well(&[&name]).await?;
                let producer = Producer {
                    name: &name,
                    topic: &name,
                    library,
                    acks,
                    records_per_second: RECORDS_PER_SECOND,
                    seconds: None,
                    give_up_after: None,
                };
                let client = clients.produce(trio, &producer).await?;
                load.topics.push(name.clone());
                load.writers.push(Writer {
                    name,
                    library,
                    acks,
                    client,
                });
            }
        }
        Ok(load)
    }

    fn topics(&self) -> Vec<&str> {
        self.topics.iter().map(String::as_str).collect()
    }

    async fn kill(
        &self,
        trio: &mut Trio,
        number: u32,
        with_controller: bool,
    ) -> Result<Kill, GapsError> {
        tokio::time::sleep(CALM).await;
        let ids = trio.ids();
        let controller = trio.controller(&ids).await?;
        let others: Vec<i32> = ids.iter().copied().filter(|&id| id != controller).collect();
        let node = match with_controller {
            true => controller,
            false => others[number as usize % others.len()],
        };
        let survivors: Vec<i32> = ids.into_iter().filter(|&id| id != node).collect();
        let (at_us, began) = (now(), Instant::now());
        trio.kill(node).await?;
        for &survivor in &survivors {
            trio.until_led_without(node, survivor, &self.topics(), LOOK_EVERY)
                .await?;
        }
        let new_leaders_after_seconds = began.elapsed().as_secs_f64();
        tokio::time::sleep(SETTLE).await;
        let back_us = now();
        trio.restart(node).await?;
        Ok(Kill {
            node,
            with_controller,
            at_us,
            back_us,
            new_leaders_after_seconds,
        })
    }

    /// Waits until every client was answered in every partition since `since`: one that has not yet
    /// begun, or has not come back from the last kill, would tell of something else than the next.
    async fn until_answered(&mut self, ledgers: &Path, since: Micros) -> Result<(), GapsError> {
        let until = Instant::now() + ANSWER_MAX;
        loop {
            let mut silent = None;
            for writer in &mut self.writers {
                writer.client.check()?;
                let partitions = Acknowledged::read(ledgers, &writer.name)?.partitions_since(since);
                if partitions < NODES {
                    silent = Some(writer.name.clone());
                }
            }
            match silent {
                None => return Ok(()),
                Some(client) if Instant::now() > until => {
                    return Err(GapsError::Unanswered {
                        client,
                        seconds: ANSWER_MAX.as_secs(),
                    });
                }
                Some(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Ends the clients in order, and finds the gaps in what they wrote down.
    async fn end(self, ledgers: &Path, kills: &[Kill]) -> Result<Vec<ClientGaps>, GapsError> {
        let mut measured = Vec::new();
        for writer in self.writers {
            writer.client.stop().await?;
            let acknowledged = Acknowledged::read(ledgers, &writer.name)?;
            let gaps = kills.iter();
            let gaps = gaps.map(|kill| acknowledged.longest_silence(kill.at_us, kill.back_us));
            measured.push(ClientGaps {
                client: writer.library,
                acks: writer.acks,
                gaps: gaps.collect(),
            });
        }
        Ok(measured)
    }
}

/// Each node is preferred once.
fn topic(name: &str, ids: &[i32]) -> NewTopic {
    let assignments = (0..).zip(0..ids.len()).map(|(partition, first)| {
        let mut replicas = ids.to_vec();
        replicas.rotate_left(first);
        (partition, replicas)
    });
    let assignments: BTreeMap<i32, Vec<i32>> = assignments.collect();
    NewTopic {
        assignments,
        ..NewTopic::new(name, -1, -1).config("min.insync.replicas", "2")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_of_the_controller_are_spread_over_all() {
        for (kills, with) in [(30, 10), (30, 0), (30, 30), (7, 3), (1, 1)] {
            let taken = (0..kills).filter(|&it| takes_controller(it, kills, with));
            assert_eq!(taken.count(), with as usize, "{with} of {kills}");
        }
        let six: Vec<bool> = (0..6).map(|it| takes_controller(it, 6, 2)).collect();
        assert_eq!(six, [false, false, true, false, false, true]);
    }

    #[test]
    fn every_node_is_preferred_once() {
        let topic = topic("t", &[1, 2, 3]);
        let expected = BTreeMap::from([(0, vec![1, 2, 3]), (1, vec![2, 3, 1]), (2, vec![3, 1, 2])]);
        assert_eq!(topic.assignments, expected);
    }
}
