//! `cargo xtask arrows`: dependencies point one way.
//!
//! Two tables are the law: which of our crates a crate may use, and which outside crates must not
//! be reachable from it. A crate without a row, and a row without a crate, are faults as well, so
//! that the tables stay the whole truth. The rules for source files are in [`crate::sources`].

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{sources, workspace};

/// `crate | may use | its tests may also use`. Our crates only.
const EDGES: &str = "
isthmus-wire        |                                                             |
isthmus-client      | isthmus-wire                                                |
isthmus-log         | isthmus-wire                                                |
isthmus-broker-core | isthmus-wire                                                |
isthmus-replicator-core | isthmus-wire                                            |
isthmus-config      |                                                             |
base2histogram      |                                                             |
isthmus-broker      | isthmus-wire isthmus-log isthmus-broker-core isthmus-config |
isthmus-replicator  | isthmus-wire isthmus-client isthmus-replicator-core isthmus-config |
isthmus-lab         | isthmus-config isthmus-client                               |
isthmus-testcontainers |                                                          |
isthmus-sim         | isthmus-wire isthmus-broker-core                            |
isthmus             | isthmus-config isthmus-broker isthmus-broker-core isthmus-client isthmus-replicator isthmus-lab | isthmus-wire
xtask               |                                                             |
";

/// `crate, features | must not reach | because`. What the crate uses is followed to the end; build
/// scripts and tests are not looked at.
const BANS: &str = "
isthmus-wire        | tokio mio rustix getrandom rand      | it knows bytes, not where they come from
isthmus-broker-core | tokio mio rustix getrandom rand      | a core has no clock, socket, file, thread or entropy
isthmus-replicator-core | tokio mio rustix getrandom rand  | a core has no clock, socket, file, thread or entropy
isthmus-sim         | tokio mio rustix getrandom rand      | a seed is all that a run depends on
isthmus-log         | tokio mio getrandom rand             | time is handed in and threads belong to the shell
isthmus-config      | tokio mio                            | it reads once, before anything runs
isthmus-client      | rdkafka-sys openssl-sys ring         | one crypto backend, and no C client in the data path
isthmus-broker      | rdkafka-sys openssl-sys ring         | one crypto backend, and no C client in the data path
isthmus-replicator  | rdkafka-sys openssl-sys ring         | one crypto backend, and no C client in the data path
isthmus-testcontainers | rdkafka-sys openssl-sys ring         | whoever tests with it gets one crypto backend
isthmus broker,replicator | rdkafka-sys openssl-sys ring process-wrap | the shipped program has no lab in it
xtask               | tokio clap serde_derive syn          | it must compile in seconds
";

pub(crate) fn run() -> Result<()> {
    let faults = all_faults()?;
    for fault in &faults {
        println!("{fault}");
    }
    if !faults.is_empty() {
        bail!("{} faults in dependencies or sources", faults.len());
    }
    println!("dependencies point one way, and the sources keep the house rules");
    Ok(())
}

/// What is reachable from the program as it ships and must not be.
pub(crate) fn faults_of_shipped_program() -> Result<Vec<String>> {
    let bans = parse_bans(BANS)?;
    let shipped = |ban: &Ban<'_>| {
        ban.package == "isthmus" && ban.features == Some(workspace::SHIPPED_FEATURES)
    };
    let ban = bans.into_iter().find(shipped);
    let ban = ban.context("the table of bans has no row for the shipped program")?;
    Ok(ban_faults(&ban, &reachable(&ban)?))
}

fn all_faults() -> Result<Vec<String>> {
    let packages = read_packages(&workspace::metadata()?)?;
    let mut faults = edge_faults(&parse_edges(EDGES)?, &packages);
    for ban in parse_bans(BANS)? {
        let reached = reachable(&ban)?;
        faults.extend(ban_faults(&ban, &reached));
    }
    faults.extend(sources::faults(workspace::root())?);
    Ok(faults)
}

/// What a row of the first table allows.
#[derive(Debug, PartialEq)]
struct Allowed<'a> {
    uses: BTreeSet<&'a str>,
    tests_use: BTreeSet<&'a str>,
}

/// One of our crates, as cargo sees it.
#[derive(Debug)]
struct Package {
    name: String,
    uses: Vec<Edge>,
}

#[derive(Debug)]
struct Edge {
    to: String,
    for_tests: bool,
}

/// A row of the second table.
#[derive(Debug, PartialEq)]
struct Ban<'a> {
    package: &'a str,
    /// Features to build with instead of the default ones.
    features: Option<&'a str>,
    banned: Vec<&'a str>,
    because: &'a str,
}

fn parse_edges(table: &str) -> Result<BTreeMap<&str, Allowed<'_>>> {
    let mut rows = BTreeMap::new();
    for row in table.lines().filter(|row| !row.is_empty()) {
        let mut cells = row.split('|').map(str::trim);
        let name = cells.next().unwrap_or_default();
        let mut names = || cells.next().map(|cell| cell.split_whitespace().collect());
        let uses = names().with_context(|| format!("no second cell in {row:?}"))?;
        let tests_use = names().with_context(|| format!("no third cell in {row:?}"))?;
        if rows.insert(name, Allowed { uses, tests_use }).is_some() {
            bail!("two rows for {name}");
        }
    }
    Ok(rows)
}

fn parse_bans(table: &str) -> Result<Vec<Ban<'_>>> {
    let rows = table.lines().filter(|row| !row.is_empty());
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [subject, banned, because] = cells[..] else {
            bail!("not three cells in {row:?}")
        };
        let (package, features) = match subject.split_once(' ') {
            Some((package, features)) => (package, Some(features)),
            None => (subject, None),
        };
        Ok(Ban {
            package,
            features,
            banned: banned.split_whitespace().collect(),
            because,
        })
    })
    .collect()
}

fn read_packages(metadata: &Value) -> Result<Vec<Package>> {
    let packages = metadata["packages"]
        .as_array()
        .context("no packages in cargo metadata")?;
    let name_of = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let packages = packages.iter().map(|package| {
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        // Only crates of the workspace have a path.
        let ours = dependencies.filter(|dependency| dependency["path"].is_string());
        let edge = |d: &Value| Edge {
            to: name_of(d),
            for_tests: d["kind"] == "dev",
        };
        Package {
            name: name_of(package),
            uses: ours.map(edge).collect(),
        }
    });
    Ok(packages.collect())
}

fn edge_faults(rows: &BTreeMap<&str, Allowed<'_>>, packages: &[Package]) -> Vec<String> {
    let mut faults = Vec::new();
    for package in packages {
        let Some(allowed) = rows.get(package.name.as_str()) else {
            faults.push(format!(
                "{}: has no row in the table of edges",
                package.name
            ));
            continue;
        };
        for edge in &package.uses {
            let to = edge.to.as_str();
            let fine = allowed.uses.contains(to)
                || edge.for_tests && (allowed.tests_use.contains(to) || to == package.name);
            if !fine {
                let whose = if edge.for_tests { "its tests" } else { "it" };
                faults.push(format!(
                    "{} → {to}: {whose} must not use that crate",
                    package.name
                ));
            }
        }
    }
    let names: BTreeSet<&str> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let stale = rows.keys().filter(|name| !names.contains(*name));
    faults.extend(stale.map(|name| format!("{name}: has a row in the table of edges but is gone")));
    faults
}

/// The names of all crates that end up in a build of the package.
fn reachable(ban: &Ban<'_>) -> Result<BTreeSet<String>> {
    let mut command = workspace::cargo(["tree", "--locked", "--edges", "normal"]);
    command.args([
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--package",
        ban.package,
    ]);
    if let Some(features) = ban.features {
        command.args(["--no-default-features", "--features", features]);
    }
    let text = workspace::output_of(&mut command)?;
    let names = text
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    Ok(names.map(str::to_owned).collect())
}

fn ban_faults(ban: &Ban<'_>, reached: &BTreeSet<String>) -> Vec<String> {
    let found = ban
        .banned
        .iter()
        .filter(|banned| reached.contains(**banned));
    found
        .map(|banned| format!("{} → … → {banned}: {}", ban.package, ban.because))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The arrows of a small workspace, judged by a small table.
    fn check(edges: &str, expected: &[&str]) {
        let table = "\nwire | |\nlog | wire |\nshell | wire log | client\nclient | wire |\n";
        let mut packages: BTreeMap<&str, Vec<Edge>> = BTreeMap::new();
        for name in ["wire", "log", "shell", "client"] {
            packages.insert(name, Vec::new());
        }
        for edge in edges.split(", ").filter(|edge| !edge.is_empty()) {
            let (from, to) = edge.split_once(" → ").unwrap();
            let (to, for_tests) = match to.strip_suffix(" in tests") {
                Some(to) => (to, true),
                None => (to, false),
            };
            packages.entry(from).or_default().push(Edge {
                to: to.to_owned(),
                for_tests,
            });
        }
        let packages: Vec<Package> = packages
            .into_iter()
            .map(|(name, uses)| Package {
                name: name.to_owned(),
                uses,
            })
            .collect();
        let rows = parse_edges(table).unwrap();
        assert_eq!(edge_faults(&rows, &packages), expected, "{edges}");
    }

    #[test]
    fn edges_outside_the_table_are_faults() {
        check("", &[]);
        check("log → wire, shell → log, shell → client in tests", &[]);
        check("shell → wire in tests", &[]);
        check("wire → wire in tests", &[]);
        check(
            "shell → client",
            &["shell → client: it must not use that crate"],
        );
        check(
            "wire → log in tests",
            &["wire → log: its tests must not use that crate"],
        );
        check("lab → wire", &["lab: has no row in the table of edges"]);
    }

    #[test]
    fn a_row_without_a_crate_is_a_fault() {
        let rows = parse_edges("gone | |").unwrap();
        assert_eq!(
            edge_faults(&rows, &[]),
            ["gone: has a row in the table of edges but is gone"]
        );
    }

    #[test]
    fn bans_name_what_was_reached_and_why() {
        let bans = parse_bans("isthmus broker | rdkafka-sys ring | no C client").unwrap();
        assert_eq!(
            (bans[0].package, bans[0].features),
            ("isthmus", Some("broker"))
        );
        let reached = BTreeSet::from(["bytes".to_owned(), "ring".to_owned()]);
        assert_eq!(
            ban_faults(&bans[0], &reached),
            ["isthmus → … → ring: no C client"]
        );
    }

    #[test]
    fn the_tables_can_be_read_and_no_arrow_of_theirs_goes_round() {
        let rows = parse_edges(EDGES).unwrap();
        let mut settled: BTreeSet<&str> = BTreeSet::new();
        while settled.len() < rows.len() {
            let next = rows.iter().find(|(name, row)| {
                !settled.contains(*name) && row.uses.iter().all(|used| settled.contains(used))
            });
            let (name, _) = next.expect("the allowed edges must not form a cycle");
            settled.insert(name);
        }
        assert!(!parse_bans(BANS).unwrap().is_empty());
    }

    #[test]
    fn cargo_metadata_is_read() {
        let metadata = serde_json::json!({ "packages": [{ "name": "log", "dependencies": [
            { "name": "wire", "kind": null, "path": "somewhere" },
            { "name": "tokio", "kind": null },
            { "name": "client", "kind": "dev", "path": "somewhere" },
        ]}]});
        let packages = read_packages(&metadata).unwrap();
        let edges: Vec<_> = packages[0]
            .uses
            .iter()
            .map(|e| (e.to.as_str(), e.for_tests))
            .collect();
        assert_eq!(edges, [("wire", false), ("client", true)]);
    }
}
