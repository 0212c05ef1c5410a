//! `isthmus config sample`: a commented file that can be used as it stands.

use super::program::Program;
use super::say;
use clap::Args;
use isthmus_broker::key_effect;
use isthmus_config::{DefaultValue, Form, Key, KeyTable, Kind, Value};
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct SampleOptions {
    /// Whose file.
    #[arg(value_enum, default_value = "broker")]
    program: Program,
    /// Also the keys that are accepted and do nothing here.
    #[arg(long)]
    all: bool,
}

/// Width of a comment.
const WIDTH: usize = 98;

pub(super) fn run(options: &SampleOptions) -> ExitCode {
    let tables = options
        .program
        .schema()
        .tables
        .iter()
        .map(|table| sample_of(options, table));
    say(tables.collect::<Vec<_>>().join("\n").trim_end());
    ExitCode::SUCCESS
}

fn sample_of(options: &SampleOptions, table: &KeyTable) -> String {
    let head = match table.form {
        Form::Plain | Form::Flat => format!("[{}]", table.name),
        Form::Repeated => format!("[[{}]]", table.name),
        // Its rows carry names of the reader's own; the sample has the two that its flow joins.
        Form::Named => format!("[{}.east]", table.name),
    };
    let mut text = format!("{}{head}\n", comment(table.doc));
    for key in table.keys {
        if options.all || key_effect(&table.address(key.name)).is_none() {
            text.push_str(&entry(options.program, table, key));
        }
    }
    if table.form == Form::Named {
        text.push_str(&second_row(options.program, table));
    }
    text
}

/// A flow joins two clusters: the other one, in as few words as will do.
fn second_row(program: Program, table: &KeyTable) -> String {
    let required = table
        .keys
        .iter()
        .filter(|key| key.default == DefaultValue::Required);
    let lines = required.map(|key| {
        let address = format!("{}.west.{}", table.name, key.name);
        format!("{} = {}\n", key.name, example(program, &address))
    });
    format!("\n[{}.west]\n{}", table.name, lines.collect::<String>())
}

/// A key that must be set stands there with an example, all others with their default.
fn entry(program: Program, table: &KeyTable, key: &Key) -> String {
    let quoted = match table.form {
        Form::Flat => format!("{:?}", key.name),
        Form::Plain | Form::Repeated | Form::Named => key.name.to_owned(),
    };
    let mut about = comment(key.doc);
    let range = key.kind.range();
    if range.starts_with("choose") {
        about.push_str(&comment(&format!("C{}.", &range[1..])));
    } else if !range.is_empty() {
        about.push_str(&comment(&format!("Write {range}.")));
    }
    let line = match key.default {
        DefaultValue::Required => {
            format!("{quoted} = {}", example(program, &table.address(key.name)))
        }
        DefaultValue::Unset => format!("# {quoted} ="),
        DefaultValue::Is(text) => format!("# {quoted} = {}", toml(key.kind, text)),
    };
    format!("\n{about}{line}\n")
}

/// What stands where a person must choose.
fn example(program: Program, address: &str) -> &'static str {
    match address {
        "listeners.bind" if program == Program::Gateway => "\"127.0.0.1\"",
        "listeners.host" => "\"127.0.0.1\"",
        "listeners.bootstrap_port" => "19092",
        "listeners.first_port" => "19100",
        "brokers.id" => "1",
        "brokers.address" => "\"127.0.0.1:9092\"",
        "node.id" => "1",
        "node.data" => "\"/var/lib/isthmus\"",
        "listeners.name" => "\"clients\"",
        "listeners.bind" => "\"127.0.0.1:9092\"",
        "clusters.bootstrap" => "[\"127.0.0.1:9092\"]",
        "clusters.west.bootstrap" => "[\"127.0.0.1:9192\"]",
        "flows.source" => "\"east\"",
        "flows.target" => "\"west\"",
        "flows.topics" => "[\"orders.*\", \"payments\"]",
        _ => "\"\"",
    }
}

fn toml(kind: Kind, text: &str) -> String {
    match kind.parse(text) {
        Ok(value @ (Value::Bool(_) | Value::Integer(_) | Value::Double(_))) => value.to_string(),
        Ok(Value::List(items)) => format!("{items:?}"),
        Ok(Value::Text(_) | Value::Secret(_)) | Err(_) => format!("{text:?}"),
    }
}

fn comment(text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.len() + word.len() >= WIDTH {
            lines.push_str(&format!("# {line}\n"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push_str(&format!("# {line}\n"));
    }
    lines
}
