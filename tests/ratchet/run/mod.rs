//! Runs scripts on both brokers at once and compares their answers.

use super::codec::unhex;
mod verdict;

use super::differences::Differences;
use super::fill::{at_path, filled, put_version, renamed};
use super::login::{log_in, make_user};
use super::normal::{errors, normal};
use super::notation::{Item, Login, Options, Script, Step};
use super::peer::{Peer, Sent};
use super::schema::{Schemas, range};
use super::tally::Tally;
use super::topic::make_topic;
use super::value::value;
use isthmus_wire::{ApiKey, VersionRange};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Longest time until a broker has done what it said it would do.
const LIMIT: Duration = Duration::from_secs(30);

/// Answers by which a coordinator says that it is not there yet; nobody compares them.
const NOT_YET: [&str; 2] = ["COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS"];

/// Both brokers, and what has been seen of them.
pub(crate) struct Run<'a> {
    pub(crate) schemas: Schemas,
    pub(crate) theirs: Peer,
    pub(crate) ours: Peer,
    pub(crate) differences: &'a Differences,
    pub(crate) tally: &'a mut Tally,
    pub(crate) failures: &'a mut Vec<String>,
    /// Requests we do not serve yet, and how often the scripts have one.
    pub(crate) waiting: &'a mut BTreeMap<String, usize>,
    /// What we serve, by key.
    pub(crate) served: BTreeMap<ApiKey, VersionRange>,
    script: String,
    title: String,
    /// A step under this title asked for what we do not serve: the rest goes to Kafka alone.
    alone: bool,
    /// Steps sent and not answered yet, by connection.
    pending: BTreeMap<String, Pending>,
    /// The answers compared last, Kafka's first.
    last: Vec<Value>,
}

/// A step filled in for each of both.
struct Request<'a> {
    step: &'a Step,
    version: i16,
    bodies: [Value; 2],
}

struct Pending {
    step: Expectation,
    sent: [Sent; 2],
    began: Instant,
}

/// The part of a step that is needed when the answer comes.
#[derive(Clone)]
struct Expectation {
    key: String,
    expected: Vec<String>,
    options: Options,
}

impl Expectation {
    fn of(step: &Step) -> Self {
        Self {
            key: step.key.clone(),
            expected: step.expected.clone(),
            options: step.options.clone(),
        }
    }
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        [theirs, ours]: [Peer; 2],
        differences: &'a Differences,
        tally: &'a mut Tally,
        failures: &'a mut Vec<String>,
        waiting: &'a mut BTreeMap<String, usize>,
    ) -> Self {
        Self {
            schemas: Schemas::default(),
            theirs,
            ours,
            differences,
            tally,
            failures,
            waiting,
            served: BTreeMap::new(),
            script: String::new(),
            title: String::new(),
            alone: false,
            pending: BTreeMap::new(),
            last: Vec::new(),
        }
    }

    /// What each broker advertises.
    pub(crate) fn advertised(&mut self) -> [BTreeMap<i16, VersionRange>; 2] {
        let body = value("{clientSoftwareName: ratchet clientSoftwareVersion: \"1\"}");
        let api = self.schemas.api("ApiVersions");
        let options = Options::default();
        let tables = [&mut self.theirs, &mut self.ours].map(|peer| {
            let sent = peer.send("versions", api, 4, &body, &options);
            let answer = peer.receive(&sent, Some(api));
            let rows = answer["apiKeys"].as_array().unwrap().iter();
            let number = |row: &Value, name: &str| row[name].as_i64().unwrap().try_into().unwrap();
            rows.map(|row| {
                let range = VersionRange::new(number(row, "minVersion"), number(row, "maxVersion"));
                (number(row, "apiKey"), range)
            })
            .collect::<BTreeMap<i16, VersionRange>>()
        });
        let ours = tables[1].iter();
        self.served = ours
            .filter_map(|(key, range)| Some((ApiKey::try_from(*key).ok()?, *range)))
            .collect();
        tables
    }

    pub(crate) fn script(&mut self, script: &Script) {
        self.script.clone_from(&script.name);
        self.title = "before the first title".to_owned();
        self.alone = false;
        self.theirs.begin();
        self.ours.begin();
        self.items(&script.items, None);
        assert!(
            self.pending.is_empty(),
            "{}: answers that nobody awaits",
            script.name
        );
    }

    fn items(&mut self, items: &[Item], version: Option<i16>) {
        for item in items {
            match item {
                Item::Title(title) => {
                    self.title.clone_from(title);
                    self.alone = false;
                }
                Item::Topic {
                    name,
                    partitions,
                    configs,
                } => {
                    let name = put_version(name, version);
                    for peer in [&mut self.theirs, &mut self.ours] {
                        make_topic(peer, &mut self.schemas, &name, *partitions, configs);
                    }
                }
                Item::Step(step) => self.step(step, version),
                Item::Await(connection) => self.answer(connection),
                Item::User(login) => {
                    for peer in [&mut self.theirs, &mut self.ours] {
                        make_user(peer, &mut self.schemas, login);
                    }
                }
                Item::Login(login, expected) => self.login(login, expected),
                Item::Guarded(connection) => {
                    for peer in [&mut self.theirs, &mut self.ours] {
                        peer.guard(connection);
                    }
                }
                Item::Loop { versions, items } => {
                    for version in range(versions).iter() {
                        self.items(items, Some(version));
                    }
                }
            }
        }
    }

    fn step(&mut self, step: &Step, version: Option<i16>) {
        if step.key == "Raw" {
            return self.raw(step);
        }
        let key = self.schemas.api(&step.key).key;
        let known = key.versions();
        // Produce shows versions it no longer serves (KAFKA-18659).
        let served = self.served.get(&key);
        let all = served.and_then(|served| served.intersection(known));
        self.alone |= all.is_none();
        let all = all.unwrap_or(known);
        let versions = match (step.versions.as_str(), version) {
            ("*", _) => all,
            ("$v", Some(version)) => {
                let version = version.clamp(all.min, all.max);
                VersionRange::new(version, version)
            }
            ("min", _) => VersionRange::new(all.min, all.min),
            ("max", _) => VersionRange::new(all.max, all.max),
            (text, _) => match text.strip_suffix('+') {
                Some(min) => VersionRange::new(min.parse().unwrap(), all.max),
                None => range(text),
            },
        };
        // Some steps are about versions that nobody serves; others wait for the day we do.
        let beyond = ["closed", "UNSUPPORTED_VERSION"];
        let beyond = step.expected.iter().any(|it| beyond.contains(&it.as_str()));
        for at in versions.iter() {
            let loop_version = version.unwrap_or(at);
            if self.alone || !(all.contains(at) || beyond) {
                self.kafka_alone(step, at, loop_version);
            } else {
                self.exchange(step, at, loop_version);
                if let Some((one, other)) = &step.options.twin {
                    self.twin(step, at, loop_version, one, other);
                }
            }
        }
    }

    /// The step just taken, about something else: the answer must not tell which of both exists.
    fn twin(&mut self, step: &Step, version: i16, loop_version: i16, one: &str, other: &str) {
        let first = std::mem::take(&mut self.last);
        let mut step = step.clone();
        step.body = renamed(&step.body, one, other);
        self.exchange(&step, version, loop_version);
        let second = std::mem::take(&mut self.last);
        for ((first, second), name) in first.iter().zip(&second).zip(["Kafka", "Isthmus"]) {
            let (first, second) = (first.to_string(), second.to_string());
            if first != second.replace(other, one) {
                let place = self.place(&step.key, Some(version));
                let told = format!("{name} tells {one} from {other}: {first} and {second}");
                self.failures.push(format!("{place}: {told}"));
            }
        }
    }

    fn login(&mut self, login: &Login, expected: &[String]) {
        let options = Options::default();
        let answers = [&mut self.theirs, &mut self.ours].map(|peer| {
            peer.guard(&login.connection);
            let answer = log_in(peer, &mut self.schemas, login);
            normal(answer, &peer.saved, &options)
        });
        let step = Expectation {
            key: "SaslAuthenticate".to_owned(),
            expected: expected.to_vec(),
            options,
        };
        self.compare(2, &step, &answers);
    }

    /// One request to both, and unless it is for later, both answers.
    fn exchange(&mut self, step: &Step, version: i16, loop_version: i16) {
        let bodies =
            [&self.theirs, &self.ours].map(|peer| filled(&step.body, &peer.saved, loop_version));
        let [Some(theirs), Some(ours)] = bodies else {
            let place = format!("{} / {} / {}", self.script, self.title, step.key);
            self.failures.push(format!(
                "{place}: an answer did not hold what {} needs",
                step.body
            ));
            return;
        };
        let request = Request {
            step,
            version,
            bodies: [theirs, ours],
        };
        let sent = [self.send(&request, 0), self.send(&request, 1)];
        if step.expected == ["silent"] {
            return self.silent(step, version);
        }
        let pending = Pending {
            step: Expectation::of(step),
            sent,
            began: Instant::now(),
        };
        if step.options.later {
            self.pending.insert(step.connection.clone(), pending);
        } else {
            self.judge(pending, Some(&request));
        }
    }

    fn send(&mut self, request: &Request<'_>, at: usize) -> Sent {
        let api = self.schemas.api(&request.step.key);
        let peer = if at == 0 {
            &mut self.theirs
        } else {
            &mut self.ours
        };
        let (connection, options) = (&request.step.connection, &request.step.options);
        peer.send(
            connection,
            api,
            request.version,
            &request.bodies[at],
            options,
        )
    }

    /// Sees to it that the script is right, for the day when we serve what it asks.
    fn kafka_alone(&mut self, step: &Step, version: i16, loop_version: i16) {
        *self.waiting.entry(step.key.clone()).or_default() += 1;
        let body = filled(&step.body, &self.theirs.saved, loop_version).expect("what was saved");
        let began = Instant::now();
        let told = loop {
            let api = self.schemas.api(&step.key);
            let (connection, options) = (&step.connection, &step.options);
            let sent = self.theirs.send(connection, api, version, &body, options);
            let told = self.told(0, &sent, options);
            if !is_early(&told, &Expectation::of(step)) || began.elapsed() > LIMIT {
                break told;
            }
        };
        let place = self.place(&step.key, Some(version));
        self.expect(&place, &step.expected, &told);
    }

    /// An answer as it is compared; what the script wants to keep is kept.
    fn told(&mut self, at: usize, sent: &Sent, options: &Options) -> Value {
        let api = self.schemas.api(&sent.key);
        let peer = if at == 0 {
            &mut self.theirs
        } else {
            &mut self.ours
        };
        let answer = peer.receive(sent, Some(api));
        for (name, path) in &options.saves {
            if let Some(value) = at_path(&answer, path) {
                peer.saved.insert(name.clone(), value.clone());
            }
        }
        normal(answer, &peer.saved, options)
    }

    /// acks=0: nothing comes, and the next request on the connection is answered.
    fn silent(&mut self, step: &Step, version: i16) {
        let probe = value("{clientSoftwareName: ratchet clientSoftwareVersion: \"1\"}");
        let api = self.schemas.api("ApiVersions");
        let options = Options::default();
        let answers = [&mut self.theirs, &mut self.ours].map(|peer| {
            let sent = peer.send(&step.connection, api, 3, &probe, &options);
            let answer = peer.receive(&sent, Some(api));
            Value::from(if answer["errorCode"] == 0 {
                "silent"
            } else {
                "closed"
            })
        });
        self.compare(version, &Expectation::of(step), &answers);
    }

    fn answer(&mut self, connection: &str) {
        if let Some(pending) = self.pending.remove(connection) {
            self.judge(pending, None);
        }
    }

    fn raw(&mut self, step: &Step) {
        let bytes = unhex(step.body["hex"].as_str().unwrap());
        let answers = [&mut self.theirs, &mut self.ours].map(|peer| {
            let sent = peer.send_raw(&step.connection, bytes.clone(), &step.options);
            peer.receive(&sent, None)
        });
        self.compare_named(-1, "Raw", None, &Expectation::of(step), &answers);
    }

    fn judge(&mut self, pending: Pending, again: Option<&Request<'_>>) {
        let Pending { step, sent, began } = pending;
        let version = sent[0].version;
        let mut answers = [Value::Null, Value::Null];
        for (at, mut sent) in sent.into_iter().enumerate() {
            loop {
                let told = self.told(at, &sent, &step.options);
                let wait = is_early(&told, &step) && began.elapsed() < LIMIT;
                if let (true, Some(again)) = (wait, again) {
                    sent = self.send(again, at);
                    continue;
                }
                answers[at] = told;
                break;
            }
        }
        self.compare(version, &step, &answers);
    }
}

fn is_early(told: &Value, step: &Expectation) -> bool {
    let (found, text) = (errors(told), told.to_string());
    let is = |code: &str| found.contains(code) && !step.expected.iter().any(|it| it == code);
    let options = &step.options;
    let has = |wanted: &Option<String>, otherwise| {
        let has = wanted.as_ref().map(|wanted| text.contains(wanted));
        has.unwrap_or(otherwise)
    };
    NOT_YET.iter().any(|code| is(code))
        || options.until.iter().any(|code| is(code))
        || has(&options.while_text, false)
        || !has(&options.needs_text, true)
}
