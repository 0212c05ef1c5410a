//! How a leader gets its ISR changed: by asking the controller, one proposal at a time.
//!
//! | State | Event | Then |
//! |---|---|---|
//! | committed | a follower lags, or an eligible one fetches and has caught up | proposed, sent |
//! | proposed, sent | accepted, or newer metadata | committed as told |
//! | | INELIGIBLE_REPLICA, OPERATION_NOT_ATTEMPTED | committed as before, unless an attempt was lost |
//! | | another verdict of the controller | proposed, until metadata comes |
//! | | no answer, or any other error | proposed, sent again after a pause |
//! | proposed, an attempt lost | INELIGIBLE_REPLICA, OPERATION_NOT_ATTEMPTED | proposes what is committed already |
//!
//! The last row is ours. The lost attempt may still arrive, and be accepted then: as long as it
//! can, whoever it would let in must hold the high watermark. Proposing the committed ISR again
//! moves the partition epoch past it.

use super::leader::Leader;
use super::member_racks::MemberRacks;
use crate::metadata::MetadataImage;
use crate::rules::Rule;
use isthmus_wire::ErrorCode;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The pause before a proposal is sent again, or a new one follows a refused one.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// A member of a proposed ISR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsrMember {
    pub broker_id: i32,
    /// Of the incarnation whose fetches were counted; -1 where none came yet (KIP-903).
    pub broker_epoch: i64,
}

/// A leader's request to the controller. The shell adds its own broker epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterPartition {
    /// Names the proposal to its leader; does not travel.
    pub proposal: u64,
    pub leader_epoch: i32,
    pub partition_epoch: i32,
    pub isr: Vec<IsrMember>,
}

/// A partition as the controller committed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIsr {
    pub leader_epoch: i32,
    pub partition_epoch: i32,
    pub isr: Vec<i32>,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlterPartitionAnswer {
    Accepted(NewIsr),
    Refused(ErrorCode),
    /// No answer came in time; it may have been carried out, or may be yet.
    Lost,
}

/// A proposal whose outcome is not known.
#[derive(Debug, Clone)]
pub(super) struct PendingIsr {
    number: u64,
    /// With the incarnations that were counted when it was made: an attempt that is sent again
    /// says the same, whoever fetches by then (KIP-903).
    isr: BTreeMap<i32, i64>,
    /// Of those who would join, and are not counted before they have (rule 21).
    pub(super) racks: MemberRacks,
    /// Whom earlier proposals on the same partition epoch would have let in.
    earlier: BTreeSet<i32>,
    wait: Wait,
    /// An attempt went without an answer.
    lost: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    ForAnswer,
    ForMetadata,
    Until(Duration),
}

impl PendingIsr {
    pub(super) fn joins(&self, broker: i32) -> bool {
        self.isr.contains_key(&broker) || self.earlier.contains(&broker)
    }

    pub(super) fn leaves(&self, broker: i32) -> bool {
        !self.isr.contains_key(&broker)
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &i32> {
        self.isr.keys().chain(&self.earlier)
    }
}

/// What a refusal comes to.
enum Verdict {
    /// Nothing was done, and nothing will be by this attempt.
    RolledBack,
    /// The controller is ahead of this leader: metadata is on its way.
    Overtaken,
    /// Nobody knows.
    Unclear,
}

/// Rule 6.
fn verdict(code: ErrorCode) -> Verdict {
    match code {
        ErrorCode::INELIGIBLE_REPLICA | ErrorCode::OPERATION_NOT_ATTEMPTED => Verdict::RolledBack,
        ErrorCode::FENCED_LEADER_EPOCH
        | ErrorCode::INVALID_UPDATE_VERSION
        | ErrorCode::INVALID_REQUEST
        | ErrorCode::NEW_LEADER_ELECTED
        | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        | ErrorCode::UNKNOWN_TOPIC_ID => Verdict::Overtaken,
        _ => Verdict::Unclear,
    }
}

impl Leader {
    /// The next request to the controller, if one is due.
    pub(super) fn propose(&mut self, fetched: Option<i32>) -> Option<AlterPartition> {
        let due = match &mut self.pending {
            Some(pending) => match pending.wait {
                Wait::Until(due) if due <= self.now => {
                    pending.wait = Wait::ForAnswer;
                    true
                }
                Wait::ForAnswer if !self.rules.obeys(Rule::OneInFlight) => {
                    self.propose_new(fetched)
                }
                Wait::ForAnswer | Wait::ForMetadata | Wait::Until(_) => false,
            },
            None => self.propose_new(fetched),
        };
        if due { self.request() } else { None }
    }

    /// Makes a new proposal pending; `false` when the ISR is as it should be.
    fn propose_new(&mut self, fetched: Option<i32>) -> bool {
        let isr = self.wanted_isr(fetched);
        let in_vain = match &self.pending {
            Some(pending) => pending.isr.keys().eq(&isr),
            None => isr == self.isr,
        };
        if in_vain || self.now < self.propose_after {
            return false;
        }
        self.proposals += 1;
        self.pending = Some(PendingIsr {
            number: self.proposals,
            isr: self.with_epochs(&isr),
            racks: MemberRacks::default(),
            earlier: BTreeSet::new(),
            wait: Wait::ForAnswer,
            lost: false,
        });
        true
    }

    /// Where those are who would join by the proposal that is pending.
    pub(super) fn note_racks(&mut self, image: &MetadataImage) {
        if let Some(pending) = &mut self.pending {
            let joins = pending.isr.iter().filter(|(id, _)| !self.isr.contains(id));
            let joins = joins.map(|(id, epoch)| (*id, *epoch));
            pending.racks.note(image, joins);
        }
    }

    fn request(&self) -> Option<AlterPartition> {
        let pending = self.pending.as_ref()?;
        let member = |(&broker_id, &broker_epoch): (&i32, &i64)| IsrMember {
            broker_id,
            broker_epoch,
        };
        Some(AlterPartition {
            proposal: pending.number,
            leader_epoch: self.epoch,
            partition_epoch: self.partition_epoch,
            isr: pending.isr.iter().map(member).collect(),
        })
    }

    fn with_epochs(&self, isr: &BTreeSet<i32>) -> BTreeMap<i32, i64> {
        let epoch = |id: &i32| self.followers.get(id).and_then(|it| it.broker_epoch);
        isr.iter()
            .map(|id| (*id, epoch(id).unwrap_or(-1)))
            .collect()
    }

    /// Rule 5: without the followers that lag, with the one that fetched just now, if it has caught
    /// up. Others wait for their own next fetch, which says that they live.
    fn wanted_isr(&self, fetched: Option<i32>) -> BTreeSet<i32> {
        let stays = |broker: &i32| {
            *broker == self.broker_id
                || !self.rules.obeys(Rule::ShrinkLagging)
                || self.followers.get(broker).is_some_and(|it| {
                    it.is_caught_up(self.now, self.log_end, self.replica_lag_time_max)
                })
        };
        let mut wanted: BTreeSet<i32> = self.isr.iter().copied().filter(stays).collect();
        let follower = fetched.and_then(|id| self.followers.get_key_value(&id));
        if let Some((broker, follower)) = follower {
            let has_all = follower.log_end.is_some_and(|it| self.may_join(it));
            if follower.eligible && has_all && !self.isr.contains(broker) {
                wanted.insert(*broker);
            }
        }
        wanted
    }

    fn may_join(&self, log_end: i64) -> bool {
        let at_high_watermark =
            log_end >= self.high_watermark || !self.rules.obeys(Rule::ExpandAtHighWatermark);
        let in_this_epoch =
            log_end >= self.epoch_start_offset || !self.rules.obeys(Rule::ExpandPastEpochStart);
        at_high_watermark && in_this_epoch
    }

    /// Takes the answer to a request; one to an earlier proposal changes nothing.
    pub(super) fn settle_proposal(&mut self, proposal: u64, answer: AlterPartitionAnswer) {
        let code = match answer {
            AlterPartitionAnswer::Accepted(new) => return self.commit_isr(&new),
            AlterPartitionAnswer::Refused(code) => Some(code),
            AlterPartitionAnswer::Lost => None,
        };
        let retry = self.now + RETRY_PAUSE;
        let committed = self.with_epochs(&self.isr);
        let Some(pending) = self.pending.as_mut().filter(|it| it.number == proposal) else {
            return;
        };
        if pending.wait != Wait::ForAnswer {
            return;
        }
        match code.map_or(Verdict::Unclear, verdict) {
            Verdict::RolledBack if !pending.lost || !self.rules.obeys(Rule::LostAttempts) => {
                self.roll_back(retry);
            }
            Verdict::RolledBack => {
                self.proposals += 1;
                pending.number = self.proposals;
                pending.earlier.extend(pending.isr.keys());
                pending.isr = committed;
                pending.wait = Wait::Until(retry);
            }
            Verdict::Overtaken | Verdict::Unclear if !self.rules.obeys(Rule::StayPending) => {
                self.roll_back(retry);
            }
            Verdict::Overtaken => pending.wait = Wait::ForMetadata,
            Verdict::Unclear => {
                pending.lost = true;
                pending.wait = Wait::Until(retry);
            }
        }
    }

    fn roll_back(&mut self, retry: Duration) {
        self.pending = None;
        self.propose_after = retry;
    }

    /// The controller's word, by answer or by metadata, whichever comes first.
    pub(super) fn commit_isr(&mut self, new: &NewIsr) {
        if new.leader_epoch != self.epoch || new.partition_epoch <= self.partition_epoch {
            return;
        }
        self.partition_epoch = new.partition_epoch;
        let before = std::mem::replace(&mut self.isr, new.isr.iter().copied().collect());
        self.lease.may_be_eligible(before.difference(&self.isr));
        let proposed = self.pending.take().map(|it| it.racks).unwrap_or_default();
        self.racks.taken(proposed, &self.isr);
    }
}
