//! Obeying the flow's role: what it does not allow is stopped, and goes on when it is allowed again.
//!
//! A flow that may not copy stays alive and keeps looking at both sides, so that its lag is known; its
//! partitions are held, what was handed out and not sent is taken back, and nothing is saved. That the
//! role was not looked at lately stops only what would be sent (see [`crate::roles`]).

use isthmus_replicator_core::partition::Event;
use isthmus_replicator_core::roles::{Permit, Withheld, withheld};

use super::Flow;
use crate::status::{RoleStatus, RoleWord};

impl Flow {
    /// At the start, and whenever an act was seen or the lease holds again.
    pub(super) fn obey_role(&mut self) {
        let flow = &self.ctx.settings;
        let allowed = self.ctx.roles.allowed(flow.name.as_str(), flow.naming);
        let before = std::mem::replace(&mut self.allowed, allowed);
        if before == allowed {
            return;
        }
        self.log_role(allowed);
        if !allowed.group_offsets {
            self.forget_groups();
        }
        match (before.records, allowed.records) {
            (true, false) => self.stop_copying(),
            // A full look lets the topics go.
            (false, true) => self.scan_wanted = Some(true),
            (true, true) | (false, false) => {}
        }
    }

    fn stop_copying(&mut self) {
        self.settled.clear();
        for at in 0..self.partitions.len() {
            self.events.push_back((at, Event::TopicHeld));
        }
        self.take_back();
    }

    fn log_role(&self, allowed: Permit) {
        let status = self.role_status();
        let flow = &self.ctx.settings.name;
        let (role, epoch) = (status.role.name(), status.epoch);
        match status.held {
            Some(held) => tracing::warn!(event = "flow_held", %flow, role, epoch, held),
            None => tracing::info!(
                event = "flow_role",
                %flow,
                role,
                epoch,
                records = allowed.records,
                group_offsets = allowed.group_offsets,
            ),
        }
    }

    pub(super) fn role_status(&self) -> RoleStatus {
        let flow = &self.ctx.settings;
        let act = self.ctx.roles.current(flow.name.as_str());
        let role = act.as_ref().map(|it| it.saved.role).unwrap_or_default();
        let carries_groups = !flow.groups.takes_nothing();
        let mut status = RoleStatus {
            role: RoleWord::from(role),
            epoch: act.as_ref().map_or(0, |it| it.epoch),
            since_ms: act.as_ref().map(|it| it.saved.at_ms),
            by: act.map(|it| it.saved.who),
            held: None,
            confirmed: self.ctx.roles.is_confirmed(),
        };
        status.held = withheld(role, flow.naming, carries_groups).map(|what| match what {
            Withheld::Everything => status.told("nothing is copied"),
            Withheld::GroupOffsets => {
                status.told("records are copied, and group offsets are not carried")
            }
        });
        status
    }
}
