//! A replicator's life as whoever runs it sees it, and the commands that ask it. What it copies is
//! looked at elsewhere; here its clusters are away, which must not keep it from anything.

use super::LIMIT;
use super::support::broker::isthmus;
use super::support::http;
use super::support::process::{Finished, Program, run};
use rustix::process::Signal;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use tempfile::TempDir;

/// Ports at which nobody answers.
const CLUSTERS: &str = "\
[clusters.east]
bootstrap = '127.0.0.1:1'
[clusters.west]
bootstrap = '127.0.0.1:2'
";

const FLOW: &str = "\
[[flows]]
source = 'east'
target = 'west'
topics = '.*'
";

struct Files {
    dir: TempDir,
}

impl Files {
    /// `daemon` is the content of that table.
    fn new(daemon: &str, flows: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("[daemon]\n{daemon}\n{CLUSTERS}{flows}");
        std::fs::write(dir.path().join("r.toml"), text).unwrap();
        Self { dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("r.toml")
    }

    /// `isthmus` with these words; `FILE` stands for the file.
    fn run(&self, words: &str) -> Finished {
        let path = self.path();
        let words = words.split(' ');
        let words = words.map(|word| word.replace("FILE", path.to_str().unwrap()));
        run(isthmus().args(words), LIMIT)
    }
}

struct Replicator {
    program: Program,
    observe: SocketAddr,
    control: SocketAddr,
}

fn start(files: &Files) -> Replicator {
    let mut command = isthmus();
    command.args(["replicator", "-c"]).arg(files.path());
    let mut program = Program::start(&mut command);
    let line = program.line_where(LIMIT, |line| line.starts_with("ready "));
    let Some(line) = line else {
        panic!("the replicator did not start: {:?}", program.kill())
    };
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(
        words[..4],
        ["ready", "replicator", "name=r", "flows=1"],
        "{line}"
    );
    let address = |at: usize, name: &str| {
        let address = words[at].strip_prefix(name).unwrap();
        address.parse().unwrap()
    };
    assert!(words[6].starts_with("took="), "{line}");
    Replicator {
        program,
        observe: address(4, "observe="),
        control: address(5, "control="),
    }
}

const DAEMON: &str = "name = 'r'\nobserve = '127.0.0.1:0'\ncontrol = '127.0.0.1:0'";

#[test]
fn it_lives_while_its_clusters_are_away() {
    let files = Files::new(DAEMON, FLOW);
    let replicator = start(&files);
    let page = |path: &str| http::request(replicator.observe, "GET", path);
    assert_eq!(page("/healthz").body, "ok\n");
    assert_eq!(page("/readyz").status, 503);
    let metrics = page("/metrics").body;
    assert!(
        metrics.contains("\nisthmus_replicator_ready 0\n"),
        "{metrics}"
    );
    assert_eq!(
        http::request(replicator.observe, "POST", "/status").status,
        405
    );
    // Asked by its address: unhealthy, and told why for machines and for people.
    let control = format!("http://{}", replicator.control);
    let status = run(
        isthmus().args(["status", "--control", &control, "--json"]),
        LIMIT,
    );
    assert_eq!(status.code(), Some(3), "{status:?}");
    let document: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(document["schema"], "isthmus.status/1");
    assert_eq!(document["ready"], false);
    let status = run(isthmus().args(["status", "--control", &control]), LIMIT);
    assert_eq!(status.code(), Some(3), "{status:?}");
    assert!(status.stdout.contains(", not ready"), "{status:?}");
    let status = run(
        isthmus().args(["status", "x", "--control", &control]),
        LIMIT,
    );
    assert_eq!(
        (status.code(), status.stderr.as_str()),
        (Some(2), "no flow is called x\n")
    );
    replicator.program.signal(Signal::TERM);
    let ended = replicator.program.wait(LIMIT).succeeded();
    assert_eq!(ended.stdout.lines().count(), 1, "{ended:?}");
}

#[test]
fn flows_are_paused_and_resumed_by_name() {
    let files = Files::new(DAEMON, FLOW);
    let replicator = start(&files);
    let control = format!("http://{}", replicator.control);
    let act = |act: &str, part: &str| {
        let words = ["flow", act, part, "--control", &control];
        run(isthmus().args(words), LIMIT)
    };
    let unknown = act("pause", "west-to-east");
    assert_eq!(unknown.code(), Some(2), "{unknown:?}");
    let why = "no flow is called west-to-east; running are east-to-west\n";
    assert_eq!(unknown.stderr, why);
    for part in [
        "east-to-west/orders/x",
        "/orders",
        "a/b/1/2",
        "east-to-west/",
    ] {
        let refused = act("pause", part);
        assert_eq!(refused.code(), Some(2), "{refused:?}");
        assert!(
            refused.stderr.contains("is no part of a flow"),
            "{refused:?}"
        );
    }
    replicator.program.signal(Signal::INT);
    replicator.program.wait(LIMIT).succeeded();
}

#[test]
fn a_daemon_that_is_not_there_cannot_be_asked() {
    let files = Files::new(
        "name = 'r'\nobserve = '127.0.0.1:3'\ncontrol = '127.0.0.1:4'",
        FLOW,
    );
    for words in ["status -c FILE", "flow pause east-to-west -c FILE"] {
        let asked = files.run(words);
        assert_eq!(asked.code(), Some(4), "{words}: {asked:?}");
        assert!(
            asked
                .stderr
                .starts_with("could not reach the daemon at 127.0.0.1:"),
            "{asked:?}"
        );
    }
    let silent = Files::new("name = 'r'", FLOW);
    let asked = silent.run("flow pause east-to-west -c FILE");
    assert_eq!(asked.code(), Some(2), "{asked:?}");
    assert!(
        asked.stderr.contains("daemon.control: is missing"),
        "{asked:?}"
    );
    assert_eq!(run(isthmus().arg("status"), LIMIT).code(), Some(2));
}

#[test]
fn a_file_that_cannot_be_used_is_told_whole_and_nothing_starts() {
    let flows = "[[flows]]\nsource = 'east'\ntarget = 'west'\ntopics = '.*'\nnaming = 'identity'\n\
                 [[flows]]\nname = 'back'\nsource = 'west'\ntarget = 'east'\ntopics = '(?=x)'\n";
    let files = Files::new("name = 'r'\nobserv = '127.0.0.1:0'", flows);
    let whole = files.run("replicator -c FILE");
    assert_eq!(whole.code(), Some(2), "{whole:?}");
    assert!(
        whole.stderr.contains(
            "r.toml:3: daemon.observ: is not a known key; the nearest known name is observe"
        ),
        "{whole:?}"
    );
    let files = Files::new("name = 'r'", flows);
    let whole = files.run("replicator -c FILE");
    assert_eq!(
        (whole.code(), whole.stdout.as_str()),
        (Some(2), ""),
        "{whole:?}"
    );
    for part in [
        "flows[0].naming: identity: lies on the cycle east -> west (east-to-west, identity) -> east (back, source-prefix)",
        "flows[1].topics: (?=x): \"(?=x)\" is not understood",
    ] {
        assert!(whole.stderr.contains(part), "no {part} in {whole:?}");
    }
    let check = files.run("config check FILE --json");
    assert_eq!(check.code(), Some(2), "{check:?}");
    let document: Value = serde_json::from_str(&check.stdout).unwrap();
    assert_eq!(
        document["findings"].as_array().unwrap().len(),
        2,
        "{document}"
    );
    let flow = Files::new("name = 'r'", FLOW).run("replicator -c FILE --flow east");
    assert_eq!(flow.code(), Some(2), "{flow:?}");
    assert!(
        flow.stderr
            .starts_with("flag --flow: east: is not the name of a flow"),
        "{flow:?}"
    );
    assert_eq!(run(isthmus().arg("replicator"), LIMIT).code(), Some(2));
}

#[test]
fn the_file_is_explained_sampled_and_described() {
    let files = Files::new("name = 'r'", FLOW);
    let sound = files.run("config check FILE");
    assert_eq!(
        (sound.code(), sound.stdout.as_str()),
        (Some(0), "nothing to find fault with\n")
    );
    let told = files
        .run("config explain FILE clusters.east.bootstrap")
        .succeeded();
    assert!(
        told.stdout
            .starts_with("clusters.east.bootstrap = 127.0.0.1:1\n"),
        "{told:?}"
    );
    assert!(told.stdout.contains("r.toml:4"), "{told:?}");
    let told = files.run("config explain FILE flows").succeeded();
    assert!(
        told.stdout.contains("flows[0].naming = source-prefix\n"),
        "{told:?}"
    );
    let sample = run(isthmus().args(["config", "sample", "replicator"]), LIMIT).succeeded();
    std::fs::write(files.path(), &sample.stdout).unwrap();
    let checked = files.run("config check FILE").succeeded();
    assert!(
        checked.stdout.starts_with("warning: "),
        "a sample is a trial: {checked:?}"
    );
    let schema = run(isthmus().args(["config", "schema", "replicator"]), LIMIT).succeeded();
    let schema: Value = serde_json::from_str(&schema.stdout).unwrap();
    let cluster = &schema["properties"]["clusters"]["additionalProperties"];
    assert_eq!(cluster["required"][0], "bootstrap", "{schema}");
}

#[test]
fn the_examples_are_sound() {
    for example in [
        "replicator.toml",
        "compose/replicator.toml",
        "compose/east.toml",
        "compose/west.toml",
    ] {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples");
        let file = format!("{folder}/{example}");
        let checked = run(isthmus().args(["config", "check", &file]), LIMIT).succeeded();
        assert_eq!(
            checked.stdout, "nothing to find fault with\n",
            "{checked:?}"
        );
    }
}

#[test]
fn a_port_in_use_ends_it_with_the_reason() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let files = Files::new(&format!("name = 'r'\ncontrol = '{address}'"), FLOW);
    let ended = files.run("replicator -c FILE");
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    let last = ended.stderr.lines().last().unwrap();
    assert!(
        last.starts_with(&format!("could not listen at daemon.control = {address}")),
        "{ended:?}"
    );
}

#[test]
fn a_failover_that_reaches_nobody_changes_nothing() {
    let files = Files::new(DAEMON, FLOW);
    for (words, why) in [
        (
            "failover east-to-north -c FILE --yes",
            "no flow is called east-to-north; the file has east-to-west",
        ),
        (
            "failover --cluster west -c FILE --yes",
            "no flow of the file comes out of a cluster called west",
        ),
        ("failover east-to-west --yes", "with -c FILE"),
        ("failover -c FILE --yes", "<FLOW>"),
        (
            "failover east-to-west --max-loss much -c FILE",
            "a number of records, or a time such as 30s",
        ),
        (
            "flow release east-to-west/orders -c FILE --yes",
            "released as a whole",
        ),
    ] {
        let refused = files.run(words);
        assert_eq!(refused.code(), Some(2), "{refused:?}");
        assert!(refused.stderr.contains(why), "{words}: {refused:?}");
    }
    let away = files.run("failover east-to-west -c FILE --yes");
    assert_eq!(away.code(), Some(4), "{away:?}");
    assert!(
        away.stderr.starts_with("could not reach west: ")
            && away.stderr.contains("nothing was changed"),
        "{away:?}"
    );
}
