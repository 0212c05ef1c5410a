//! A replica on a broker: its log, its role, and who waits for it.

use crate::disk::{Log, Record};
use crate::judge::racks_of_isr;
use crate::message::{Acks, Call, Message};
use crate::scenario::{Micros, Mutation};
use crate::troubles::DiskOperation;
use crate::world::Context;
use isthmus_broker_core::lease::BrokerLease;
use isthmus_broker_core::metadata::MetadataImage;
use isthmus_broker_core::replica::{
    Completion, FetchRefused, Follower, Leader, ReplicaFetchAnswer,
};
use isthmus_wire::ErrorCode;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) log: Log,
    pub(crate) role: Role,
    /// The high watermark of the role before.
    pub(super) kept: i64,
    /// When the newest answer of the leader that is followed was sent, by its clock (rule 20).
    pub(super) follows: Option<Duration>,
    /// The high watermark that the judge knows of.
    pub(super) shown: i64,
}

#[derive(Debug)]
pub(crate) enum Role {
    /// Until this process has applied its own registration.
    Unknown,
    Waiting(i32),
    Leader(Box<Leading>),
    Follower(Follower),
}

#[derive(Debug)]
pub(crate) struct Leading {
    pub(crate) leader: Leader,
    /// By follower: the call, its session, and until when it waits.
    pub(super) fetches: BTreeMap<i32, VecDeque<(Call, u64, Micros)>>,
    pub(super) writes: Vec<Write>,
}

/// A write that is not answered yet.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) client: i32,
    pub(super) acks: Acks,
    pub(super) offset: i64,
    pub(super) record: Record,
    pub(super) deadline: Micros,
}

impl Write {
    pub(super) fn new(
        client: i32,
        acks: Acks,
        (offset, record): (i64, Record),
        deadline: Micros,
    ) -> Self {
        Self {
            client,
            acks,
            offset,
            record,
            deadline,
        }
    }
}

impl Role {
    pub(super) fn leader_epoch(&self) -> Option<i32> {
        match self {
            Self::Unknown => None,
            Self::Waiting(epoch) => Some(*epoch),
            Self::Leader(leading) => Some(leading.leader.epoch()),
            Self::Follower(follower) => Some(follower.leader_epoch()),
        }
    }
}

impl Replica {
    pub(super) fn on(log: Log) -> Self {
        Self {
            kept: log.high_watermark_checkpoint,
            follows: None,
            shown: 0,
            log,
            role: Role::Unknown,
        }
    }

    pub(crate) fn high_watermark(&self) -> i64 {
        match &self.role {
            Role::Unknown | Role::Waiting(_) => self.kept,
            Role::Leader(leading) => leading.leader.high_watermark(),
            Role::Follower(follower) => follower.high_watermark(),
        }
    }
}

impl Replica {
    /// Whoever waits is told. The judge looks at the next role's log from its beginning.
    pub(super) fn leave_role(&mut self, context: &mut Context<'_>) {
        self.kept = self.high_watermark();
        self.follows = None;
        self.shown = 0;
        if let Role::Leader(leading) = &mut self.role {
            for write in leading.writes.drain(..) {
                let result = Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
                let id = write.record.id;
                context.send(write.client, Message::Produced { id, result });
            }
            for (follower, fetches) in &leading.fetches {
                for (call, ..) in fetches {
                    let code = ErrorCode::NOT_LEADER_OR_FOLLOWER;
                    let message = Message::Fetched {
                        call: *call,
                        at: context.boot,
                        answer: ReplicaFetchAnswer::Refused(FetchRefused::Error(code)),
                        records: Vec::new(),
                    };
                    context.send(*follower, message);
                }
            }
        }
    }

    /// Tells the judge what readers may see now.
    pub(super) fn show(&mut self, context: &mut Context<'_>, broker: i32, partition: usize) {
        let high_watermark = self.high_watermark();
        let Some(epoch) = self.role.leader_epoch() else {
            return;
        };
        let leads = matches!(self.role, Role::Leader(_));
        let role = (broker, epoch, leads);
        let records = self.log.records();
        context
            .judge
            .shows(partition, role, (self.shown, high_watermark), records);
        self.shown = high_watermark;
    }

    pub(super) fn complete_writes(
        &mut self,
        context: &mut Context<'_>,
        partition: usize,
        image: &MetadataImage,
        lease: BrokerLease,
    ) {
        let Role::Leader(leading) = &mut self.role else {
            return;
        };
        let (Leading { leader, writes, .. }, log) = (&mut **leading, &self.log);
        let may_acknowledge = may_acknowledge(context, leader, lease)
            || context.scenario.is(Mutation::AnswersWithoutLease);
        writes.retain(|write| {
            let end = write.offset + 1;
            let completion = match write.acks {
                Acks::None => return false,
                Acks::Leader if leader.holds(end) => Completion::Done,
                Acks::Leader => Completion::Waiting,
                Acks::All => leader.completion(end),
            };
            // Its lease may come back: until its time is over it waits.
            let completion = match completion {
                Completion::Done if !may_acknowledge => Completion::Waiting,
                other => other,
            };
            let result = match completion {
                Completion::Done if write.acks == Acks::Leader => {
                    let is_durable = log.is_durable(end);
                    let by = (leader.epoch(), context.now);
                    context
                        .judge
                        .acknowledged_one(partition, by, write.record, is_durable);
                    Ok(write.offset)
                }
                Completion::Done => {
                    let (by, offset) = ((leader.epoch(), context.now), write.offset);
                    let racks = racks_of_isr(image, leader.isr());
                    let judge = &mut context.judge;
                    judge.acknowledged(partition, by, (offset, write.record), racks);
                    Ok(offset)
                }
                Completion::TooFewReplicas => Err(ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND),
                Completion::Waiting if write.deadline <= context.now => {
                    Err(ErrorCode::REQUEST_TIMED_OUT)
                }
                Completion::Waiting => return true,
            };
            let id = write.record.id;
            context.send(write.client, Message::Produced { id, result });
            false
        });
    }

    pub(super) fn answer_fetches(&mut self, context: &mut Context<'_>) {
        let Role::Leader(leading) = &mut self.role else {
            return;
        };
        let Leading {
            leader, fetches, ..
        } = &mut **leading;
        for (follower, parked) in fetches {
            while let Some((call, session, until)) = parked.front().copied() {
                if !leader.owes(*follower) && context.now < until {
                    break;
                }
                parked.pop_front();
                let most = 1 + i64::try_from(context.random.below(4)).unwrap_or(0);
                let Some(answer) = leader.answer(*follower, session, most) else {
                    continue;
                };
                let records = match answer {
                    ReplicaFetchAnswer::Records { base, end, .. }
                        if base < end && !context.disk_does(DiskOperation::Read) =>
                    {
                        return;
                    }
                    ReplicaFetchAnswer::Records { base, end, .. } => self.log.read(base, end),
                    ReplicaFetchAnswer::Refused(_) => Vec::new(),
                };
                let message = Message::Fetched {
                    call,
                    at: context.boot,
                    answer,
                    records,
                };
                context.send(*follower, message);
            }
        }
    }
}

/// Rule 20, where it is on.
pub(super) fn may_acknowledge(context: &Context<'_>, leader: &Leader, lease: BrokerLease) -> bool {
    !context.scenario.lease_fencing || leader.may_acknowledge(context.boot, lease)
}
