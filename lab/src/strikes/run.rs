//! One run: from nothing to ledgers, and from ledgers to the outcome.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::draw::{Draw, Fault, Kind};
use super::judge::{self, Struck};
use super::{Options, Outcome, PARTITIONS, StrikesError};
use crate::clock::now;
use crate::folder::Folder;
use crate::trio::Trio;
use crate::trio::clients::{Clients, Producer, until_quiet};
use crate::trio::diary::Diary;
use crate::trio::replicas::{Comparison, compare};

/// The topic, and the drill's clients.
const TOPIC: &str = "strikes";
const WRITER: &str = "writer";
const READER: &str = "reader";

/// From the end of the schedule to the last answer: both libraries give up after 120 s.
const LAST_ANSWERS_MAX: Duration = Duration::from_secs(150);

pub(super) async fn run(options: &Options, tell: &dyn Fn(&str)) -> Result<Outcome, StrikesError> {
    let made = fs::create_dir_all(&options.out).and_then(|()| options.out.canonicalize());
    let out = made.map_err(|cause| unwritten(&options.out, cause))?;
    let programs = Folder::of_programs(&out, options.keep);
    let programs = programs.map_err(|cause| unwritten(&out, cause))?;
    tell("starting three nodes");
    let mut trio = Trio::prepare(&options.software, programs.path())?;
    trio.start().await?;
    trio.make_topic(TOPIC, PARTITIONS).await?;
    let drill = format!("{:x}-{:x}", std::process::id(), now());
    let ledgers = out.join("ledgers");
    let (acks, library) = (options.acks.name(), options.library.name());
    let cell = format!("strikes-acks-{acks}-{library}");
    let mut run = Run {
        diary: Diary::begin(&ledgers, &drill, cell, trio.describe())?,
        options,
        trio,
        ledgers: &ledgers,
        drill: &drill,
        struck: Vec::new(),
        tell,
    };
    run.load().await?;
    let described = run.trio.describe();
    let (struck, replicas) = run.end().await?;
    judge::judge(options, described, struck, replicas, &out)
}

fn unwritten(path: &Path, cause: std::io::Error) -> StrikesError {
    StrikesError::Write {
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
    drill: &'a str,
    struck: Vec<Struck>,
    tell: &'a dyn Fn(&str),
}

impl Run<'_> {
    /// The load, and faults for as long as records are due.
    async fn load(&mut self) -> Result<(), StrikesError> {
        let options = self.options;
        let clients = Clients {
            lab: &options.lab,
            jars: options.jars.as_ref(),
            ledgers: self.ledgers,
            drill: self.drill,
        };
        let mut reader = clients.consume(&self.trio, READER, TOPIC).await?;
        let producer = Producer {
            name: WRITER,
            topic: TOPIC,
            library: options.library,
            acks: options.acks,
            records_per_second: options.records_per_second,
            seconds: Some(u32::try_from(options.length.as_secs()).unwrap_or(u32::MAX)),
        };
        let mut writer = clients.produce(&self.trio, &producer).await?;
        self.diary.phase("load begins")?;
        let ends = Instant::now() + options.length;
        let mut draw = Draw::new(options.seed, self.trio.ids());
        loop {
            let fault = draw.next();
            if Instant::now() + fault.calm >= ends {
                break;
            }
            tokio::time::sleep(fault.calm).await;
            writer.check()?;
            reader.check()?;
            self.strike(fault).await?;
        }
        let within = ends + LAST_ANSWERS_MAX - Instant::now();
        writer.finish(within).await?;
        self.diary.phase("load ended")?;
        until_quiet(self.ledgers, READER).await?;
        reader.stop().await?;
        (self.tell)("reading what is there in the end");
        Ok(clients.audit(&self.trio, TOPIC).await?)
    }

    /// One fault, from its begin to three replicas in sync.
    async fn strike(&mut self, fault: Fault) -> Result<(), StrikesError> {
        let (from_us, began) = (now(), Instant::now());
        let text = fault.text();
        self.diary.fault(from_us, None, &text)?;
        match fault.kind {
            Kind::Kill => {
                self.trio.kill(fault.node).await?;
                tokio::time::sleep(fault.down).await;
                self.trio.restart(fault.node).await?;
            }
            Kind::Freeze => {
                self.trio.freeze(fault.node)?;
                tokio::time::sleep(fault.down).await;
                self.trio.thaw(fault.node)?;
            }
            Kind::Stop => {
                self.trio.stop(fault.node).await?;
                tokio::time::sleep(fault.down).await;
                self.trio.restart(fault.node).await?;
            }
        }
        self.trio.until_well(&[TOPIC]).await?;
        let seconds = began.elapsed().as_secs_f64();
        let number = self.struck.len() + 1;
        (self.tell)(&format!("{number}: {text}; all well after {seconds:.2} s"));
        self.struck.push(Struck {
            kind: fault.kind,
            node: fault.node,
            at_us: from_us,
            down_ms: u64::try_from(fault.down.as_millis()).unwrap_or(u64::MAX),
            well_after_seconds: seconds,
        });
        Ok(self.diary.fault(from_us, Some(now()), &text)?)
    }

    /// Ends the nodes, and compares what they hold.
    async fn end(mut self) -> Result<(Vec<Struck>, Option<Comparison>), StrikesError> {
        self.diary.end()?;
        let high_watermarks = self.trio.high_watermarks(TOPIC, PARTITIONS).await?;
        self.trio.check()?;
        self.trio.kill_all().await?;
        let Some(jars) = &self.options.jars else {
            return Ok((self.struck, None));
        };
        (self.tell)("comparing the replicas with Kafka's dump tool");
        let found = compare(&self.trio, jars, TOPIC, &high_watermarks).await?;
        Ok((self.struck, Some(found)))
    }
}
