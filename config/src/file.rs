//! A file taken apart into tables, rows and flat keys, each with its line.
//!
//! Owns: reading TOML, its syntax errors, and flattening, by which `log.retention.ms = 1` and
//! `"log.retention.ms" = 1` become the same key. A file in another form comes in as a
//! [`PlacedFile`], in which the program that knows that form has put each value into its place.
//! Must not know: which tables and keys exist; that is the loader's question.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::value::Raw;
use crate::{ConfigProblem, ConfigProblems, Origin};

/// A file that was read and not yet understood.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    name: String,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Toml(String),
    Placed(PlacedFile),
}

/// A file of another form than TOML, its values put where they belong.
#[derive(Clone, Debug, Default)]
pub struct PlacedFile {
    pub entries: Vec<PlacedEntry>,
    /// What was wrong already.
    pub problems: Vec<ConfigProblem>,
    /// What a person should look at, though the file can be used.
    pub notices: Vec<ConfigProblem>,
    /// How the file calls an address: `log.dirs` for `node.data`.
    pub written: BTreeMap<String, String>,
}

/// One value and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedEntry {
    pub table: &'static str,
    /// In a repeated table: which row.
    pub row: Option<usize>,
    pub key: String,
    pub value: String,
    pub line: usize,
}

/// A table of the file, or what stands where a table should.
#[derive(Debug)]
pub(crate) struct FileTable {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) shape: Shape,
}

#[derive(Debug)]
pub(crate) enum Shape {
    /// `[name]`
    Single(Vec<FileEntry>),
    /// `[[name]]`
    Rows(Vec<Vec<FileEntry>>),
    /// A key that stands before the first table.
    Bare(Raw),
}

/// One `key = value`, with its name as one dotted text.
#[derive(Debug)]
pub(crate) struct FileEntry {
    pub(crate) name: String,
    /// Length of the first key in the name, as the file writes it: a quoted one may hold dots.
    pub(crate) head: usize,
    pub(crate) line: usize,
    pub(crate) raw: Raw,
}

impl ConfigFile {
    pub fn read(path: &Path) -> Result<Self, ConfigProblems> {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self::from_text(name, text)),
            Err(cause) => Err(ConfigProblems(vec![ConfigProblem {
                origin: Origin::File { name, line: None },
                key: String::new(),
                value: None,
                what: format!("cannot be read: {cause}"),
                remedy: "name a readable UTF-8 file with -c".to_owned(),
            }])),
        }
    }

    /// A file that is in memory already. `name` stands for it in problems.
    pub fn from_text(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            content: Content::Toml(text.into()),
        }
    }

    /// A file whose values were put into their places already.
    pub fn placed(name: impl Into<String>, placed: PlacedFile) -> Self {
        Self {
            name: name.into(),
            content: Content::Placed(placed),
        }
    }

    /// The names of its tables, in the order of their lines; none of a file that cannot be taken
    /// apart. By them a tool tells which program a file is for.
    pub fn table_names(&self) -> Vec<String> {
        let tables = self.tables().unwrap_or_default();
        tables.into_iter().map(|table| table.name).collect()
    }

    /// How the file calls an address, where it is not by the address itself.
    pub(crate) fn written(&self) -> BTreeMap<String, String> {
        match &self.content {
            Content::Toml(_) => BTreeMap::new(),
            Content::Placed(placed) => placed.written.clone(),
        }
    }

    /// What was wrong with it before anybody asked for its tables.
    pub(crate) fn problems(&self) -> &[ConfigProblem] {
        match &self.content {
            Content::Toml(_) => &[],
            Content::Placed(placed) => &placed.problems,
        }
    }

    pub(crate) fn notices(&self) -> Vec<ConfigProblem> {
        match &self.content {
            Content::Toml(_) => Vec::new(),
            Content::Placed(placed) => placed.notices.clone(),
        }
    }

    pub(crate) fn origin(&self, line: Option<usize>) -> Origin {
        Origin::File {
            name: self.name.clone(),
            line,
        }
    }

    /// All tables in the order of their lines, or every syntax error.
    pub(crate) fn tables(&self) -> Result<Vec<FileTable>, Vec<ConfigProblem>> {
        match &self.content {
            Content::Toml(text) => self.toml_tables(text),
            Content::Placed(placed) => Ok(placed_tables(placed)),
        }
    }

    fn toml_tables(&self, text: &str) -> Result<Vec<FileTable>, Vec<ConfigProblem>> {
        let (document, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(errors
                .iter()
                .map(|error| self.syntax_problem(text, error))
                .collect());
        }
        let lines = Lines::of(text);
        let mut tables: Vec<FileTable> = document
            .get_ref()
            .iter()
            .map(|(name, value)| FileTable {
                name: name.get_ref().to_string(),
                line: lines.at(name.span().start),
                shape: shape(value, &lines),
            })
            .collect();
        tables.sort_by_key(|table| table.line);
        Ok(tables)
    }

    fn syntax_problem(&self, text: &str, error: &toml::de::Error) -> ConfigProblem {
        let line = error.span().map(|span| Lines::of(text).at(span.start));
        let written = line.and_then(|line| text.lines().nth(line - 1));
        ConfigProblem {
            origin: self.origin(line),
            key: String::new(),
            // A line that may carry a secret is not repeated; this much finds the place.
            value: written
                .and_then(|line| line.split('=').next())
                .map(|key| key.trim().to_owned()),
            what: format!(
                "is not TOML: {}",
                error.message().lines().collect::<Vec<_>>().join(", ")
            ),
            remedy: "mend the line; texts need quotes".to_owned(),
        }
    }
}

/// Entries of one table stand together; rows without an entry are there all the same.
fn placed_tables(placed: &PlacedFile) -> Vec<FileTable> {
    let mut tables: Vec<FileTable> = Vec::new();
    for entry in &placed.entries {
        let at = tables.iter().position(|table| table.name == entry.table);
        let at = at.unwrap_or_else(|| {
            tables.push(FileTable {
                name: entry.table.to_owned(),
                line: entry.line,
                shape: match entry.row {
                    Some(_) => Shape::Rows(Vec::new()),
                    None => Shape::Single(Vec::new()),
                },
            });
            tables.len() - 1
        });
        let found = FileEntry {
            name: entry.key.clone(),
            head: entry.key.find('.').unwrap_or(entry.key.len()),
            line: entry.line,
            raw: Raw::Text(entry.value.clone()),
        };
        match (&mut tables[at].shape, entry.row) {
            (Shape::Single(entries), _) => entries.push(found),
            (Shape::Rows(rows), row) => {
                let row = row.unwrap_or(0);
                rows.resize_with(rows.len().max(row + 1), Vec::new);
                rows[row].push(found);
            }
            (Shape::Bare(_), _) => {}
        }
    }
    tables
}

fn shape(value: &Spanned<DeValue<'_>>, lines: &Lines) -> Shape {
    match value.get_ref() {
        DeValue::Table(table) => Shape::Single(entries(table, lines)),
        DeValue::Array(items)
            if !items.is_empty() && items.iter().all(|i| i.get_ref().is_table()) =>
        {
            let rows = items.iter().filter_map(|item| item.get_ref().as_table());
            Shape::Rows(rows.map(|row| entries(row, lines)).collect())
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_) => Shape::Bare(raw(value.get_ref())),
    }
}

fn entries(table: &DeTable<'_>, lines: &Lines) -> Vec<FileEntry> {
    let mut entries = Vec::new();
    flatten("", None, table, lines, &mut entries);
    entries.sort_by_key(|entry| entry.line);
    entries
}

fn flatten(
    prefix: &str,
    head: Option<usize>,
    table: &DeTable<'_>,
    lines: &Lines,
    entries: &mut Vec<FileEntry>,
) {
    for (key, value) in table {
        let name = format!("{prefix}{}", key.get_ref());
        let head = head.unwrap_or(name.len());
        match value.get_ref() {
            // One without a key says something all the same: that it is there.
            DeValue::Table(inner) if !inner.is_empty() => {
                flatten(&format!("{name}."), Some(head), inner, lines, entries);
            }
            leaf @ (DeValue::Table(_)
            | DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)) => {
                let line = lines.at(key.span().start);
                entries.push(FileEntry {
                    name,
                    head,
                    line,
                    raw: raw(leaf),
                });
            }
        }
    }
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Boolean(value) => Raw::Bool(*value),
        DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(number) => Raw::Integer(number),
            Err(_) => Raw::Text(digits.to_string()),
        },
        DeValue::Float(digits) => match digits.as_str().parse() {
            Ok(number) => Raw::Double(number),
            Err(_) => Raw::Text(digits.to_string()),
        },
        DeValue::Array(items) => Raw::List(items.iter().map(|item| raw(item.get_ref())).collect()),
        DeValue::Datetime(_) => Raw::Other("date"),
        DeValue::Table(_) => Raw::Other("table"),
    }
}

/// Line numbers by byte offset.
struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    fn of(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self {
            starts: std::iter::once(0)
                .chain(ends.map(|(at, _)| at + 1))
                .collect(),
        }
    }

    /// The line, counted from 1, that holds the byte at `offset`.
    fn at(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_and_nested_keys_are_the_same() {
        check(
            "[kafka]\n\"log.retention.ms\" = 1\nlog.retention.bytes = 2\n\n[kafka.segment]\n\"index.bytes\" = 3\n",
            "kafka@1 log.retention.ms@2=1 log.retention.bytes@3=2 segment.index.bytes@6=3",
        );
    }

    #[test]
    fn rows_and_values() {
        check(
            "[[listeners]]\nname = 'a'\n[[listeners]]\nname = 'b'\n",
            "listeners@1 [name@2=\"a\"] [name@4=\"b\"]",
        );
        check(
            "id = 7\n[node]\nhex = 0x1f\nbig = 99999999999999999999\nfloat = 1.5\nday = 2026-11-22\nroles = ['a', 1, true]\n",
            "id@1 bare 7|node@2 hex@3=31 big@4=\"99999999999999999999\" float@5=1.5 day@6=(date) roles@7=[\"a\", 1, true]",
        );
        check("listeners = []\n", "listeners@1 bare []");
    }

    #[test]
    fn every_syntax_error_is_told() {
        let file = ConfigFile::from_text("x.toml", "[node]\nid = \nrack = az-a\n");
        let problems = file.tables().unwrap_err();
        let lines: Vec<_> = problems
            .iter()
            .map(|problem| problem.origin.to_string())
            .collect();
        assert_eq!(lines, ["x.toml:2", "x.toml:3"]);
        let text = problems[1].to_string();
        assert!(text.starts_with("x.toml:3: rack: is not TOML: "), "{text}");
        assert!(!text.contains('\n'), "{text}");
    }

    #[test]
    fn an_unreadable_file_is_a_problem() {
        let problem = ConfigFile::read(Path::new("/nowhere/isthmus.toml")).unwrap_err();
        assert!(
            problem
                .to_string()
                .starts_with("/nowhere/isthmus.toml: cannot be read: ")
        );
    }

    fn check(text: &str, expected: &str) {
        let tables = ConfigFile::from_text("x.toml", text).tables().unwrap();
        let show = |entries: &[FileEntry]| {
            let entries = entries
                .iter()
                .map(|e| format!("{}@{}={}", e.name, e.line, e.raw));
            entries.collect::<Vec<_>>().join(" ")
        };
        let shown = tables.iter().map(|table| {
            let content = match &table.shape {
                Shape::Single(entries) => show(entries),
                Shape::Rows(rows) => {
                    let rows = rows.iter().map(|row| format!("[{}]", show(row)));
                    rows.collect::<Vec<_>>().join(" ")
                }
                Shape::Bare(raw) => format!("bare {raw}"),
            };
            format!("{}@{} {content}", table.name, table.line)
        });
        assert_eq!(shown.collect::<Vec<_>>().join("|"), expected);
    }
}
