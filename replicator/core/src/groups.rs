//! A consumer group's offset, carried to the target.
//!
//! Owns: whether the target's value is written, for one group and one partition. Must not know how
//! offsets are read or committed. The value is never later than the source's, and never replaces
//! one that is not ours.
//!
//! The record that says what we wrote is saved *before* the write, with the value that stood there
//! before. So after a crash between the two either value is recognised as ours.

use std::fmt;

use crate::names::{SourceOffset, TargetOffset};
use crate::offset_map::Translated;

/// The group at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetGroup {
    Absent,
    /// Without members.
    Empty,
    /// Members read there: their own commits count, not ours.
    Active,
}

/// What we wrote last, as saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenOffset {
    /// The source's value that it was made from.
    pub from: SourceOffset,
    pub written: TargetOffset,
    /// What stood there before, if it was ours: the write may not have happened.
    pub before: Option<TargetOffset>,
}

/// All that one decision needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupFacts {
    pub group: TargetGroup,
    /// The source's committed offset.
    pub committed: SourceOffset,
    /// `None` for a partition that no flow mirrors.
    pub translated: Option<Translated<TargetOffset>>,
    /// The target's committed offset.
    pub found: Option<TargetOffset>,
    pub written: Option<WrittenOffset>,
}

/// Whether an offset that went back at the source goes back at the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rewinds {
    /// MirrorMaker never goes back; a reset on purpose is shown and waits for a yes.
    #[default]
    Hold,
    Apply,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupVerdict {
    /// Save the record, then commit its `written`.
    Commit {
        record: WrittenOffset,
        /// False: earlier than exact, some records are read again after a failover.
        is_exact: bool,
    },
    UpToDate,
    Held(HeldReason),
}

/// Why a group's offset is not carried over; shown per group and partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldReason {
    TopicNotMirrored,
    NothingCopied,
    ActiveOnTarget,
    ChangedOnTarget {
        found: TargetOffset,
    },
    Rewound {
        from: SourceOffset,
        to: SourceOffset,
    },
}

/// What to do with one group's offset in one partition.
pub fn carry(facts: &GroupFacts, rewinds: Rewinds) -> GroupVerdict {
    match wanted(facts) {
        Err(reason) => GroupVerdict::Held(reason),
        Ok((wanted, _)) if facts.found == Some(wanted) => GroupVerdict::UpToDate,
        Ok((wanted, is_exact)) => write(facts, wanted, is_exact, rewinds),
    }
}

/// The value that the target should have.
fn wanted(facts: &GroupFacts) -> Result<(TargetOffset, bool), HeldReason> {
    let translated = facts.translated.ok_or(HeldReason::TopicNotMirrored)?;
    match facts.group {
        TargetGroup::Active => return Err(HeldReason::ActiveOnTarget),
        TargetGroup::Absent | TargetGroup::Empty => {}
    }
    match translated {
        Translated::Exact(offset) => Ok((offset, true)),
        Translated::Earlier(offset, _) => Ok((offset, false)),
        Translated::Unknown => Err(HeldReason::NothingCopied),
    }
}

fn write(
    facts: &GroupFacts,
    wanted: TargetOffset,
    is_exact: bool,
    rewinds: Rewinds,
) -> GroupVerdict {
    if let Some(found) = facts.found {
        if !is_ours(found, facts.written) {
            return GroupVerdict::Held(HeldReason::ChangedOnTarget { found });
        }
        if wanted < found {
            return go_back(facts, wanted, is_exact, rewinds);
        }
    }
    commit(facts, wanted, is_exact)
}

fn go_back(
    facts: &GroupFacts,
    wanted: TargetOffset,
    is_exact: bool,
    rewinds: Rewinds,
) -> GroupVerdict {
    match facts.written {
        Some(written) if facts.committed < written.from => match rewinds {
            Rewinds::Apply => commit(facts, wanted, is_exact),
            Rewinds::Hold => GroupVerdict::Held(HeldReason::Rewound {
                from: written.from,
                to: facts.committed,
            }),
        },
        // The source did not go back; our map has become coarser there.
        Some(_) | None => GroupVerdict::UpToDate,
    }
}

fn commit(facts: &GroupFacts, wanted: TargetOffset, is_exact: bool) -> GroupVerdict {
    GroupVerdict::Commit {
        record: WrittenOffset {
            from: facts.committed,
            written: wanted,
            before: facts.found,
        },
        is_exact,
    }
}

fn is_ours(found: TargetOffset, written: Option<WrittenOffset>) -> bool {
    written.is_some_and(|it| it.written == found || it.before == Some(found))
}

impl fmt::Display for HeldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TopicNotMirrored => write!(f, "the topic is not mirrored"),
            Self::NothingCopied => write!(f, "nothing is copied yet"),
            Self::ActiveOnTarget => write!(f, "the group is active on the target"),
            Self::ChangedOnTarget { found } => {
                write!(f, "changed on target: {found} is not ours")
            }
            Self::Rewound { from, to } => {
                write!(
                    f,
                    "the source went back from {from} to {to}; say whether to follow"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offset_map::EarlierReason;

    const CASES: &str = include_str!("../testdata/groups.txt");

    fn number(text: &str) -> i64 {
        text.parse().unwrap()
    }

    fn translated(text: &str) -> Option<Translated<TargetOffset>> {
        match text.split_once('~') {
            None if text == "-" => None,
            None if text == "?" => Some(Translated::Unknown),
            None => Some(Translated::Exact(TargetOffset(number(text)))),
            Some(("", offset)) => {
                let offset = TargetOffset(number(offset));
                Some(Translated::Earlier(offset, EarlierReason::NotCopied))
            }
            Some(_) => panic!("translated {text}"),
        }
    }

    /// `10>20` or `10>20<15`.
    fn written(text: &str) -> Option<WrittenOffset> {
        let (from, rest) = text.split_once('>')?;
        let (written, before) = rest.split_once('<').unwrap_or((rest, ""));
        Some(WrittenOffset {
            from: SourceOffset(number(from)),
            written: TargetOffset(number(written)),
            before: before.parse().ok().map(TargetOffset),
        })
    }

    fn told(verdict: GroupVerdict) -> String {
        match verdict {
            GroupVerdict::UpToDate => "up to date".to_owned(),
            GroupVerdict::Held(reason) => format!("held: {reason}"),
            GroupVerdict::Commit { record, is_exact } => {
                let how = if is_exact { "exact" } else { "earlier" };
                let before = record.before.map_or(String::new(), |it| format!("<{it}"));
                format!("commit {}>{}{before} {how}", record.from, record.written)
            }
        }
    }

    #[test]
    fn offsets_are_carried_by_the_table() {
        let lines = CASES.lines();
        for line in lines.filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let facts = GroupFacts {
                group: match cells[0] {
                    "absent" => TargetGroup::Absent,
                    "empty" => TargetGroup::Empty,
                    "active" => TargetGroup::Active,
                    other => panic!("no state {other}"),
                },
                committed: SourceOffset(number(cells[1])),
                translated: translated(cells[2]),
                found: cells[3].parse().ok().map(TargetOffset),
                written: written(cells[4]),
            };
            let rewinds = match cells[5] {
                "hold" => Rewinds::Hold,
                "apply" => Rewinds::Apply,
                other => panic!("no rule {other}"),
            };
            assert_eq!(told(carry(&facts, rewinds)), cells[6], "{line}");
        }
    }
}
