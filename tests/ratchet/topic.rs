//! Topics that scripts ask for before their exchanges.

use super::peer::Peer;
use super::schema::Schemas;
use super::value::value;
use std::time::{Duration, Instant};

/// Longest time until a broker shows what it has created.
const LIMIT: Duration = Duration::from_secs(30);

/// Makes a topic, waits until clients can see it, and saves its id under its name.
pub(crate) fn make_topic(
    peer: &mut Peer,
    schemas: &mut Schemas,
    name: &str,
    partitions: i32,
    configs: &[(String, String)],
) {
    let configs: String = configs
        .iter()
        .map(|(key, value)| format!("{{name: {key} value: \"{value}\"}} "))
        .collect();
    let create = value(&format!(
        "{{topics: [{{name: {name} numPartitions: {partitions} replicationFactor: 1 configs: [{configs}]}}] timeoutMs: 30000}}"
    ));
    let answer = peer.ask(schemas, "topics", "CreateTopics", 7, &create);
    let code = &answer["topics"][0]["errorCode"];
    assert_eq!(*code, 0, "{}: {answer}", peer.name);
    let look = value(&format!("{{topics: [{{name: {name}}}]}}"));
    let began = Instant::now();
    loop {
        let answer = peer.ask(schemas, "topics", "Metadata", 12, &look);
        let topic = &answer["topics"][0];
        let seen = topic["partitions"].as_array().unwrap();
        let all = seen.len() == usize::try_from(partitions).unwrap();
        if all && seen.iter().all(|partition| partition["errorCode"] == 0) {
            let id = topic["topicId"].clone();
            peer.saved.insert(format!("{name}.id"), id);
            return;
        }
        let waited = began.elapsed();
        assert!(
            waited < LIMIT,
            "{}: {name} does not appear in {waited:?}: {answer}",
            peer.name
        );
    }
}
