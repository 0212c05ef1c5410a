//! `isthmus elect --unclean` on four nodes: what it says beforehand is what is lost then, and kept.

use super::LIMIT;
use super::support::broker::{Broker, isthmus};
use super::support::cluster::{Cluster, until};
use super::support::process::{Finished, run};
use super::support::records;
use super::support::wire::Connection;
use bytes::Bytes;
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::{BatchParams, BatchView, split_batches};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

type Nodes = BTreeMap<usize, Broker>;

fn ask(nodes: &Nodes, words: &str) -> Finished {
    let mut command = isthmus();
    command.args(words.split(' '));
    command.args(["--bootstrap", &nodes[&1].bootstrap(), "--timeout", "20s"]);
    run(&mut command, LIMIT)
}

fn document(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished:?}"))
}

/// A batch of so many records, acknowledged by all in sync.
fn produce(node: &Broker, count: usize) -> i64 {
    let values: Vec<Vec<u8>> = (0..count).map(|it| it.to_string().into_bytes()).collect();
    let batch = records::batch(BatchParams::default(), records::now_ms(), &values);
    until("it is acknowledged", || {
        let mut connection = Connection::open(node.address()).ok()?;
        let (code, offset) = connection.produce("t", 0, batch.clone()).ok()?;
        (code == ErrorCode::NONE).then_some(offset)
    })
}

/// The files of what a node has cut off, and the offsets in each.
fn evidence(data: &Path) -> Vec<(String, Vec<(i64, i64)>)> {
    let Ok(files) = std::fs::read_dir(data.join("__truncated/t-0")) else {
        return Vec::new();
    };
    let paths = files.map(|file| file.unwrap().path());
    // Others are not whole yet.
    let whole = paths.filter(|path| path.extension().is_some_and(|it| it == "log"));
    let mut found: Vec<_> = whole
        .map(|path| {
            let bytes = Bytes::from(std::fs::read(&path).unwrap());
            let offsets = |batch: BatchView| {
                batch.verify_crc().unwrap();
                (batch.header().base_offset, batch.header().next_offset())
            };
            let batches = split_batches(&bytes).map(|it| offsets(it.unwrap()));
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, batches.collect())
        })
        .collect();
    found.sort();
    found
}

#[test]
fn what_is_told_beforehand_is_what_is_lost_and_kept() {
    let cluster = Cluster::with_one_controller_of(4);
    let begun: Vec<_> = (1..=4).map(|id| cluster.begin(id)).collect();
    let started = begun.into_iter().map(|it| Broker::of(it).unwrap());
    let mut nodes: Nodes = (1..).zip(started).collect();
    until("a topic on three brokers", || {
        let mut connection = Connection::open(nodes[&1].address()).unwrap();
        let made = connection.create_topic_on("t", &[[2, 4, 3]], &[]);
        (made.ok()? == ErrorCode::NONE).then_some(())
    });
    assert_eq!(produce(&nodes[&2], 2), 0, "on all three");
    nodes.remove(&4).unwrap().kill();
    assert_eq!(produce(&nodes[&2], 3), 2, "on 2 and 3");
    nodes.remove(&3).unwrap().kill();
    assert_eq!(produce(&nodes[&2], 1), 5, "on 2 alone");
    assert_eq!(produce(&nodes[&2], 3), 6);
    nodes.remove(&2).unwrap().kill();
    let nobody = until("nobody leads", || {
        let said = ask(&nodes, "elect --unclean --dry-run --json");
        let rows = document(&said)["partitions"].as_array().unwrap().len();
        (rows == 1).then_some(said)
    });
    assert_eq!(nobody.code(), Some(3), "{nobody:?}");
    assert_eq!(
        document(&nobody)["partitions"][0]["verdict"],
        "nobody-lives"
    );

    for id in [3, 4] {
        nodes.insert(id, cluster.start(id));
    }
    let told = looked_at(&nodes);
    refused(&nodes);
    let said = ask(&nodes, "elect --unclean --topic t --yes --json");
    assert_eq!(said.code(), Some(0), "{said:?}");
    assert!(
        said.stderr.contains("lost for sure: offsets 2 to 4 of 3"),
        "{said:?}"
    );
    let done = &document(&said)["partitions"][0];
    assert_eq!(
        (&done["verdict"], &done["leader"]),
        (&json!("elected"), &json!(4))
    );
    assert_eq!(done["lost"], told["lost"]);
    let said = ask(&nodes, "elect --unclean --topic t --partition 0 --yes");
    assert_eq!(said.code(), Some(3), "{said:?}");
    assert!(
        said.stdout
            .starts_with("t-0: led by 4: nothing would be gained"),
        "{said:?}"
    );

    assert_eq!(produce(&nodes[&4], 1), 2, "in the place of what is lost");
    let cut = until("3 has cut its log", || evidence(&cluster.data(3)).pop());
    assert!(cut.0.starts_with("00000000000000000002.5-"), "{cut:?}");
    let lost = &told["lost"][0];
    assert_eq!(
        (&lost["broker"], &lost["from"], &lost["to"]),
        (&json!(3), &json!(2), &json!(5))
    );
    assert_eq!(cut.1, [(2, 5)]);
    // What only 2 had was lost unseen; it is kept there when 2 comes back.
    nodes.insert(2, cluster.start(2));
    let cut = until("2 has cut its log", || evidence(&cluster.data(2)).pop());
    assert!(cut.0.starts_with("00000000000000000002.9-"), "{cut:?}");
    assert_eq!(cut.1, [(2, 5), (5, 6), (6, 9)]);
    assert_eq!(evidence(&cluster.data(4)), []);
    let controller = nodes.remove(&1).unwrap().kill();
    let line = controller
        .stderr
        .lines()
        .find(|it| it.contains("unclean_election"));
    let line = line.expect("the controller tells it");
    for part in [
        "WARN",
        "topic=\"t\"",
        "leader=4",
        "kind=\"first_live\"",
        "last_known=[2]",
    ] {
        assert!(line.contains(part), "{line}");
    }
    for (_, node) in nodes {
        node.kill();
    }
}

/// Once both that live have said what they have.
fn looked_at(nodes: &Nodes) -> Value {
    let row = until("two replicas live", || {
        let said = ask(nodes, "elect --unclean --dry-run --json");
        let row = document(&said)["partitions"][0].clone();
        (said.code() == Some(0) && row["away"] == json!([2])).then_some(row)
    });
    assert_eq!(row["verdict"], "would-elect", "{row}");
    assert_eq!(
        (&row["leader"], &row["rule"]),
        (&json!(4), &json!("first-live"))
    );
    assert_eq!((&row["log_end"], &row["silent"]), (&json!(2), &json!([])));
    assert_eq!(row["lost"], json!([{ "broker": 3, "from": 2, "to": 5 }]));
    assert_eq!(
        (&row["replicas"], &row["last_known"]),
        (&json!([2, 4, 3]), &json!([2]))
    );
    let said = ask(nodes, "elect --unclean --dry-run");
    assert!(
        said.stdout
            .contains("4 would lead, the first that lives of 2, 4, 3"),
        "{said:?}"
    );
    assert!(
        said.stdout.contains("3 has more: its log ends at 5"),
        "{said:?}"
    );
    row
}

fn refused(nodes: &Nodes) {
    for (words, part) in [
        ("elect --unclean --topic t", "give --yes to do it"),
        ("elect --unclean --topic nope --yes", "topic nope"),
        (
            "elect --unclean --topic t --partition 7 --yes",
            "no partition t-7",
        ),
        ("elect --unclean --preferred", "cannot be used with"),
        ("elect --unclean --partition 0", "--topic"),
    ] {
        let said = ask(nodes, words);
        assert_eq!(said.code(), Some(2), "{words}: {said:?}");
        assert!(said.stderr.contains(part), "{words}: {said:?}");
    }
}
