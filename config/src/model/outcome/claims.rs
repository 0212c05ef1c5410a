//! Claims that say what is left after a failure, held against what the oracle says.

use serde::Serialize;

use super::Code;
use super::failures::{Failure, Lost};
use crate::model::{Claim, IsrBefore, Model};

/// A claim, judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClaimVerdict {
    pub source: String,
    pub text: String,
    pub fails: String,
    pub claimed: Code,
    /// Of the worst partition.
    pub predicted: Code,
    pub holds: bool,
    /// Why a claim of the sources does not hold, by the id of the contradiction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrected: Option<String>,
}

impl ClaimVerdict {
    /// It holds, or it is known why not.
    pub fn is_settled(&self) -> bool {
        self.holds != self.corrected.is_some()
    }
}

/// The verdicts on all claims that name a site and what is left without it.
pub(super) fn judge(model: &Model, failures: &[(String, Failure)]) -> Vec<ClaimVerdict> {
    let claims = model.claims.iter();
    claims.filter_map(|claim| one(claim, failures)).collect()
}

fn one(claim: &Claim, failures: &[(String, Failure)]) -> Option<ClaimVerdict> {
    let (site, claimed) = (claim.fails.as_ref()?, claim.leaves?);
    let of_site = failures.iter().filter(|(_, failure)| {
        let Lost::Site { site: lost } = &failure.lost else {
            return false;
        };
        lost == site
    });
    let topics = of_site.flat_map(|(_, failure)| &failure.topics);
    let topics = topics.filter(|it| claim.topic.as_ref().is_none_or(|topic| *topic == it.topic));
    let codes = topics.map(|it| match claim.isr {
        IsrBefore::Full => it.from_full.worst,
        IsrBefore::Worst => it.from_worst.worst,
    });
    let predicted = codes.max()?;
    Some(ClaimVerdict {
        source: claim.source.clone(),
        text: claim.text.clone(),
        fails: site.clone(),
        claimed,
        predicted,
        holds: predicted == claimed,
        corrected: claim.corrected.clone(),
    })
}
