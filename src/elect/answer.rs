//! What became of each partition, and how it is told.

use crate::cluster::say;
use crate::options::ANSWER_IS_NO;
use isthmus_client::ErrorCode;
use isthmus_client::cluster::Refusal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Partitions that a question names.
const NAMES_MAX: usize = 5;

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) cluster: String,
    pub(super) rows: Vec<Row>,
    pub(super) json: bool,
}

/// One partition that is not led by its preferred leader.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) from: Option<i32>,
    pub(super) to: i32,
    pub(super) verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing was done yet, and it could be.
    Would,
    Elected,
    /// It was led so when it was asked for.
    NotNeeded,
    /// The preferred leader is not in sync or not there; the controller's words, if it was asked.
    NotInSync(Option<String>),
    Refused(String),
}

impl Verdict {
    fn name(&self) -> &'static str {
        match self {
            Self::Would => "would-elect",
            Self::Elected => "elected",
            Self::NotNeeded => "not-needed",
            Self::NotInSync(_) => "not-in-sync",
            Self::Refused(_) => "refused",
        }
    }

    fn error(&self) -> Option<&str> {
        match self {
            Self::Would | Self::Elected | Self::NotNeeded | Self::NotInSync(None) => None,
            Self::NotInSync(Some(words)) | Self::Refused(words) => Some(words),
        }
    }

    fn of(outcome: Option<&Result<(), Refusal>>) -> Self {
        match outcome {
            None => Self::Refused("the controller did not say what became of it".to_owned()),
            Some(Ok(())) => Self::Elected,
            Some(Err(refusal)) => match refusal.code {
                ErrorCode::ELECTION_NOT_NEEDED => Self::NotNeeded,
                ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE => {
                    Self::NotInSync(Some(refusal.to_string()))
                }
                _ => Self::Refused(refusal.to_string()),
            },
        }
    }
}

impl Row {
    pub(super) fn partition(&self) -> (String, i32) {
        (self.topic.clone(), self.partition)
    }

    fn document(&self) -> Value {
        json!({
            "topic": self.topic,
            "partition": self.partition,
            "from": self.from,
            "to": self.to,
            "verdict": self.verdict.name(),
            "error": self.verdict.error(),
        })
    }

    fn in_words(&self) -> String {
        let Self {
            topic,
            partition,
            to,
            ..
        } = self;
        let from = match self.from {
            Some(from) => from.to_string(),
            None => "nobody".to_owned(),
        };
        let what = match &self.verdict {
            Verdict::Would => format!("would be led by {to}, now by {from}"),
            Verdict::Elected => format!("led by {to}, before by {from}"),
            Verdict::NotNeeded => format!("led by {to} already"),
            Verdict::NotInSync(_) => format!("led by {from}: {to} is not in sync"),
            Verdict::Refused(words) => format!("led by {from}: {words}"),
        };
        format!("{topic}-{partition}: {what}")
    }
}

impl Answer {
    /// The first of the partitions, and how many more there are.
    pub(super) fn in_short(&self) -> String {
        let names = self.rows.iter().take(NAMES_MAX);
        let names: Vec<String> = names
            .map(|it| format!("{}-{}", it.topic, it.partition))
            .collect();
        match self.rows.len() - names.len() {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    }

    /// Each row gets the verdict of the controller.
    pub(super) fn settle(&mut self, verdicts: &BTreeMap<(String, i32), Result<(), Refusal>>) {
        for row in &mut self.rows {
            row.verdict = Verdict::of(verdicts.get(&row.partition()));
        }
    }

    /// What was refused for a reason of its own is a failure; a replica that is not in sync is the
    /// answer *no*.
    pub(super) fn code(&self) -> u8 {
        let mut code = 0;
        for row in &self.rows {
            match row.verdict {
                Verdict::Would | Verdict::Elected | Verdict::NotNeeded => {}
                Verdict::NotInSync(_) => code = ANSWER_IS_NO,
                Verdict::Refused(_) => return 1,
            }
        }
        code
    }

    pub(super) fn give(&self) -> ExitCode {
        if self.json {
            say(&json!({
                "schema": "isthmus.elect/1",
                "cluster": self.cluster,
                "election": "preferred",
                "partitions": self.rows.iter().map(Row::document).collect::<Vec<_>>(),
            }));
        } else if self.rows.is_empty() {
            say(&"every partition is led by its preferred leader: nothing to do");
        } else {
            let rows: Vec<String> = self.rows.iter().map(Row::in_words).collect();
            say(&rows.join("\n"));
        }
        ExitCode::from(self.code())
    }
}
