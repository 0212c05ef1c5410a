//! Who leads a partition next: one function for the controller's verdict and for whoever wants to know
//! it beforehand (`isthmus elect --unclean --dry-run`), so that the two cannot differ.

use crate::metadata::PartitionImage;
use crate::rules::{Rule, Rules};

/// How far an election may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Election {
    /// The preferred replica where it can lead, the present leader otherwise.
    Preferred,
    /// ISR, then ELR, then the last known leader.
    Online,
    /// Anybody who lives.
    Unclean,
}

/// What an election looks at; −1 is no leader.
#[derive(Debug, Clone, Copy)]
pub struct Candidates<'a> {
    /// In the order of the assignment.
    pub replicas: &'a [i32],
    pub isr: &'a [i32],
    pub eligible_leader_replicas: &'a [i32],
    pub last_known_elr: &'a [i32],
    pub leader: i32,
}

/// Who is elected, and what that may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Successor {
    /// It has all that is committed.
    Cleanly(i32),
    /// It led last, and nobody else can know more (rules 14, 23): it may have lost its memory since.
    LastKnown(i32),
    /// The first that lives in the order of the assignment (rule 15): others may have more.
    FirstLive(i32),
    Nobody,
}

impl<'a> Candidates<'a> {
    /// Those of a partition as it stands.
    pub fn of(partition: &'a PartitionImage) -> Self {
        Self {
            replicas: &partition.replicas,
            isr: &partition.isr,
            eligible_leader_replicas: &partition.eligible_leader_replicas,
            last_known_elr: &partition.last_known_elr,
            leader: partition.leader,
        }
    }

    /// The outcome of an election among those that `acceptable` says may lead.
    pub fn successor(
        &self,
        election: Election,
        rules: Rules,
        acceptable: &dyn Fn(i32) -> bool,
    ) -> Successor {
        let (isr, elr) = (self.isr, self.eligible_leader_replicas);
        let in_sync = |id: &i32| isr.contains(id) && acceptable(*id);
        let live = |id: &i32| acceptable(*id);
        let preferred = (self.replicas.first()).filter(|_| election == Election::Preferred);
        // Rule 16.
        let preferred =
            preferred.filter(|id| in_sync(id) || live(id) && !rules.obeys(Rule::PreferredInSync));
        let present = Some(&self.leader).filter(|id| in_sync(id));
        let first_in_sync = || self.replicas.iter().find(|id| in_sync(id));
        let eligible = |id: &i32| isr.is_empty() && elr.contains(id) && live(id);
        let first_eligible = || self.replicas.iter().find(|id| eligible(id));
        let clean = preferred
            .or(present)
            .or_else(first_in_sync)
            .or_else(first_eligible);
        if let Some(id) = clean {
            return Successor::Cleanly(*id);
        }
        match self.last_known_elr {
            [id] if isr.is_empty() && elr.is_empty() && acceptable(*id) => {
                return Successor::LastKnown(*id);
            }
            _ => {}
        }
        let wanted = election == Election::Unclean;
        match self.replicas.iter().find(|id| wanted && live(id)) {
            Some(id) => Successor::FirstLive(*id),
            None => Successor::Nobody,
        }
    }
}

impl Successor {
    pub fn id(self) -> Option<i32> {
        match self {
            Self::Cleanly(id) | Self::LastKnown(id) | Self::FirstLive(id) => Some(id),
            Self::Nobody => None,
        }
    }
}
