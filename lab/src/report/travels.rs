//! What of a report's numbers holds at another site, and what does not.
//!
//! It stands on the first screen, because a reader who takes a millisecond of one machine for a
//! promise is worse off than one who has no report.

use serde::Serialize;

use super::document::ModelReport;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Travels {
    pub holds_elsewhere: Vec<&'static str>,
    pub depends_on_the_place: Vec<&'static str>,
}

const HOLDS: [&str; 4] = [
    "Whether acknowledged records can be lost, doubled or reordered by this fault with these settings: it follows from the protocol, and one run that shows it proves it.",
    "Which clients have to be switched, and which never notice.",
    "The part of an outage that a setting decides, such as session and request time-outs, as long as the same settings are used.",
    "Differences between the targets in kind: one loses and the other does not, one needs a hand and the other does not.",
];

const DEPENDS: [&str; 3] = [
    "How many records an asynchronous mirror loses: that is its lag at the moment of the fault, so it grows with your load and shrinks with your link. Measure yours.",
    "Every latency in milliseconds, and how long programs take to start: they are of this machine, on which everything ran at once.",
    "Zero as a promise: a count of 0 says that these runs found none. More runs make it firmer, none makes it certain.",
];

const LOOPBACK: &str = "Everything that distance decides: sites were not emulated, all of it ran on one machine's loopback, where a round trip takes no time and no link is ever full.";

const EMULATED: &str = "What distance decides holds for the round trips and rates that each cell names, and for no others.";

const KILLED: &str = "The end of a process is not the end of a machine: what was in the page cache survived here, and would not survive a loss of power.";

impl Travels {
    pub(super) fn of(models: &[ModelReport]) -> Self {
        let cells = models.iter().flat_map(|model| &model.cells);
        let mut networks = cells.map(|cell| cell.network.is_empty());
        let is_plain = networks.clone().any(|it| it);
        let is_emulated = networks.any(|it| !it);
        let mut depends: Vec<&str> = DEPENDS.into();
        depends.extend(is_plain.then_some(LOOPBACK));
        depends.extend(is_emulated.then_some(EMULATED));
        depends.push(KILLED);
        Self {
            holds_elsewhere: HOLDS.into(),
            depends_on_the_place: depends,
        }
    }
}
