//! `cargo xtask gen`: writes the Kafka codecs from the tables in `kafka/wire/protocol`.
//!
//! Owns: `kafka/wire/src/generated` and `kafka/wire/tests/generated`, which are committed; files
//! there that it would not write are removed. With `check` nothing is written, and any difference
//! is an error. The output depends on the tables and rustfmt only.

mod message;
mod names;
mod output;
mod read;
mod schema;
mod tables;
mod types;
mod versions;
mod write;

use std::path::Path;

use anyhow::{Context, Result};

use output::Output;

/// Folders with message tables; the last is for messages between Isthmus processes (keys from
/// 10000), in the same format.
const MESSAGE_FOLDERS: [&str; 3] = ["messages", "records", "isthmus"];

/// Files with API tables.
const API_FILES: [&str; 2] = ["apis.json", "isthmus/apis.json"];

pub(crate) fn run(check: bool) -> Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("no workspace")?;
    let wire = workspace.join("kafka/wire");
    let protocol = wire.join("protocol");
    let messages = schema::read_messages(&protocol, &MESSAGE_FOLDERS)?;

    let mut code = Output::default();
    code.add("mod.rs", MODULE_FILE.to_owned());
    code.add(
        "api_key.rs",
        tables::api_keys(&protocol, &API_FILES, &messages)?,
    );
    code.add("error_code.rs", tables::error_codes(&protocol)?);
    code.add("record_kind.rs", tables::record_kinds(&protocol)?);
    code.add("messages.rs", message::module_file(&messages));
    for item in &messages {
        let file =
            message::file(item).with_context(|| format!("could not generate {}", item.name))?;
        code.add(&format!("messages/{}.rs", names::snake(&item.name)), file);
    }
    let mut tests = Output::default();
    tests.add("mod.rs", message::test_tables(&messages));

    let config = workspace.join("rustfmt.toml");
    for (output, folder) in [(code, "src/generated"), (tests, "tests/generated")] {
        output
            .formatted(&config)?
            .apply(&wire.join(folder), check)?;
    }
    Ok(())
}

const MODULE_FILE: &str = "\
//! Everything generated from `protocol/` by `cargo xtask gen`; do not edit.

pub(crate) mod api_key;
mod error_code;
pub mod messages;
pub(crate) mod record_kind;
";

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_code_is_what_the_tables_give() {
        super::run(true).unwrap();
    }
}
