//! One run: from nothing to ledgers, and from ledgers to the outcome.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::draw::{Draw, Fault};
use super::flow::{self, Flow};
use super::ground::Ground;
use super::judge::{self, Struck};
use super::kinds::Kind;
use super::{Options, Outcome, PARTITIONS, StrikesError};
use crate::clock::now;
use crate::fabric::Fabric;
use crate::folder::Folder;
use crate::targets::Description;
use crate::trio::clients::{Clients, Producer, until_quiet};
use crate::trio::diary::Diary;
use crate::trio::replicas::{Comparison, compare};
use crate::trio::{Room, Trio};

/// The topic, and the drill's clients.
pub(super) const TOPIC: &str = "strikes";
const WRITER: &str = "writer";
const READER: &str = "reader";

/// From the end of the schedule to the last answer: both libraries give up after 120 s.
const LAST_ANSWERS_MAX: Duration = Duration::from_secs(150);

/// Records that nodes without a rule have lost leave gaps, behind which nothing is taken of the same producer:
/// it need not be waited for as long as where all will be well.
const PATIENCE_WITHOUT_RULE: Duration = Duration::from_secs(15);

/// By which a build with fault points is told to leave out a rule.
const RULE_VARIABLE: &str = "ISTHMUS_FAULT_RULE";

pub(super) async fn run(
    options: &Options,
    fabric: Option<&Fabric>,
    tell: &dyn Fn(&str),
) -> Result<Outcome, StrikesError> {
    let made = fs::create_dir_all(&options.out).and_then(|()| options.out.canonicalize());
    let out = made.map_err(|cause| unwritten(&options.out, cause))?;
    let programs = Folder::of_programs(&out, options.keep);
    let programs = programs.map_err(|cause| unwritten(&out, cause))?;
    tell("starting three nodes");
    let ground = Ground::prepare(fabric, &options.faults, programs.path())?;
    let rooms = std::array::from_fn(|place| room(options, &ground, place));
    let trio = Trio::prepare_in(&options.software, programs.path(), rooms)?;
    let description = describe(options, &trio);
    let drill = format!("{:x}-{:x}", std::process::id(), now());
    let ledgers = out.join("ledgers");
    let (acks, library) = (options.acks.name(), options.library.name());
    let cell = format!("strikes-acks-{acks}-{library}");
    let mut run = Run {
        diary: Diary::begin(&ledgers, &drill, cell, description.clone())?,
        options,
        trio,
        ground,
        ledgers: &ledgers,
        drill: &drill,
        struck: Vec::new(),
        tell,
    };
    let done = run.whole().await;
    // What is on disks of the run's own is wanted above all when it failed.
    run.trio.kill_all().await?;
    if options.keep {
        run.ground.keep_disks()?;
    }
    let (ended_us, replicas) = done?;
    run.diary.end(ended_us)?;
    judge::judge(options, description, run.struck, replicas, &out)
}

fn room(options: &Options, ground: &Ground<'_>, place: usize) -> Room {
    let id = (1..).nth(place).expect("there is a number after each one");
    let mut room = ground.room(id);
    let rule = options.without_rule.iter();
    let rule = rule.map(|id| (RULE_VARIABLE, OsString::from(id)));
    room.around.environment.extend(rule);
    room
}

/// With what was changed around the nodes.
fn describe(options: &Options, trio: &Trio) -> Description {
    let mut description = trio.describe();
    let rule = options.without_rule.iter();
    let rule = rule.map(|id| format!("without rule {id} of replication"));
    description.settings.extend(rule);
    description
}

fn unwritten(path: &Path, cause: std::io::Error) -> StrikesError {
    StrikesError::Write {
        path: path.to_owned(),
        cause,
    }
}

/// A run whose nodes are there.
pub(super) struct Run<'a> {
    options: &'a Options,
    pub(super) trio: Trio,
    /// After the nodes, which end before it does.
    pub(super) ground: Ground<'a>,
    diary: Diary,
    ledgers: &'a Path,
    drill: &'a str,
    struck: Vec<Struck>,
    tell: &'a dyn Fn(&str),
}

impl Run<'_> {
    /// From the nodes' start to their end: when the load was over, and what the replicas hold, if it can
    /// be told.
    async fn whole(&mut self) -> Result<(u64, Option<Comparison>), StrikesError> {
        self.trio.start().await?;
        self.trio.make_topic(TOPIC, PARTITIONS).await?;
        self.load().await?;
        Ok((now(), self.end().await?))
    }

    /// The load, and faults for as long as records are due.
    async fn load(&mut self) -> Result<(), StrikesError> {
        let options = self.options;
        let clients = Clients {
            lab: &options.lab,
            jars: options.jars.as_ref(),
            ledgers: self.ledgers,
            drill: self.drill,
            namespace: self.ground.clients(),
        };
        let mut reader = clients.consume(&self.trio, READER, TOPIC).await?;
        let producer = Producer {
            name: WRITER,
            topic: TOPIC,
            library: options.library,
            acks: options.acks,
            records_per_second: options.records_per_second,
            seconds: Some(u32::try_from(options.length.as_secs()).unwrap_or(u32::MAX)),
            give_up_after: options.without_rule.as_ref().map(|_| PATIENCE_WITHOUT_RULE),
        };
        let mut writer = clients.produce(&self.trio, &producer).await?;
        self.diary.phase("load begins")?;
        let ends = Instant::now() + options.length;
        if flow::is_waited_for(&options.faults) {
            // A fault that comes before the first record says nothing; one that none comes after is told by
            // the first fault.
            self.until_flowing(ends).await?;
        }
        let mut draw = Draw::new(options.seed, self.trio.ids(), &options.faults);
        loop {
            let fault = draw.next();
            if Instant::now() + fault.calm >= ends {
                break;
            }
            tokio::time::sleep(fault.calm).await;
            writer.check()?;
            reader.check()?;
            self.strike(fault).await?;
            if flow::is_waited_for(&options.faults) && !self.is_flowing(ends).await? {
                break;
            }
        }
        let within = ends + LAST_ANSWERS_MAX - Instant::now();
        writer.finish(within).await?;
        self.diary.phase("load ended")?;
        until_quiet(self.ledgers, READER).await?;
        reader.stop().await?;
        (self.tell)("reading what is there in the end");
        Ok(clients.audit(&self.trio, TOPIC).await?)
    }

    /// Notes it with the last fault; a cluster in which nothing flows needs no more of them.
    async fn is_flowing(&mut self, ends: Instant) -> Result<bool, StrikesError> {
        let flow = self.until_flowing(ends).await?;
        let last = self.struck.last_mut().expect("a fault was dealt");
        match flow {
            Flow::Again(after) => last.flowing_after_seconds = Some(after.as_secs_f64()),
            Flow::Over => {}
            Flow::Stopped { partition } => {
                last.stopped = Some(format!("{TOPIC}-{partition}"));
                (self.tell)(&format!("{TOPIC}-{partition} commits nothing any more"));
            }
        }
        Ok(last.stopped.is_none())
    }

    /// One fault, from its begin to three replicas in sync.
    async fn strike(&mut self, fault: Fault) -> Result<(), StrikesError> {
        let (from_us, began) = (now(), Instant::now());
        let text = fault.text();
        self.diary.fault(from_us, None, &text)?;
        self.act(&fault).await?;
        let ended = now();
        let restarts = self.until_well_after(&fault).await?;
        let seconds = began.elapsed().as_secs_f64();
        let number = self.struck.len() + 1;
        let again = match restarts {
            0 => "",
            _ => "; it ended by itself and was started again",
        };
        (self.tell)(&format!(
            "{number}: {text}{again}; all well after {seconds:.2} s"
        ));
        self.struck.push(Struck {
            kind: fault.kind,
            node: fault.node,
            text: text.clone(),
            at_us: from_us,
            ended_us: ended,
            restarts,
            down_ms: u64::try_from(fault.down.as_millis()).unwrap_or(u64::MAX),
            well_after_seconds: seconds,
            flowing_after_seconds: None,
            stopped: None,
        });
        Ok(self.diary.fault(from_us, Some(now()), &text)?)
    }

    /// Three replicas in sync, as every node says. How often a node was started again that had ended by
    /// itself, as one may whose disk is full.
    async fn until_well_after(&mut self, fault: &Fault) -> Result<u32, StrikesError> {
        Ok(match fault.kind {
            Kind::DiskFull => {
                let restarts = self.trio.until_well_with_restarts(fault.node, &[TOPIC]);
                restarts.await?
            }
            Kind::Kill
            | Kind::Freeze
            | Kind::Stop
            | Kind::Cut
            | Kind::Mute
            | Kind::Deaf
            | Kind::Split
            | Kind::CutKill
            | Kind::MajorityKill
            | Kind::MajorityCut
            | Kind::AllKill
            | Kind::Clock => {
                self.trio.until_well(&[TOPIC]).await?;
                0
            }
        })
    }

    /// Ends the nodes, and compares what they hold.
    async fn end(&mut self) -> Result<Option<Comparison>, StrikesError> {
        let high_watermarks = self.trio.high_watermarks(TOPIC, PARTITIONS).await?;
        self.trio.check()?;
        self.trio.kill_all().await?;
        let Some(jars) = &self.options.jars else {
            return Ok(None);
        };
        (self.tell)("comparing the replicas with Kafka's dump tool");
        let found = compare(&self.trio, jars, TOPIC, &high_watermarks).await?;
        Ok(Some(found))
    }
}
