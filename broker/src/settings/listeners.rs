//! The listeners: where clients connect, each with its own rules.

use super::{breach, resolve};
use isthmus_config::{Breach, ConfigProblems, Loaded, Rule};
use serde::Deserialize;
use std::net::SocketAddr;
use std::sync::Arc;

/// Where clients connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    pub name: String,
    pub bind: SocketAddr,
    /// Host and port that clients are told; port 0 stands for the bound one.
    pub advertised: (String, u16),
}

pub(super) const LISTENER_NAMES: Rule = Rule {
    keys: &["listeners"],
    test: listener_names_differ,
};
pub(super) const LISTENERS: Rule = Rule {
    keys: &["listeners"],
    test: listeners_given,
};

#[derive(Deserialize)]
struct ListenerRow {
    name: String,
    bind: String,
    advertised: Option<String>,
}

pub(super) fn file_listeners(loaded: &Loaded) -> Result<Vec<Arc<Listener>>, ConfigProblems> {
    let rows = loaded.rows::<ListenerRow>("listeners")?;
    let mut problems = Vec::new();
    let mut listeners = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        match listener(loaded, &format!("listeners[{at}]"), row) {
            Ok(listener) => listeners.push(Arc::new(listener)),
            Err(found) => problems.extend(found.0),
        }
    }
    if problems.is_empty() {
        Ok(listeners)
    } else {
        Err(ConfigProblems(problems))
    }
}

pub(super) fn dev_listener(loaded: &Loaded, listen: &str) -> Result<Arc<Listener>, ConfigProblems> {
    let row = ListenerRow {
        name: "PLAINTEXT".to_owned(),
        bind: listen.to_owned(),
        advertised: None,
    };
    listener(loaded, "--listen", &row).map(Arc::new)
}

fn listener(loaded: &Loaded, at: &str, row: &ListenerRow) -> Result<Listener, ConfigProblems> {
    let key = |field: &str| {
        if at.starts_with('-') {
            at.to_owned()
        } else {
            format!("{at}.{field}")
        }
    };
    let bind = resolve(loaded, &key("bind"), &row.bind)?;
    let advertised = match &row.advertised {
        Some(text) => host_and_port(text).ok_or_else(|| {
            let remedy = "write host:port, as clients reach it";
            ConfigProblems::from(loaded.problem(&key("advertised"), "is no address", remedy))
        })?,
        None if bind.ip().is_unspecified() => {
            let what = "binds to every address, so clients cannot be told which to use";
            let remedy = "set `advertised` to host:port as clients reach it";
            return Err(loaded.problem(&key("bind"), what, remedy).into());
        }
        None => (bind.ip().to_string(), bind.port()),
    };
    Ok(Listener {
        name: row.name.clone(),
        bind,
        advertised,
    })
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some((host.to_owned(), port.parse().ok()?))
}

fn listeners_given(loaded: &Loaded) -> Result<(), Breach> {
    if loaded.row_count("listeners") > 0 {
        return Ok(());
    }
    breach(
        "listeners",
        "there is none",
        "add a table [[listeners]] with name and bind",
    )
}

fn listener_names_differ(loaded: &Loaded) -> Result<(), Breach> {
    let rows = loaded.rows::<ListenerRow>("listeners").unwrap_or_default();
    let names: std::collections::BTreeSet<_> = rows.iter().map(|row| &row.name).collect();
    if names.len() < rows.len() {
        return breach(
            "listeners",
            "two listeners have the same name",
            "give each its own name",
        );
    }
    Ok(())
}
