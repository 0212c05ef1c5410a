//! The oracle against the tables: each row is computed and compared with what is written there.
#![expect(clippy::unwrap_used, reason = "a story stops at the first surprise")]

use isthmus_config::model::outcome::{
    Code, Demands, Quorum, Recipe, Replicas, available, away, bridged_seconds, catch_up_seconds,
    consistent, consistent_by_source, crossing_bytes, mirror_lag_bytes, recipe_of, shares, spread,
};

const TABLE_A: &str = include_str!("../testdata/outcome/table-a.txt");
const TABLE_B: &str = include_str!("../testdata/outcome/table-b.txt");
const TABLE_C: &str = include_str!("../testdata/outcome/table-c.txt");
const TABLE_F: &str = include_str!("../testdata/outcome/table-f.txt");
const RECIPES: &str = include_str!("../testdata/outcome/recipe.txt");

/// Every row of a table, made again from its first cells, must be the row.
fn check(table: &str, rows: usize, again: impl Fn(&[&str]) -> String) {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in lines {
        let cells: Vec<&str> = line.split(" | ").collect();
        let computed = again(&cells);
        if computed != line {
            wrong.push(format!("table:  {line}\noracle: {computed}"));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(count, rows, "rows of the table");
}

#[test]
fn table_a_ranges_of_m() {
    check(TABLE_A, 8, |cells| {
        let r = number(cells[0]);
        let two = [
            layout(r, 2),
            range(r, 2, consistent_by_source).first(),
            range(r, 2, available).last(),
            range(r, 2, |r, d, m| !consistent(r, d, m) && !available(r, d, m)).all(),
        ];
        let both = range(r, 3, |r, d, m| consistent(r, d, m) && available(r, d, m)).all();
        let by_source = |r, d, m| consistent_by_source(r, d, m) && available(r, d, m);
        let by_source = range(r, 3, by_source).all();
        let wrong = if by_source == both { "" } else { " wrong" };
        let three = [
            layout(r, 3),
            range(r, 3, consistent_by_source).first(),
            range(r, 3, consistent).first(),
            range(r, 3, available).last(),
            both,
            format!("{by_source}{wrong}"),
        ];
        format!("{r} | {} | {}", two.join(" | "), three.join(" | "))
    });
}

#[test]
fn table_b_outcomes() {
    check(TABLE_B, 31, |cells| {
        let [d, r, m] = [cells[1], cells[2], cells[4]].map(number);
        let replicas = Replicas::even(r, d);
        let full = |lost: Vec<usize>| replicas.after_full(&demands(m, false), &lost).letter();
        let worst = |unclean| {
            let lost = site(&replicas, 0);
            replicas.after_worst(&demands(m, unclean), &lost).letter()
        };
        let largest_and_one = (0..r as usize).filter(|it| !site(&replicas, 0).contains(it));
        let largest_and_one = largest_and_one
            .map(|one| [site(&replicas, 0), vec![one]].concat())
            .map(|lost| replicas.after_full(&demands(m, false), &lost));
        let last = d as usize - 1;
        let two = [site(&replicas, 0), site(&replicas, 1)].concat();
        let yes = |holds: bool| if holds { "yes" } else { "no" };
        [
            cells[0],
            cells[1],
            cells[2],
            &layout(r, d),
            cells[4],
            yes(consistent_by_source(r, d, m)),
            yes(consistent(r, d, m)),
            yes(available(r, d, m)),
            full(vec![0]),
            full(site(&replicas, 0)),
            full(site(&replicas, last)),
            largest_and_one.max().unwrap().letter(),
            if d == 2 { "-" } else { full(two) },
            worst(false),
            worst(true),
        ]
        .join(" | ")
    });
}

#[test]
fn table_c_quorum_layouts() {
    check(TABLE_C, 14, |cells| {
        let quorum = Quorum::new(cells[0].split('-').map(number).collect());
        let sites = 0..cells[0].split('-').count();
        let left = sites.map(|site| match quorum.outlives_site(site) {
            true => "ok",
            false => "lost",
        });
        let left: Vec<_> = left.collect();
        let verdict = match quorum.outlives_any_site() {
            true => "survives any site",
            false => "not safe",
        };
        let (total, majority) = (quorum.total(), quorum.majority());
        format!(
            "{quorum} | {total} | {majority} | {} | {verdict}",
            left.join(", ")
        )
    });
}

#[test]
fn table_f_derived_numbers() {
    let lines = TABLE_F.lines().filter(|line| !line.starts_with('#'));
    let mut count = 0;
    for line in lines {
        let (case, expected) = line.split_once(" => ").unwrap();
        let words: Vec<&str> = case.split(' ').collect();
        let given = |key: &str| {
            let mut pairs = words.iter().filter_map(|word| word.split_once('='));
            amount(pairs.find(|pair| pair.0 == key).unwrap().1)
        };
        let computed = match words[1] {
            "mirror" => {
                let (link, produced) = (given("link"), given("produce"));
                let lag = mirror_lag_bytes(link, produced, given("seconds"));
                format!("lag={}MB rpo={}s", lag / 1e6, lag / produced)
            }
            "drain" | "resync" => {
                let (backlog, rate) = (given("backlog"), given("rate"));
                match catch_up_seconds(backlog, rate, given("produce")) {
                    Some(seconds) => format!("{seconds}s"),
                    None => "never".to_owned(),
                }
            }
            "buffer" => {
                let (size, rate) = (given("size"), given("rate"));
                format!("{}s", bridged_seconds(size, rate, given("timeout")))
            }
            "crossing" => format!("{:.2}", crossing_bytes(&at_sites(words[2]))),
            "clients" => {
                let at_sites = at_sites(words[2]);
                let even = shares(&vec![1; at_sites.len()]);
                let leaders = shares(&at_sites);
                let read = match words[3] {
                    "read=leader" => away(&even, &leaders),
                    "read=closest" => away(&even, &vec![1.0; at_sites.len()]),
                    other => panic!("{other}"),
                };
                format!(
                    "{:.2}",
                    crossing_bytes(&at_sites) + away(&even, &leaders) + read
                )
            }
            other => panic!("{other}"),
        };
        assert_eq!(computed, expected, "{line}");
        count += 1;
    }
    assert_eq!(count, 16);
}

#[test]
fn recipes_hold_what_they_promise() {
    check(RECIPES, 6, |cells| {
        let [d, n] = [cells[0], cells[1]].map(number);
        let recipe = Recipe { sites: d, n };
        let (r, m) = (recipe.replicas(), recipe.min_insync());
        assert_eq!(recipe_of(r, d, m), Some(recipe));
        let yes = |holds: bool| if holds { "yes" } else { "no" };
        let replicas = Replicas::even(r, d);
        let lost = replicas.after_full(&demands(m, false), &site(&replicas, 0));
        // The spare ones are counted out, one after the other.
        let spared = |count: u32| {
            let lost: Vec<usize> = (0..(n + count) as usize).collect();
            replicas.after_full(&demands(m, false), &lost) == Code::Writes
        };
        let spare = (0..r).take_while(|&count| spared(count)).last();
        assert_eq!(recipe.to_spare(), spare, "{cells:?}");
        let spare = spare.map_or("-".to_owned(), |it| it.to_string());
        let (c, a) = (yes(consistent(r, d, m)), yes(available(r, d, m)));
        format!("{d} | {n} | {r} | {m} | {c} | {a} | {lost} | {spare}")
    });
    assert_eq!(recipe_of(4, 3, 2), None);
}

/// What the formulas say is what counting says, for 2 to 5 sites, 2 to 12 replicas and every m.
#[test]
fn the_formulas_are_what_counting_says() {
    let mut differs_from_source = Vec::new();
    for (d, r) in (2..=5).flat_map(|d| (2..=12).map(move |r| (d, r))) {
        let replicas = Replicas::even(r, d);
        let largest = site(&replicas, 0);
        for m in 1..=r {
            let case = format!("d={d} r={r} m={m}");
            let demands = demands(m, false);
            let goes_on = replicas.after_full(&demands, &largest) == Code::Writes;
            assert_eq!(available(r, d, m), goes_on, "{case}");
            let at_one = replicas.fits_into_one_site(&demands);
            assert_eq!(consistent(r, d, m), !at_one, "{case}");
            assert!(
                d > 2 || !(consistent(r, d, m) && available(r, d, m)),
                "{case}"
            );
            let worst = replicas.after_worst(&demands, &largest);
            // From a legal ISR nothing acknowledged is out of reach if it cannot be at one site.
            assert_eq!(consistent(r, d, m), worst < Code::Unclean, "{case}");
            if consistent(r, d, m) != consistent_by_source(r, d, m) {
                differs_from_source.push((d, r, m));
            }
        }
    }
    for told_by_x_02 in [(3, 4, 2), (3, 7, 3), (4, 5, 2), (5, 7, 2)] {
        assert!(
            differs_from_source.contains(&told_by_x_02),
            "{told_by_x_02:?}"
        );
    }
    assert!(differs_from_source.iter().all(|&(d, r, _)| r % d != 0));
}

/// the rule by the largest share is the rule by counting, for every layout.
#[test]
fn a_quorum_outlives_any_site_if_no_site_has_too_many() {
    for layout in 0..6_u32.pow(3) {
        let voters = vec![layout % 6, layout / 6 % 6, layout / 36];
        if voters.iter().sum::<u32>() == 0 {
            continue;
        }
        let quorum = Quorum::new(voters);
        let counted = (0..3).all(|site| quorum.outlives_site(site));
        assert_eq!(quorum.outlives_any_site(), counted, "{quorum}");
    }
    let majorities = [3, 4, 5, 7].map(|voters| Quorum::new(vec![voters]).majority());
    assert_eq!(majorities, [2, 3, 3, 4], "S3-03");
    let in_two_sites = (0..8).flat_map(|a| (1..8).map(move |b| Quorum::new(vec![a, b])));
    assert_eq!(in_two_sites.filter(Quorum::outlives_any_site).count(), 0);
    assert!(Quorum::new(vec![2, 2, 2]).is_even() && !Quorum::new(vec![2, 2, 1]).is_even());
}

/// Racks make of an ISR that fits into one site one that does not (rule 21).
#[test]
fn racks_keep_a_copy_elsewhere() {
    let replicas = Replicas::even(4, 2);
    let largest = site(&replicas, 0);
    let racks = |min_racks| Demands {
        min_racks,
        ..demands(2, false)
    };
    assert_eq!(replicas.after_worst(&racks(1), &largest), Code::Offline);
    assert_eq!(replicas.after_worst(&racks(2), &largest), Code::Reads);
    // They cost what was available without them.
    assert_eq!(replicas.after_full(&racks(1), &largest), Code::Writes);
    assert_eq!(replicas.after_full(&racks(2), &largest), Code::Reads);
    assert!(replicas.fits_into_one_site(&racks(1)));
    assert!(!replicas.fits_into_one_site(&racks(2)));
    // With three sites nothing is paid: two racks are left, and the third one catches up.
    let replicas = Replicas::even(3, 3);
    let lost = site(&replicas, 0);
    assert_eq!(replicas.after_full(&racks(2), &lost), Code::Writes);
    assert_eq!(replicas.after_worst(&racks(2), &lost), Code::CatchesUp);
}

fn demands(min_insync: u32, unclean: bool) -> Demands {
    Demands {
        min_insync,
        min_racks: 1,
        unclean,
    }
}

fn site(replicas: &Replicas, site: usize) -> Vec<usize> {
    replicas.lost(|seat| seat.site == site)
}

fn layout(replicas: u32, sites: u32) -> String {
    let spread = spread(replicas, sites);
    let spread: Vec<_> = spread.iter().map(ToString::to_string).collect();
    spread.join("+")
}

/// The numbers of m for which something holds.
struct Range(Vec<u32>);

fn range(r: u32, d: u32, holds: impl Fn(u32, u32, u32) -> bool) -> Range {
    Range((1..=r).filter(|&m| holds(r, d, m)).collect())
}

impl Range {
    fn first(&self) -> String {
        self.0.first().unwrap().to_string()
    }

    fn last(&self) -> String {
        self.0.last().unwrap().to_string()
    }

    fn all(&self) -> String {
        let all: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        match all.is_empty() {
            true => "-".to_owned(),
            false => all.join(","),
        }
    }
}

fn number(cell: &str) -> u32 {
    cell.parse().unwrap()
}

fn at_sites(layout: &str) -> Vec<u32> {
    layout.split('+').map(number).collect()
}

/// Bytes or seconds.
fn amount(text: &str) -> f64 {
    let unit = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let factor = match &text[unit..] {
        "" | "s" => 1.0,
        "MB" => 1e6,
        "MiB" => 1_048_576.0,
        "KiB" => 1_024.0,
        other => panic!("{other}"),
    };
    text[..unit].parse::<f64>().unwrap() * factor
}
