//! The rules of replication by name, each obeyed at one line of these cores.
//!
//! [`docs/replication.md`](../../../../docs/replication.md) words them. A core that follows them
//! asks its [`Rules`] at the line in question, and the answer is always yes: only the simulator
//! makes other values, and a broker that was built with fault points, to show that each rule is
//! needed and that whoever judges would see it missing
//! (docs/decisions/2026-11-23-rules-as-a-value.md; `cargo xtask arrows` looks for others that do).

macro_rules! rules {
    ($($name:ident = $id:literal, $words:literal;)*) => {
        /// One rule, or one part of a rule that can be broken by itself.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rule { $(#[doc = $words] $name,)* }

        impl Rule {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The number of the rule in docs/replication.md, with the part behind a dash.
            pub fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            pub fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }
        }
    };
}

rules! {
    AppendGate = "1", "acks=all is refused while the committed ISR is below min.insync.replicas";
    Completion = "2", "acks=all is answered once the high watermark has passed it";
    PendingShrinkCounts = "3-shrink", "who leaves by a pending shrink still holds the high watermark";
    PendingExpandCounts = "3-expand", "who joins by a pending expand holds the high watermark at once";
    FrozenBelowMin = "4", "the high watermark stands while the ISR is below min.insync.replicas";
    ShrinkLagging = "5-shrink", "a follower behind for replica.lag.time.max.ms leaves the ISR";
    ExpandAtHighWatermark = "5-expand", "who joins the ISR has everything below the high watermark";
    ExpandPastEpochStart = "5-start", "who joins the ISR has reached the start of the leader epoch";
    BrokerEpochOfMembers = "5-broker", "who joins the ISR is the incarnation that is registered";
    OneInFlight = "5-flight", "one AlterPartition of a partition at a time";
    VerdictEpochs = "6-epochs", "the controller takes an ISR from the present leader's present state only";
    StayPending = "6-pending", "after an unclear answer a proposal stays pending";
    LostAttempts = "6-lost", "a refused proposal is not rolled back while an attempt of it is out";
    Fence = "8-fence", "a broker that is silent for a session is fenced";
    UnfenceCaughtUp = "8-unfence", "a broker is unfenced once it has applied its registration";
    TruncateByEpoch = "13-truncate", "a follower truncates to where the histories part, not to its high watermark";
    DivergenceCheck = "13-check", "a leader compares the follower's last epoch with its own history";
    ElrKeeps = "14-keep", "who leaves an insufficient ISR stays eligible to lead";
    ElrClears = "14-clear", "nobody outside a sufficient ISR is eligible";
    UncleanWhenEnabled = "15", "a replica outside ISR and ELR leads only where that is enabled";
    PreferredInSync = "16", "the preferred replica leads only from the ISR";
    ShutdownGranted = "17", "a broker stops once all others know that it does";
    FollowerHighWatermark = "18", "a follower shows what its leader said is committed";
    LeaseFromHeartbeat = "20-heartbeat", "a lease begins when the heartbeat was sent, not when it was answered";
    LeaseApplied = "20-applied", "a lease counts once the metadata is applied that it was confirmed with";
    LeaseUnclean = "20-unclean", "with unclean elections on, followers give no lease";
    LeaseFromAnswer = "20-answer", "a follower's fetch gives a lease from when the answer before it was sent";
    LeaseOfEligible = "20-eligible", "followers give a lease only with all that may be elected";
    LeaseEnds = "20-newer", "a request of a newer leader epoch ends the lease";
    RacksAtAppend = "21-append", "acks=all is refused while the committed ISR is in fewer than min.insync.racks racks";
    RacksAtCompletion = "21-complete", "acks=all is answered with an error once the committed ISR is in too few racks";
    FrozenBelowRacks = "21-freeze", "the high watermark stands while the ISR is in fewer than min.insync.racks racks";
    RacksKeepElr = "21-keep", "who leaves an ISR in too few racks stays eligible to lead";
    RacksClearElr = "21-clear", "an ISR in too few racks leaves who is eligible so";
    PendingIsNoRack = "21-pending", "who joins by a pending expand counts for no rack";
    RacksRecounted = "21-recount", "who is eligible is no more in the very change by which an ISR suffices";
    RacksHeardOf = "21-heard", "an ISR is taken only from a leader that has heard how many racks are asked for";
    UncleanRestart = "23", "who stopped uncleanly leaves ISR and ELR by registering";
    FlushBeforeCommit = "24-leader", "with flush.policy=group the leader's own copy counts once it is flushed";
    FlushBeforeFetch = "24-follower", "with flush.policy=group a follower asks for more once it has flushed what it has";
    FlushBeforeAcksOne = "24-acks", "with flush.policy=group acks=1 is answered once it is flushed";
    MoveAddsAll = "455-added", "a move is complete only with all who are added in the ISR";
    MoveKeepsOne = "455-stays", "a move is complete only with a member of the ISR that stays";
    MoveUndoable = "455-undo", "a move is undone only while one of before is in the ISR";
    GoneFromIsr = "455-isr", "who is a replica no more is not in the ISR";
    GoneFromElr = "455-elr", "who is a replica no more is not eligible";
    MoveMeetsAll = "455-meet", "a leader lets in who is added within its epoch";
    AckIsLogEnd = "D5-ack", "what a follower has is what it says, not what it was sent";
    GapResets = "D5-gap", "records that do not follow the log end are not appended";
}

/// Which rules hold: all of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    broken: u64,
}

impl Rules {
    pub const ALL: Self = Self { broken: 0 };

    /// All but one. For the simulator.
    pub fn without(rule: Rule) -> Self {
        Self {
            broken: 1 << rule as u32,
        }
    }

    pub fn obeys(self, rule: Rule) -> bool {
        self.broken & (1 << rule as u32) == 0
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::ALL
    }
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let broken = Rule::ALL.iter().filter(|rule| !self.obeys(**rule));
        f.write_str("Rules without ")?;
        f.debug_set().entries(broken.map(|rule| rule.id())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rule_is_broken_at_a_time() {
        assert!(Rule::ALL.len() < 64, "they are bits of one number");
        for &broken in Rule::ALL {
            let rules = Rules::without(broken);
            for &rule in Rule::ALL {
                assert!(Rules::ALL.obeys(rule));
                assert_eq!(rules.obeys(rule), rule != broken, "{rules:?}");
            }
        }
    }

    #[test]
    fn ids_are_unique() {
        let ids: std::collections::BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.id()).collect();
        assert_eq!(ids.len(), Rule::ALL.len());
    }
}
