//! One run: from nothing to ledgers, and from ledgers to the outcome.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::judge::{self, Found};
use super::operator::{self, Plan};
use super::step::{Act, Done};
use super::{Options, Outcome, PARTITIONS, RecoveryError};
use crate::clock::{Micros, now};
use crate::folder::Folder;
use crate::targets::Software;
use crate::trio::Trio;
use crate::trio::clients::{Acks, Client, Clients, Producer, until_quiet};
use crate::trio::diary::Diary;
use crate::trio::replicas::compare;
use crate::trio::silence::Acknowledged;

/// The topic of the load, and the drill's clients.
const TOPIC: &str = "recovery";
const WRITER: &str = "writer";
const READER: &str = "reader";

/// Made in the end, which takes a quorum that commits.
const PROBE: &str = "recovery-after";

/// For the producer's first answers; Java's first batch waits for its compiler.
const FIRST_ANSWERS_MAX: Duration = Duration::from_secs(60);

/// From three replicas in sync to an answer in every partition: clients look for leaders once a second or
/// so, and one that waited long for an answer waits as long as its library makes it.
const ANSWERS_MAX: Duration = Duration::from_secs(60);

/// Between two looks at what it wrote.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) async fn run(options: &Options, tell: &dyn Fn(&str)) -> Result<Outcome, RecoveryError> {
    let made = fs::create_dir_all(&options.out).and_then(|()| options.out.canonicalize());
    let out = made.map_err(|cause| unwritten(&options.out, cause))?;
    let programs = Folder::of_programs(&out, options.keep);
    let programs = programs.map_err(|cause| unwritten(&out, cause))?;
    tell("starting three nodes");
    let software = Software::Isthmus(options.program.clone());
    let mut trio = Trio::prepare(&software, programs.path())?;
    trio.start().await?;
    trio.make_topic(TOPIC, PARTITIONS).await?;
    let drill = format!("{:x}-{:x}", std::process::id(), now());
    let ledgers = out.join("ledgers");
    let cell = format!("recovery-{}", options.library.name());
    let mut run = Run {
        diary: Diary::begin(&ledgers, &drill, cell, trio.describe())?,
        options,
        trio,
        ledgers: &ledgers,
        done: Vec::new(),
        tell,
    };
    let clients = Clients {
        lab: &options.program,
        jars: options.jars.as_ref(),
        ledgers: &ledgers,
        drill: &drill,
        namespace: None,
    };
    let (survivor, plan) = run.load(&clients).await?;
    let found = run.end(survivor, plan).await?;
    judge::judge(options, found, &out)
}

pub(super) fn unwritten(path: &Path, cause: std::io::Error) -> RecoveryError {
    RecoveryError::Write {
        path: path.to_owned(),
        cause,
    }
}

/// A run whose nodes are there.
struct Run<'a> {
    options: &'a Options,
    trio: Trio,
    diary: Diary,
    ledgers: &'a Path,
    done: Vec<Done>,
    tell: &'a dyn Fn(&str),
}

impl Run<'_> {
    /// The load, and everything that is done under it.
    async fn load(&mut self, clients: &Clients<'_>) -> Result<(i32, Plan), RecoveryError> {
        let reader = clients.consume(&self.trio, READER, TOPIC).await?;
        let producer = Producer {
            name: WRITER,
            topic: TOPIC,
            library: self.options.library,
            acks: Acks::All,
            records_per_second: self.options.records_per_second,
            seconds: None,
            give_up_after: None,
        };
        let writer = clients.produce(&self.trio, &producer).await?;
        let mut load = [reader, writer];
        self.diary.phase("load begins")?;
        self.until_answered(0, FIRST_ANSWERS_MAX).await?;
        self.trio.until_well(&[TOPIC]).await?;
        self.hold(&mut load).await?;
        let (survivor, plan) = self.destroy_and_recover().await?;
        self.hold(&mut load).await?;
        let [reader, writer] = load;
        writer.stop().await?;
        self.diary.phase("load ended")?;
        until_quiet(self.ledgers, READER).await?;
        reader.stop().await?;
        (self.tell)("reading what is there in the end");
        clients.audit(&self.trio, TOPIC).await?;
        Ok((survivor, plan))
    }

    /// Waits until the producer was answered in every partition after `since`.
    async fn until_answered(&self, since: Micros, within: Duration) -> Result<(), RecoveryError> {
        let all = usize::try_from(PARTITIONS).expect("six fit");
        let until = Instant::now() + within;
        loop {
            let acknowledged = Acknowledged::read(self.ledgers, WRITER)?;
            if acknowledged.partitions_since(since) >= all {
                return Ok(());
            }
            if Instant::now() > until {
                let seconds = within.as_secs();
                return Err(RecoveryError::Unanswered { seconds });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Nothing happens for a while, and everybody is alive at its end.
    async fn hold(&mut self, load: &mut [Client]) -> Result<(), RecoveryError> {
        tokio::time::sleep(self.options.hold).await;
        self.trio.check()?;
        for client in load {
            client.check()?;
        }
        Ok(())
    }

    async fn destroy_and_recover(&mut self) -> Result<(i32, Plan), RecoveryError> {
        let program = &self.options.program;
        let ids = self.trio.ids();
        let controller = self.trio.controller(&ids).await?;
        let first = ids.iter().copied().find(|&id| id != controller);
        let survivor = self
            .options
            .survivor
            .or(first)
            .expect("three are more than one");
        let lost: Vec<i32> = ids.into_iter().filter(|&id| id != survivor).collect();
        let nodes = <[i32; 2]>::try_from(lost).expect("three but one are two");
        (self.tell)(&format!(
            "node {survivor} is to survive; node {controller} is the active controller"
        ));

        let begun = self.begin(Act::Destroy { nodes })?;
        self.trio.destroy(&nodes).await?;
        self.finish(begun)?;

        let begun = self.begin(Act::Stop { node: survivor })?;
        self.trio.stop(survivor).await?;
        self.finish(begun)?;

        let begun = self.begin(Act::DryRun)?;
        let plan = operator::dry_run(program, &self.trio, survivor).await?;
        self.finish(begun)?;

        let begun = self.begin(Act::Recover)?;
        let carried_out = operator::recover(program, &self.trio, survivor).await?;
        self.finish(begun)?;
        if carried_out != plan {
            return Err(RecoveryError::Answer {
                command: "isthmus quorum recover --yes",
                cause: format!("{carried_out:?}, and its dry run {plan:?}"),
            });
        }

        let begun = self.begin(Act::Start { node: survivor })?;
        self.trio.restart(survivor).await?;
        self.finish(begun)?;

        for node in nodes {
            let begun = self.begin(Act::Rebuild { node })?;
            let directory = self.trio.format_late(node).await?;
            // It is ready only once it votes.
            let added = operator::Addition::new(&self.trio, node, directory, survivor);
            let started = async { Ok(self.trio.restart(node).await?) };
            futures::try_join!(started, added.run(program))?;
            self.finish(begun)?;
        }

        let begun = self.begin(Act::Well)?;
        self.trio.until_well(&[TOPIC]).await?;
        self.trio.make_topic(PROBE, 1).await?;
        self.until_answered(now(), ANSWERS_MAX).await?;
        self.finish(begun)?;
        Ok((survivor, plan))
    }

    fn begin(&mut self, act: Act) -> Result<Done, RecoveryError> {
        let from_us = now();
        self.diary.fault(from_us, None, &act.text())?;
        Ok(Done {
            act,
            from_us,
            to_us: from_us,
        })
    }

    fn finish(&mut self, begun: Done) -> Result<(), RecoveryError> {
        let done = Done {
            to_us: now(),
            ..begun
        };
        let text = done.act.text();
        self.diary.fault(done.from_us, Some(done.to_us), &text)?;
        let number = self.done.len() + 1;
        (self.tell)(&format!("{number}: {text}: {:.2} s", done.seconds()));
        self.done.push(done);
        Ok(())
    }

    /// Ends the nodes, compares what they hold, and looks when the writer was answered again.
    async fn end(mut self, survivor: i32, plan: Plan) -> Result<Found, RecoveryError> {
        self.diary.end(now())?;
        let high_watermarks = self.trio.high_watermarks(TOPIC, PARTITIONS).await?;
        self.trio.check()?;
        self.trio.kill_all().await?;
        let replicas = match &self.options.jars {
            Some(jars) => {
                (self.tell)("comparing the replicas with Kafka's dump tool");
                Some(compare(&self.trio, jars, TOPIC, &high_watermarks).await?)
            }
            None => None,
        };
        Ok(Found {
            survivor,
            plan,
            replicas,
            done: self.done,
            acknowledged: Acknowledged::read(self.ledgers, WRITER)?,
        })
    }
}
