//! `isthmus quorum remove`: a voter votes no more, whether it lives or is lost for good. The quorum
//! that is left must have a majority that follows, and a voter is believed to follow only once the leader
//! has heard of it after this command looked first. A node that was to be added and never came up to
//! date is taken out in the same way.

use super::change::{Change, ChangeOptions, act, votes_not};
use super::look_or_end;
use super::seen::{DARK_AFTER_MS, Member, Seen, Standing, majority};
use crate::cluster::say_no;
use clap::Args;
use isthmus_client::Admin;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::Instant;

/// Between two looks; leaders hear of their voters several times a second.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

#[derive(Args)]
pub(super) struct RemoveOptions {
    #[command(flatten)]
    change: ChangeOptions,
}

pub(super) fn run(options: &RemoveOptions) -> ExitCode {
    let options = &options.change;
    options.common.cluster.run(|admin| remove(admin, options))
}

async fn remove(admin: Admin, options: &ChangeOptions) -> ExitCode {
    let seen = match look_or_end(&admin).await {
        Ok(seen) => seen,
        Err(code) => return code,
    };
    let (id, directory) = (options.node, options.directory);
    if seen.observes(id, directory) {
        return act(Change::Remove, &admin, &seen, options).await;
    }
    let Some(voter) = seen.voter(id) else {
        return votes_not(&seen, options);
    };
    if voter.directory != directory {
        return say_no(&format!(
            "could not remove node {id} with directory {directory}: it votes with directory {}; \
             nothing was changed",
            voter.directory
        ));
    }
    let seen = match watched(&admin, seen, id).await {
        Ok(seen) => seen,
        Err(code) => return code,
    };
    // Somebody else may have taken it out meanwhile.
    let Some(voter) = seen.voter(id).filter(|it| it.directory == directory) else {
        return votes_not(&seen, options);
    };
    if let Some(why) = against(&seen, voter) {
        return say_no(&format!(
            "could not remove voter {id}: {why}; nothing was changed"
        ));
    }
    act(Change::Remove, &admin, &seen, options).await
}

/// Looks again until the leader has heard, since the first look, of all that seem sound beside the one to
/// go; or until those of whom it has not are dark.
async fn watched(admin: &Admin, mut first: Seen, without: i32) -> Result<Seen, ExitCode> {
    let dark_at = Instant::now() + Duration::from_millis(DARK_AFTER_MS.unsigned_abs());
    loop {
        tokio::time::sleep(LOOK_PAUSE).await;
        let now = look_or_end(admin).await?;
        let seem = now.sound_without(Some(without));
        let is_over = Instant::now() >= dark_at;
        match now.heard_since(&first) {
            Ok(heard) if is_over || heard.sound_without(Some(without)) >= seem => return Ok(heard),
            Ok(_) => {}
            Err(_) if is_over => {
                let words = "the quorum goes from one leader to the next: nothing was changed; look at \
                             `isthmus quorum status`, and try again when one stays";
                return Err(say_no(&words));
            }
            Err(now) => first = now,
        }
    }
}

/// Why the quorum would not live without this voter, and what to do instead.
fn against(seen: &Seen, voter: &Member) -> Option<String> {
    let left = seen.voters.len() - 1;
    if left == 0 {
        return Some("it is the only one; add another one first".to_owned());
    }
    let (sound, needed) = (seen.sound_without(Some(voter.id)), majority(left));
    if sound >= needed {
        return None;
    }
    let others = seen.voters.iter().filter(|it| it.id != voter.id);
    let weak = others.filter(|it| match it.standing {
        Standing::Lags | Standing::Dark => true,
        Standing::Leads | Standing::Follows => false,
    });
    let weak: Vec<String> = weak
        .map(|it| format!("{} {}", it.id, it.standing.name()))
        .collect();
    Some(format!(
        "of the {left} that are left {sound} would follow, and their majority is {needed} ({}); \
         bring those back first, or remove them instead",
        weak.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use isthmus_client::Uuid;

    /// The voters' standing, the leader first; which one is to go; the words that refuse it.
    const ROWS: &str = "
L       | 1 | it is the only one
LF      | 1 |
LF      | 2 |
LFF     | 1 |
LFF     | 3 |
LFD     | 3 |
LFD     | 2 | of the 2 that are left 1 would follow, and their majority is 2 (3 dark)
LFD     | 1 | of the 2 that are left 1 would follow, and their majority is 2 (3 dark)
LFG     | 2 | of the 2 that are left 1 would follow, and their majority is 2 (3 lags)
LFFD    | 2 |
LFFD    | 4 |
LFFDD   | 4 |
LFFDD   | 2 | of the 4 that are left 2 would follow, and their majority is 3 (4 dark, 5 dark)
";

    fn voter(id: i32, standing: char) -> Member {
        let standing = match standing {
            'L' => Standing::Leads,
            'F' => Standing::Follows,
            'G' => Standing::Lags,
            'D' => Standing::Dark,
            other => panic!("{other}"),
        };
        Member {
            id,
            directory: Uuid([7; 16]),
            address: None,
            log_end: None,
            lag: None,
            since_fetch_ms: None,
            since_caught_up_ms: None,
            standing,
        }
    }

    #[test]
    fn a_voter_stays_that_the_majority_hangs_on() {
        for row in ROWS.lines().filter(|row| !row.is_empty()) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let [voters, gone, words] = cells[..] else {
                panic!("{row}")
            };
            let seen = Seen {
                cluster: "c".to_owned(),
                leader: Some(1),
                epoch: 5,
                high_watermark: 9,
                now_ms: None,
                voters: (1..)
                    .zip(voters.chars())
                    .map(|(id, it)| voter(id, it))
                    .collect(),
                observers: Vec::new(),
            };
            let gone = seen.voter(gone.parse().unwrap()).unwrap();
            match against(&seen, gone) {
                None => assert_eq!(words, "", "{row}"),
                Some(why) => assert!(!words.is_empty() && why.contains(words), "{row}: {why}"),
            }
        }
    }
}
