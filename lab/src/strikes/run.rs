//! One run: from nothing to ledgers, and from ledgers to the outcome.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::draw::{Draw, Fault, Kind};
use super::judge::{self, Struck};
use super::{Options, Outcome, PARTITIONS, StrikesError};
use crate::clock::{Clock, now};
use crate::folder::Folder;
use crate::ledger::header::{Drill, Header, Target};
use crate::ledger::{DRILL_FILE, LedgerWriter, Row, SCHEMA};
use crate::load::resume::written_bytes;
use crate::trio::Trio;
use crate::trio::clients::{Client, Clients, Producer};
use crate::trio::replicas::{Comparison, compare};

/// The topic, and the drill's clients.
const TOPIC: &str = "strikes";
const WRITER: &str = "writer";
const READER: &str = "reader";

/// From the end of the schedule to the last answer: both libraries give up after 120 s.
const LAST_ANSWERS_MAX: Duration = Duration::from_secs(150);

/// A reader that has written nothing for so long has read what there is.
const QUIET: Duration = Duration::from_secs(2);

/// From the producer's end to the reader's, at most.
const LAST_RECORDS_MAX: Duration = Duration::from_secs(30);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

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
    let mut run = Run {
        ledger: begin_ledger(options, &trio, &ledgers, &drill)?,
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

fn begin_ledger(
    options: &Options,
    trio: &Trio,
    ledgers: &Path,
    drill: &str,
) -> Result<LedgerWriter, StrikesError> {
    let described = trio.describe();
    let (acks, library) = (options.acks.name(), options.library.name());
    let header = Header {
        schema: SCHEMA.to_owned(),
        drill: drill.to_owned(),
        clock: Clock::read().map_err(StrikesError::Clock)?,
        began_us: now(),
        client: None,
        cell: Some(Drill {
            model: "three-nodes".to_owned(),
            target: Target {
                program: described.program,
                version: described.version,
                settings: described.settings,
            },
            cell: format!("strikes-acks-{acks}-{library}"),
            placebo: false,
            run: 1,
            claims: Vec::new(),
            network: Vec::new(),
            clusters: vec!["three".to_owned()],
        }),
    };
    let path = ledgers.join(DRILL_FILE);
    let made = fs::create_dir_all(ledgers);
    let made = made.and_then(|()| LedgerWriter::create(&path, &header));
    made.map_err(|cause| unwritten(&path, cause))
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
    ledger: LedgerWriter,
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
        self.phase("load begins")?;
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
        self.phase("load ended")?;
        self.settle(reader).await?;
        (self.tell)("reading what is there in the end");
        Ok(clients.audit(&self.trio, TOPIC).await?)
    }

    /// One fault, from its begin to three replicas in sync.
    async fn strike(&mut self, fault: Fault) -> Result<(), StrikesError> {
        let (from_us, began) = (now(), Instant::now());
        let text = fault.text();
        self.row(&Row::Fault {
            from_us,
            to_us: None,
            text: text.clone(),
        })?;
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
        self.row(&Row::Fault {
            from_us,
            to_us: Some(now()),
            text,
        })
    }

    /// Ends the reader when it has nothing new to write down.
    async fn settle(&self, reader: Client) -> Result<(), StrikesError> {
        let until = Instant::now() + LAST_RECORDS_MAX;
        let (mut written, mut grew_at) = (0, Instant::now());
        while Instant::now() < until.min(grew_at + QUIET) {
            tokio::time::sleep(LOOK_EVERY).await;
            let bytes = written_bytes(self.ledgers, READER)?;
            if bytes != written {
                (written, grew_at) = (bytes, Instant::now());
            }
        }
        Ok(reader.stop().await?)
    }

    /// Ends the nodes, and compares what they hold.
    async fn end(mut self) -> Result<(Vec<Struck>, Option<Comparison>), StrikesError> {
        let path = self.path();
        let ended = self.ledger.end(now());
        ended.map_err(|cause| unwritten(&path, cause))?;
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

    fn phase(&mut self, text: &str) -> Result<(), StrikesError> {
        self.row(&Row::Phase {
            at_us: now(),
            text: text.to_owned(),
        })
    }

    /// At once on disk: what happened stays known even if the lab ends here.
    fn row(&mut self, row: &Row) -> Result<(), StrikesError> {
        let wrote = self.ledger.row(row).and_then(|()| self.ledger.flush());
        wrote.map_err(|cause| unwritten(&self.path(), cause))
    }

    fn path(&self) -> PathBuf {
        self.ledgers.join(DRILL_FILE)
    }
}
