//! `isthmus elect --unclean`: leaders for partitions that nobody leads, where no replica in sync lives
//! (rule 15). Tells first what that costs: each replica that lives is asked what it has.
//!
//! | Found | Then |
//! |---|---|
//! | a replica lives and does not say what it has | nothing is elected: what it has would be lost unseen |
//! | a second look, just before, is another one than what was shown | nothing is elected |
//! | nobody lives | the answer is no |
//! | a partition that was named has a leader | the answer is no: nothing to gain |

mod cost;
mod history;
mod look;
mod show;

use self::cost::Orphan;
use self::look::NoLook;
use self::show::{Answer, Row, Verdict};
use super::ElectOptions;
use crate::cluster::{consent, outcome_unknown, say_no, unreachable};
use crate::options::{fail, refuse};
use isthmus_broker_core::controller::Successor;
use isthmus_client::admin::{ElectionType, PartitionDescription};
use isthmus_client::{Admin, RequestError};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long the brokers' metadata may take to show a leader that was elected.
const SHOWN_MAX: Duration = Duration::from_secs(10);
const SHOWN_PAUSE: Duration = Duration::from_millis(50);

pub(super) async fn elect(admin: &Admin, options: &ElectOptions) -> ExitCode {
    let mut partitions = match look::partitions(admin, &options.topics).await {
        Ok(partitions) => partitions,
        Err(NoLook::Request(error)) => return unasked(&error),
        Err(NoLook::Topic(topic, refusal)) => {
            return refuse(&format!("topic {topic}: {refusal}; nothing was changed"));
        }
    };
    let named = |index: &i32| options.partitions.is_empty() || options.partitions.contains(index);
    let missing = |index: &&i32| !partitions.keys().any(|(_, known)| known == *index);
    if let Some(index) = options.partitions.iter().find(missing) {
        let topic = options.topics.join(", ");
        return refuse(&format!(
            "there is no partition {topic}-{index}; nothing was changed"
        ));
    }
    partitions.retain(|(_, index), _| named(index));
    let (orphans, led) = partitions
        .into_iter()
        .partition(|(_, it)| it.leader.is_none());
    let mut answer = Answer {
        rows: Vec::new(),
        json: options.json,
    };
    if !options.partitions.is_empty() {
        answer.rows = led_already(led);
    }
    let orphans = match look::orphans(admin, orphans).await {
        Ok(orphans) => orphans,
        Err(error) => return unasked(&error),
    };
    answer.rows.extend(orphans.iter().map(Row::of));
    if options.dry_run || !answer.may_go_on() {
        return answer.give();
    }
    answer.tell_plan();
    let what = format!(
        "elect leaders that may lack records for {}",
        answer.in_short()
    );
    if let Err(code) = consent(options.yes, &what) {
        return code;
    }
    if let Err(code) = still_so(admin, options, &orphans).await {
        return code;
    }
    let asked = answer.to_elect();
    let elected = admin.elect_leaders(ElectionType::Unclean, Some(&asked));
    match elected.await {
        Ok(verdicts) => answer.settle(&verdicts),
        Err(error) => return failed(&error),
    }
    see(admin, &mut answer, options).await;
    answer.give()
}

fn led_already(led: BTreeMap<(String, i32), PartitionDescription>) -> Vec<Row> {
    led.into_iter()
        .map(|((topic, partition), described)| Row {
            topic,
            partition,
            verdict: Verdict::Led(described.leader.unwrap_or(-1)),
            cost: None,
        })
        .collect()
}

/// Whether a second look shows what the first did.
async fn still_so(
    admin: &Admin,
    options: &ElectOptions,
    orphans: &[Orphan],
) -> Result<(), ExitCode> {
    let mut now = match look::partitions(admin, &options.topics).await {
        Ok(now) => now,
        Err(NoLook::Request(error)) => return Err(unasked(&error)),
        Err(NoLook::Topic(topic, refusal)) => {
            return Err(refuse(&format!(
                "topic {topic}: {refusal}; nothing was changed"
            )));
        }
    };
    now.retain(|key, _| orphans.iter().any(|it| it.key() == *key));
    let now = look::orphans(admin, now)
        .await
        .map_err(|error| unasked(&error))?;
    let changed = orphans.iter().find(|was| !now.contains(was));
    changed.map_or(Ok(()), |it| {
        let (topic, partition) = it.key();
        Err(say_no(&format!(
            "{topic}-{partition} is not as it was when it was looked at, and the election might cost \
             something else; nothing was changed: look again"
        )))
    })
}

/// Looks who leads now; metadata may take a moment to show it.
async fn see(admin: &Admin, answer: &mut Answer, options: &ElectOptions) {
    let until = Instant::now() + SHOWN_MAX;
    while answer.has_unseen() && Instant::now() < until {
        match look::partitions(admin, &options.topics).await {
            Ok(now) => answer.see(&now),
            // What was elected stays elected, though nobody shows by whom.
            Err(NoLook::Request(_) | NoLook::Topic(..)) => return,
        }
        if answer.has_unseen() {
            tokio::time::sleep(SHOWN_PAUSE).await;
        }
    }
}

fn unasked(error: &RequestError) -> ExitCode {
    unreachable("ask the cluster for its partitions", error)
}

fn failed(error: &RequestError) -> ExitCode {
    if error.may_have_happened() {
        return outcome_unknown(&format!(
            "not known whether leaders were elected: {error}; look with --dry-run"
        ));
    }
    match error.code() {
        Some(_) => fail(&format!(
            "could not elect leaders: {error}; nothing was changed"
        )),
        None => unreachable("elect leaders", error),
    }
}

impl Row {
    fn of(orphan: &Orphan) -> Self {
        let cost = orphan.cost();
        let verdict = match cost.successor {
            Successor::Nobody => Verdict::NobodyLives,
            Successor::Cleanly(_) | Successor::LastKnown(_) | Successor::FirstLive(_)
                if cost.silent.is_empty() =>
            {
                Verdict::Would
            }
            Successor::Cleanly(_) | Successor::LastKnown(_) | Successor::FirstLive(_) => {
                Verdict::Unseen(orphan.silence())
            }
        };
        let (topic, partition) = orphan.key();
        Self {
            topic,
            partition,
            verdict,
            cost: Some((orphan.described.clone(), cost)),
        }
    }
}
