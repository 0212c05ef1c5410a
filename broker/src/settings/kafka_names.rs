//! What the broker was told, by the names that Kafka's clients know.

use super::{Listener, schema::schema};
use isthmus_broker_core::config::{ConfigValues, Effect, broker_key};
use isthmus_config::{ConfigProblem, Kind, Loaded};
use std::sync::Arc;

/// The values that file, environment and flags gave, those of our own keys under Kafka's names.
/// Secrets are named without their values.
pub(super) fn fixed_values(loaded: &Loaded, listeners: &[Arc<Listener>]) -> ConfigValues {
    let mut values = ConfigValues::new();
    let kafka = schema().table("kafka").map_or(&[][..], |table| table.keys);
    for key in kafka.iter().filter(|key| loaded.is_set(key.name)) {
        let value = loaded.effective(key.name).value.as_ref();
        let shown = value.filter(|_| key.kind != Kind::Secret);
        let shown = shown.map(ToString::to_string).unwrap_or_default();
        values.insert(key.name.to_owned(), shown);
    }
    let mut put = |name: &str, value: String| values.insert(name.to_owned(), value);
    let node_id = loaded.get::<i32>("node.id").to_string();
    put("broker.id", node_id.clone());
    put("node.id", node_id);
    put(
        "process.roles",
        loaded.get::<&[String]>("node.roles").join(","),
    );
    put("log.dirs", loaded.get::<&[String]>("node.data").join(","));
    if let Some(rack) = loaded.find::<String>("node.rack") {
        put("broker.rack", rack);
    }
    if let Some(voters) = loaded.find::<&[String]>("cluster.controllers") {
        put("controller.quorum.voters", voters.join(","));
    }
    let each = |one: &dyn Fn(&Listener) -> String| -> String {
        let all = listeners.iter().map(|listener| one(listener));
        all.collect::<Vec<_>>().join(",")
    };
    put(
        "listeners",
        each(&|it| format!("{}://{}", it.name, it.bind)),
    );
    let advertised = |it: &Listener| {
        let (host, port) = &it.advertised;
        format!("{}://{host}:{port}", it.name)
    };
    put("advertised.listeners", each(&advertised));
    let protocol = |it: &Listener| format!("{}:{}", it.name, it.security_protocol().name());
    put("listener.security.protocol.map", each(&protocol));
    values
}

/// The key or table of ours that takes the place of one of Kafka's.
pub fn kafka_place(name: &str) -> Option<&'static str> {
    match broker_key(name)?.effect {
        Effect::At(place) => Some(place),
        Effect::Applied | Effect::Nothing(_) => None,
    }
}

/// What to know of a key that does nothing here.
pub fn key_effect(name: &str) -> Option<String> {
    match broker_key(name)?.effect {
        Effect::Nothing(why) => Some(format!("none: {why}")),
        Effect::Applied | Effect::At(_) => None,
    }
}

/// Keys that were set to something other than their default and do nothing.
pub(super) fn idle_keys(loaded: &Loaded, values: &ConfigValues) -> Vec<ConfigProblem> {
    let idle = values.iter().filter_map(|(name, value)| {
        let key = broker_key(name)?;
        match key.effect {
            Effect::Nothing(why) if key.default != Some(value.as_str()) => {
                let what = format!("does nothing here: {why}");
                Some(loaded.problem(key.name, what, "leave it out"))
            }
            Effect::Nothing(_) | Effect::Applied | Effect::At(_) => None,
        }
    });
    idle.collect()
}
