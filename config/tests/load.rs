//! Stories of loading, from `testdata/load.txt`: layers in, effective values or all problems out.
#![expect(clippy::unwrap_used, reason = "a story stops at the first surprise")]

use isthmus_config::{
    Breach, ConfigFile, Form, Key, KeyTable, Kind, Layers, Loaded, Rule, Schema, Setting, load,
};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// A small broker: enough keys for every form, kind of mistake and rule.
static SCHEMA: Schema = Schema {
    tables: &[
        KeyTable {
            name: "node",
            form: Form::Plain,
            keys: NODE,
            doc: "This process.",
        },
        KeyTable {
            name: "listeners",
            form: Form::Repeated,
            keys: LISTENER,
            doc: "Where it answers.",
        },
        KeyTable {
            name: "peers",
            form: Form::Named,
            keys: PEER,
            doc: "Whom it knows.",
        },
        KeyTable {
            name: "kafka",
            form: Form::Flat,
            keys: KAFKA,
            doc: "Kafka's own keys.",
        },
    ],
    rules: &[
        Rule {
            keys: &["retention.low", "retention.high"],
            test: low_is_below_high,
        },
        Rule {
            keys: &["listeners"],
            test: some_listener,
        },
        Rule {
            keys: &["peers"],
            test: peers_differ,
        },
    ],
    env_ignored: &["ISTHMUS_LOG", "ISTHMUS_TEST_"],
};

const NODE: &[Key] = &[
    Key::required(
        "id",
        Kind::Int {
            min: 0,
            max: i32::MAX,
        },
    )
    .doc("The number of the node."),
    Key::with_default(
        "roles",
        Kind::Choices(&["broker", "controller"]),
        "broker,controller",
    )
    .doc("What it does."),
    Key::optional("rack", Kind::Text).doc("Where it stands."),
    Key::optional("secret", Kind::Secret).doc("What it shares with its peers."),
];

const LISTENER: &[Key] = &[
    Key::required("name", Kind::Text).doc("Its name."),
    Key::with_default("bind", Kind::Address, "127.0.0.1:9092").doc("Its address."),
];

const PEER: &[Key] = &[
    Key::required("address", Kind::Address).doc("Its address."),
    Key::optional("tls.ca_file", Kind::Path).doc("Who vouches for it."),
    Key::with_default("weight", Kind::POSITIVE_INT, "1").doc("How much it counts."),
];

const KAFKA: &[Key] = &[
    Key::with_default(
        "log.retention.ms",
        Kind::Duration {
            min_ms: -1,
            max_ms: i64::MAX,
        },
        "7d",
    )
    .doc("How long records stay.")
    .worst("Too short loses data."),
    Key::with_default(
        "log.segment.bytes",
        Kind::Bytes {
            min: 14,
            max: 1 << 31,
        },
        "1GiB",
    )
    .doc("How large a segment grows."),
    Key::with_default("auto.create.topics.enable", Kind::Bool, "true").doc("Whether."),
    Key::with_default("retention.low", Kind::ANY_DURATION, "1s").doc("The low mark."),
    Key::with_default("retention.high", Kind::ANY_DURATION, "2s").doc("The high mark."),
];

fn low_is_below_high(loaded: &Loaded) -> Result<(), Breach> {
    if loaded.get::<i64>("retention.low") < loaded.get::<i64>("retention.high") {
        return Ok(());
    }
    Err(Breach {
        key: "retention.low".to_owned(),
        what: "is not below retention.high".to_owned(),
        remedy: "lower it".to_owned(),
    })
}

fn some_listener(loaded: &Loaded) -> Result<(), Breach> {
    if loaded.row_count("listeners") > 0 {
        return Ok(());
    }
    Err(Breach {
        key: "listeners".to_owned(),
        what: "has no rows".to_owned(),
        remedy: "write [[listeners]]".to_owned(),
    })
}

fn peers_differ(loaded: &Loaded) -> Result<(), Breach> {
    let peers: BTreeMap<String, Peer> = loaded.named("peers").unwrap();
    let addresses: BTreeSet<&str> = peers.values().map(|peer| peer.address.as_str()).collect();
    if addresses.len() == peers.len() {
        return Ok(());
    }
    Err(Breach {
        key: "peers".to_owned(),
        what: "share an address".to_owned(),
        remedy: "give each its own".to_owned(),
    })
}

#[test]
fn stories() {
    let text = include_str!("../testdata/load.txt");
    let stories: Vec<_> = text.split("\n== ").skip(1).collect();
    assert!(stories.len() > 10, "the file lost its stories");
    for story in stories {
        let (title, body) = story.split_once('\n').unwrap();
        check(title, body);
    }
}

#[test]
fn the_schema_is_sound() {
    assert_eq!(SCHEMA.faults(), Vec::<String>::new());
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Node {
    id: u32,
    roles: Vec<String>,
    rack: Option<String>,
    secret: Option<isthmus_config::SecretRef>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Listener {
    name: String,
    bind: std::net::SocketAddr,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Peer {
    address: String,
    #[serde(rename = "tls.ca_file")]
    tls_ca_file: Option<String>,
    weight: u32,
}

const FILE: &str = "[node]\nid = 1\nsecret = 'file:/s'\n[[listeners]]\nname = 'a'\n\
    [[listeners]]\nname = 'b'\nbind = 'b.example:9092'\n[kafka]\nlog.retention.ms = '30s'\n";

#[test]
fn tables_become_the_programs_structs() {
    let loaded = load_text(FILE);
    let node: Node = loaded.table("node").unwrap();
    assert_eq!((node.id, node.rack, node.roles.len()), (1, None, 2));
    assert_eq!(node.secret.unwrap().to_string(), "file:/s");
    let problem = loaded
        .rows::<Listener>("listeners")
        .unwrap_err()
        .to_string();
    assert_eq!(
        problem,
        "x.toml:8: listeners[1].bind: b.example:9092: is refused: invalid socket address syntax; \
         write a value of that form"
    );
    let listeners: Vec<Listener> = load_text(&FILE.replace("b.example", "10.0.0.1"))
        .rows("listeners")
        .unwrap();
    assert_eq!(
        listeners[0],
        Listener {
            name: "a".into(),
            bind: "127.0.0.1:9092".parse().unwrap()
        }
    );
    assert_eq!(listeners[1].bind.to_string(), "10.0.0.1:9092");
}

#[test]
fn named_rows_keep_their_names_and_nothing_else_does() {
    let text = "[peers.b]\naddress = 'b:1'\ntls = { ca_file = '/ca' }\n\
        [peers.'a.x']\naddress = 'a:1'\nweight = 2\n";
    let loaded = load_text(&format!("{FILE}{text}"));
    let peers: BTreeMap<String, Peer> = loaded.named("peers").unwrap();
    let seen: Vec<_> = peers
        .iter()
        .map(|(name, it)| (name.as_str(), it.tls_ca_file.as_deref(), it.weight))
        .collect();
    assert_eq!(seen, [("a.x", None, 2), ("b", Some("/ca"), 1)]);
    let keys = loaded.explain().map(|row| row.key.as_str());
    let keys: Vec<_> = keys.filter(|key| key.starts_with("peers")).collect();
    assert_eq!(
        keys,
        [
            "peers.a.x.address",
            "peers.a.x.weight",
            "peers.b.address",
            "peers.b.tls.ca_file",
            "peers.b.weight"
        ]
    );
}

#[test]
fn values_come_out_typed() {
    let loaded = load_text(FILE);
    assert_eq!(
        loaded
            .get::<std::time::Duration>("log.retention.ms")
            .as_secs(),
        30
    );
    assert_eq!(loaded.get::<usize>("log.segment.bytes"), 1 << 30);
    assert!(loaded.get::<bool>("auto.create.topics.enable"));
    assert_eq!(loaded.find::<&str>("node.rack"), None);
    assert_eq!(
        loaded.get::<&[String]>("node.roles"),
        ["broker", "controller"]
    );
    assert!(loaded.is_set("log.retention.ms") && !loaded.is_set("log.segment.bytes"));
}

#[test]
#[should_panic(expected = "no key log.retention in the schema")]
fn an_unknown_key_is_a_mistake_in_the_program() {
    load_text(FILE).get::<i64>("log.retention");
}

#[test]
#[should_panic(expected = "log.retention.ms = Integer(30000) was asked for as bool")]
fn a_wrong_type_is_a_mistake_in_the_program() {
    load_text(FILE).get::<bool>("log.retention.ms");
}

#[test]
fn explain_gives_one_json_row_per_key() {
    let loaded = load_text(FILE);
    let row = serde_json::to_string(loaded.effective("log.retention.ms")).unwrap();
    assert_eq!(
        row,
        r#"{"key":"log.retention.ms","value":30000,"origin":"x.toml:10","doc":"How long records stay.","worst":"Too short loses data.","overridden":[["default",604800000]]}"#
    );
    let keys: Vec<_> = loaded.explain().map(|row| row.key.as_str()).collect();
    assert_eq!(
        keys[..5],
        [
            "node.id",
            "node.roles",
            "node.rack",
            "node.secret",
            "listeners[0].name"
        ]
    );
    assert_eq!(keys.len(), 4 + 4 + 5);
}

fn load_text(text: &str) -> Loaded {
    let file = Some(ConfigFile::from_text("x.toml", text));
    load(
        &Layers {
            file,
            ..Layers::default()
        },
        &SCHEMA,
    )
    .unwrap()
}

fn check(title: &str, body: &str) {
    let mut layers = Layers::default();
    let mut expected = "";
    for part in body.split("-- ").skip(1) {
        let (name, content) = part.split_once('\n').unwrap();
        let settings = |flag| {
            content
                .lines()
                .map(move |l| Setting::parse(flag, l).unwrap())
                .collect()
        };
        match name {
            "file" => layers.file = Some(ConfigFile::from_text("x.toml", content)),
            "preset" => layers.presets = settings("--dev"),
            "set" => layers.flags = settings("--set"),
            "env" => {
                let pairs = content.lines().map(|line| line.split_once('=').unwrap());
                layers.env = pairs
                    .map(|(name, value)| (name.into(), value.into()))
                    .collect();
            }
            "expect" => expected = content.trim_end(),
            other => panic!("{title}: no part is called {other}"),
        }
    }
    let seen = match load(&layers, &SCHEMA) {
        Ok(loaded) => effective(&loaded),
        Err(problems) => problems.to_string(),
    };
    assert_eq!(seen, expected, "{title}: seen on the left");
}

/// The values that some layer gave, with what they override.
fn effective(loaded: &Loaded) -> String {
    let rows = loaded
        .explain()
        .filter(|row| row.origin != isthmus_config::Origin::Default);
    let rows = rows.map(|row| {
        let value = row
            .value
            .as_ref()
            .map_or_else(String::new, ToString::to_string);
        let over: Vec<_> = row
            .overridden
            .iter()
            .map(|(o, v)| format!(" over {v} by {o}"))
            .collect();
        format!("{} = {value} by {}{}", row.key, row.origin, over.concat())
    });
    rows.collect::<Vec<_>>().join("\n")
}
