//! Kafka's `server.properties`: every key put where it belongs among ours.
//!
//! Keys of the node and of the quorum become those of `[node]` and `[cluster]`, listeners become rows
//! of `[[listeners]]`, all other keys that Kafka 4.2 knows stand in `[kafka]` under their own names. A
//! key that Kafka does not know is not an error there, since plugins bring their own, and is none here:
//! it is told and left out.
//! A secret is not taken: its place in the file is.

mod listeners;
#[cfg(test)]
mod tests;

use super::schema;
use isthmus_broker_core::config::{Effect, broker_key, broker_keys, listener_key};
use isthmus_config::{
    ConfigFile, ConfigProblem, ConfigProblems, Form, Kind, Origin, PlacedEntry, PlacedFile,
    nearest, parse_properties, read_properties,
};
use std::collections::BTreeMap;
use std::path::Path;

/// Reads a configuration file: `server.properties` by that ending, anything else as TOML.
pub fn read_config(path: &Path) -> Result<ConfigFile, ConfigProblems> {
    if path
        .extension()
        .is_some_and(|ending| ending == "properties")
    {
        let text = read_properties(path)?;
        let name = path.display().to_string();
        return Ok(ConfigFile::placed(name.clone(), place(&name, &text)));
    }
    ConfigFile::read(path)
}

/// The properties of one file, the last of each key, and what has come of them so far.
struct Placing<'a> {
    file: &'a str,
    given: BTreeMap<String, (String, usize)>,
    placed: PlacedFile,
}

/// How the properties call our keys.
const WRITTEN: [(&str, &str); 6] = [
    ("node.id", "node.id"),
    ("node.roles", "process.roles"),
    ("node.rack", "broker.rack"),
    ("node.data", "log.dirs"),
    ("cluster.controllers", "controller.quorum.voters"),
    ("listeners", "listeners"),
];

fn place(file: &str, text: &str) -> PlacedFile {
    let mut placing = Placing {
        file,
        given: BTreeMap::new(),
        placed: PlacedFile::default(),
    };
    let written = WRITTEN.map(|(address, key)| (address.to_owned(), key.to_owned()));
    placing.placed.written.extend(written);
    match parse_properties(text) {
        Ok(properties) => {
            for property in properties {
                placing.give(property);
            }
        }
        Err(bad) => {
            for bad in bad {
                let origin = placing.origin(bad.line);
                placing.placed.problems.push(ConfigProblem {
                    origin,
                    key: String::new(),
                    value: None,
                    what: "has a \\u that is not followed by four hexadecimal digits".to_owned(),
                    remedy: "write \\\\u for a backslash and a u".to_owned(),
                });
            }
        }
    }
    placing.place_node();
    placing.place_quorum();
    listeners::place(&mut placing);
    placing.place_rest();
    placing.placed
}

impl Placing<'_> {
    fn origin(&self, line: usize) -> Origin {
        Origin::File {
            name: self.file.to_owned(),
            line: Some(line),
        }
    }

    /// As in Java, the last of two for one key holds.
    fn give(&mut self, property: isthmus_config::Property) {
        let isthmus_config::Property { key, value, line } = property;
        if let Some((_, first)) = self.given.insert(key.clone(), (value, line)) {
            let what = format!("is given twice, first in line {first}");
            self.notice(&key, line, what, "the last one holds; keep one of them");
        }
    }

    /// The value without blanks around it, as Kafka reads all but secrets; none for an empty one.
    fn value(&self, key: &str) -> Option<(&str, usize)> {
        let (value, line) = self.given.get(key)?;
        Some((value.trim(), *line)).filter(|(value, _)| !value.is_empty())
    }

    fn put(
        &mut self,
        table: &'static str,
        row: Option<usize>,
        key: &str,
        value: &str,
        line: usize,
    ) {
        self.placed.entries.push(PlacedEntry {
            table,
            row,
            key: key.to_owned(),
            value: value.to_owned(),
            line,
        });
    }

    fn notice(&mut self, key: &str, line: usize, what: impl Into<String>, remedy: &str) {
        let notice = self.complaint(key, None, line, what, remedy);
        self.placed.notices.push(notice);
    }

    fn problem(&mut self, key: &str, line: usize, what: impl Into<String>, remedy: &str) {
        let known = broker_key(key).or_else(|| listener_key(key));
        let is_public = known.is_some_and(|known| !known.is_sensitive());
        let value = self.value(key).filter(|_| is_public);
        let value = value.map(|(value, _)| value.to_owned());
        let problem = self.complaint(key, value, line, what, remedy);
        self.placed.problems.push(problem);
    }

    fn complaint(
        &self,
        key: &str,
        value: Option<String>,
        line: usize,
        what: impl Into<String>,
        remedy: &str,
    ) -> ConfigProblem {
        ConfigProblem {
            origin: self.origin(line),
            key: key.to_owned(),
            value,
            what: what.into(),
            remedy: remedy.to_owned(),
        }
    }

    /// Moves one property to a key of ours.
    fn carry(&mut self, key: &str, table: &'static str, to: &str) -> bool {
        let Some((value, line)) = self.value(key) else {
            return false;
        };
        let value = value.to_owned();
        self.put(table, None, to, &value, line);
        true
    }

    fn place_node(&mut self) {
        let (node, broker) = (self.value("node.id"), self.value("broker.id"));
        if let (Some((node, _)), Some((broker, line))) = (node, broker)
            && node != broker
        {
            self.problem(
                "broker.id",
                line,
                "differs from node.id",
                "give both the same value",
            );
        }
        if !self.carry("node.id", "node", "id") {
            self.carry("broker.id", "node", "id");
        }
        self.carry("process.roles", "node", "roles");
        self.carry("broker.rack", "node", "rack");
        if !self.carry("log.dirs", "node", "data") {
            self.carry("log.dir", "node", "data");
        }
    }

    /// Bootstrap servers have no ids, and a node that votes needs those of the others: where there are
    /// several, the voters must be named.
    fn place_quorum(&mut self) {
        let is_named = self.carry("controller.quorum.voters", "cluster", "controllers");
        let key = "controller.quorum.bootstrap.servers";
        if let Some((_, line)) = self.value(key)
            && !is_named
            && self.has_other_nodes()
        {
            let what = "names controllers without their ids";
            let remedy = "name them in controller.quorum.voters, each as id@host:port";
            self.problem(key, line, what, remedy);
        }
    }

    /// Whether this is the file of one node among others.
    fn has_other_nodes(&self) -> bool {
        let names_several = |key: &str| self.value(key).is_some_and(|(it, _)| it.contains(','));
        let roles = self.value("process.roles").map(|(roles, _)| roles);
        let roles: Vec<&str> = roles
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .collect();
        let has_one_role = roles.contains(&"broker") != roles.contains(&"controller");
        names_several("controller.quorum.voters")
            || names_several("controller.quorum.bootstrap.servers")
            || has_one_role
    }

    fn place_rest(&mut self) {
        let keys: Vec<(String, usize)> = self
            .given
            .iter()
            .map(|(key, (_, line))| (key.clone(), *line))
            .collect();
        for (key, line) in keys {
            self.place_one(&key, line);
        }
    }

    fn place_one(&mut self, key: &str, line: usize) {
        match broker_key(key).map(|known| known.effect) {
            Some(Effect::At(_)) => return,
            Some(Effect::Applied | Effect::Nothing(_)) | None => {}
        }
        if let Some((table, known)) = schema().single_key(key) {
            let to = match table.form {
                Form::Flat => key,
                Form::Plain | Form::Repeated | Form::Named => known.name,
            };
            let Some((value, _)) = self.value(key) else {
                // Kafka takes an empty text for some keys; only those are worth a word here.
                if known.kind == Kind::Text || known.kind == Kind::List {
                    self.put(table.name, None, to, "", line);
                }
                return;
            };
            let value = match known.kind {
                Kind::Secret => format!("property:{key}@{}", self.file),
                _ => value.to_owned(),
            };
            return self.put(table.name, None, to, &value, line);
        }
        if listener_key(key).is_none() {
            self.tell_unknown(key, line);
        }
    }

    fn tell_unknown(&mut self, key: &str, line: usize) {
        let remedy = match nearest(key, broker_keys().map(|key| key.name)) {
            Some(near) => format!("it is left out; the nearest known name is {near}"),
            None => "it is left out".to_owned(),
        };
        self.notice(key, line, "is not a key of Kafka's broker", &remedy);
    }
}
