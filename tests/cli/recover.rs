//! `isthmus quorum recover`: two of three controllers are destroyed, and nothing that was acknowledged is.

use super::LIMIT;
use super::support::broker::{Broker, isthmus};
use super::support::cluster::{Cluster, Rules, until};
use super::support::process::{Finished, run};
use super::support::records;
use super::support::wire::{Connection, batches};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::BatchParams;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The partition's replicas: brokers that are no controllers.
const BROKERS: [i32; 3] = [4, 5, 6];

fn recover(cluster: &Cluster, words: &[&str]) -> Finished {
    let mut command = isthmus();
    command.args(["quorum", "recover"]).args(words);
    command.current_dir(cluster.path());
    run(&mut command, LIMIT)
}

/// Runs it, and wants that exit code; gives both outputs.
fn wants(cluster: &Cluster, words: &str, code: i32) -> String {
    let words: Vec<&str> = words.split(' ').collect();
    let finished = recover(cluster, &words);
    assert_eq!(finished.code(), Some(code), "{words:?}: {finished:?}");
    finished.stdout + &finished.stderr
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// The status of the quorum, once it is as it should be.
fn status(at: &Broker, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    until(what, || {
        let mut command = isthmus();
        command.args(["quorum", "status", "--json", "--timeout", "20s"]);
        command.args(["--bootstrap", &at.bootstrap()]);
        let finished = run(&mut command, LIMIT);
        let status: Value = serde_json::from_str(&finished.stdout).ok()?;
        is_it(&status).then_some(status)
    })
}

fn is_healthy(status: &Value) -> bool {
    status["healthy"] == true
}

/// Nobody is behind: what one voter has all have.
fn is_settled(status: &Value) -> bool {
    let members = status["voters"].as_array().unwrap().iter();
    is_healthy(status) && members.into_iter().all(|it| it["lag"] == 0)
}

/// Produces with acks=all, wherever the partition is led; gives the value once it is acknowledged.
fn produced(brokers: &[Broker], number: usize) -> Vec<u8> {
    let value = format!("value-{number}").into_bytes();
    until("a write is acknowledged", || {
        brokers.iter().find_map(|broker| {
            let batch = records::batch(
                BatchParams::default(),
                records::now_ms(),
                std::slice::from_ref(&value),
            );
            let mut connection = Connection::open(broker.address()).ok()?;
            let (code, _) = connection.produce("t", 0, batch).ok()?;
            (code == ErrorCode::NONE).then_some(())
        })
    });
    value
}

/// All that the partition's leader shows.
fn read(brokers: &[Broker]) -> Vec<Vec<u8>> {
    until("the leader is read", || {
        brokers.iter().find_map(|broker| {
            let mut connection = Connection::open(broker.address()).ok()?;
            let data = connection.fetch("t", 0, 0, 1 << 20).ok()?;
            let is_whole = data.error_code == ErrorCode::NONE && data.high_watermark > 0;
            let read = || batches(&data).iter().flat_map(records::values).collect();
            is_whole.then(read)
        })
    })
}

#[test]
fn a_quorum_goes_on_from_a_survivor_and_loses_nothing_acknowledged() {
    let cluster = Cluster::formatted();
    for id in 4..=6 {
        cluster.write_config(id, &Rules::default());
        cluster.format(id, &[]).succeeded();
    }
    let mut controllers = cluster.start_all();
    let brokers: Vec<Broker> = (4..=6).map(|id| cluster.start(id)).collect();
    let mut connection = Connection::open(controllers[0].address()).unwrap();
    let made = connection.create_topic_on("t", &[BROKERS], &[("min.insync.replicas", "2")]);
    assert_eq!(made.unwrap(), ErrorCode::NONE);
    let mut acknowledged: Vec<Vec<u8>> = (0..20).map(|it| produced(&brokers, it)).collect();
    status(&controllers[0], "three sound voters", is_settled);
    // As it is now it is soon out of date.
    controllers.remove(0).stop().succeeded();
    let stale = cluster.path().join("stale");
    copy(&cluster.data(1), &stale);
    controllers.insert(0, cluster.start(1));
    let made = Connection::open(controllers[0].address())
        .unwrap()
        .create_topic_on("later", &[BROKERS], &[]);
    assert_eq!(made.unwrap(), ErrorCode::NONE);
    let before = status(&controllers[0], "three sound voters again", is_settled);

    let said = wants(&cluster, "--survivors data-1 --yes", 2);
    assert!(said.contains("stop the node that uses it"), "{said}");
    // They are gone for good, and at once.
    for node in &controllers[1..] {
        node.kill_now();
    }
    for node in controllers {
        node.kill();
    }
    fs::rename(cluster.data(2), cluster.path().join("old-2")).unwrap();
    fs::remove_dir_all(cluster.data(3)).unwrap();

    refused(&cluster);
    let (given, kept) = carried_out(&cluster);
    assert!(
        kept >= before["high_watermark"].as_i64().unwrap() - 1,
        "{given}"
    );

    let first = cluster.start(1);
    acknowledged.push(produced(&brokers, 20));
    let alone = status(&first, "the survivor leads", |it| it["leader"] == 1);
    assert_eq!(alone["voters"].as_array().unwrap().len(), 1, "{alone}");
    assert_eq!(read(&brokers), acknowledged);
    let names = Connection::open(first.address()).unwrap().topic_names();
    let names = names.unwrap();
    assert!(names.iter().any(|it| it == "later"), "{names:?}");

    // What was given up does not come back.
    fs::rename(cluster.path().join("old-2"), cluster.data(2)).unwrap();
    let old = cluster.begin(2).wait(LIMIT);
    assert_eq!(old.code(), Some(1), "{old:?}");
    for words in ["quorum_given_up", "--no-initial-controllers"] {
        assert!(old.stderr.contains(words), "{old:?}");
    }
    status(&first, "the survivor still leads", |it| it["leader"] == 1);

    // Others take the places of those that were lost.
    fs::remove_dir_all(cluster.data(2)).unwrap();
    let mut nodes = vec![first];
    for id in 2..=3 {
        cluster
            .format(id, &["--no-initial-controllers"])
            .succeeded();
        let program = cluster.begin(id);
        let mut command = isthmus();
        command.args(["quorum", "add", &id.to_string(), "--yes"]);
        command.args(["--directory", &cluster.directory_id(id).to_string()]);
        command.args(["--bootstrap", &nodes[0].bootstrap(), "--timeout", "30s"]);
        run(&mut command, LIMIT).succeeded();
        nodes.push(Broker::of(program).unwrap());
    }
    status(&nodes[0], "three sound voters once more", |it| {
        is_settled(it) && it["voters"].as_array().unwrap().len() == 3
    });
    acknowledged.push(produced(&brokers, 21));
    assert_eq!(read(&brokers), acknowledged);
}

/// Whoever says yes.
fn refused(cluster: &Cluster) {
    let said = wants(cluster, "--survivors data-1 old-2 --yes", 3);
    assert!(said.contains("2 survive, which is a majority"), "{said}");
    let said = wants(cluster, "--survivors data-1 data-3 --yes", 2);
    assert!(said.contains("data-3 is not there"), "{said}");
    let said = wants(cluster, "--yes", 2);
    assert!(said.contains("no survivor was named"), "{said}");
    let other = Cluster::with_one_controller();
    let foreign = other.data(1).display().to_string();
    let said = wants(cluster, &format!("--survivors data-1 {foreign} --yes"), 3);
    assert!(said.contains("belongs to cluster"), "{said}");
    let said = wants(cluster, &format!("--survivors {foreign} --yes"), 3);
    assert!(said.contains("1 survive, which is a majority"), "{said}");
    let stale = format!(
        "-c node-1.toml --set node.data={} --survivors data-1 --yes",
        cluster.path().join("stale").display()
    );
    let said = wants(cluster, &stale, 3);
    assert!(said.contains("what lies between would be lost"), "{said}");
    let said = wants(cluster, "-c node-1.toml --survivors data-1", 2);
    assert!(said.contains("give --yes to do it"), "{said}");
    let told = wants(cluster, "-c node-1.toml --dry-run", 0);
    for words in ["would recover the quorum of cluster three", "may be lost:"] {
        assert!(told.contains(words), "{told}");
    }
}

/// The document that it gives, and the record up to which all is kept.
fn carried_out(cluster: &Cluster) -> (Value, i64) {
    let seen = wants(cluster, "--survivors data-1 --dry-run --json", 0);
    let seen: Value = serde_json::from_str(&seen).unwrap();
    assert_eq!(seen["schema"], "isthmus.quorum.recover/1");
    assert_eq!(seen["verdict"], "would-recover");
    let given = wants(cluster, "-c node-1.toml --survivors data-1 --yes --json", 0);
    let given: Value = serde_json::from_str(&given).unwrap();
    assert_eq!(given["verdict"], "recovered");
    assert_eq!(given["voter"]["id"], 1);
    assert_eq!(given["kept_offset"], seen["kept_offset"]);
    let lost = given["given_up"].as_array().unwrap();
    let lost: Vec<i64> = lost.iter().map(|it| it["id"].as_i64().unwrap()).collect();
    assert_eq!(lost, [2, 3]);
    // Once is enough.
    let said = wants(cluster, "--survivors data-1 --yes", 3);
    assert!(said.contains("1 survive, which is a majority"), "{said}");
    let kept = given["kept_offset"].as_i64().unwrap();
    (given, kept)
}
