//! What a quorum says of itself, and what follows from it: who is sound, how many more may be lost,
//! what a person should look at.
//!
//! Pure: from one answer to DescribeQuorum, by the leader's clock.

use isthmus_client::Uuid;
use isthmus_client::admin::{QuorumDescription, QuorumReplica};

/// A voter that the leader has not heard of for that long is dark. A sound one answers every heartbeat of
/// the leader, which comes at least every 844 ms (3/32 of the longest session the quorum goes by, 9 s), and
/// at a cluster of Kafka it fetches every 500: three missed in a row are no accident. It is no time after
/// which a leader resigns: that one hangs on the session.
pub(super) const DARK_AFTER_MS: i64 = 3_000;

/// Changes that are on their way are no lag; more than this many records is.
const LAG_RECORDS_MAX: i64 = 1_000;

/// The quorum at one moment.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) cluster: String,
    pub(super) leader: Option<i32>,
    pub(super) epoch: i32,
    pub(super) high_watermark: i64,
    /// The leader's time, if it tells any.
    pub(super) now_ms: Option<i64>,
    pub(super) voters: Vec<Member>,
    pub(super) observers: Vec<Member>,
}

/// A voter, or a node that has the log and no vote.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: i32,
    pub(super) directory: Uuid,
    pub(super) address: Option<String>,
    pub(super) log_end: Option<i64>,
    pub(super) lag: Option<i64>,
    pub(super) since_fetch_ms: Option<i64>,
    pub(super) since_caught_up_ms: Option<i64>,
    pub(super) standing: Standing,
}

/// What can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Leads,
    Follows,
    Lags,
    Dark,
}

/// Something that a person should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// It is silent for so long, or was never heard of by this leader.
    Dark {
        id: i32,
        for_ms: Option<i64>,
    },
    /// By so many records, as far as that is known.
    Lags {
        id: i32,
        by: Option<i64>,
    },
    /// One more voter lost, and the metadata can change no more.
    NoneToSpare {
        sound: usize,
    },
    /// It would not survive an election.
    NoMajority {
        sound: usize,
        majority: usize,
    },
    /// One more than an odd number brings nothing.
    Even {
        voters: usize,
    },
    Single,
}

impl Standing {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Leads => "leads",
            Self::Follows => "follows",
            Self::Lags => "lags",
            Self::Dark => "dark",
        }
    }

    /// Whether a commit can count on it now.
    fn is_sound(self) -> bool {
        match self {
            Self::Leads | Self::Follows => true,
            Self::Lags | Self::Dark => false,
        }
    }
}

impl Finding {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Dark { .. } => "voter-dark",
            Self::Lags { .. } => "voter-lags",
            Self::NoneToSpare { .. } => "none-to-spare",
            Self::NoMajority { .. } => "no-majority",
            Self::Even { .. } => "even-voters",
            Self::Single => "single-voter",
        }
    }

    pub(super) fn voter(&self) -> Option<i32> {
        match self {
            Self::Dark { id, .. } | Self::Lags { id, .. } => Some(*id),
            Self::NoneToSpare { .. }
            | Self::NoMajority { .. }
            | Self::Even { .. }
            | Self::Single => None,
        }
    }

    /// How the quorum is laid out is its owner's choice; anything else is not as it should be.
    pub(super) fn is_warning(&self) -> bool {
        match self {
            Self::Dark { .. }
            | Self::Lags { .. }
            | Self::NoneToSpare { .. }
            | Self::NoMajority { .. } => true,
            Self::Even { .. } | Self::Single => false,
        }
    }

    pub(super) fn level(&self) -> &'static str {
        if self.is_warning() { "warning" } else { "note" }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dark {
                id,
                for_ms: Some(ms),
            } => write!(f, "voter {id} was not heard of for {}", show(*ms)),
            Self::Dark { id, for_ms: None } => {
                write!(f, "voter {id} was not heard of since this leader leads")
            }
            Self::Lags { id, by: Some(by) } => write!(f, "voter {id} lags by {by} records"),
            Self::Lags { id, by: None } => {
                write!(f, "voter {id} lags, and it is not known how far")
            }
            Self::NoneToSpare { sound } => write!(
                f,
                "all {sound} voters that follow are needed: if one more is lost, the metadata can \
                 change no more"
            ),
            Self::NoMajority { sound, majority } => write!(
                f,
                "{sound} voters follow, and a majority is {majority}: the metadata cannot change"
            ),
            Self::Even { voters } => write!(
                f,
                "{voters} voters survive no more losses than {}: add one, or remove one",
                voters - 1
            ),
            Self::Single => write!(f, "a single voter: while it is away nothing can change"),
        }
    }
}

fn show(ms: i64) -> String {
    isthmus_config::units::show_millis(ms)
}

/// How many of so many voters must agree.
pub(super) fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

impl Seen {
    pub(super) fn new(cluster: &str, description: &QuorumDescription) -> Self {
        let leader = description.leader;
        let lead = description.voters.iter().find(|it| Some(it.id) == leader);
        let member = |it: &QuorumReplica| member(it, lead, description);
        Self {
            cluster: cluster.to_owned(),
            leader,
            epoch: description.leader_epoch,
            high_watermark: description.high_watermark,
            now_ms: lead.and_then(|lead| lead.last_fetch_ms),
            voters: description.voters.iter().map(member).collect(),
            observers: description.observers.iter().map(member).collect(),
        }
    }

    pub(super) fn voter(&self, id: i32) -> Option<&Member> {
        self.voters.iter().find(|voter| voter.id == id)
    }

    /// Whether that node has the log and no vote.
    pub(super) fn observes(&self, id: i32, directory: Uuid) -> bool {
        let mut observers = self.observers.iter();
        observers.any(|it| it.id == id && it.directory == directory)
    }

    pub(super) fn majority(&self) -> usize {
        majority(self.voters.len())
    }

    /// Voters on which a commit can count now.
    pub(super) fn sound(&self) -> usize {
        self.sound_without(None)
    }

    pub(super) fn sound_without(&self, without: Option<i32>) -> usize {
        let voters = self.voters.iter().filter(|it| Some(it.id) != without);
        voters.filter(|it| it.standing.is_sound()).count()
    }

    /// The same, with those dark that the leader has not heard of since an earlier look: one that is lost
    /// looks sound until it is dark. An error gives it back as it is: looks of two leaders cannot be
    /// compared.
    pub(super) fn heard_since(mut self, earlier: &Self) -> Result<Self, Self> {
        if (self.leader, self.epoch) != (earlier.leader, earlier.epoch) {
            return Err(self);
        }
        let between = self.now_ms.zip(earlier.now_ms);
        if let Some(between_ms) = between.map(|(now, then)| now - then) {
            let is_late = |it: &Member| it.since_fetch_ms.is_none_or(|ms| ms >= between_ms);
            let voters = self.voters.iter_mut();
            for voter in voters.filter(|it| it.standing != Standing::Leads && is_late(it)) {
                voter.standing = Standing::Dark;
            }
        }
        Ok(self)
    }

    /// How many more voters may be lost.
    pub(super) fn spare(&self) -> usize {
        self.sound().saturating_sub(self.majority())
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self.voters.iter().filter_map(of_voter).collect();
        let (voters, sound, majority) = (self.voters.len(), self.sound(), self.majority());
        if sound < majority {
            findings.push(Finding::NoMajority { sound, majority });
        } else if sound == majority && voters > 1 {
            findings.push(Finding::NoneToSpare { sound });
        }
        match voters {
            1 => findings.push(Finding::Single),
            _ if voters % 2 == 0 => findings.push(Finding::Even { voters }),
            _ => {}
        }
        findings
    }
}

fn of_voter(voter: &Member) -> Option<Finding> {
    let id = voter.id;
    match voter.standing {
        Standing::Leads | Standing::Follows => None,
        Standing::Lags => Some(Finding::Lags { id, by: voter.lag }),
        Standing::Dark => Some(Finding::Dark {
            id,
            for_ms: voter.since_fetch_ms,
        }),
    }
}

/// The leader has always just fetched from itself, so that its own time is the time of the answer.
fn member(
    it: &QuorumReplica,
    lead: Option<&QuorumReplica>,
    description: &QuorumDescription,
) -> Member {
    let now_ms = lead.and_then(|lead| lead.last_fetch_ms);
    let since = |then: Option<i64>| now_ms.zip(then).map(|(now, then)| (now - then).max(0));
    let end = lead.and_then(|lead| lead.log_end_offset);
    let lag = end.zip(it.log_end_offset);
    let lag = lag.map(|(end, own)| end.saturating_sub(own).max(0));
    let listeners = description.listeners.get(&it.id);
    let listener = listeners.and_then(|listeners| listeners.first());
    let mut member = Member {
        id: it.id,
        directory: it.directory,
        address: listener.map(|at| format!("{}:{}", at.host, at.port)),
        log_end: it.log_end_offset,
        lag,
        since_fetch_ms: since(it.last_fetch_ms),
        since_caught_up_ms: since(it.last_caught_up_ms),
        standing: Standing::Leads,
    };
    if description.leader != Some(it.id) || lead.is_none() {
        member.standing = standing(&member, now_ms.is_some());
    }
    member
}

/// Where the leader tells no times, only the lag can be judged.
fn standing(member: &Member, has_times: bool) -> Standing {
    let is_late = |since: Option<i64>| since.is_none_or(|ms| ms > DARK_AFTER_MS);
    if has_times && is_late(member.since_fetch_ms) {
        return Standing::Dark;
    }
    let is_behind = member.lag.is_none_or(|lag| lag > LAG_RECORDS_MAX);
    if is_behind || (has_times && is_late(member.since_caught_up_ms)) {
        return Standing::Lags;
    }
    Standing::Follows
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Each voter is `id:log end:ms since it fetched:ms since it was caught up`, with `-` for what is
    /// not known; the leader is the first.
    const STORIES: &str = "
one alone                 | 1:10:0:0                         | 0 | single-voter
two                       | 1:10:0:0 2:10:90:90              | 0 | none-to-spare even-voters
three                     | 1:10:0:0 2:9:90:90 3:10:3000:9   | 1 |
three, one dark           | 1:10:0:0 2:10:90:90 3:10:3001:9  | 0 | voter-dark=3 none-to-spare
three, one never heard of | 1:10:0:0 2:10:90:90 3:-:-:-      | 0 | voter-dark=3 none-to-spare
three, one far behind     | 1:2000:0:0 2:2000:9:9 3:999:9:9  | 0 | voter-lags=3 none-to-spare
three, one just behind    | 1:2000:0:0 2:2000:9:9 3:1000:9:9 | 1 |
three, one for long       | 1:10:0:0 2:10:9:9 3:9:9:3001     | 0 | voter-lags=3 none-to-spare
three, two not followed   | 1:10:0:0 2:-:9:9 3:-:9:9         | 0 | voter-lags=2 voter-lags=3 no-majority
three, without times      | 1:10:-:- 2:10:-:- 3:9:-:-        | 1 |
three, without times, lag | 1:10:-:- 2:10:-:- 3:-:-:-        | 0 | voter-lags=3 none-to-spare
four                      | 1:9:0:0 2:9:0:0 3:9:0:0 4:9:0:0  | 1 | even-voters
five, two dark            | 1:9:0:0 2:9:0:0 3:9:0:0 4:9:9999:9 5:9:9999:9 | 0 | voter-dark=4 voter-dark=5 none-to-spare
";

    fn replica(text: &str) -> QuorumReplica {
        let mut cells = text.split(':');
        let mut number = || cells.next().unwrap().parse::<i64>().ok();
        let id = i32::try_from(number().unwrap()).unwrap();
        let log_end_offset = number();
        let mut ago = || number().map(|ago| 100_000 - ago);
        QuorumReplica {
            id,
            directory: Uuid([7; 16]),
            log_end_offset,
            last_fetch_ms: ago(),
            last_caught_up_ms: ago(),
        }
    }

    fn seen(voters: &str) -> Seen {
        let voters: Vec<QuorumReplica> = voters.split_whitespace().map(replica).collect();
        let description = QuorumDescription {
            leader: voters.first().map(|it| it.id),
            leader_epoch: 5,
            high_watermark: 9,
            voters,
            observers: Vec::new(),
            listeners: BTreeMap::new(),
        };
        Seen::new("c", &description)
    }

    #[test]
    fn what_a_person_should_look_at() {
        for row in STORIES.lines().filter(|row| !row.is_empty()) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let [name, voters, spare, expected] = cells[..] else {
                panic!("{row}")
            };
            let seen = seen(voters);
            let found = seen.findings().into_iter().map(|it| match it.voter() {
                Some(id) => format!("{}={id}", it.kind()),
                None => it.kind().to_owned(),
            });
            let found: Vec<String> = found.collect();
            assert_eq!(found.join(" "), expected, "{name}");
            assert_eq!(seen.spare(), spare.parse::<usize>().unwrap(), "{name}");
        }
    }

    #[test]
    fn who_was_lost_a_moment_ago_does_not_count() {
        let earlier = || seen("1:10:500:500 2:10:590:590 3:10:900:900 4:10:510:510");
        let later = "1:10:0:0 2:10:90:90 3:10:900:900 4:10:500:500";
        assert_eq!(seen(later).sound(), 4, "none of them is dark yet");
        let heard = seen(later).heard_since(&earlier()).unwrap();
        let standings: Vec<Standing> = heard.voters.iter().map(|it| it.standing).collect();
        use Standing::{Dark, Follows, Leads};
        assert_eq!(standings, [Leads, Follows, Dark, Dark]);
        let timeless = seen("1:10:-:- 2:10:-:-").heard_since(&earlier()).unwrap();
        assert_eq!(
            timeless.sound(),
            2,
            "without times only the lag can be judged"
        );
        let mut others = earlier();
        others.epoch += 1;
        assert!(seen(later).heard_since(&others).is_err());
    }

    #[test]
    fn findings_are_told_in_words() {
        let texts = |voters: &str| {
            let findings = seen(voters).findings();
            let texts = findings.iter().map(ToString::to_string);
            texts.collect::<Vec<_>>()
        };
        assert_eq!(
            texts("1:10:0:0 2:10:90:90 3:10:9000:9"),
            [
                "voter 3 was not heard of for 9s",
                "all 2 voters that follow are needed: if one more is lost, the metadata can change \
                 no more"
            ]
        );
        assert_eq!(
            texts("1:9:0:0 2:9:0:0 3:9:0:0 4:9:0:0"),
            ["4 voters survive no more losses than 3: add one, or remove one"]
        );
    }
}
