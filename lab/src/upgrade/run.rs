//! One run: from nothing to ledgers, and from ledgers to the outcome.

use std::fs;
use std::path::Path;
use std::time::Duration;

use futures::future::try_join_all;
use tokio::time::Instant;

use super::judge::{self, Found};
use super::level::{Levels, raise};
use super::refusal::{Contents, Refusal};
use super::step::{Act, Build, Done, Pass, order};
use super::{Options, Outcome, PARTITIONS, UpgradeError};
use crate::clock::{Micros, now};
use crate::folder::Folder;
use crate::targets::{Description, IsthmusProgram, Software, StartError};
use crate::trio::clients::{Acks, Client, Clients, Producer, until_quiet};
use crate::trio::diary::Diary;
use crate::trio::replicas::compare;
use crate::trio::silence::Acknowledged;
use crate::trio::{Trio, TrioError};

/// The topic of the load, and the drill's clients.
const TOPIC: &str = "upgrade";
const WRITER: &str = "writer";
const READER: &str = "reader";
const TEAM: &str = "team";

/// What must be in sync before the next step; the second one is there once the team is.
const TOPICS: [&str; 2] = [TOPIC, "__consumer_offsets"];

/// For the producer's first answers; Java's first batch waits for its compiler.
const FIRST_ANSWERS_MAX: Duration = Duration::from_secs(60);

/// From a step's end to an answer in every partition. Clients look for leaders once a second or so, and
/// give their records up after two minutes; whoever stands still for so long was refused.
const ANSWERS_MAX: Duration = Duration::from_secs(30);

/// Between two looks at what it wrote.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) async fn run(options: &Options, tell: &dyn Fn(&str)) -> Result<Outcome, UpgradeError> {
    let made = fs::create_dir_all(&options.out).and_then(|()| options.out.canonicalize());
    let out = made.map_err(|cause| unwritten(&options.out, cause))?;
    let programs = Folder::of_programs(&out, options.keep);
    let programs = programs.map_err(|cause| unwritten(&out, cause))?;
    tell("starting three nodes of the old build");
    let old = Software::Isthmus(options.from.clone());
    let mut trio = Trio::prepare(&old, programs.path())?;
    trio.start().await?;
    trio.make_topic(TOPIC, PARTITIONS).await?;
    let drill = format!("{:x}-{:x}", std::process::id(), now());
    let ledgers = out.join("ledgers");
    let cell = format!("upgrade-{}", options.library.name());
    let mut run = Run {
        diary: Diary::begin(&ledgers, &drill, cell, described(options, &trio))?,
        options,
        trio,
        ledgers: &ledgers,
        done: Vec::new(),
        tell,
    };
    let clients = Clients {
        lab: &options.lab,
        jars: options.jars.as_ref(),
        ledgers: &ledgers,
        drill: &drill,
        namespace: None,
    };
    let (levels, refusal) = run.load(&clients).await?;
    let found = run.end(levels, refusal).await?;
    judge::judge(options, found, &out)
}

/// For the ledgers: the cluster is of two programs.
fn described(options: &Options, trio: &Trio) -> Description {
    let mut target = trio.describe();
    target.version = format!("{} → {}", options.from.version(), options.to.version());
    target
}

pub(super) fn unwritten(path: &Path, cause: std::io::Error) -> UpgradeError {
    UpgradeError::Write {
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
    async fn load(
        &mut self,
        clients: &Clients<'_>,
    ) -> Result<(Levels, Option<Refusal>), UpgradeError> {
        let reader = clients.consume(&self.trio, READER, TOPIC).await?;
        let team = clients.consume_in_group(&self.trio, TEAM, TOPIC).await?;
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
        let mut load = [reader, team, writer];
        self.diary.phase("load begins")?;
        if !self.is_answered(0, FIRST_ANSWERS_MAX).await? {
            let seconds = FIRST_ANSWERS_MAX.as_secs();
            return Err(UpgradeError::Unanswered { seconds });
        }
        self.trio.until_well(&TOPICS).await?;
        self.hold(&mut load).await?;
        for pass in Pass::ALL {
            let controller = self.trio.controller(&self.trio.ids()).await?;
            for node in order(self.trio.ids(), controller) {
                self.roll(pass, node).await?;
                self.hold(&mut load).await?;
            }
        }
        let levels = self.raise().await?;
        self.hold(&mut load).await?;
        let mut refusal = None;
        if levels.were_raised() {
            refusal = Some(self.refuse().await?);
            self.hold(&mut load).await?;
        }
        let [reader, team, writer] = load;
        writer.stop().await?;
        self.diary.phase("load ended")?;
        let quiet = [READER, TEAM].map(|name| until_quiet(self.ledgers, name));
        try_join_all(quiet).await?;
        reader.stop().await?;
        team.stop().await?;
        (self.tell)("reading what is there in the end");
        clients.audit(&self.trio, TOPIC).await?;
        Ok((levels, refusal))
    }

    /// Waits until the producer was answered in every partition after `since`; whether it was.
    async fn is_answered(&self, since: Micros, within: Duration) -> Result<bool, UpgradeError> {
        let all = usize::try_from(PARTITIONS).expect("six fit");
        let until = Instant::now() + within;
        loop {
            let acknowledged = Acknowledged::read(self.ledgers, WRITER)?;
            if acknowledged.partitions_since(since) >= all {
                return Ok(true);
            }
            if Instant::now() > until {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Nothing happens for a while, and everybody is alive at its end.
    async fn hold(&mut self, load: &mut [Client]) -> Result<(), UpgradeError> {
        tokio::time::sleep(self.options.hold).await;
        self.trio.check()?;
        for client in load {
            client.check()?;
        }
        Ok(())
    }

    /// One node to another build.
    async fn roll(&mut self, pass: Pass, node: i32) -> Result<(), UpgradeError> {
        let begun = self.begin(Act::Roll { pass, node }).await?;
        self.trio.stop(node).await?;
        self.trio.run_with(node, &self.software(pass.build()));
        self.trio.restart(node).await?;
        self.finish(begun).await
    }

    async fn raise(&mut self) -> Result<Levels, UpgradeError> {
        let begun = self.begin(Act::Raise).await?;
        let levels = raise(&self.trio, self.program(Build::To)).await?;
        self.trio.until_level(levels.after).await?;
        self.finish(begun).await?;
        let Levels { before, after } = levels;
        (self.tell)(&match levels.were_raised() {
            true => format!("the metadata level was {before} and is {after}"),
            false => {
                format!("the new build knows no higher metadata level than {before}: none to raise")
            }
        });
        Ok(levels)
    }

    /// One node with the old build, which must not start, and then with the new one.
    async fn refuse(&mut self) -> Result<Refusal, UpgradeError> {
        let node = self.trio.ids()[0];
        let begun = self.begin(Act::Refuse { node }).await?;
        self.trio.stop(node).await?;
        let before = Contents::of(self.trio.data(node))?;
        self.trio.run_with(node, &self.software(Build::From));
        let tried = self.trio.restart(node).await;
        let (exit_code, said) = match tried {
            Ok(()) => (None, "it says that it is ready".to_owned()),
            Err(TrioError::Start(StartError::Ended { status, log, .. })) => (status.code(), log),
            Err(TrioError::Start(StartError::Silent { log, .. })) => (None, log),
            Err(error) => return Err(error.into()),
        };
        self.trio.kill(node).await?;
        let refusal = Refusal {
            node,
            exit_code,
            said,
            touched: before.differences(&Contents::of(self.trio.data(node))?),
        };
        self.trio.run_with(node, &self.software(Build::To));
        self.trio.restart(node).await?;
        self.finish(begun).await?;
        Ok(refusal)
    }

    async fn begin(&mut self, act: Act) -> Result<Done, UpgradeError> {
        let controller = self.trio.controller(&self.trio.ids()).await?;
        let from_us = now();
        self.diary.fault(from_us, None, &act.text())?;
        let with_controller = match act {
            Act::Roll { node, .. } | Act::Refuse { node } => node == controller,
            Act::Raise => false,
        };
        Ok(Done {
            act,
            with_controller,
            from_us,
            to_us: from_us,
            answered: false,
        })
    }

    /// When all is well again, and written; then a topic is made by whoever is the controller now.
    async fn finish(&mut self, begun: Done) -> Result<(), UpgradeError> {
        self.trio.until_well(&TOPICS).await?;
        self.trio.until_led_as_preferred(&TOPICS).await?;
        let answered = self.is_answered(now(), ANSWERS_MAX).await?;
        let done = Done {
            to_us: now(),
            answered,
            ..begun
        };
        let (from_us, text) = (done.from_us, done.act.text());
        self.diary.fault(from_us, Some(done.to_us), &text)?;
        let controller = match done.with_controller {
            true => " (the active controller)",
            false => "",
        };
        let (number, seconds) = (self.done.len() + 1, done.seconds());
        let outcome = match done.answered {
            true => "all well after",
            false => "in sync, and not all partitions are written after",
        };
        (self.tell)(&format!(
            "{number}: {text}{controller}: {outcome} {seconds:.2} s"
        ));
        self.done.push(done);
        let probe = format!("{TOPIC}-{number}");
        Ok(self.trio.make_topic(&probe, 1).await?)
    }

    fn program(&self, build: Build) -> &IsthmusProgram {
        match build {
            Build::From => &self.options.from,
            Build::To => &self.options.to,
        }
    }

    fn software(&self, build: Build) -> Software {
        Software::Isthmus(self.program(build).clone())
    }

    /// Ends the nodes, compares what they hold, and looks how long the writer stood still.
    async fn end(
        mut self,
        levels: Levels,
        refusal: Option<Refusal>,
    ) -> Result<Found, UpgradeError> {
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
            levels,
            refusal,
            replicas,
            done: self.done,
            acknowledged: Acknowledged::read(self.ledgers, WRITER)?,
        })
    }
}
