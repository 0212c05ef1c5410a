//! Tables: what is allowed, which act counts, how long a look holds.

use std::collections::BTreeMap;

use isthmus_wire::Uuid;
use proptest::prelude::*;

use super::*;
use crate::state::SavedRole;

const PERMITS: &str = include_str!("../../testdata/roles/permits.txt");
const ACTS: &str = include_str!("../../testdata/roles/acts.txt");
const LEASE: &str = include_str!("../../testdata/roles/lease.txt");

fn rows(text: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    let lines = text.lines();
    let lines = lines.filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.map(|line| (line, line.split('|').map(str::trim).collect()))
}

fn role(name: &str) -> Role {
    let found = Role::ALL.into_iter().find(|it| it.name() == name);
    found.unwrap_or_else(|| panic!("no role {name}"))
}

fn naming(name: &str) -> NamingPolicy {
    match name {
        "source-prefix" => NamingPolicy::SourcePrefix,
        "owner-prefix" => NamingPolicy::OwnerPrefix,
        "identity" => NamingPolicy::Identity,
        other => panic!("no naming {other}"),
    }
}

fn word(withheld: Option<Withheld>) -> &'static str {
    match withheld {
        None => "-",
        Some(Withheld::Everything) => "everything",
        Some(Withheld::GroupOffsets) => "group offsets",
    }
}

fn yes(it: bool) -> &'static str {
    if it { "yes" } else { "no" }
}

#[test]
fn a_role_allows_what_the_table_says() {
    for (line, cells) in rows(PERMITS) {
        let (role, naming) = (role(cells[0]), naming(cells[1]));
        let permit = permit_now(role, naming, cells[2] == "yes");
        assert_eq!(
            [
                yes(permit.records),
                yes(permit.group_offsets),
                word(withheld(role, naming, true)),
                word(withheld(role, naming, false)),
            ],
            cells[3..7],
            "{line}"
        );
    }
}

/// `1a promoted`, `1a !`.
fn apply(log: &mut RoleLog, text: &str) {
    let (name, what) = text.split_once(' ').unwrap();
    let (epoch, act) = name.split_at(name.len() - 1);
    let act = Uuid([act.as_bytes()[0]; 16]);
    let saved = (what != "!").then(|| SavedRole {
        role: role(what),
        at_ms: 0,
        who: "w".to_owned(),
        why: String::new(),
    });
    log.apply(epoch.parse().unwrap(), act, saved);
}

fn told(log: &RoleLog) -> [String; 2] {
    let name = |it: &RoleAct| format!("{}{}", it.epoch, char::from(it.act.0[0]));
    let counting: Vec<String> = log.counting().map(name).collect();
    let counting = match counting.is_empty() {
        true => "-".to_owned(),
        false => counting.join(" "),
    };
    [counting, format!("{} {}", log.role().name(), log.epoch())]
}

#[test]
fn the_first_act_of_an_epoch_counts() {
    for (line, cells) in rows(ACTS) {
        let mut log = RoleLog::default();
        let acts = cells[0].split(',').map(str::trim).filter(|it| *it != "-");
        let acts: Vec<&str> = acts.collect();
        for act in &acts {
            apply(&mut log, act);
        }
        assert_eq!(told(&log)[..], cells[1..3], "{line}");
        assert_eq!(log.next_epoch(), log.epoch() + 1);
        if acts.iter().any(|it| it.ends_with('!')) {
            continue;
        }
        // Read in two parts, it says the same.
        for at in 0..=acts.len() {
            let (mut early, mut late) = (RoleLog::default(), RoleLog::default());
            acts[..at].iter().for_each(|act| apply(&mut early, act));
            acts[at..].iter().for_each(|act| apply(&mut late, act));
            early.extend(late);
            assert_eq!(told(&early), told(&log), "{line} in two parts at {at}");
        }
    }
}

#[test]
fn a_look_holds_as_long_as_the_table_says() {
    let mut lease = RoleLease::default();
    let mut looks = BTreeMap::new();
    for (line, cells) in rows(LEASE) {
        let now_ms: i64 = cells[0].parse().unwrap();
        match cells[1].split_once(' ') {
            Some(("begin", name)) => drop(looks.insert(name.to_owned(), lease.begin(now_ms))),
            Some(("end", name)) => lease.confirm(looks[name]),
            None if cells[1] == "doubt" => lease.doubt(),
            None if cells[1] == "-" => {}
            other => panic!("{other:?}: {line}"),
        }
        assert_eq!(
            [
                yes(lease.holds(now_ms)).to_owned(),
                lease.left_ms(now_ms).to_string(),
            ]
            .as_slice(),
            &cells[2..4],
            "{line}"
        );
    }
}

/// A daemon that has not seen the act writes by the old role: not once its lease is over.
fn pass(lease: &RoleLease, has_seen: bool, acted_ms: i64, from_ms: i64, to_ms: i64) {
    for now_ms in (from_ms..to_ms).step_by(50) {
        let writes_by_the_old = lease.holds(now_ms) && !has_seen;
        let is_settled = now_ms >= acted_ms + LEASE_MS;
        assert!(
            !(writes_by_the_old && is_settled),
            "written at {now_ms}, acted at {acted_ms}: {lease:?}"
        );
    }
}

proptest! {
    /// Looks that take long, come late, or during which the way to the target breaks: whenever an
    /// operator acts, nobody writes by the old role after a lease's time. Per look: the time to the
    /// one before, until the topic is read, until that has arrived, and whether the way broke.
    #[test]
    fn an_act_holds_for_everybody_once_it_has_settled(
        acted_ms in 0..15_000_i64,
        looks in prop::collection::vec(
            (0..1_500_i64, 0..2_500_i64, 0..2_500_i64, any::<bool>()),
            1..25,
        ),
    ) {
        let mut lease = RoleLease::default();
        let (mut now_ms, mut has_seen) = (0, false);
        for (pause, reading, arriving, breaks) in looks {
            pass(&lease, has_seen, acted_ms, now_ms, now_ms + pause);
            now_ms += pause;
            let look = lease.begin(now_ms);
            let read_ms = now_ms + reading;
            let ended_ms = read_ms + arriving;
            pass(&lease, has_seen, acted_ms, now_ms, ended_ms);
            now_ms = ended_ms;
            if breaks {
                lease.doubt();
            }
            has_seen |= read_ms >= acted_ms;
            lease.confirm(look);
        }
        pass(&lease, has_seen, acted_ms, now_ms, now_ms + 2 * LEASE_MS);
    }
}
