//! `isthmus quorum` and `isthmus elect` on three nodes: what is shown, changed, and refused.

use super::LIMIT;
use super::support::address::quiet_addresses;
use super::support::broker::{Broker, isthmus};
use super::support::cluster::{Cluster, until};
use super::support::process::{Finished, Program, run};
use super::support::wire::Connection;
use isthmus_wire::ErrorCode;
use serde_json::Value;
use std::collections::BTreeMap;

/// Nodes that run, by id.
type Nodes = BTreeMap<i32, Broker>;

fn ask_within(nodes: &Nodes, words: &[&str], timeout: &str) -> Finished {
    let addresses: Vec<String> = nodes.values().map(Broker::bootstrap).collect();
    ask_at(&addresses.join(","), words, timeout)
}

fn ask_at(bootstrap: &str, words: &[&str], timeout: &str) -> Finished {
    let mut command = isthmus();
    command.args(words);
    command.args(["--bootstrap", bootstrap, "--timeout", timeout]);
    run(&mut command, LIMIT)
}

/// Asks, and wants that exit code; gives both outputs.
fn ask(nodes: &Nodes, words: &str, code: i32) -> String {
    let words: Vec<&str> = words.split(' ').collect();
    let finished = ask_within(nodes, &words, "20s");
    assert_eq!(finished.code(), Some(code), "{words:?}: {finished:?}");
    finished.stdout + &finished.stderr
}

/// The quorum's status, once it is as it should be.
fn status(nodes: &Nodes, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    until(what, || {
        let finished = ask_within(nodes, &["quorum", "status", "--json"], "20s");
        let status: Value = serde_json::from_str(&finished.stdout).ok()?;
        let code = if status["healthy"] == true { 0 } else { 3 };
        assert_eq!(finished.code(), Some(code), "{status}");
        is_it(&status).then_some(status)
    })
}

fn findings(status: &Value) -> Vec<(&str, Option<i64>)> {
    let findings = status["findings"].as_array().unwrap().iter();
    findings
        .map(|it| (it["kind"].as_str().unwrap(), it["voter"].as_i64()))
        .collect()
}

fn voters(status: &Value) -> BTreeMap<i32, String> {
    let voters = status["voters"].as_array().unwrap().iter();
    let voter = |it: &Value| {
        let directory = it["directory"].as_str().unwrap().to_owned();
        (
            i32::try_from(it["id"].as_i64().unwrap()).unwrap(),
            directory,
        )
    };
    voters.map(voter).collect()
}

fn leader(status: &Value) -> i32 {
    i32::try_from(status["leader"].as_i64().unwrap()).unwrap()
}

#[test]
fn voters_are_shown_taken_out_and_in_and_leaders_elected() {
    let cluster = Cluster::formatted();
    let mut nodes: Nodes = (1..).zip(cluster.start_all()).collect();
    let first = status(&nodes, "three sound voters", |it| it["healthy"] == true);
    shown(&cluster, &nodes, &first);
    let (leads, voters) = (leader(&first), voters(&first));
    let mut followers = voters.keys().copied().filter(|id| *id != leads);
    let (other, dark) = (followers.next().unwrap(), followers.next().unwrap());
    taken_out_and_in(&nodes, leads, (dark, &voters[&dark]));

    // Each partition prefers another node.
    let replicas = [[1, 2, 3], [2, 3, 1], [3, 1, 2]];
    let mut connection = Connection::open(nodes[&leads].address()).unwrap();
    let made = connection.create_topic_on("t", &replicas, &[]).unwrap();
    assert_eq!(made, ErrorCode::NONE);
    let said = ask(&nodes, "elect --yes", 0);
    assert!(said.contains("nothing to do"), "{said}");
    let said = ask(&nodes, "elect --preferred --topic nope --yes", 2);
    assert_eq!(said, "there is no topic nope; nothing was changed\n");

    nodes.remove(&dark).unwrap().kill();
    let seen = status(&nodes, "a dark voter", |it| {
        findings(it)
            == [
                ("voter-dark", Some(i64::from(dark))),
                ("none-to-spare", None),
            ]
    });
    assert_eq!(seen["spare"], 0);
    // The majority hangs on the other follower.
    let remove = format!("quorum remove {other} --directory {} --yes", voters[&other]);
    let said = ask(&nodes, &remove, 3);
    let words =
        format!("of the 2 that are left 1 would follow, and their majority is 2 ({dark} dark)");
    assert!(said.contains(&words), "{said}");
    let partition = format!("t-{}", dark - 1);
    until("the partition is led by another", || {
        let said = ask_within(&nodes, &["elect", "--dry-run"], "20s");
        let words = format!("{partition}: led by ");
        said.stdout.starts_with(&words).then_some(())
    });
    let said = ask(&nodes, "elect --yes", 3);
    assert!(
        said.ends_with(&format!(": {dark} is not in sync\n")),
        "{said}"
    );

    nodes.insert(
        dark,
        added_once_it_runs(&cluster, &nodes, (dark, &voters[&dark])),
    );
    elected(&nodes, &partition, dark);

    status(&nodes, "three sound voters again", |it| {
        it["healthy"] == true
    });
    let remove = format!("quorum remove {leads} --directory {} --yes", voters[&leads]);
    let said = ask(&nodes, &remove, 0);
    assert!(said.starts_with("removed voter"), "{said}");
    let next = status(&nodes, "another leader", |it| it["leader"] != leads);
    assert_eq!(findings(&next).last(), Some(&("even-voters", None)));
    // Of two, one is no majority.
    nodes.remove(&other).unwrap().kill();
    until("nobody leads", || {
        let asked = ask_within(&nodes, &["quorum", "status"], "3s");
        let words = "no voter leads the quorum of cluster three";
        (asked.code() == Some(3) && asked.stderr.starts_with(words)).then_some(())
    });
    let gone = nodes[&dark].bootstrap();
    for (_, node) in nodes {
        node.kill();
    }
    let asked = ask_at(&gone, &["quorum", "status"], "1s");
    assert_eq!(asked.code(), Some(4), "{asked:?}");
    let asked = ask_at(&gone, &["elect", "--yes"], "1s");
    assert_eq!(asked.code(), Some(4), "{asked:?}");
}

/// A voter that is away is taken out, and added again too early: it gets the log once it is there, or
/// is taken out again.
fn added_once_it_runs(cluster: &Cluster, nodes: &Nodes, (id, directory): (i32, &str)) -> Broker {
    let add = format!("quorum add {id} --directory {directory} --yes");
    let remove = format!("quorum remove {id} --directory {directory} --yes");
    let removed = format!("removed voter {id} with directory {directory}\n");
    assert_eq!(ask(nodes, &remove, 0), removed);
    let words: Vec<&str> = add.split(' ').collect();
    let early = ask_within(nodes, &words, "3s");
    assert_eq!(early.code(), Some(5), "{early:?}");
    let words = format!("node {id} gets the log and does not vote yet");
    assert!(early.stderr.starts_with(&words), "{early:?}");
    let seen = status(nodes, "the observer", |it| {
        it["observers"] != Value::Array(Vec::new())
    });
    assert_eq!(seen["observers"][0]["id"], id);
    assert_eq!(
        seen["voters"].as_array().unwrap().len(),
        2,
        "it does not vote"
    );
    assert_eq!(ask(nodes, &remove, 0), removed);
    let program = cluster.begin(usize::try_from(id).unwrap());
    let added = format!("added voter {id} with directory {directory}\n");
    assert_eq!(ask(nodes, &add, 0), added);
    let said = ask(
        nodes,
        "quorum add 9 --directory AAAAAAAAAAAAAAAAAAAAAQ --yes",
        1,
    );
    assert!(
        said.contains("node 9 has no address in cluster.controllers"),
        "{said}"
    );
    Broker::of(program).unwrap()
}

fn shown(cluster: &Cluster, nodes: &Nodes, status: &Value) {
    assert_eq!(status["schema"], "isthmus.quorum.status/1");
    assert_eq!(status["cluster"], "three");
    assert_eq!(
        (&status["majority"], &status["spare"]),
        (&2.into(), &1.into())
    );
    assert_eq!(status["findings"], Value::Array(Vec::new()));
    let voters = status["voters"].as_array().unwrap();
    for (voter, (id, at)) in voters.iter().zip((1..).zip(&cluster.controllers)) {
        assert_eq!(voter["id"], id);
        assert_eq!(voter["address"], at.to_string());
        let directory = cluster.directory_id(id).to_string();
        assert_eq!(voter["directory"], directory);
        let standing = if status["leader"] == id {
            "leads"
        } else {
            "follows"
        };
        assert_eq!(voter["standing"], standing);
        assert_eq!(voter["lag"], 0, "nothing happens: {status}");
    }
    let said = ask(nodes, "quorum status", 0);
    let head = format!("quorum of cluster three: leader {}, ", leader(status));
    assert!(said.starts_with(&head), "{said}");
    assert!(
        said.ends_with("\n3 of 3 voters follow, 2 are a majority: 1 may be lost\n"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 6, "{said}");
}

fn taken_out_and_in(nodes: &Nodes, leads: i32, (id, directory): (i32, &str)) {
    let remove = format!("quorum remove {id} --directory {directory}");
    let said = ask(nodes, &remove, 2);
    assert!(said.contains("give --yes"), "{said}");
    let said = ask(nodes, &format!("{remove} --dry-run"), 0);
    assert_eq!(
        said,
        format!(
            "would remove voter {id} with directory {directory} from the quorum of cluster three: \
             voters 2, majority 2, may be lost 0\n"
        )
    );
    let strange = "AAAAAAAAAAAAAAAAAAAAAQ";
    let said = ask(
        nodes,
        &format!("quorum remove {id} --directory {strange}"),
        3,
    );
    assert!(
        said.contains(&format!("votes with directory {directory}")),
        "{said}"
    );
    ask(nodes, &format!("quorum remove {id} --directory no-id"), 2);

    let removed = ask(nodes, &format!("{remove} --yes --json"), 0);
    let removed: Value = serde_json::from_str(&removed).unwrap();
    assert_eq!(removed["schema"], "isthmus.quorum.remove/1");
    assert_eq!(
        (&removed["verdict"], &removed["node"]),
        (&"removed".into(), &id.into())
    );
    assert!(!voters(&removed).contains_key(&id), "{removed}");
    let said = ask(nodes, &format!("{remove} --yes"), 0);
    assert_eq!(said, format!("node {id} does not vote: nothing to do\n"));
    let said = ask(nodes, "quorum status", 3);
    assert!(
        said.contains("\nwarning: all 2 voters that follow are needed"),
        "{said}"
    );
    assert!(
        said.contains("\nnote: 2 voters survive no more losses than 1"),
        "{said}"
    );

    let said = ask(
        nodes,
        &format!("quorum add {leads} --directory {strange} --yes"),
        3,
    );
    assert!(
        said.contains(&format!("first isthmus quorum remove {leads} --directory ")),
        "{said}"
    );
    let add = format!("quorum add {id} --directory {directory} --yes");
    let said = ask(nodes, &add, 0);
    assert_eq!(
        said,
        format!("added voter {id} with directory {directory}\n")
    );
    let said = ask(nodes, &add, 0);
    assert!(said.ends_with("votes already: nothing to do\n"), "{said}");
    let back = status(nodes, "three sound voters", |it| it["healthy"] == true);
    assert_eq!(voters(&back)[&id], directory);
}

/// Once the preferred leader is in sync again it can be elected.
fn elected(nodes: &Nodes, partition: &str, id: i32) {
    until("it is in sync again", || {
        let said = ask_within(nodes, &["elect", "--dry-run"], "20s");
        (said.code() == Some(0)).then_some(())
    });
    let said = ask(nodes, "elect", 2);
    assert!(
        said.contains(&format!(
            "would elect preferred leaders for {partition} of cluster three;"
        )),
        "{said}"
    );
    let said = ask(nodes, "elect --topic t --yes --json", 0);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["schema"], "isthmus.elect/1");
    let [row] = &said["partitions"].as_array().unwrap()[..] else {
        panic!("one partition: {said}")
    };
    assert_eq!(
        format!("{}-{}", row["topic"].as_str().unwrap(), row["partition"]),
        partition
    );
    assert_eq!(
        (&row["verdict"], &row["to"]),
        (&"elected".into(), &id.into())
    );
    until("every node has heard of it", || {
        let said = ask_within(nodes, &["elect"], "20s");
        said.stdout.contains("nothing to do").then_some(())
    });
}

#[test]
fn a_nodes_own_file_says_how_its_cluster_is_reached() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("node.toml");
    let clients = quiet_addresses(1)[0];
    let write = |clients: &str| {
        let text = format!(
            "[node]\nid = 1\ndata = \"{}\"\nobserve = \"127.0.0.1:0\"\n\
             [[listeners]]\nname = \"clients\"\nbind = \"{clients}\"\n",
            dir.path().join("data").display()
        );
        std::fs::write(&file, text).unwrap();
    };
    let asked = |words: &str| {
        let mut command = isthmus();
        command.args(words.split(' ')).arg("-c").arg(&file);
        run(&mut command, LIMIT)
    };
    write(&clients.to_string());
    asked("format --cluster-id mine").succeeded();
    let mut start = isthmus();
    let node = Broker::of(Program::start(start.args(["broker", "-c"]).arg(&file))).unwrap();
    let status = asked("quorum status").succeeded().stdout;
    assert!(
        status.starts_with("quorum of cluster mine: leader 1, "),
        "{status}"
    );
    let level = asked("level show").succeeded().stdout;
    assert!(level.contains(&format!("node 1 at {clients}: ")), "{level}");
    asked("elect --dry-run").succeeded();
    node.stop().succeeded();
    write("127.0.0.1:0");
    let nowhere = asked("quorum status");
    assert_eq!(nowhere.code(), Some(2), "{nowhere:?}");
    assert!(
        nowhere.stderr.contains("give --bootstrap HOST:PORT"),
        "{nowhere:?}"
    );
}
