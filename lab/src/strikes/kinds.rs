//! The faults there are: what each is called, how long it lasts, and what it takes to make it.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::trio::SESSION;

/// What is done to a node, or to several of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, and later SIGCONT.
    Freeze,
    /// SIGTERM, and it ends in order.
    Stop,
    /// Nothing passes between a node and the other nodes; clients reach them all.
    Cut,
    /// What a node says is lost, to nodes and to clients.
    Mute,
    /// What a node hears is lost, from nodes and from clients.
    Deaf,
    /// A node and all clients on one side, the other two nodes on the other one.
    Split,
    /// A cut of a node, which is killed in it and started again in it.
    CutKill,
    /// SIGKILL to two nodes at once.
    MajorityKill,
    /// No node reaches another one; clients reach them all.
    MajorityCut,
    /// SIGKILL to all nodes at once.
    AllKill,
    /// A node's wall clock jumps, and later jumps back.
    Clock,
    /// A node's disk has no room left.
    DiskFull,
}

/// What a kind needs of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing but signals.
    Nothing,
    /// A network to be cut, which needs root.
    Network,
    /// A clock of its own for each node: libfaketime, and root.
    WallClock,
    /// A file system of its own for each node, which needs root.
    Disk,
}

impl Kind {
    pub const ALL: [Self; 13] = [
        Self::Kill,
        Self::Freeze,
        Self::Stop,
        Self::Cut,
        Self::Mute,
        Self::Deaf,
        Self::Split,
        Self::CutKill,
        Self::MajorityKill,
        Self::MajorityCut,
        Self::AllKill,
        Self::Clock,
        Self::DiskFull,
    ];

    /// Never more than one node, and nothing but signals.
    pub const DEFAULT: [Self; 3] = [Self::Kill, Self::Freeze, Self::Stop];

    /// For commands and documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::Stop => "stop",
            Self::Cut => "cut",
            Self::Mute => "mute",
            Self::Deaf => "deaf",
            Self::Split => "split",
            Self::CutKill => "cut-kill",
            Self::MajorityKill => "majority-kill",
            Self::MajorityCut => "majority-cut",
            Self::AllKill => "all-kill",
            Self::Clock => "clock",
            Self::DiskFull => "disk-full",
        }
    }

    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    pub fn need(self) -> Need {
        match self {
            Self::Kill | Self::Freeze | Self::Stop | Self::MajorityKill | Self::AllKill => {
                Need::Nothing
            }
            Self::Cut
            | Self::Mute
            | Self::Deaf
            | Self::Split
            | Self::CutKill
            | Self::MajorityCut => Need::Network,
            Self::Clock => Need::WallClock,
            Self::DiskFull => Need::Disk,
        }
    }

    /// How long it lasts. A killed node that is back before anybody missed it is another story than one
    /// that was fenced; so is a frozen one, and one that was cut off. Both must come. One that was stopped
    /// in order has been left by all.
    pub(super) fn down(self) -> (Duration, Duration) {
        match self {
            Self::Kill | Self::MajorityKill => (Duration::ZERO, SESSION * 2),
            Self::Freeze | Self::Clock | Self::DiskFull => (SESSION / 4, SESSION * 2),
            Self::Stop | Self::AllKill => (Duration::ZERO, SESSION / 2),
            Self::Cut | Self::Mute | Self::Deaf | Self::Split | Self::MajorityCut => {
                (SESSION / 4, SESSION * 3)
            }
            Self::CutKill => (SESSION / 2, SESSION * 3),
        }
    }

    /// For people, in a list of counts.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Kill => "kill -9",
            Self::Freeze => "SIGSTOP",
            Self::Stop => "clean stop",
            Self::Cut => "cut",
            Self::Mute => "cut of what one says",
            Self::Deaf => "cut of what one hears",
            Self::Split => "split with the clients",
            Self::CutKill => "cut and kill -9",
            Self::MajorityKill => "kill -9 of two",
            Self::MajorityCut => "cut of all from all",
            Self::AllKill => "kill -9 of all",
            Self::Clock => "jump of the wall clock",
            Self::DiskFull => "full disk",
        }
    }

    /// For people, with the node that was drawn.
    pub(super) fn of(self, node: i32) -> String {
        match self {
            Self::Kill | Self::Freeze | Self::Stop | Self::DiskFull => {
                format!("{} of node {node}", self.words())
            }
            Self::Cut => format!("cut of node {node} from the other nodes"),
            Self::Mute => format!("cut of what node {node} says"),
            Self::Deaf => format!("cut of what node {node} hears"),
            Self::Split => format!("split with node {node} and the clients on one side"),
            Self::CutKill => format!("cut of node {node} from the other nodes, and kill -9 of it,"),
            Self::MajorityKill => format!("kill -9 of all nodes but node {node}"),
            Self::MajorityCut => "cut of every node from the other nodes".to_owned(),
            Self::AllKill => "kill -9 of all nodes".to_owned(),
            Self::Clock => format!("jump of the wall clock of node {node}"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name_and_no_other() {
        for kind in Kind::ALL {
            assert_eq!(Kind::find(kind.name()), Some(kind));
        }
        assert_eq!(Kind::find("kill -9"), None);
    }

    #[test]
    fn the_default_needs_nothing_but_signals() {
        for kind in Kind::DEFAULT {
            assert_eq!(kind.need(), Need::Nothing);
        }
    }
}
