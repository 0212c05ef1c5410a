//! What an unclean election would cost or has done, for people and for scripts.

use super::cost::{Cost, Lost, Orphan, Replica};
use crate::cluster::{say, tell};
use crate::options::ANSWER_IS_NO;
use isthmus_broker_core::controller::Successor;
use isthmus_client::ErrorCode;
use isthmus_client::admin::PartitionDescription;
use isthmus_client::cluster::Refusal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Partitions that a question names.
const NAMES_MAX: usize = 5;

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) rows: Vec<Row>,
    pub(super) json: bool,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) verdict: Verdict,
    /// The partition as it was found, and what its election costs; nothing where it has a leader.
    pub(super) cost: Option<(PartitionDescription, Cost)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing was done yet, and it could be.
    Would,
    /// Somebody who lives does not say what it has; who, and why.
    Unseen(String),
    NobodyLives,
    /// It has this leader.
    Led(i32),
    /// The controller has elected; nobody was seen to lead yet.
    Elected,
    /// As it was told.
    Leads(i32),
    /// The controller knew better than the look.
    LedByAnother(i32),
    /// It got a leader meanwhile.
    NotNeeded,
    Refused(String),
}

impl Verdict {
    fn name(&self) -> &'static str {
        match self {
            Self::Would => "would-elect",
            Self::Unseen(_) => "unseen",
            Self::NobodyLives => "nobody-lives",
            Self::Led(_) | Self::NotNeeded => "not-needed",
            Self::Elected | Self::Leads(_) => "elected",
            Self::LedByAnother(_) => "elected-another",
            Self::Refused(_) => "refused",
        }
    }

    fn error(&self) -> Option<&str> {
        match self {
            Self::Unseen(words) | Self::Refused(words) => Some(words),
            Self::Would
            | Self::NobodyLives
            | Self::Led(_)
            | Self::Elected
            | Self::Leads(_)
            | Self::LedByAnother(_)
            | Self::NotNeeded => None,
        }
    }

    fn code(&self) -> u8 {
        match self {
            Self::Would | Self::Elected | Self::Leads(_) => 0,
            Self::Unseen(_) | Self::NobodyLives | Self::Led(_) | Self::NotNeeded => ANSWER_IS_NO,
            Self::LedByAnother(_) | Self::Refused(_) => 1,
        }
    }

    fn of(outcome: Option<&Result<(), Refusal>>) -> Self {
        match outcome {
            None => Self::Refused("the controller did not say what became of it".to_owned()),
            Some(Ok(())) => Self::Elected,
            Some(Err(refusal)) => match refusal.code {
                ErrorCode::ELECTION_NOT_NEEDED => Self::NotNeeded,
                ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE => Self::NobodyLives,
                _ => Self::Refused(refusal.to_string()),
            },
        }
    }
}

impl Orphan {
    /// Who does not say what it has, and why.
    pub(super) fn silence(&self) -> String {
        let silent = self
            .replicas
            .iter()
            .filter_map(|(id, replica)| match replica {
                Replica::Silent(why) => Some(format!("{id} does not say what it has ({why})")),
                Replica::Has(..) | Replica::Away => None,
            });
        silent.collect::<Vec<_>>().join(", ")
    }
}

impl Answer {
    /// Whether somebody can be elected, and nothing would be lost unseen by it.
    pub(super) fn may_go_on(&self) -> bool {
        let unseen = |it: &Row| matches!(it.verdict, Verdict::Unseen(_));
        !self.to_elect().is_empty() && !self.rows.iter().any(unseen)
    }

    pub(super) fn to_elect(&self) -> Vec<(String, i32)> {
        let would = self.rows.iter().filter(|it| it.verdict == Verdict::Would);
        would.map(|it| (it.topic.clone(), it.partition)).collect()
    }

    pub(super) fn in_short(&self) -> String {
        let all = self.to_elect();
        let names = all.iter().take(NAMES_MAX);
        let names: Vec<String> = names.map(|(topic, it)| format!("{topic}-{it}")).collect();
        match all.len() - names.len() {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    }

    /// Each row that was asked for gets the verdict of the controller.
    pub(super) fn settle(&mut self, verdicts: &BTreeMap<(String, i32), Result<(), Refusal>>) {
        for row in &mut self.rows {
            if row.verdict == Verdict::Would {
                row.verdict = Verdict::of(verdicts.get(&(row.topic.clone(), row.partition)));
            }
        }
    }

    pub(super) fn has_unseen(&self) -> bool {
        self.rows.iter().any(|it| it.verdict == Verdict::Elected)
    }

    /// Who leads what was elected.
    pub(super) fn see(&mut self, now: &BTreeMap<(String, i32), PartitionDescription>) {
        for row in &mut self.rows {
            let leader = now.get(&(row.topic.clone(), row.partition));
            let Some(leader) = leader.and_then(|it| it.leader) else {
                continue;
            };
            if row.verdict == Verdict::Elected {
                let told = row.cost.as_ref().and_then(|(_, it)| it.successor.id());
                row.verdict = if told == Some(leader) {
                    Verdict::Leads(leader)
                } else {
                    Verdict::LedByAnother(leader)
                };
            }
        }
    }

    /// On stderr, before it is asked whether it is meant.
    pub(super) fn tell_plan(&self) {
        self.rows.iter().for_each(|row| tell(&row.in_words()));
    }

    pub(super) fn code(&self) -> u8 {
        let codes = self.rows.iter().map(|it| it.verdict.code());
        // What failed counts more than what was not to be done.
        codes.fold(0, |all, code| match (all, code) {
            (1, _) | (_, 1) => 1,
            (all, code) => all.max(code),
        })
    }

    pub(super) fn give(&self) -> ExitCode {
        if self.json {
            say(&json!({
                "schema": "isthmus.elect/1",
                "election": "unclean",
                "partitions": self.rows.iter().map(Row::document).collect::<Vec<_>>(),
            }));
        } else if self.rows.is_empty() {
            say(&"every partition has a leader: nothing to do");
        } else {
            let rows: Vec<String> = self.rows.iter().map(Row::in_words).collect();
            say(&rows.join("\n"));
        }
        ExitCode::from(self.code())
    }
}

impl Row {
    fn document(&self) -> Value {
        let mut document = json!({
            "topic": self.topic,
            "partition": self.partition,
            "verdict": self.verdict.name(),
            "error": self.verdict.error(),
        });
        let leader = match (&self.verdict, &self.cost) {
            (Verdict::Led(id) | Verdict::Leads(id) | Verdict::LedByAnother(id), _) => Some(*id),
            (_, Some((_, cost))) => cost.successor.id(),
            (_, None) => None,
        };
        document["leader"] = json!(leader);
        let Some((described, cost)) = &self.cost else {
            return document;
        };
        let lost = cost.lost.iter().map(|it| {
            let Lost { broker, from, to } = it;
            json!({ "broker": broker, "from": from, "to": to })
        });
        document["rule"] = json!(rule(cost.successor));
        document["log_end"] = json!(cost.log_end);
        document["lost"] = lost.collect();
        document["committed_at_least"] = json!(cost.committed);
        document["committed_lost_from"] = json!(cost.committed_lost_from);
        document["silent"] = json!(cost.silent);
        document["away"] = json!(cost.away);
        document["replicas"] = json!(described.replicas);
        document["isr"] = json!(described.isr);
        document["eligible"] = json!(described.eligible_leader_replicas);
        document["last_known"] = json!(described.last_known_elr);
        document
    }

    fn in_words(&self) -> String {
        let Self {
            topic, partition, ..
        } = self;
        let name = format!("{topic}-{partition}");
        let head = match &self.verdict {
            Verdict::Led(id) => {
                return format!("{name}: led by {id}: nothing would be gained, nothing was done");
            }
            Verdict::NotNeeded => return format!("{name}: it got a leader meanwhile"),
            Verdict::Refused(words) => return format!("{name}: {words}"),
            Verdict::Leads(id) => return format!("{name}: led by {id} now"),
            Verdict::Elected => format!("{name}: a leader was elected"),
            Verdict::LedByAnother(id) => {
                format!("{name}: led by {id}, and not by whom it was told; it was told:")
            }
            Verdict::NobodyLives => format!("{name}: no replica lives: nobody can be elected"),
            Verdict::Unseen(words) => format!(
                "{name}: {words}: it might be lost unseen, so nobody is elected; wait for it, or stop it"
            ),
            Verdict::Would => format!("{name}: nobody leads"),
        };
        let details = self.cost.iter().flat_map(|(it, cost)| details(it, cost));
        let lines = std::iter::once(head).chain(details.map(|it| format!("  {it}")));
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn rule(successor: Successor) -> Option<&'static str> {
    match successor {
        Successor::Cleanly(_) => Some("in-sync"),
        Successor::LastKnown(_) => Some("last-known-leader"),
        Successor::FirstLive(_) => Some("first-live"),
        Successor::Nobody => None,
    }
}

fn details(partition: &PartitionDescription, cost: &Cost) -> Vec<String> {
    let mut lines = Vec::new();
    let end = match cost.log_end {
        Some(end) => format!("its log ends at {end}"),
        None => "where its log ends is not known".to_owned(),
    };
    let of = ids(&partition.replicas);
    match cost.successor {
        Successor::Cleanly(id) => lines.push(format!(
            "{id} would lead, with all that is committed; {end}"
        )),
        Successor::LastKnown(id) => lines.push(format!("{id} would lead, which led last; {end}")),
        Successor::FirstLive(id) => {
            lines.push(format!(
                "{id} would lead, the first that lives of {of}; {end}"
            ));
        }
        Successor::Nobody => {}
    }
    for it in &cost.lost {
        let Lost { broker, from, to } = it;
        let last = to - 1;
        lines.push(format!(
            "lost for sure: offsets {from} to {last} of {broker}"
        ));
    }
    if let Some(it) = cost.ahead() {
        let (broker, end) = (it.broker, it.to);
        lines.push(format!(
            "{broker} has more: its log ends at {end}; the order of the replicas decides, so it would \
             lead if those before it were stopped for as long"
        ));
    }
    if let Some(committed) = cost.committed.filter(|it| *it > 0) {
        lines.push(match cost.committed_lost_from {
            Some(from) => format!(
                "committed were all before offset {committed} at least: acknowledged records from {from} on are lost"
            ),
            None => format!("committed were all before offset {committed} at least"),
        });
    }
    if !cost.away.is_empty() {
        let away = ids(&cost.away);
        lines.push(format!(
            "not there: {away}; what nobody else has is lost, unknown how much"
        ));
    }
    let (isr, eligible) = (
        ids(&partition.isr),
        ids(&partition.eligible_leader_replicas),
    );
    let last = ids(&partition.last_known_elr);
    lines.push(format!(
        "in sync: {isr}; eligible: {eligible}; last leader: {last}"
    ));
    lines
}

fn ids(ids: &[i32]) -> String {
    if ids.is_empty() {
        return "nobody".to_owned();
    }
    let ids: Vec<String> = ids.iter().map(i32::to_string).collect();
    ids.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_have_their_exit_codes() {
        let row = |verdict: Verdict| Row {
            topic: "t".to_owned(),
            partition: 0,
            verdict,
            cost: None,
        };
        let words = || "X".to_owned();
        let stories = [
            (vec![], 0),
            (vec![Verdict::Would, Verdict::Leads(1), Verdict::Elected], 0),
            (vec![Verdict::Leads(1), Verdict::NobodyLives], 3),
            (vec![Verdict::Led(1)], 3),
            (vec![Verdict::NotNeeded, Verdict::Would], 3),
            (vec![Verdict::Unseen(words()), Verdict::Would], 3),
            (vec![Verdict::LedByAnother(2), Verdict::NobodyLives], 1),
            (vec![Verdict::Refused(words()), Verdict::Leads(1)], 1),
        ];
        for (verdicts, code) in stories {
            let rows = verdicts.into_iter().map(row).collect();
            let answer = Answer { rows, json: false };
            assert_eq!(answer.code(), code, "{answer:?}");
        }
    }

    #[test]
    fn one_that_is_silent_keeps_all_from_being_elected() {
        let row = |verdict| Row {
            topic: "t".to_owned(),
            partition: 0,
            verdict,
            cost: None,
        };
        let answer = |verdicts: Vec<Verdict>| Answer {
            rows: verdicts.into_iter().map(row).collect(),
            json: false,
        };
        assert!(answer(vec![Verdict::Would, Verdict::NobodyLives, Verdict::Led(1)]).may_go_on());
        let silent = Verdict::Unseen("3 does not say".to_owned());
        assert!(!answer(vec![Verdict::Would, silent]).may_go_on());
        assert!(!answer(vec![Verdict::NobodyLives]).may_go_on());
    }
}
