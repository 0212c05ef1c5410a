//! Runs scripts on both brokers at once and compares their answers.

use super::codec::unhex;
use super::differences::{Differences, Place};
use super::normal::{differences, errors, normal};
use super::notation::{Item, Options, Script, Step, value};
use super::peer::{Peer, Sent};
use super::schema::{Schemas, range};
use super::tally::{Seen, Tally};
use isthmus_wire::{ApiKey, VersionRange};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
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
        theirs: Peer,
        ours: Peer,
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
                    self.topic(&name, *partitions, configs);
                }
                Item::Step(step) => self.step(step, version),
                Item::Await(connection) => self.answer(connection),
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
            }
        }
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

    fn place(&self, name: &str, version: Option<i16>) -> String {
        let version = version.map_or(String::new(), |version| format!(" {version}"));
        format!("{} / {} / {name}{version}", self.script, self.title)
    }

    /// Holds Kafka to the script; returns the errors in its answer.
    fn expect(&mut self, place: &str, expected: &[String], theirs: &Value) -> BTreeSet<String> {
        let found = errors(theirs);
        let wanted: BTreeSet<String> = expected.iter().cloned().collect();
        if found != wanted {
            self.failures.push(format!(
                "{place}: the script expects {wanted:?}, Kafka answers {found:?}: {theirs}"
            ));
        }
        found
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

    fn compare(&mut self, version: i16, step: &Expectation, answers: &[Value; 2]) {
        let key = self.schemas.api(&step.key).key;
        self.compare_named(key.into(), key.name(), Some(version), step, answers);
    }

    fn compare_named(
        &mut self,
        key: i16,
        name: &str,
        version: Option<i16>,
        step: &Expectation,
        answers: &[Value; 2],
    ) {
        let [theirs, ours] = answers;
        let (expected, ordered) = (&step.expected, step.options.ordered);
        let place = self.place(name, version);
        let found = self.expect(&place, expected, theirs);
        let (mut differs, mut faults) = (false, Vec::new());
        for (path, theirs, ours) in differences(theirs, ours, ordered) {
            let at = Place {
                script: &self.script,
                title: &self.title,
                request: name,
                path: &path,
            };
            differs = true;
            if !self.differences.allow(&at) {
                faults.push(format!("  at {path}: Kafka {theirs}, we {ours}"));
            }
        }
        if faults.is_empty() {
            self.tally.add(
                key,
                name,
                version,
                Seen {
                    error: !found.is_empty(),
                    differs,
                },
            );
        } else {
            self.failures.push(format!(
                "{place}: the answers differ\n{}",
                faults.join("\n")
            ));
        }
    }

    /// Makes a topic on both, waits until clients can see it, and saves its id under its name.
    fn topic(&mut self, name: &str, partitions: i32, configs: &[(String, String)]) {
        let configs: String = configs
            .iter()
            .map(|(key, value)| format!("{{name: {key} value: \"{value}\"}} "))
            .collect();
        let create = value(&format!(
            "{{topics: [{{name: {name} numPartitions: {partitions} replicationFactor: 1 configs: [{configs}]}}] timeoutMs: 30000}}"
        ));
        let look = value(&format!("{{topics: [{{name: {name}}}]}}"));
        let options = Options::default();
        for peer in [&mut self.theirs, &mut self.ours] {
            let api = self.schemas.api("CreateTopics");
            let sent = peer.send("topics", api, 7, &create, &options);
            let answer = peer.receive(&sent, Some(api));
            assert_eq!(
                answer["topics"][0]["errorCode"], 0,
                "{}: {answer}",
                peer.name
            );
            let api = self.schemas.api("Metadata");
            let began = Instant::now();
            loop {
                let sent = peer.send("topics", api, 12, &look, &options);
                let answer = peer.receive(&sent, Some(api));
                let id = answer["topics"][0]["topicId"].clone();
                let seen = answer["topics"][0]["partitions"].as_array().unwrap();
                if seen.len() == usize::try_from(partitions).unwrap()
                    && seen.iter().all(|partition| partition["errorCode"] == 0)
                {
                    peer.saved.insert(format!("{name}.id"), id);
                    break;
                }
                assert!(
                    began.elapsed() < LIMIT,
                    "{}: {name} does not appear: {answer}",
                    peer.name
                );
            }
        }
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

/// `topics.0.topicId`, from the answer as it came.
fn at_path<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.')
        .try_fold(value, |value, part| match part.parse::<usize>() {
            Ok(at) => value.get(at),
            Err(_) => value.get(part),
        })
}

fn put_version(text: &str, version: Option<i16>) -> String {
    match version {
        Some(version) => text.replace("$v", &version.to_string()),
        None => text.to_owned(),
    }
}

/// The body with versions and saved values in their places; `None` when one was never saved.
fn filled(body: &Value, saved: &BTreeMap<String, Value>, version: i16) -> Option<Value> {
    Some(match body {
        Value::String(text) => fill_text(&text.replace("$v", &version.to_string()), saved)?,
        Value::Array(values) => {
            let values = values.iter().map(|value| filled(value, saved, version));
            Value::Array(values.collect::<Option<_>>()?)
        }
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields =
                fields.map(|(name, value)| Some((name.clone(), filled(value, saved, version)?)));
            Value::Object(fields.collect::<Option<_>>()?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => body.clone(),
    })
}

fn fill_text(text: &str, saved: &BTreeMap<String, Value>) -> Option<Value> {
    let Some((before, rest)) = text.split_once("${") else {
        return Some(Value::from(text));
    };
    let (name, after) = rest.split_once('}').expect("the end of a variable");
    let (name, add) = match name.split_once('+') {
        Some((name, add)) => (name, add.parse().unwrap()),
        None => (name, 0_i64),
    };
    let found = saved.get(name)?;
    if before.is_empty() && after.is_empty() {
        return Some(match found.as_i64() {
            Some(number) => Value::from(number + add),
            None => found.clone(),
        });
    }
    let found = found
        .as_str()
        .map_or_else(|| found.to_string(), str::to_owned);
    fill_text(&format!("{before}{found}{after}"), saved)
}
