//! `isthmus level`: what it shows of a broker, what it raises, and everything it refuses.

mod fake_cluster;

use self::fake_cluster::{FakeCluster, Fate};
use super::LIMIT;
use super::support::broker::{DevBroker, isthmus};
use super::support::process::{Finished, run};
use std::fs;
use std::net::TcpListener;
use std::path::Path;

/// Short enough not to be waited for, long enough for a busy machine.
const TIMEOUT: &str = "20s";

fn level(bootstrap: &str, words: &[&str], timeout: &str) -> Finished {
    let mut command = isthmus();
    command.arg("level").args(words);
    command.args(["--bootstrap", bootstrap, "--timeout", timeout]);
    run(&mut command, LIMIT)
}

/// Runs a command that must end with this code; returns what it said on both.
fn check(bootstrap: &str, words: &[&str], code: i32) -> (String, String) {
    let finished = level(bootstrap, words, TIMEOUT);
    assert_eq!(finished.code(), Some(code), "{words:?}: {finished:?}");
    (finished.stdout, finished.stderr)
}

fn json(text: &str) -> serde_json::Value {
    assert_eq!(text.lines().count(), 1, "one document: {text}");
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_broker_is_at_the_highest_level_and_stays_there() {
    let dir = tempfile::tempdir().unwrap();
    let broker = DevBroker::on(dir.path()).start();
    let (address, cluster) = (broker.bootstrap(), &broker.ready.cluster);
    let (said, _) = check(&address, &["show"], 0);
    assert_eq!(
        said,
        format!(
            "isthmus.metadata.level of cluster {cluster}: 3, the highest that all nodes support\n\
             node 1 at {address}: supports 1 to 3\n"
        )
    );
    let (said, _) = check(&address, &["show", "--json"], 0);
    let expected = serde_json::json!({
        "schema": "isthmus.level.show/1", "cluster": cluster, "feature": "isthmus.metadata.level",
        "level": 3, "highest": 3,
        "nodes": [{"id": 1, "address": address, "reached": true, "min": 1, "max": 3}],
    });
    assert_eq!(json(&said), expected);
    for words in [
        &["raise"][..],
        &["raise", "--to", "3"],
        &["raise", "--dry-run"],
    ] {
        let (said, _) = check(&address, words, 0);
        assert_eq!(
            said,
            "isthmus.metadata.level is 3 already, the highest that all nodes support: nothing to \
             do\n"
        );
    }
    let (said, _) = check(&address, &["raise", "--json"], 0);
    let said = json(&said);
    assert_eq!(said["schema"], "isthmus.level.raise/1");
    assert_eq!(
        (&said["verdict"], &said["to"]),
        (&"unchanged".into(), &3.into())
    );
    let (_, said) = check(&address, &["raise", "--to", "4", "--yes"], 3);
    assert_eq!(
        said,
        "could not raise isthmus.metadata.level to 4: supported by node 1 up to 3; nothing was \
         changed: start newer builds there first\n"
    );
    broker.stop().succeeded();
}

/// A directory of the first level that was ever written.
#[test]
fn a_broker_of_the_level_before_is_raised_and_stays_raised() {
    let dir = tempfile::tempdir().unwrap();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("broker/tests/data/level-1/data");
    copy_folder(&kept, dir.path());
    let broker = DevBroker::on(dir.path()).start();
    let (said, _) = check(&broker.bootstrap(), &["show"], 0);
    assert!(said.contains(": 1, can be raised to 3\n"), "{said}");
    let (said, _) = check(&broker.bootstrap(), &["raise", "--yes"], 0);
    assert_eq!(said, "raised isthmus.metadata.level from 1 to 3\n");
    broker.stop().succeeded();
    let broker = DevBroker::on(dir.path()).start();
    let (said, _) = check(&broker.bootstrap(), &["show"], 0);
    assert!(said.contains(": 3, the highest"), "{said}");
    broker.stop().succeeded();
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_folder(&path, &target),
            false => drop(fs::copy(&path, &target).unwrap()),
        }
    }
}

#[test]
fn a_level_is_raised_when_it_was_meant() {
    let cluster = FakeCluster::start(Some(1), 3, Fate::Done);
    let address = cluster.address.to_string();
    let (said, _) = check(&address, &["show"], 0);
    assert!(said.contains(": 1, can be raised to 3\n"), "{said}");
    // Nobody sits at a terminal to say yes.
    let (_, said) = check(&address, &["raise"], 2);
    assert!(said.contains("give --yes"), "{said}");
    assert_eq!(cluster.orders(), []);
    let (said, _) = check(&address, &["raise", "--dry-run", "--to", "2"], 0);
    assert_eq!(
        said,
        "would raise isthmus.metadata.level from 1 to 2; it cannot be lowered again\n"
    );
    assert_eq!(cluster.orders(), [(2, 1, true)]);
    let (said, _) = check(&address, &["raise", "--to", "2", "--yes"], 0);
    assert_eq!(said, "raised isthmus.metadata.level from 1 to 2\n");
    let (said, _) = check(&address, &["raise", "--yes", "--json"], 0);
    let said = json(&said);
    assert_eq!(said["verdict"], "raised");
    assert_eq!((&said["from"], &said["to"]), (&2.into(), &3.into()));
    assert_eq!(cluster.orders()[1..], [(2, 1, false), (3, 1, false)]);
    let (_, said) = check(&address, &["raise", "--to", "1", "--yes"], 3);
    assert!(
        said.starts_with("could not lower isthmus.metadata.level from 3 to 1"),
        "{said}"
    );
    assert_eq!(cluster.orders().len(), 3);
}

#[test]
fn what_became_of_an_order_is_told() {
    let raise = ["raise", "--to", "2", "--yes"];
    let cluster = FakeCluster::start(Some(1), 2, Fate::Refused);
    let (_, said) = check(&cluster.address.to_string(), &raise, 1);
    assert!(said.contains("not yours; nothing was changed"), "{said}");
    // A lost answer is asked for again until the time is over, so that there had better be little.
    let cluster = FakeCluster::start(Some(1), 2, Fate::DoneAndLost);
    let finished = level(&cluster.address.to_string(), &raise, "1s").succeeded();
    assert_eq!(
        finished.stdout,
        "raised isthmus.metadata.level from 1 to 2\n"
    );
    let cluster = FakeCluster::start(Some(1), 2, Fate::Lost);
    let finished = level(&cluster.address.to_string(), &raise, "1s");
    assert_eq!(finished.code(), Some(5), "{finished:?}");
    assert!(
        finished.stderr.contains("run the same command again"),
        "{finished:?}"
    );
}

#[test]
fn a_cluster_of_others_and_nobody_are_told_apart() {
    let cluster = FakeCluster::start(None, 1, Fate::Done);
    for words in [&["show"][..], &["raise", "--yes"]] {
        let (_, said) = check(&cluster.address.to_string(), words, 3);
        assert_eq!(
            said,
            "cluster fake has no isthmus.metadata.level: it is not of Isthmus\n"
        );
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap().to_string();
    drop(free);
    let finished = level(&nobody, &["show"], "1s");
    assert_eq!(finished.code(), Some(4), "{finished:?}");
    assert!(
        finished.stderr.contains("nothing was changed"),
        "{finished:?}"
    );
}

#[test]
fn addresses_come_from_the_flag_or_from_kafkas_client_properties() {
    let cluster = FakeCluster::start(Some(1), 1, Fate::Done);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("client.properties");
    let show = |text: String| {
        fs::write(&file, text).unwrap();
        let mut command = isthmus();
        command.args(["level", "show", "--timeout", TIMEOUT, "--client-config"]);
        run(command.arg(&file), LIMIT)
    };
    let address = cluster.address;
    show(format!("bootstrap.servers={address}\n")).succeeded();
    let none = show("client.id=x\n".to_owned());
    assert_eq!(none.code(), Some(2), "{none:?}");
    assert!(none.stderr.contains("--bootstrap HOST:PORT"), "{none:?}");
    let wrong = show(format!(
        "bootstrap.servers={address}\nsecurity.protocol=TLS\n"
    ));
    assert_eq!(wrong.code(), Some(2), "{wrong:?}");
    assert!(
        wrong
            .stderr
            .contains("client.properties:2: security.protocol"),
        "{wrong:?}"
    );
}
