//! Which survivor is taken, and what is refused. Real directories on a real disk.

use super::*;
use crate::metadata_log;
use isthmus_log::MetaProperties;
use tempfile::TempDir;

struct Founders {
    dir: TempDir,
}

fn founder(node_id: i32) -> Voter {
    let mut id = [0x11; 16];
    id[..4].copy_from_slice(&node_id.to_be_bytes());
    Voter {
        node_id,
        directory_id: Uuid(id),
    }
}

impl Founders {
    /// The directories of that many controllers that founded a quorum.
    fn of(count: i32) -> Self {
        let founders = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let all: Vec<Voter> = (1..=count).map(founder).collect();
        let disk = process_disk(None).unwrap();
        for voter in &all {
            let data = founders.data(voter.node_id);
            disk_made(&disk, &data, *voter, &all);
        }
        founders
    }

    fn data(&self, node_id: i32) -> PathBuf {
        let dir = self.dir.path().canonicalize().unwrap();
        dir.join(format!("data-{node_id}"))
    }

    fn plan(&self, nodes: &[i32]) -> Result<RecoveryPlan, RecoveryError> {
        let paths: Vec<PathBuf> = nodes.iter().map(|id| self.data(*id)).collect();
        RecoveryPlan::make(None, &paths)
    }

    fn refused(&self, nodes: &[i32]) -> RecoveryError {
        let error = self.plan(nodes).map(|_| ()).unwrap_err();
        assert!(error.is_refusal(), "{error}");
        error
    }
}

fn disk_made(disk: &ProcessDisk, data: &Path, owner: Voter, founders: &[Voter]) {
    std::fs::create_dir_all(data).unwrap();
    metadata_log::format(disk, data, owner, founders).unwrap();
    let meta = MetaProperties {
        cluster_id: "c".to_owned(),
        node_id: owner.node_id,
        directory_id: owner.directory_id,
    };
    LogDirectory::format(disk, data, &meta).unwrap();
    metadata_log::finish(disk, data).unwrap();
}

fn ids(voters: impl IntoIterator<Item = VoterName>) -> Vec<i32> {
    voters.into_iter().map(|it| it.node_id).collect()
}

#[test]
fn one_survivor_is_taken_and_the_others_given_up() {
    let five = Founders::of(5);
    let plan = five.plan(&[4, 2]).unwrap();
    let survivors = plan.survivors();
    // They have the same; somebody must be first.
    assert_eq!(ids(survivors.iter().map(|it| it.voter)), [2, 4]);
    assert_eq!(ids(plan.given_up()), [1, 3, 4, 5]);
    assert_eq!(survivors[0].offset, 0, "the level of the metadata");
    let recovered = plan.carry_out().unwrap();
    assert_eq!(recovered.voter.node_id, 2);
    assert_eq!(recovered.kept_offset, 0);
    let refused = five.refused(&[2]);
    assert!(
        matches!(
            refused,
            RecoveryError::Majority {
                voters: 1,
                named: 1
            }
        ),
        "nothing is lost there: {refused}"
    );
}

#[test]
fn a_directory_has_one_name_however_it_is_told() {
    let three = Founders::of(3);
    let data = three.data(1);
    let log = data.join("__cluster_metadata-0");
    let file = log.join("quorum.redb");
    let plan = RecoveryPlan::make(None, &[file, data.clone(), log]).unwrap();
    assert_eq!(plan.survivors().len(), 1);
    assert_eq!(plan.survivors()[0].data, data);
}

#[test]
fn what_would_lose_metadata_unseen_is_refused() {
    let three = Founders::of(3);
    let majority = three.refused(&[1, 2]);
    assert!(
        matches!(
            majority,
            RecoveryError::Majority {
                voters: 3,
                named: 2
            }
        ),
        "{majority}"
    );
    let missing = three.plan(&[1, 9]).map(|_| ()).unwrap_err();
    assert!(
        matches!(missing, RecoveryError::NotThere { .. }),
        "{missing}"
    );
    three.plan(&[1]).unwrap().carry_out().unwrap();
    let old = three.refused(&[1, 2]);
    let is_second = |data: &Path| data == three.data(2);
    assert!(
        matches!(&old, RecoveryError::OldQuorum { data, .. } if is_second(data)),
        "{old}"
    );
    three.plan(&[2]).unwrap().carry_out().unwrap();
    let foreign = three.refused(&[1, 2]);
    assert!(
        matches!(foreign, RecoveryError::ForeignQuorum { .. }),
        "{foreign}"
    );
    std::fs::write(three.data(3).join("__cluster_metadata-0/quorum.redb"), "no").unwrap();
    let damaged = three.refused(&[3]);
    assert!(
        matches!(damaged, RecoveryError::Unreadable { .. }),
        "{damaged}"
    );
}

#[test]
fn a_directory_in_use_is_left_alone() {
    let three = Founders::of(3);
    let disk = Arc::new(process_disk(None).unwrap());
    let used = LogDirectory::open(&disk, &three.data(1), "c", 1).unwrap();
    let locked = three.plan(&[1]).map(|_| ()).unwrap_err();
    assert!(locked.is_configuration());
    assert!(
        locked.to_string().ends_with("; stop the node that uses it"),
        "{locked}"
    );
    drop(used);
    three.plan(&[1]).unwrap();
}
