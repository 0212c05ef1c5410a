//! The acts: a role is taken, and given back.
//!
//! A role is a record that must stand *first* of its epoch in the log (docs/formats). So after the
//! append is acknowledged, all that stands in front of it is read, and only then it is known whose act
//! counts. An append whose answer was lost is looked for in the log, never sent again.

use std::time::Duration;

use isthmus_replicator_core::failover::Loss;
use isthmus_replicator_core::roles::{Role, RoleAct, SETTLE_MS};
use isthmus_replicator_core::state::{SavedRole, StateKey, state_topic};
use isthmus_wire::Uuid;

use super::document::{FailoverDocument, ReleaseDocument, SCHEMA, Step, StepDocument, Verdict};
use super::look::{FlowSight, Survey, Target, reach, unreachable_because};
use super::{FailoverError, groups};
use crate::clock::wall_ms;
use crate::fault::{self, FaultPoint};
use crate::settings::{FlowSettings, Settings};
use crate::state_topic::{self, AppendError};

/// After the last lease; a constant of the core in whole milliseconds.
const SETTLE: Duration = Duration::from_millis(SETTLE_MS as u64);

/// Carries the failover out, and tells each step. The survey must be ready.
pub async fn carry_out(
    survey: &mut Survey,
    mut tell: impl FnMut(StepDocument),
) -> Result<FailoverDocument, FailoverError> {
    match survey.verdict() {
        Verdict::WouldPromote | Verdict::Promoted => {}
        Verdict::NotReady => return Err(refused("not ready")),
        Verdict::AboveMaxLoss => return Err(refused("more would be lost than --max-loss allows")),
    }
    if survey.request.resume && !survey.has_begun() {
        return Err(refused(
            "no failover of it was begun, so there is none to go on with",
        ));
    }
    survey.promote_all(&mut tell).await?;
    fault::pass(FaultPoint::Promoted);
    survey.carry_groups(&mut tell).await?;
    tokio::time::sleep(SETTLE).await;
    tell(step(
        Step::Settled,
        None,
        "no daemon writes by the old role any more".to_owned(),
    ));
    // What was on its way until then: some more records, and so more exact offsets.
    survey.look_again().await?;
    survey.carry_groups(&mut tell).await?;
    Ok(survey.with_verdict(Verdict::Promoted))
}

fn refused(why: &str) -> FailoverError {
    FailoverError::Refused(why.to_owned())
}

fn step(step: Step, flow: Option<&FlowSight>, told: String) -> StepDocument {
    StepDocument {
        schema: SCHEMA,
        step,
        flow: flow.map(|it| it.settings.name.to_string()),
        at_ms: wall_ms(),
        told,
    }
}

impl Survey {
    async fn promote_all(
        &mut self,
        tell: &mut impl FnMut(StepDocument),
    ) -> Result<(), FailoverError> {
        let mut changed = false;
        for flow in &mut self.flows {
            let Some(target) = self.targets.get_mut(&flow.settings.target) else {
                unreachable!("a flow whose target was not reached");
            };
            if flow.role.role() != Role::Promoted {
                let why = why(self.request.forced, flow.loss());
                let wanted = Wanted {
                    daemon: &self.daemon,
                    flow: &flow.settings,
                    seen: flow.role.epoch(),
                    role: Role::Promoted,
                    who: &self.request.who,
                    why,
                };
                let outcome = wanted.act(target).await;
                let act = outcome.map_err(|error| error.after(changed))?;
                if act.saved.role != Role::Promoted {
                    let first = format!(
                        "{}: somebody else was first: {} by {}",
                        flow.settings.name,
                        act.saved.role.name(),
                        act.saved.who
                    );
                    return Err(FailoverError::Refused(first).after(changed));
                }
                changed = true;
                flow.note_role(target);
            }
            let told = flow.told();
            tell(step(Step::Promoted, Some(&*flow), told));
        }
        Ok(())
    }

    async fn carry_groups(
        &mut self,
        tell: &mut impl FnMut(StepDocument),
    ) -> Result<(), FailoverError> {
        for flow in &self.flows {
            let target = &self.targets[&flow.settings.target];
            let count = groups::write(flow, target, &self.daemon).await;
            let (count, refused) = count.map_err(FailoverError::Midway)?;
            if count > 0 {
                let told = format!("{count} group offsets were written");
                tell(step(Step::GroupOffsets, Some(flow), told));
            }
            for told in refused {
                tell(step(Step::GroupOffsets, Some(flow), told));
            }
        }
        Ok(())
    }

    /// Everything anew, with what the state topics say by now.
    async fn look_again(&mut self) -> Result<(), FailoverError> {
        let midway = |error: &dyn std::fmt::Display| FailoverError::Midway(error.to_string());
        for target in self.targets.values_mut() {
            if let Some(state) = &mut target.state {
                let read = state_topic::read_on(&target.cluster, &self.daemon, state).await;
                read.map_err(|error| midway(&error))?;
            }
        }
        for flow in &mut self.flows {
            let target = &self.targets[&flow.settings.target];
            flow.look(target).await.map_err(|error| midway(&error))?;
        }
        Ok(())
    }
}

impl FlowSight {
    fn note_role(&mut self, target: &Target) {
        let state = target.state.as_ref();
        let role = state.and_then(|it| it.image.roles.get(self.settings.name.as_str()));
        self.role = role.cloned().unwrap_or_default();
    }

    fn told(&self) -> String {
        let by = self.role.current().map_or("", |it| it.saved.who.as_str());
        format!(
            "promoted at {}, role epoch {}, by {by}",
            self.settings.target,
            self.role.epoch()
        )
    }
}

fn why(is_forced: bool, loss: Loss) -> String {
    let number = |it: Option<i64>| it.map_or("an unknown number".to_owned(), |it| it.to_string());
    let forced = if is_forced { ", forced" } else { "" };
    format!(
        "failover{forced}; lost at least {} records, at most {}",
        loss.at_least,
        number(loss.at_most)
    )
}

impl FailoverError {
    /// What ended it, if flows before this one are promoted already.
    fn after(self, changed: bool) -> Self {
        match self {
            Self::Unreachable { .. } | Self::State { .. } | Self::Refused(_) if changed => {
                Self::Midway(self.to_string())
            }
            Self::Unreachable { .. }
            | Self::State { .. }
            | Self::Refused(_)
            | Self::UnknownFlow { .. }
            | Self::UnknownCluster(_)
            | Self::Midway(_) => self,
        }
    }
}

/// A role that somebody wants a flow to have.
struct Wanted<'a> {
    daemon: &'a str,
    flow: &'a FlowSettings,
    /// The role epoch on which it was decided. What came since makes the decision void.
    seen: i32,
    role: Role,
    who: &'a str,
    why: String,
}

impl Wanted<'_> {
    /// Appends it and reads on until it is known which act counts; that one is returned. Nothing is
    /// appended if somebody acted since it was decided.
    async fn act(&self, target: &mut Target) -> Result<RoleAct, FailoverError> {
        let cluster = &self.flow.target;
        let Some(state) = &mut target.state else {
            return Err(FailoverError::Refused(format!(
                "{} has no state of {}",
                cluster, self.daemon
            )));
        };
        let log = state.image.roles.get(self.flow.name.as_str());
        // The state is read on for each flow, so another operator's act may be in it by now.
        if let Some(act) = log.and_then(|log| log.current())
            && act.epoch != self.seen
        {
            return Ok(act.clone());
        }
        let epoch = log.map_or(1, |log| log.next_epoch());
        let record = self.record(epoch, random_id()?)?;
        let appended = state_topic::append(&target.cluster, self.daemon, &[record]).await;
        if let Err(AppendError::Not(error)) = &appended {
            return Err(unreachable_because(cluster, error));
        }
        let read = state_topic::read_on(&target.cluster, self.daemon, state).await;
        read.map_err(|error| {
            FailoverError::Midway(format!("could not read back what counts: {error}"))
        })?;
        let log = state.image.roles.get(self.flow.name.as_str());
        match (log.and_then(|log| log.current()), appended) {
            (Some(act), _) if act.epoch >= epoch => Ok(act.clone()),
            (_, Err(error)) => Err(FailoverError::Midway(format!(
                "nobody knows whether the role was written: {error}"
            ))),
            // Acknowledged by all replicas, and not in the log: the target does not keep its word.
            (_, Ok(())) => Err(FailoverError::Midway(format!(
                "{cluster} acknowledged the role and does not have it"
            ))),
        }
    }

    fn record(&self, epoch: i32, act: Uuid) -> Result<state_topic::StateRecord, FailoverError> {
        let key = StateKey::Role {
            flow: self.flow.name.as_str().to_owned(),
            epoch,
            act,
        };
        let value = SavedRole {
            role: self.role,
            at_ms: wall_ms(),
            who: self.who.to_owned(),
            why: self.why.clone(),
        };
        let refused = |error: &dyn std::fmt::Display| FailoverError::Refused(error.to_string());
        let key = key.encode().map_err(|error| refused(&error))?;
        let value = value.encode().map_err(|error| refused(&error))?;
        Ok((key, Some(value)))
    }
}

/// Two acts of one moment are two.
fn random_id() -> Result<Uuid, FailoverError> {
    let mut bytes = [0; 16];
    let filled = getrandom::fill(&mut bytes);
    filled.map_err(|error| FailoverError::Refused(format!("no randomness: {error}")))?;
    Ok(Uuid(bytes))
}

/// Lets a flow mirror again, whose role is held or promoted. `only_look` says what would be done.
pub async fn release(
    settings: &Settings,
    flow: &str,
    who: &str,
    only_look: bool,
) -> Result<ReleaseDocument, FailoverError> {
    let found = settings.flows.iter().find(|it| it.name.as_str() == flow);
    let Some(found) = found else {
        let known = settings.flows.iter().map(|it| it.name.to_string());
        return Err(FailoverError::UnknownFlow {
            flow: flow.to_owned(),
            known: known.collect(),
        });
    };
    let mut target = reach(settings, &found.target).await?;
    let state = target.state.as_ref();
    let log = state.and_then(|it| it.image.roles.get(flow));
    let (role, epoch) = log.map_or((Role::Mirroring, 0), |log| (log.role(), log.epoch()));
    let document = |verdict, role: Role, epoch| ReleaseDocument {
        schema: "isthmus.flow-release/1",
        verdict,
        flow: flow.to_owned(),
        target: found.target.to_string(),
        role: role.name(),
        role_epoch: epoch,
        recorded_in: state_topic(&settings.daemon.name),
    };
    match role {
        Role::Mirroring => return Ok(document("unchanged", role, epoch)),
        Role::Draining | Role::Promoted | Role::Held if only_look => {
            return Ok(document("would-release", role, epoch));
        }
        Role::Draining | Role::Promoted | Role::Held => {}
    }
    let wanted = Wanted {
        daemon: &settings.daemon.name,
        flow: found,
        seen: epoch,
        role: Role::Mirroring,
        who,
        why: "flow release".to_owned(),
    };
    let act = wanted.act(&mut target).await?;
    match act.saved.role {
        Role::Mirroring => Ok(document("released", act.saved.role, act.epoch)),
        Role::Draining | Role::Promoted | Role::Held => Err(FailoverError::Refused(format!(
            "somebody else was first: {} by {}",
            act.saved.role.name(),
            act.saved.who
        ))),
    }
}
