//! What the nodes stand on where more than signals is needed: a network to be cut, clocks and disks of
//! their own.
//!
//! | Place | |
//! |---|---|
//! | node-1 to node-3 | a node each |
//! | clients | producer, reader and audit |
//! | operator | the lab itself, never cut off |
//!
//! File systems are mounted where no other process sees them: in a mount namespace of the lab's, which goes
//! with the last process in it, however it ends. `/dev/shm` is one of them, since libfaketime leaves files
//! there when its process is killed.
//!
//! Reading order: [`clocks`](super::clocks), [`disks`](super::disks).

use std::io;
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::UnshareFlags;

use super::StrikesError;
use super::clocks::Clocks;
use super::disks::Disks;
use super::kinds::{Kind, Need};
use crate::fabric::{self, Cut, Fabric, FabricError, Namespace, Place, Way, both_ways, one_way};
use crate::targets::Around;
use crate::trio::{NODES, Room};

const CLIENTS: &str = "clients";
const OPERATOR: &str = "operator";

/// What the machine must have for these kinds.
///
/// # Errors
/// What is missing, with the remedy, before anything is made.
pub fn check(kinds: &[Kind]) -> Result<(), StrikesError> {
    let needs: Vec<Need> = kinds.iter().map(|it| it.need()).collect();
    if needs.iter().any(|&it| it != Need::Nothing) {
        fabric::check()?;
    }
    if needs.contains(&Need::WallClock) {
        Clocks::check()?;
    }
    Ok(())
}

/// Makes the places, where these kinds need any. The thread that calls [`enter`] must be the one that starts
/// all others afterwards.
pub fn make(kinds: &[Kind]) -> Result<Option<Fabric>, FabricError> {
    if kinds.iter().all(|it| it.need() == Need::Nothing) {
        return Ok(None);
    }
    let nodes = (1..).take(NODES).map(node_name);
    let names: Vec<String> = nodes
        .chain([CLIENTS, OPERATOR].map(str::to_owned))
        .collect();
    Fabric::make(&names.iter().map(String::as_str).collect::<Vec<_>>()).map(Some)
}

/// Moves this thread, and those that it starts from now on, to where the operator is, and to mounts that
/// nobody else sees.
pub fn enter(fabric: &Fabric) -> Result<(), StrikesError> {
    let operator = fabric.place(OPERATOR).namespace();
    operator
        .enter()
        .and_then(|()| mounts_of_its_own())
        .map_err(StrikesError::Enter)
}

fn mounts_of_its_own() -> io::Result<()> {
    #[expect(
        deprecated,
        reason = "its successor is unsafe for the sake of file tables, which stay shared here"
    )]
    rustix::thread::unshare(UnshareFlags::NEWNS)?;
    // What others mount and take away goes on being seen here; what is mounted here is seen by nobody.
    let down = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", down)?;
    mount("tmpfs", "/dev/shm", "tmpfs", MountFlags::empty(), None)?;
    Ok(())
}

fn node_name(id: i32) -> String {
    format!("node-{id}")
}

/// A run's.
#[derive(Debug)]
pub(super) struct Ground<'a> {
    fabric: Option<&'a Fabric>,
    clocks: Option<Clocks>,
    disks: Option<Disks>,
}

impl<'a> Ground<'a> {
    /// Makes what these kinds need in a folder, where the nodes' data will be.
    pub(super) fn prepare(
        fabric: Option<&'a Fabric>,
        kinds: &[Kind],
        folder: &Path,
    ) -> Result<Self, StrikesError> {
        let needs = |need: Need| kinds.iter().any(|it| it.need() == need);
        Ok(Self {
            fabric,
            clocks: needs(Need::WallClock)
                .then(|| Clocks::make(folder))
                .transpose()?,
            disks: needs(Need::Disk).then(|| Disks::make(folder)).transpose()?,
        })
    }

    /// Where a node is, and what it is given.
    pub(super) fn room(&self, id: i32) -> Room {
        let place = self.fabric.map(|it| it.place(&node_name(id)));
        Room {
            address: place.map(Place::address),
            around: Around {
                namespace: place.map(|it| it.namespace().clone()),
                jvm: Vec::new(),
                environment: self
                    .clocks
                    .iter()
                    .flat_map(|it| it.environment(id))
                    .collect(),
            },
        }
    }

    /// Where clients are.
    pub(super) fn clients(&self) -> Option<&'a Namespace> {
        self.fabric.map(|it| it.place(CLIENTS).namespace())
    }

    pub(super) fn clocks(&self) -> &Clocks {
        let clocks = self.clocks.as_ref();
        clocks.expect("made, since the kind is one of those that were chosen")
    }

    pub(super) fn disks(&self) -> &Disks {
        let disks = self.disks.as_ref();
        disks.expect("made, since the kind is one of those that were chosen")
    }

    /// Leaves what is on disks of the run's own in the folder.
    pub(super) fn keep_disks(&self) -> Result<(), StrikesError> {
        self.disks.as_ref().map_or(Ok(()), Disks::keep)
    }

    /// Cuts as the kind says, with that node as the one it is about.
    pub(super) fn cut(&self, kind: Kind, node: i32) -> Result<Cut<'a>, StrikesError> {
        let fabric = self.fabric;
        let fabric = fabric.expect("made, since the kind is one of those that were chosen");
        let nodes: Vec<&Place> = (1..)
            .take(NODES)
            .map(|id| fabric.place(&node_name(id)))
            .collect();
        let place = fabric.place(&node_name(node));
        Ok(fabric.cut(&ways(kind, place, &nodes, fabric.place(CLIENTS)))?)
    }
}

fn ways(kind: Kind, node: &Place, nodes: &[&Place], clients: &Place) -> Vec<Way> {
    let others = nodes.iter().copied().filter(|it| it.name() != node.name());
    let others: Vec<&Place> = others.collect();
    let all: Vec<&Place> = others.iter().copied().chain([clients]).collect();
    match kind {
        Kind::Cut | Kind::CutKill => both_ways(&[node], &others),
        Kind::Mute => one_way(&[node], &all),
        Kind::Deaf => one_way(&all, &[node]),
        Kind::Split => both_ways(&[node, clients], &others),
        Kind::MajorityCut => {
            let pairs = nodes.iter().enumerate();
            pairs
                .flat_map(|(place, one)| both_ways(&[one], &nodes[place + 1..]))
                .collect()
        }
        Kind::Kill
        | Kind::Freeze
        | Kind::Stop
        | Kind::MajorityKill
        | Kind::AllKill
        | Kind::Clock
        | Kind::DiskFull => Vec::new(),
    }
}
