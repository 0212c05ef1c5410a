//! A wrong configuration: everything that is wrong with it at once, exit code 2, nothing touched.

use super::LIMIT;
use super::support::broker::isthmus;
use super::support::process::{Finished, run};
use std::fs;
use tempfile::TempDir;

/// Runs `isthmus` with these words; `FILE` stands for a file with `text`, which is alone in its
/// folder and must still be so afterwards.
fn refused(text: &str, env: &[(&str, &str)], words: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("broker.toml");
    fs::write(&file, text.replace("DIR", dir.path().to_str().unwrap())).unwrap();
    let mut command = isthmus();
    for word in words.split_whitespace() {
        command.arg(word.replace("FILE", file.to_str().unwrap()));
    }
    let finished = run(command.envs(env.iter().copied()), LIMIT);
    assert_eq!(finished.code(), Some(2), "{words}: {finished:?}");
    assert_eq!(finished.stdout, "", "{words}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{words}");
    lines(&finished, &dir)
}

fn lines(finished: &Finished, dir: &TempDir) -> Vec<String> {
    let folder = dir.path().to_str().unwrap();
    let text = finished.stderr.replace(folder, "DIR");
    text.lines().map(str::to_owned).collect()
}

fn check(text: &str, env: &[(&str, &str)], words: &str, expected: &[&str]) {
    assert_eq!(refused(text, env, words), expected, "{words}\n{text}");
}

const SOUND: &str = r#"
[node]
id = 1
data = "DIR/data"
[[listeners]]
name = "clients"
bind = "127.0.0.1:0"
"#;

#[test]
fn a_broker_without_anything_says_what_to_give() {
    check(
        "",
        &[],
        "broker",
        &["give a configuration with -c FILE, or --dev for a broker to try"],
    );
    check(
        "",
        &[],
        "format --cluster-id new",
        &["give the node's configuration with -c FILE"],
    );
}

#[test]
fn wrong_usage_is_refused_with_the_usage() {
    for words in [
        "",
        "brokre --dev",
        "broker --dve",
        "broker --data d",
        "format",
    ] {
        let said = refused("", &[], words).join("\n");
        assert!(said.contains("Usage: isthmus"), "{words}: {said}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    check(
        "",
        &[],
        "broker -c FILE.gone",
        &[
            "DIR/broker.toml.gone: cannot be read: No such file or directory (os error 2); \
           name a readable UTF-8 file with -c",
        ],
    );
}

#[test]
fn an_unknown_key_is_told_with_the_nearest_known_one_wherever_it_stands() {
    let text = format!("{SOUND}[kafka]\n\"log.retention.hour\" = 3\n");
    check(
        &text,
        &[("ISTHMUS_NUM_PARTITION", "3")],
        "broker -c FILE --set min.insync.replica=1 --set xyz=1",
        &[
            "DIR/broker.toml:9: log.retention.hour: is not a known key; \
             the nearest known name is log.retention.hours",
            "environment ISTHMUS_NUM_PARTITION: is not the name of a known key; \
             the nearest known name is ISTHMUS_NUM_PARTITIONS",
            "flag --set: min.insync.replica: is not a known key; \
             the nearest known name is min.insync.replicas",
            "flag --set: xyz: is not a known key; remove it",
        ],
    );
}

#[test]
fn all_problems_are_told_at_once_with_place_key_value_and_remedy() {
    let text = r#"
[node]
id = "one"
rakc = "a"
data = "DIR/data"
[[listeners]]
name = "clients"
bind = "nowhere"
[kafka]
"num.partitions" = 0
"log.cleanup.policy" = "shred"
log.retention.check.interval.ms = "7 fortnights"
"#;
    check(
        text,
        &[("ISTHMUS_MIN_INSYNC_REPLICAS", "none")],
        "broker -c FILE --set log.segment.bytes=12",
        &[
            "DIR/broker.toml:3: node.id: \"one\": is not a whole number in range; \
             write a whole number of at least 0",
            "DIR/broker.toml:4: node.rakc: is not a known key; the nearest known name is rack",
            "DIR/broker.toml:8: listeners[0].bind: \"nowhere\": is not an address; \
             write HOST:PORT or [IPV6]:PORT",
            "DIR/broker.toml:10: num.partitions: 0: is out of range; \
             write a whole number of at least 1",
            "DIR/broker.toml:11: log.cleanup.policy: \"shred\": \"shred\" is not one of the \
             choices; choose from compact, delete",
            "DIR/broker.toml:12: log.retention.check.interval.ms: \"7 fortnights\": is not a \
             duration; write milliseconds, or a duration like \"30s\"",
            "environment ISTHMUS_MIN_INSYNC_REPLICAS: min.insync.replicas: \"none\": is not a \
             whole number in range; write a whole number of at least 1",
            "flag --set: log.segment.bytes: \"12\": is out of range; \
             write a size from 1MiB to 2147483647B",
        ],
    );
}

#[test]
fn format_refuses_a_wrong_configuration_as_the_broker_does() {
    let text = SOUND.replace("id = 1", "id = -1");
    let expected =
        ["DIR/broker.toml:3: node.id: -1: is out of range; write a whole number of at least 0"];
    check(&text, &[], "broker -c FILE", &expected);
    check(&text, &[], "format -c FILE --cluster-id new", &expected);
}

#[test]
fn what_a_file_leaves_out_is_told() {
    let said = refused("[kafka]\n\"num.partitions\" = 3\n", &[], "broker -c FILE").join("\n");
    for key in ["node.id", "node.data", "listeners"] {
        assert!(said.contains(key), "{key}: {said}");
    }
}

#[test]
fn what_dev_tells_clients_must_be_an_address_that_they_can_use() {
    for (words, expected) in [
        ("--listen 0.0.0.0:0", "give --advertised HOST:PORT"),
        (
            "--listen 127.0.0.1:0 --advertised here",
            "--advertised: is no address",
        ),
        ("--advertised here:1", "--listen <ADDR:PORT>"),
    ] {
        let said = refused("", &[], &format!("broker --dev {words}")).join("\n");
        assert!(said.contains(expected), "{words}: {said}");
    }
}

#[test]
fn a_setting_without_a_value_is_refused() {
    for setting in ["num.partitions", "=3"] {
        let said = refused("", &[], &format!("broker --dev --set {setting}")).join("\n");
        assert!(said.starts_with("flag --set: "), "{setting}: {said}");
        assert!(said.contains("KEY=VALUE"), "{setting}: {said}");
    }
}
