//! A data directory that is not this node's to use is refused, and nothing in it is touched.

use super::LIMIT;
use super::support::broker::{Broker, DevBroker, isthmus};
use super::support::http;
use super::support::process::{Finished, Program, run};
use isthmus_wire::batch::{BatchBuilder, BatchParams};
use isthmus_wire::messages::quorum_voters::{QuorumNode, VoterSet};
use isthmus_wire::messages::{FeatureLevelRecord, QuorumSnapshotRecord, QuorumVoters};
use isthmus_wire::prefixed::{encode_record, encode_versioned};
use isthmus_wire::record_kind::MetadataRecordKind;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;
use tempfile::TempDir;

/// A configuration file and the data directory it names, which is not there yet.
struct Node {
    dir: TempDir,
}

impl Node {
    fn new() -> Self {
        let node = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        node.write_config(1);
        node
    }

    fn write_config(&self, id: i32) {
        let data = self.data();
        let text = format!(
            "[node]\nid = {id}\ndata = \"{}\"\nobserve = \"127.0.0.1:0\"\n\
             [[listeners]]\nname = \"clients\"\nbind = \"127.0.0.1:0\"\n",
            data.display()
        );
        fs::write(self.config(), text).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("broker.toml")
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = isthmus();
        command.args([subcommand, "-c"]).arg(self.config());
        command
    }

    fn format(&self, cluster: &str) -> Finished {
        run(
            self.command("format").args(["--cluster-id", cluster]),
            LIMIT,
        )
    }

    fn start(&self) -> Broker {
        Broker::of(Program::start(&mut self.command("broker"))).unwrap()
    }

    /// The broker must refuse the directory as it is; returns what it said.
    fn refused(&self, what: &str) -> String {
        let before = picture(&self.data());
        let finished = run(&mut self.command("broker"), LIMIT);
        assert_eq!(finished.code(), Some(2), "{what}: {finished:?}");
        assert_eq!(finished.stdout, "", "{what}");
        untouched(&before, &self.data(), what);
        let data = self.data();
        finished.stderr.replace(data.to_str().unwrap(), "DATA")
    }
}

/// Every file and folder: content, and when it was last written.
type Picture = BTreeMap<PathBuf, (Vec<u8>, SystemTime)>;

fn untouched(before: &Picture, dir: &Path, what: &str) {
    let after = picture(dir);
    let all = before.keys().chain(after.keys());
    let changed: BTreeSet<&PathBuf> = all
        .filter(|path| before.get(*path) != after.get(*path))
        .collect();
    assert_eq!(changed, BTreeSet::new(), "{what}: nothing is touched");
}

fn picture(dir: &Path) -> Picture {
    let mut all = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let written = fs::metadata(&path).unwrap().modified().unwrap();
            if path.is_dir() {
                folders.push(path.clone());
                all.insert(path, (Vec::new(), written));
            } else {
                let content = fs::read(&path).unwrap();
                all.insert(path, (content, written));
            }
        }
    }
    all
}

#[test]
fn an_unformatted_one_is_not_made() {
    let node = Node::new();
    let said = node.refused("unformatted");
    assert_eq!(
        said,
        "could not open data directory DATA: it is not formatted; \
         run `isthmus format -c FILE --cluster-id new` once\n"
    );
    assert!(!node.data().exists());
}

#[test]
fn formatting_gives_an_identity_once() {
    let node = Node::new();
    let formatted = node.format("new").succeeded();
    let meta = fs::read_to_string(node.data().join("meta.properties")).unwrap();
    let value = |key: &str| {
        let line = meta.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_else(|| panic!("no {key} in {meta}"))
    };
    assert_eq!(
        formatted.stdout,
        format!(
            "formatted {} node=1 cluster={} directory={}\n",
            node.data().display(),
            value("cluster.id="),
            value("directory.id=")
        )
    );
    let before = picture(&node.data());
    for cluster in ["new", "another", value("cluster.id=")] {
        let again = node.format(cluster);
        assert_eq!(again.code(), Some(2), "{again:?}");
        assert_eq!(again.stdout, "");
        assert!(
            again.stderr.contains("is formatted already"),
            "{}",
            again.stderr
        );
        assert!(
            again.stderr.contains(value("cluster.id=")),
            "{}",
            again.stderr
        );
        untouched(&before, &node.data(), cluster);
    }
}

#[test]
fn the_cluster_id_given_is_the_one_that_clients_see() {
    let node = Node::new();
    node.format("mine-01").succeeded();
    let broker = node.start();
    assert_eq!(broker.ready.cluster, "mine-01");
    broker.stop().succeeded();
    let bad = Node::new();
    let finished = bad.format("not an id");
    assert_eq!(finished.code(), Some(2), "{finished:?}");
    assert!(!bad.data().exists());
}

#[test]
fn another_nodes_is_refused() {
    let node = Node::new();
    node.format("new").succeeded();
    node.start().stop().succeeded();
    node.write_config(2);
    let said = node.refused("another node");
    assert_eq!(
        said,
        "could not open data directory DATA: it is of node 1, this is 2; \
         nothing was touched: give this node its own directory\n"
    );
    node.write_config(1);
    node.start().stop().succeeded();
}

#[test]
fn a_newer_one_is_refused() {
    let node = Node::new();
    node.format("new").succeeded();
    let meta = node.data().join("meta.properties");
    let newer = fs::read_to_string(&meta)
        .unwrap()
        .replace("version=1", "version=2");
    fs::write(&meta, newer).unwrap();
    let said = node.refused("newer version");
    assert_eq!(
        said,
        "could not open data directory DATA: its version is 2, known is 1; \
         nothing was touched: start the newer build\n"
    );
}

#[test]
fn one_of_a_newer_metadata_level_is_refused() {
    let node = Node::new();
    node.format("new").succeeded();
    node.start().stop().succeeded();
    let snapshot = node
        .data()
        .join("__cluster_metadata-0/00000000000000000100-0000000009.checkpoint");
    fs::write(&snapshot, snapshot_with_level(99)).unwrap();
    let said = node.refused("newer level");
    assert!(said.contains("metadata level 99"), "{said}");
    assert!(said.contains("start the build that wrote it"), "{said}");
    fs::remove_file(&snapshot).unwrap();
    node.start().stop().succeeded();
}

/// A snapshot of the metadata as a newer build would have written it (docs/formats/snapshot.md).
fn snapshot_with_level(feature_level: i16) -> Vec<u8> {
    let voters = QuorumVoters {
        voter_sets: vec![VoterSet { raft_ids: vec![1] }],
        nodes: vec![QuorumNode {
            raft_id: 1,
            ..QuorumNode::default()
        }],
    };
    let place = QuorumSnapshotRecord {
        last_offset: 99,
        voters: encode_versioned(&voters, 0).unwrap(),
        record_count: 1,
        ..QuorumSnapshotRecord::default()
    };
    let level = FeatureLevelRecord {
        name: "isthmus.metadata.level".to_owned(),
        feature_level,
    };
    let level = encode_record(MetadataRecordKind::FeatureLevel.id(), 0, &level).unwrap();
    let header = [0_u8; 11];
    let footer = [0_u8; 3];
    [
        batch(0, Some(3), &header),
        batch(1, Some(10_001), &encode_versioned(&place, 0).unwrap()),
        batch(2, None, &level),
        batch(3, Some(4), &footer),
    ]
    .concat()
}

/// A batch of one record; of a control record, when a type is given.
fn batch(base_offset: i64, control: Option<i16>, value: &[u8]) -> Vec<u8> {
    let mut batch = BatchBuilder::new(BatchParams {
        base_offset,
        control: control.is_some(),
        ..BatchParams::default()
    });
    let key = control.map(|kind| [[0, 0], kind.to_be_bytes()].concat());
    batch.append(0, key.as_deref(), Some(value), &[]).unwrap();
    batch.finish().unwrap().to_vec()
}

#[test]
fn a_metadata_log_without_its_identity_is_not_formatted_over() {
    let node = Node::new();
    node.format("new").succeeded();
    node.start().stop().succeeded();
    let meta = node.data().join("meta.properties");
    fs::rename(&meta, node.dir.path().join("kept")).unwrap();
    let before = picture(&node.data());
    let said = node.format("new");
    assert_eq!(said.code(), Some(2), "{said:?}");
    assert!(said.stderr.contains("restore that file"), "{}", said.stderr);
    untouched(
        &before,
        &node.data(),
        "metadata log without meta.properties",
    );
    fs::rename(node.dir.path().join("kept"), &meta).unwrap();
    node.start().stop().succeeded();
}

#[test]
fn a_directory_without_its_quorum_is_refused() {
    let node = Node::new();
    node.format("new").succeeded();
    node.start().stop().succeeded();
    fs::remove_file(node.data().join("__cluster_metadata-0/quorum.redb")).unwrap();
    let said = node.refused("no quorum file");
    assert!(said.contains("the directory was wiped in part"), "{said}");
}

#[test]
fn a_metadata_log_from_before_the_first_release_is_refused() {
    let node = Node::new();
    node.format("new").succeeded();
    let segment = "__cluster_metadata-0/00000000000000000000.log";
    fs::write(node.data().join(segment), b"").unwrap();
    // A build that wrote segments has held the lock too.
    fs::write(node.data().join(".lock"), b"").unwrap();
    let said = node.refused("segments");
    assert!(said.contains("before the first release"), "{said}");
}

#[test]
fn one_in_use_is_refused_and_its_owner_not_disturbed() {
    let node = Node::new();
    node.format("new").succeeded();
    let owner = node.start();
    let names = |node: &Node| picture(&node.data()).into_keys().collect::<Vec<_>>();
    let before = names(&node);
    let second = run(&mut node.command("broker"), LIMIT);
    assert_eq!(second.code(), Some(2), "{second:?}");
    assert!(
        second.stderr.contains("another process holds its lock"),
        "{}",
        second.stderr
    );
    assert_eq!(names(&node), before);
    assert_eq!(
        http::request(owner.ready.observe, "GET", "/readyz").status,
        200
    );
    owner.stop().succeeded();
    node.start().stop().succeeded();
}

#[test]
fn dev_formats_its_own_and_keeps_what_it_made() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let first = DevBroker::on(&data).start();
    let cluster = first.ready.cluster.clone();
    first.stop().succeeded();
    let second = DevBroker::on(&data).start();
    assert_eq!(second.ready.cluster, cluster);
    second.stop().succeeded();
}
