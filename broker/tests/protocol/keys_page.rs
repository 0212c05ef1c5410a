//! docs/broker-keys.md is made from the tables of keys, and must be what they say.

use isthmus_broker_core::config::{
    BROKER_KEY_AREAS, BrokerKey, ConfigType, Effect, Update, broker_keys,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const HEAD: &str = "\
# Keys of a broker

All keys of Apache Kafka 4.2's broker, with Kafka's defaults, and two of ours. They are set in `[kafka]` of the
configuration file under these names, or in `server.properties`. This page is made from the tables in
`broker/core/src/config/broker`; a test holds them together.

*Changes* says how a key may change while the broker runs: not at all, for one broker, for one
listener of one broker (as `listener.name.NAME.KEY`), or for all brokers together.
";

const IDLE: &str = "
## Keys without effect

These are accepted, checked and shown, and do nothing here. A broker that is given another value than
the default for one of them says so once, when it starts.

| Why | Keys |
|---|---|
";

#[test]
fn the_page_of_keys_says_what_the_tables_say() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/broker-keys.md");
    let written = fs::read_to_string(&page).unwrap_or_default();
    let made = made();
    if written != made {
        let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("broker-keys.md");
        fs::write(&fresh, made).expect("the target directory can be written");
        panic!(
            "docs/broker-keys.md is stale: copy {} there",
            fresh.display()
        );
    }
}

fn made() -> String {
    let mut page = HEAD.to_owned();
    for (area, keys) in BROKER_KEY_AREAS {
        let shown: Vec<&BrokerKey> = keys.iter().filter(|key| is_shown(key)).collect();
        if shown.is_empty() {
            continue;
        }
        page.push_str(&format!(
            "\n## {area}\n\n| Key | Default | Changes | Meaning |\n|---|---|---|---|\n"
        ));
        shown.into_iter().for_each(|key| page.push_str(&row(key)));
    }
    page.push_str(IDLE);
    for (why, keys) in idle() {
        page.push_str(&format!("| {why} | {} |\n", keys.join(", ")));
    }
    page
}

fn is_shown(key: &BrokerKey) -> bool {
    match key.effect {
        Effect::Applied | Effect::At(_) => true,
        Effect::Nothing(_) => false,
    }
}

fn row(key: &BrokerKey) -> String {
    let place = match key.effect {
        Effect::At(place) => format!(" Here it is `{place}`."),
        Effect::Applied | Effect::Nothing(_) => String::new(),
    };
    let default = match key.default {
        None => "none".to_owned(),
        Some("") => "empty".to_owned(),
        Some("9223372036854775807") => "no bound".to_owned(),
        Some(default) => format!("`{default}`"),
    };
    let changes = match key.update {
        Update::Internal | Update::ReadOnly => "no",
        Update::PerBroker => "broker",
        Update::PerListener => "listener",
        Update::ClusterWide => "all",
    };
    let secret = if key.kind == ConfigType::Password {
        " Never shown."
    } else {
        ""
    };
    format!(
        "| `{}` | {default} | {changes} | {}{place}{secret} |\n",
        key.name, key.doc
    )
}

/// The idle keys by their reason, in the order of the reasons.
fn idle() -> BTreeMap<&'static str, Vec<String>> {
    let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for key in broker_keys() {
        if let (Effect::Nothing(why), true) = (key.effect, key.update != Update::Internal) {
            by_reason
                .entry(why)
                .or_default()
                .push(format!("`{}`", key.name));
        }
    }
    by_reason
}
