//! `isthmus-sim`: runs seeds, says which break something, and how to see it again.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks so"
)]
#![expect(
    clippy::disallowed_types,
    reason = "it says how long the seeds took; no run sees that"
)]

use isthmus_sim::{Counts, Mutation, Outcome, run};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Instant;

const USAGE: &str = "\
cargo xtask sim [--seeds N] [--seed S] [--rule ID]
cargo xtask sim --table

  --seeds N   run N seeds, beginning with 0, or with S (2000)
  --seed S    alone: run seed S and print every event
  --rule ID   without the rule of that id (docs/replication.md)
  --table     for every rule the first seed that shows it missing: sim/testdata/mutations.txt
";

struct Asked {
    first: u64,
    seeds: Option<u64>,
    mutation: Option<Mutation>,
    table: bool,
}

/// A missing rule is seen within so many seeds.
const TABLE_SEEDS: u64 = 10_000;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args
        .first()
        .is_some_and(|it| it == "help" || it == "--help")
    {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let asked = match parse(&args) {
        Ok(asked) => asked,
        Err(words) => {
            eprintln!("isthmus-sim: {words}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    // A violated assertion is told with its seed, once.
    std::panic::set_hook(Box::new(|_| {}));
    let broken = match asked.seeds {
        _ if asked.table => table(),
        Some(seeds) => run_many(&asked, seeds),
        None => run_one(&asked),
    };
    ExitCode::from(u8::from(broken))
}

fn parse(args: &[String]) -> Result<Asked, String> {
    let (mut seed, mut seeds, mut mutation, mut table) = (None, None, None, false);
    let mut args = args.iter();
    while let Some(flag) = args.next() {
        if flag == "--table" {
            table = true;
            continue;
        }
        let value = args.next().ok_or(format!("{flag} needs a value"))?;
        let number = || {
            value
                .parse::<u64>()
                .map_err(|error| format!("{flag} {value}: {error}"))
        };
        match flag.as_str() {
            "--seeds" => seeds = Some(number()?),
            "--seed" => seed = Some(number()?),
            "--rule" => {
                let known = Mutation::named(value);
                mutation = Some(known.ok_or(format!("no rule has the id {value:?}"))?);
            }
            other => return Err(format!("{other:?} is not a flag here")),
        }
    }
    Ok(Asked {
        first: seed.unwrap_or(0),
        seeds: seeds.or(if seed.is_some() { None } else { Some(2_000) }),
        mutation,
        table,
    })
}

/// The rows of the table that have seeds; true when a rule is never seen missing.
fn table() -> bool {
    let mut unseen = false;
    for mutation in Mutation::all() {
        let seed = first_broken(mutation);
        let shown = seed.map_or("never".to_owned(), |it| it.to_string());
        println!("{:<12} | {shown:>5} | {}", mutation.id(), mutation.words());
        unseen |= seed.is_none();
    }
    unseen
}

/// The least seed that shows the rule missing.
fn first_broken(mutation: Mutation) -> Option<u64> {
    let (next, found) = (AtomicU64::new(0), AtomicU64::new(TABLE_SEEDS));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= found.load(Ordering::Relaxed) {
                        return;
                    }
                    if run(seed, Some(mutation), false).violation.is_some() {
                        found.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let found = found.into_inner();
    (found < TABLE_SEEDS).then_some(found)
}

fn run_one(asked: &Asked) -> bool {
    let outcome = run(asked.first, asked.mutation, true);
    print!("{}", outcome.text.as_deref().unwrap_or_default());
    println!(
        "{:?}\n{} events, digest {:016x}",
        outcome.counts, outcome.events, outcome.digest
    );
    tell(asked, &outcome)
}

/// Says what broke and how to see it again.
fn tell(asked: &Asked, outcome: &Outcome) -> bool {
    let Some(violation) = &outcome.violation else {
        return false;
    };
    let rule = asked.mutation.map(|it| format!(" --rule {}", it.id()));
    println!(
        "seed {}: {}\n  again: cargo xtask sim --seed {}{}",
        outcome.seed,
        violation.0,
        outcome.seed,
        rule.unwrap_or_default()
    );
    true
}

/// Stops at the first seed that breaks something; one thread per processor.
fn run_many(asked: &Asked, seeds: u64) -> bool {
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, stop) = (AtomicU64::new(asked.first), AtomicBool::new(false));
    let last = asked.first.saturating_add(seeds);
    let (to, outcomes) = mpsc::sync_channel::<Outcome>(64);
    let (mut done, mut events, mut counts, mut broken) = (0, 0, Counts::default(), false);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (to, next, stop) = (to.clone(), &next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= last || to.send(run(seed, asked.mutation, false)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(to);
        for outcome in outcomes {
            done += 1;
            events += outcome.events;
            counts.add(&outcome.counts);
            if tell(asked, &outcome) {
                broken = true;
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
    let took = began.elapsed().as_secs_f64();
    let per_minute = f64::from(u32::try_from(done).unwrap_or(u32::MAX)) / took * 60.0;
    println!("{counts:?}");
    println!("{done} seeds, {events} events in {took:.1} s: {per_minute:.0} seeds a minute");
    broken
}
