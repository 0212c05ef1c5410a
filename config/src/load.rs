//! From layers to a checked configuration: every value parsed, every problem gathered.
//!
//! Owns: the order of the layers, unknown and missing keys, and the rules between keys.
//! Invariant: all problems of all layers come out at once, sorted by layer and line. A value of
//! a lower layer is checked even when a higher one overrides it, since the file stays wrong.

use std::collections::{BTreeMap, BTreeSet};

use crate::file::{FileEntry, FileTable, Shape};
use crate::layers::{Layers, Setting};
use crate::loaded::{Effective, Loaded};
use crate::merge::{Accepted, Layer, Row, address, merge};
use crate::origin::Origin;
use crate::problem::{ConfigProblem, ConfigProblems};
use crate::schema::{Form, KeyTable, Schema, env_name};
use crate::value::Raw;
use crate::{Breach, ConfigFile, DefaultValue, Key, Kind, nearest};

/// Loads a configuration, or tells everything that is wrong with it.
pub fn load(layers: &Layers, schema: &'static Schema) -> Result<Loaded, ConfigProblems> {
    load_checked(layers, schema, |_| Vec::new())
}

/// The same, with a check over the whole that may find many things wrong at once. It is asked even
/// when values were refused, so it must take what is there ([`Loaded::given`]) and leave the rest.
pub fn load_checked(
    layers: &Layers,
    schema: &'static Schema,
    check: impl FnOnce(&Loaded) -> Vec<Breach>,
) -> Result<Loaded, ConfigProblems> {
    let mut loader = Loader::new(schema, layers.file.as_ref());
    loader.take_defaults();
    loader.seal();
    loader.take_settings(&layers.presets, Origin::Preset);
    loader.seal();
    if let Some(file) = &layers.file {
        loader.take_file(file);
    }
    loader.seal();
    loader.take_env(&layers.env);
    loader.seal();
    loader.take_settings(&layers.flags, Origin::Flag);
    loader.seal();
    loader.finish(check)
}

struct Loader {
    schema: &'static Schema,
    whole: Origin,
    /// How the file calls an address, where it is not by the address itself.
    written: BTreeMap<String, String>,
    notices: Vec<ConfigProblem>,
    /// Sealed layers, lowest first.
    layers: Vec<Layer>,
    /// The layer that is being read.
    top: Layer,
    problems: Vec<ConfigProblem>,
    /// The file is not TOML, so what it leaves out is not judged.
    broken: bool,
}

impl Loader {
    fn new(schema: &'static Schema, file: Option<&ConfigFile>) -> Self {
        let whole = match file {
            Some(file) => file.origin(None),
            None => Origin::File {
                name: "(no file)".to_owned(),
                line: None,
            },
        };
        Self {
            schema,
            whole,
            written: file.map(ConfigFile::written).unwrap_or_default(),
            notices: file.map(ConfigFile::notices).unwrap_or_default(),
            layers: Vec::new(),
            top: Layer::default(),
            problems: Vec::new(),
            broken: false,
        }
    }

    fn seal(&mut self) {
        self.layers.push(std::mem::take(&mut self.top));
    }

    fn take_defaults(&mut self) {
        for (table, key) in self.schema.single_keys() {
            self.take_default(table, None, key);
        }
    }

    fn take_default(&mut self, table: &'static KeyTable, row: Option<&Row>, key: &'static Key) {
        if let DefaultValue::Is(text) = key.default {
            self.take(
                table,
                row,
                key,
                &Raw::Text(text.to_owned()),
                Origin::Default,
            );
        }
    }

    fn take_file(&mut self, file: &ConfigFile) {
        self.problems.extend_from_slice(file.problems());
        match file.tables() {
            Ok(tables) => tables
                .into_iter()
                .for_each(|table| self.take_table(file, table)),
            Err(problems) => {
                self.broken = true;
                self.problems.extend(problems);
            }
        }
    }

    fn take_table(&mut self, file: &ConfigFile, found: FileTable) {
        let origin = file.origin(Some(found.line));
        let Some(table) = self.schema.table(&found.name) else {
            let known = self.schema.tables.iter().map(|table| table.name);
            let remedy = unknown_remedy(&found.name, known);
            return self.refuse(origin, &found.name, None, "is not a known table", remedy);
        };
        match (table.form, found.shape) {
            (Form::Plain | Form::Flat, Shape::Single(entries)) => {
                self.take_entries(file, table, None, entries);
            }
            (Form::Repeated, Shape::Rows(rows)) => {
                for (row, entries) in rows.into_iter().enumerate() {
                    self.take_row(file, table, &Row::Number(row), entries, &origin);
                }
            }
            (Form::Named, Shape::Single(entries)) => {
                self.take_named(file, table, entries);
            }
            (Form::Repeated, Shape::Bare(Raw::List(items))) if items.is_empty() => {}
            (Form::Plain | Form::Flat, Shape::Rows(_) | Shape::Bare(_)) => {
                let remedy = format!("write [{}] once, and its keys below it", table.name);
                self.refuse(origin, table.name, None, "must be one table", remedy);
            }
            (Form::Repeated, Shape::Single(_) | Shape::Bare(_)) => {
                let remedy = format!("write [[{}]] for each", table.name);
                self.refuse(origin, table.name, None, "must be a list of tables", remedy);
            }
            (Form::Named, Shape::Rows(_) | Shape::Bare(_)) => {
                let remedy = format!("write [{}.NAME] for each", table.name);
                self.refuse(origin, table.name, None, "must hold named tables", remedy);
            }
        }
    }

    /// Each row is judged in the order in which the file first names it.
    fn take_named(&mut self, file: &ConfigFile, table: &'static KeyTable, entries: Vec<FileEntry>) {
        let mut rows: Vec<(String, Origin, Vec<FileEntry>)> = Vec::new();
        for mut entry in entries {
            let (name, key) = entry.name.split_at(entry.head);
            let (name, key) = (name.to_owned(), key.strip_prefix('.').map(str::to_owned));
            let origin = file.origin(Some(entry.line));
            if key.is_none() && entry.raw != Raw::Other("table") {
                let key = format!("{}.{name}", table.name);
                let remedy = format!("write [{key}], and its keys below it");
                self.refuse(origin, &key, None, "must be a table", remedy);
                continue;
            }
            let at = rows.iter().position(|(row, ..)| *row == name);
            let at = at.unwrap_or_else(|| {
                rows.push((name, origin, Vec::new()));
                rows.len() - 1
            });
            if let Some(key) = key {
                entry.name = key;
                rows[at].2.push(entry);
            }
        }
        for (name, origin, entries) in rows {
            self.take_row(file, table, &Row::Name(name), entries, &origin);
        }
    }

    fn take_row(
        &mut self,
        file: &ConfigFile,
        table: &'static KeyTable,
        row: &Row,
        entries: Vec<FileEntry>,
        whole: &Origin,
    ) {
        let origin = entries
            .first()
            .map_or(whole.clone(), |entry| file.origin(Some(entry.line)));
        for key in table.keys {
            if entries.iter().any(|entry| entry.name == key.name) {
                continue;
            }
            self.take_default(table, Some(row), key);
            if key.default == DefaultValue::Required {
                let key = address(table, Some(row), key.name);
                self.refuse(
                    origin.clone(),
                    &key,
                    None,
                    "is missing",
                    "give it a value".to_owned(),
                );
            }
        }
        self.take_entries(file, table, Some(row), entries);
    }

    fn take_entries(
        &mut self,
        file: &ConfigFile,
        table: &'static KeyTable,
        row: Option<&Row>,
        entries: Vec<FileEntry>,
    ) {
        let mut lines: BTreeMap<String, usize> = BTreeMap::new();
        for entry in entries {
            let origin = file.origin(Some(entry.line));
            let Some(key) = table.key(&entry.name) else {
                let remedy = unknown_remedy(&entry.name, table.keys.iter().map(|key| key.name));
                let address = address(table, row, &entry.name);
                self.refuse(origin, &address, None, "is not a known key", remedy);
                continue;
            };
            if let Some(first) = lines.insert(entry.name, entry.line) {
                let address = address(table, row, key.name);
                let what = format!("is given twice, first in line {first}");
                self.refuse(origin, &address, None, what, "keep one of them".to_owned());
                continue;
            }
            self.take(table, row, key, &entry.raw, origin);
        }
    }

    fn take_env(&mut self, env: &[(String, String)]) {
        let known: BTreeMap<String, _> = self
            .schema
            .single_keys()
            .map(|(table, key)| (env_name(&table.address(key.name)), (table, key)))
            .collect();
        for (name, value) in env {
            if !name.starts_with("ISTHMUS_") || self.schema.ignores_env(name) {
                continue;
            }
            let origin = Origin::Env(name.clone());
            match known.get(name) {
                Some((table, key)) => {
                    self.take(table, None, key, &Raw::Text(value.clone()), origin);
                }
                None => {
                    let remedy = match nearest(name, known.keys().map(String::as_str)) {
                        Some(near) => format!("the nearest known name is {near}"),
                        None => "unset it".to_owned(),
                    };
                    self.refuse(origin, "", None, "is not the name of a known key", remedy);
                }
            }
        }
    }

    fn take_settings(&mut self, settings: &[Setting], origin: fn(String) -> Origin) {
        for setting in settings {
            let origin = origin(setting.flag.clone());
            match self.schema.single_key(&setting.key) {
                Some((table, key)) => {
                    self.take(table, None, key, &Raw::Text(setting.value.clone()), origin);
                }
                None => {
                    let known: Vec<_> = self
                        .schema
                        .single_keys()
                        .map(|(table, key)| table.address(key.name))
                        .collect();
                    let remedy = unknown_remedy(&setting.key, known.iter().map(String::as_str));
                    self.refuse(origin, &setting.key, None, "is not a known key", remedy);
                }
            }
        }
    }

    fn take(
        &mut self,
        table: &'static KeyTable,
        row: Option<&Row>,
        key: &'static Key,
        raw: &Raw,
        origin: Origin,
    ) {
        match key.kind.read(raw) {
            Ok(value) => self.top.accepted.push(Accepted {
                table,
                row: row.cloned(),
                key,
                value,
                origin,
            }),
            Err(mismatch) => {
                let shown = (key.kind != Kind::Secret).then(|| raw.to_string());
                let key = address(table, row, key.name);
                self.refuse(origin, &key, shown, mismatch.what, mismatch.remedy);
            }
        }
    }

    fn refuse(
        &mut self,
        origin: Origin,
        key: &str,
        value: Option<String>,
        what: impl Into<String>,
        remedy: String,
    ) {
        let key = match (&origin, self.written.get(key)) {
            (Origin::File { .. }, Some(written)) => written.clone(),
            (Origin::File { .. }, None)
            | (Origin::Default | Origin::Preset(_) | Origin::Env(_) | Origin::Flag(_), _) => {
                key.to_owned()
            }
        };
        let what = what.into();
        self.problems.push(ConfigProblem {
            origin,
            key,
            value,
            what,
            remedy,
        });
    }

    fn finish(
        mut self,
        check: impl FnOnce(&Loaded) -> Vec<Breach>,
    ) -> Result<Loaded, ConfigProblems> {
        let settings = self.effective();
        if !self.broken {
            self.refuse_missing(&settings);
        }
        let order = order(self.schema, &settings);
        let merged = merge(std::mem::take(&mut self.layers));
        let loaded = Loaded {
            settings,
            order,
            merged,
            whole: self.whole.clone(),
            written: std::mem::take(&mut self.written),
            notices: std::mem::take(&mut self.notices),
        };
        if !self.broken {
            self.test_rules(&loaded);
            let found = check(&loaded).into_iter();
            // What was refused already is not there for the check, and told once is enough.
            let found = found.filter(|breach| !self.is_refused(&breach.key));
            let found: Vec<_> = found
                .map(|breach| loaded.problem(&breach.key, breach.what, breach.remedy))
                .collect();
            self.problems.extend(found);
        }
        if self.problems.is_empty() {
            return Ok(loaded);
        }
        self.problems.sort_by(|a, b| a.origin.cmp(&b.origin));
        Err(ConfigProblems(self.problems))
    }

    fn effective(&self) -> BTreeMap<String, Effective> {
        let mut settings: BTreeMap<String, Effective> = self
            .schema
            .single_keys()
            .map(|(table, key)| (table.address(key.name), unset(table.address(key.name), key)))
            .collect();
        for accepted in self.layers.iter().flat_map(|layer| &layer.accepted) {
            let address = accepted.address();
            let effective = settings
                .entry(address.clone())
                .or_insert_with(|| unset(address, accepted.key));
            let (value, origin) = (accepted.value.clone(), accepted.origin.clone());
            let old_origin = std::mem::replace(&mut effective.origin, origin);
            if let Some(old) = effective.value.replace(value) {
                effective.overridden.push((old_origin, old));
            }
        }
        settings
    }

    /// A key is missing when no layer names it; one that was named wrongly is told already.
    fn refuse_missing(&mut self, settings: &BTreeMap<String, Effective>) {
        for (table, key) in self.schema.single_keys() {
            let address = table.address(key.name);
            let named = settings[&address].value.is_some() || self.is_refused(&address);
            if key.default == DefaultValue::Required && !named {
                let place = match (self.written.get(&address), table.form) {
                    (Some(written), _) => written.clone(),
                    (None, Form::Flat) => format!("{:?} under [{}]", key.name, table.name),
                    (None, Form::Plain | Form::Repeated | Form::Named) => {
                        format!("{} under [{}]", key.name, table.name)
                    }
                };
                let remedy = format!("set {place}, or {}", env_name(&address));
                self.refuse(self.whole.clone(), &address, None, "is missing", remedy);
            }
        }
    }

    fn is_refused(&self, address: &str) -> bool {
        let written = self.written.get(address);
        let mut told = self.problems.iter().map(|problem| &problem.key);
        told.any(|key| key == address || Some(key) == written)
    }

    fn test_rules(&mut self, loaded: &Loaded) {
        for rule in self.schema.rules {
            let touched = |problem: &ConfigProblem| {
                rule.keys.iter().any(|key| {
                    let table = self.schema.table(key);
                    let is_named = table.is_some_and(|table| table.form == Form::Named);
                    problem.key == *key
                        || problem.key.starts_with(&format!("{key}["))
                        || (is_named && problem.key.starts_with(&format!("{key}.")))
                        || loaded.written.get(*key) == Some(&problem.key)
                })
            };
            if self.problems.iter().any(touched) {
                continue;
            }
            if let Err(breach) = (rule.test)(loaded) {
                self.problems
                    .push(loaded.problem(&breach.key, breach.what, breach.remedy));
            }
        }
    }
}

fn unset(key_address: String, key: &Key) -> Effective {
    Effective {
        key: key_address,
        value: None,
        origin: Origin::Default,
        doc: key.doc,
        worst: key.worst,
        overridden: Vec::new(),
    }
}

fn unknown_remedy<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(name, known) {
        Some(near) => format!("the nearest known name is {near}"),
        None => "remove it".to_owned(),
    }
}

fn order(schema: &Schema, settings: &BTreeMap<String, Effective>) -> Vec<String> {
    let mut order = Vec::with_capacity(settings.len());
    for table in schema.tables {
        match table.form {
            Form::Plain | Form::Flat => {
                order.extend(table.keys.iter().map(|key| table.address(key.name)));
            }
            Form::Repeated => {
                let rows = (0..).map(Row::Number);
                let rows = rows.take_while(|row| {
                    let prefix = address(table, Some(row), "");
                    let mut from = settings.range(prefix.clone()..);
                    from.next().is_some_and(|(it, _)| it.starts_with(&prefix))
                });
                rows.for_each(|row| order.extend(of_row(table, &row, settings)));
            }
            Form::Named => {
                for row in names(table, settings) {
                    order.extend(of_row(table, &Row::Name(row), settings));
                }
            }
        }
    }
    order
}

/// The row's addresses that have a value.
fn of_row(
    table: &KeyTable,
    row: &Row,
    settings: &BTreeMap<String, Effective>,
) -> impl Iterator<Item = String> {
    let keys = table.keys.iter();
    let addresses = keys.map(move |key| address(table, Some(row), key.name));
    addresses.filter(|address| settings.contains_key(address))
}

/// The rows of a named table. Names may hold dots as keys do: the longest key that fits is meant.
fn names(table: &KeyTable, settings: &BTreeMap<String, Effective>) -> BTreeSet<String> {
    let prefix = format!("{}.", table.name);
    let rows = settings.keys().filter_map(|address| {
        let rest = address.strip_prefix(&prefix)?;
        let keys = table.keys.iter();
        let ends = keys.filter_map(|key| rest.strip_suffix(key.name)?.strip_suffix('.'));
        ends.min_by_key(|name| name.len()).map(str::to_owned)
    });
    rows.collect()
}
