//! `isthmus lab load`: one client as a process, to be killed and started again like a team's own.
//!
//! SIGTERM and SIGINT end it in order. Whoever kills it loses nothing but the outcomes of the last
//! moments, which the ledger then calls unknown.

use crate::options::{CONFIGURATION, fail, refuse};
use clap::{Args, Subcommand, ValueEnum};
use isthmus_lab::ledger::{Phase, is_name};
use isthmus_lab::load::audit::{AuditOptions, audit};
use isthmus_lab::load::client::Who;
use isthmus_lab::load::consumer::{ConsumerOptions, consume};
use isthmus_lab::load::producer::{ProducerOptions, produce};
use isthmus_lab::load::{LoadError, Summary, java};
use isthmus_lab::targets::KafkaJars;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Where the jars are, if no flag says it; the tests' own variable.
const LIBS_VARIABLE: &str = "ISTHMUS_TEST_KAFKA_LIBS";

#[derive(Args)]
pub(crate) struct LoadOptions {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Produce records when a fixed schedule says, whatever the cluster answers.
    Produce(ProduceOptions),
    /// Consume what comes, until stopped.
    Consume(ConsumeOptions),
    /// Read topics from their beginning to the end they have now.
    Audit(AuditFlags),
}

/// Who a client is, and where it writes.
#[derive(Args)]
struct WhoOptions {
    /// The client's name; started again under it, a producer goes on with its schedule.
    #[arg(long)]
    name: String,
    /// Brokers to begin with.
    #[arg(long, value_name = "HOST:PORT,…")]
    bootstrap: String,
    /// The folder of this cell's ledgers.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What this run is called, in the ledgers and in each record.
    #[arg(long, value_name = "ID", default_value = "trial")]
    drill: String,
    /// Where the client stands.
    #[arg(long, default_value = "here")]
    site: String,
    /// The cluster behind --bootstrap.
    #[arg(long, default_value = "cluster")]
    cluster: String,
    /// A setting of the client library, over the lab's own; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// A file of such settings, as Kafka's own tools take it; the place for passwords.
    #[arg(long, value_name = "FILE")]
    client_config: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Library {
    Librdkafka,
    /// Kafka's own, from its jars: the cross-check.
    Java,
}

#[derive(Args)]
struct LibraryOptions {
    /// The client library.
    #[arg(long, value_enum, default_value = "librdkafka")]
    client: Library,
    /// Folder of Apache Kafka's jars, for --client java [default: the variable ISTHMUS_TEST_KAFKA_LIBS].
    #[arg(long, value_name = "DIR")]
    libs: Option<PathBuf>,
}

#[derive(Args)]
struct ProduceOptions {
    #[command(flatten)]
    who: WhoOptions,
    #[command(flatten)]
    library: LibraryOptions,
    /// The topic, which must exist.
    #[arg(long)]
    topic: String,
    /// Records per second.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Bytes of each value.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    bytes: u32,
    /// Distinct keys.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    keys: u32,
    /// Length of the schedule, over all starts [default: until stopped].
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u32>,
}

#[derive(Args)]
struct ConsumeOptions {
    #[command(flatten)]
    who: WhoOptions,
    #[command(flatten)]
    library: LibraryOptions,
    /// A topic, or with --group a regular expression that begins with ^; may be repeated.
    #[arg(long, required = true)]
    topic: Vec<String>,
    /// The consumer group [default: none, all partitions from their beginning].
    #[arg(long)]
    group: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Moment {
    /// What clients could read when they were switched.
    Switch,
    /// What is there in the end.
    Final,
}

#[derive(Args)]
struct AuditFlags {
    #[command(flatten)]
    who: WhoOptions,
    /// The moment for which it speaks.
    #[arg(long, value_enum)]
    phase: Moment,
    /// A topic; may be repeated [default: all that are not internal].
    #[arg(long)]
    topic: Vec<String>,
    /// Seconds after which it is given up.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
}

pub(crate) fn run(options: &LoadOptions) -> ExitCode {
    let stop = match stop_on_signal() {
        Ok(stop) => stop,
        Err(cause) => return fail(&format!("could not listen to signals: {cause}")),
    };
    match &options.what {
        What::Produce(options) => run_producer(options, &stop),
        What::Consume(options) => run_consumer(options, &stop),
        What::Audit(options) => run_audit(options, &stop),
    }
}

fn run_producer(options: &ProduceOptions, stop: &AtomicBool) -> ExitCode {
    let checked = options.who.check([&options.topic]);
    let who = match checked {
        Ok(who) => who,
        Err(problems) => return refuse(&problems),
    };
    let name = who.name.clone();
    let records = options
        .seconds
        .map(|seconds| u64::from(seconds) * u64::from(options.rate));
    let producer = ProducerOptions {
        who,
        topic: options.topic.clone(),
        records_per_second: options.rate,
        keys: options.keys,
        record_bytes: options.bytes,
        records,
    };
    match options.library.jars() {
        Err(problem) => refuse(&problem),
        Ok(Some(jars)) => become_process(java::producer(&producer, &jars)),
        Ok(None) => end(
            &name,
            produce(&producer, stop, |start| ready(&name, "producer", start)),
        ),
    }
}

fn run_consumer(options: &ConsumeOptions, stop: &AtomicBool) -> ExitCode {
    let plain = options.topic.iter().filter(|topic| !topic.starts_with('^'));
    let who = match options.who.check(plain) {
        Ok(who) => who,
        Err(problems) => return refuse(&problems),
    };
    let name = who.name.clone();
    let consumer = ConsumerOptions {
        who,
        topics: options.topic.clone(),
        group: options.group.clone(),
    };
    match options.library.jars() {
        Err(problem) => refuse(&problem),
        Ok(Some(_)) if consumer.group.is_none() => {
            refuse(&"--client java reads in a group; give it one with --group")
        }
        Ok(Some(jars)) => become_process(java::consumer(&consumer, &jars)),
        Ok(None) => end(
            &name,
            consume(&consumer, stop, |start| ready(&name, "consumer", start)),
        ),
    }
}

fn run_audit(options: &AuditFlags, stop: &AtomicBool) -> ExitCode {
    let who = match options.who.check(&options.topic) {
        Ok(who) => who,
        Err(problems) => return refuse(&problems),
    };
    let name = who.name.clone();
    let options = AuditOptions {
        who,
        phase: match options.phase {
            Moment::Switch => Phase::Switch,
            Moment::Final => Phase::Final,
        },
        topics: options.topic.clone(),
        within: Duration::from_secs(options.timeout),
    };
    end(&name, audit(&options, stop))
}

impl WhoOptions {
    /// All that is wrong, at once.
    fn check<'a>(&self, topics: impl IntoIterator<Item = &'a String>) -> Result<Who, String> {
        let named = [
            ("--name", &self.name),
            ("--drill", &self.drill),
            ("--site", &self.site),
            ("--cluster", &self.cluster),
        ];
        let topics = topics.into_iter().map(|topic| ("--topic", topic));
        let mut problems: Vec<String> = named
            .into_iter()
            .chain(topics)
            .filter(|(_, value)| !is_name(value))
            .map(|(flag, value)| {
                format!("{flag}: {value:?} is no name; use letters, digits, '.', '_' and '-'")
            })
            .collect();
        let settings = self.settings().unwrap_or_else(|found| {
            problems.extend(found);
            Vec::new()
        });
        if !problems.is_empty() {
            return Err(problems.join("\n"));
        }
        Ok(Who {
            drill: self.drill.clone(),
            name: self.name.clone(),
            site: self.site.clone(),
            cluster: self.cluster.clone(),
            bootstrap: self.bootstrap.clone(),
            folder: self.out.clone(),
            settings,
        })
    }

    /// The file's settings, then the flags'.
    fn settings(&self) -> Result<Vec<(String, String)>, Vec<String>> {
        let mut problems = Vec::new();
        let mut settings = Vec::new();
        if let Some(path) = &self.client_config {
            match std::fs::read_to_string(path) {
                Ok(text) => {
                    for (number, line) in text.lines().enumerate() {
                        let line = line.trim();
                        if line.is_empty() || line.starts_with('#') {
                            continue;
                        }
                        match setting(line) {
                            Some(setting) => settings.push(setting),
                            None => problems.push(format!(
                                "{}:{}: is not KEY=VALUE; mend the line",
                                path.display(),
                                number + 1
                            )),
                        }
                    }
                }
                Err(cause) => problems.push(format!(
                    "--client-config: {}: cannot be read: {cause}; name a readable file",
                    path.display()
                )),
            }
        }
        for text in &self.set {
            match setting(text) {
                Some(setting) => settings.push(setting),
                None => problems.push(format!("--set: {text:?} is not KEY=VALUE; add a value")),
            }
        }
        match problems.is_empty() {
            true => Ok(settings),
            false => Err(problems),
        }
    }
}

fn setting(text: &str) -> Option<(String, String)> {
    let (key, value) = text.split_once('=')?;
    let key = key.trim();
    (!key.is_empty()).then(|| (key.to_owned(), value.trim().to_owned()))
}

impl LibraryOptions {
    /// None for librdkafka.
    fn jars(&self) -> Result<Option<KafkaJars>, String> {
        if self.client == Library::Librdkafka {
            return Ok(None);
        }
        let variable = std::env::var_os(LIBS_VARIABLE).map(PathBuf::from);
        let libs = self.libs.clone().or(variable);
        let libs = libs.ok_or_else(|| {
            format!("give the folder of Apache Kafka's jars with --libs DIR or {LIBS_VARIABLE}")
        })?;
        KafkaJars::find(&libs)
            .map(Some)
            .map_err(|error| error.to_string())
    }
}

/// From here on this process is the Java client: killing it kills the client.
fn become_process(command: Result<Command, LoadError>) -> ExitCode {
    match command {
        Ok(mut command) => fail(&format!("could not start java: {}", command.exec())),
        Err(error) => fail(&format!("could not {error}")),
    }
}

/// True once a signal asks for the end.
fn stop_on_signal() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let (mut terminate, mut interrupt) = {
        let _within = runtime.enter();
        (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        )
    };
    let asked = Arc::clone(&stop);
    let wait = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        asked.store(true, Ordering::Release);
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait)?;
    Ok(stop)
}

#[expect(clippy::print_stdout, reason = "the line that callers wait for")]
fn ready(name: &str, kind: &str, start: u32) {
    println!("ready load client={name} kind={kind} start={start}");
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
fn end(name: &str, outcome: Result<Summary, LoadError>) -> ExitCode {
    match outcome {
        Ok(summary) => {
            let Summary {
                intended,
                acked,
                read,
            } = summary;
            println!("done load client={name} intended={intended} acked={acked} read={read}");
            ExitCode::SUCCESS
        }
        Err(error @ LoadError::Different { .. }) => {
            refuse(&format!("could not {error}"));
            ExitCode::from(CONFIGURATION)
        }
        Err(error) => fail(&format!("could not {error}")),
    }
}
