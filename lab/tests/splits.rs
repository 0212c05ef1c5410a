//! The network that the lab cuts, and `isthmus lab splits` as a user calls it.
//!
//! Namespaces need root and `ip`; the command needs the binary too (`ISTHMUS_TEST_BINARY`). Without them a
//! test says that it was not run; with `ISTHMUS_TEST_REQUIRE=1` it fails then. No time is judged here.
//!
//! With `ISTHMUS_TEST_LAB_OUT` ledgers, logs and reports stay in that folder, to be looked at.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests, outside the test functions themselves"
)]

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use isthmus_lab::fabric::{self, Fabric, Place, both_ways, one_way};
use serde_json::Value;

const BINARY: &str = "ISTHMUS_TEST_BINARY";
const KAFKA_LIBS: &str = "ISTHMUS_TEST_KAFKA_LIBS";
const REQUIRE: &str = "ISTHMUS_TEST_REQUIRE";
const OUT: &str = "ISTHMUS_TEST_LAB_OUT";

/// How long somebody listens before it is taken for silence.
const SILENCE: Duration = Duration::from_millis(300);

/// How long a word may take that must come; the kernel sends lost ones again after 0.2 s, 0.4 s, ….
const WORD_MAX: Duration = Duration::from_secs(30);

/// Whether networks can be made here.
fn can_make_networks() -> bool {
    let Err(error) = fabric::check() else {
        return true;
    };
    let required = env::var_os(REQUIRE).is_some_and(|value| value == "1");
    assert!(!required, "could not {error}, and {REQUIRE}=1");
    println!("not run: could not {error}");
    false
}

/// Names of the namespaces that a process has made.
fn namespaces_of(pid: u32) -> Vec<String> {
    let prefix = format!("isthmus-lab-{pid}-");
    let entries = fs::read_dir("/run/netns").into_iter().flatten();
    let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(&prefix)).collect()
}

/// Answers every byte with the same one, on one connection after the other.
fn echo(place: &Place) -> SocketAddr {
    let address = SocketAddr::from((place.address(), 7_000));
    let listener = place.namespace().inside(|| TcpListener::bind(address));
    let listener = listener.unwrap().unwrap();
    let _: JoinHandle<()> = thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || answer(stream.unwrap()));
        }
    });
    address
}

/// Until the other side ends, or the test does.
fn answer(mut stream: TcpStream) {
    let mut byte = [0];
    while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
}

fn connect(place: &Place, to: SocketAddr, within: Duration) -> io::Result<TcpStream> {
    let connect = || TcpStream::connect_timeout(&to, within);
    place.namespace().inside(connect)?
}

/// Sends nothing: what comes within that time, and how it did not.
fn hear(stream: &mut TcpStream, within: Duration) -> Result<u8, io::ErrorKind> {
    stream.set_read_timeout(Some(within)).unwrap();
    let mut byte = [0];
    let read = stream.read_exact(&mut byte);
    read.map(|()| byte[0]).map_err(|error| error.kind())
}

#[test]
fn what_is_cut_off_hears_nothing_and_goes_on_afterwards() {
    if !can_make_networks() {
        return;
    }
    let fabric = Fabric::make(&["here", "there", "aside"]).unwrap();
    let place = |name| fabric.place(name);
    let (here, there, aside) = (place("here"), place("there"), place("aside"));
    let address = echo(there);
    let mut stream = connect(here, address, WORD_MAX).unwrap();
    let mut aside = connect(aside, address, WORD_MAX).unwrap();
    let mut expected = 0;
    for ways in [
        one_way(&[here], &[there]),
        one_way(&[there], &[here]),
        both_ways(&[there], &[here]),
    ] {
        expected += 1;
        stream.write_all(&[expected]).unwrap();
        assert_eq!(hear(&mut stream, WORD_MAX), Ok(expected));
        let cut = fabric.cut(&ways).unwrap();
        // Neither the connection that is there nor a new one is told anything.
        stream.write_all(&[100 + expected]).unwrap();
        let heard = hear(&mut stream, SILENCE);
        assert_eq!(heard, Err(io::ErrorKind::WouldBlock), "{ways:?}");
        let refused = connect(here, address, SILENCE).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut, "{ways:?}");
        // Who is not cut off notices nothing.
        aside.write_all(&[expected]).unwrap();
        assert_eq!(hear(&mut aside, WORD_MAX), Ok(expected));
        cut.heal().unwrap();
        assert_eq!(hear(&mut stream, WORD_MAX), Ok(100 + expected));
    }
}

#[test]
fn two_cuts_of_the_same_way_end_apart() {
    if !can_make_networks() {
        return;
    }
    let fabric = Fabric::make(&["here", "there"]).unwrap();
    let (here, there) = (fabric.place("here"), fabric.place("there"));
    let address = echo(there);
    let ways = both_ways(&[here], &[there]);
    let one = fabric.cut(&ways).unwrap();
    let other = fabric.cut(&ways).unwrap();
    one.heal().unwrap();
    let refused = connect(here, address, SILENCE).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
    drop(other);
    connect(here, address, WORD_MAX).unwrap();
}

#[test]
fn a_fabric_leaves_nothing_and_clears_what_the_dead_left() {
    if !can_make_networks() {
        return;
    }
    // What a lab that is killed leaves: a namespace of its number with a program. As long as it lives nobody
    // else clears that.
    let mut gone = Command::new("sleep").arg("1000").spawn().unwrap();
    let name = format!("isthmus-lab-{}-0-left", gone.id());
    ip(&["netns", "add", &name]);
    let mut left = asleep_in(&name);
    gone.kill().unwrap();
    gone.wait().unwrap();
    let fabric = Fabric::make(&["one"]).unwrap();
    assert_eq!(namespaces_of(gone.id()), Vec::<String>::new());
    // It was ended by a signal; without one it would sleep on.
    assert_eq!(left.wait().unwrap().code(), None);
    let router = format!("isthmus-lab-{}-", std::process::id());
    let own = fabric.place("one").namespace().name().to_owned();
    assert!(own.starts_with(&router), "{own}");
    assert!(namespaces_of(std::process::id()).contains(&own));
    drop(fabric);
    assert!(!namespaces_of(std::process::id()).contains(&own));
}

fn ip(words: &[&str]) {
    assert!(Command::new("ip").args(words).status().unwrap().success());
}

/// Returns when it is in there.
fn asleep_in(namespace: &str) -> Child {
    let mut command = Command::new("ip");
    command.args([
        "netns",
        "exec",
        namespace,
        "sh",
        "-c",
        "echo; exec sleep 1000",
    ]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = [0];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut line)
        .unwrap();
    child
}

/// A variable that the test cannot do without.
fn needed(name: &str) -> Option<PathBuf> {
    let value = env::var_os(name).filter(|value| !value.is_empty());
    if value.is_none() {
        let required = env::var_os(REQUIRE).is_some_and(|value| value == "1");
        assert!(!required, "{name} is not set, and {REQUIRE}=1");
        println!("not run: {name} is not set");
    }
    value.map(PathBuf::from)
}

/// A folder for one test, gone after it unless it should stay.
fn room(name: &str) -> (PathBuf, Option<tempfile::TempDir>) {
    match env::var_os(OUT) {
        Some(out) => (Path::new(&out).join(name), None),
        None => {
            let folder = tempfile::tempdir().unwrap();
            (folder.path().join(name), Some(folder))
        }
    }
}

fn splits(binary: &Path, words: &[&str], out: &Path) -> Command {
    let mut command = Command::new(binary);
    command
        .args(["lab", "splits"])
        .args(words)
        .arg("--out")
        .arg(out)
        .env_remove("ISTHMUS_LOG")
        .env_remove(KAFKA_LIBS)
        .stdin(Stdio::null());
    if env::var_os(OUT).is_some() {
        command.arg("--keep");
    }
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_a_cut_off_leader_acknowledges_alone_is_lost_and_ends_with_its_lease() {
    let Some(binary) = needed(BINARY) else {
        return;
    };
    if !can_make_networks() {
        return;
    }
    let (out, _room) = room("splits");
    let words = ["--rows", "D-08", "--lease", "on,off", "--json"];
    let mut command = splits(&binary, &words, &out);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    let lines = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{lines}{}", said(&output));
    let outcome: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(outcome["schema"], "isthmus.lab-splits/1");
    let [with, without] = [0, 1].map(|place| &outcome["rows"][place]);
    assert_eq!(
        (&with["lease"], &without["lease"]),
        (&"on".into(), &"off".into())
    );
    let count = |row: &Value, what: &str| row["counts"][what].as_u64().unwrap();
    for row in [with, without] {
        assert_eq!(row["row"]["id"], "D-08");
        assert_eq!(row["wrong"], Value::Array(Vec::new()), "{outcome}");
        assert_eq!(count(row, "dirty_lost"), count(row, "dirty"), "{outcome}");
        assert!(count(row, "cut_off") >= count(row, "dirty"), "{outcome}");
        assert_eq!(
            (count(row, "dirty_reads"), count(row, "stayed")),
            (0, 0),
            "{outcome}"
        );
        assert!(row["others"]["acked"].as_u64().unwrap() > 0, "{outcome}");
    }
    assert!(count(with, "dirty") < count(without, "dirty"), "{outcome}");

    let written = fs::read_to_string(out.join("splits.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), outcome);
    let page = fs::read_to_string(out.join("splits.html")).unwrap();
    assert!(page.contains("A cluster cut in two") && page.contains("D-08"));
    assert_eq!(namespaces_of(pid), Vec::<String>::new());
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_is_made() {
    let Some(binary) = needed(BINARY) else {
        return;
    };
    let (out, _room) = room("refused");
    let words = ["--target", "apache-kafka", "--lease", "on"];
    let refused = splits(&binary, &words, &out).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let told = said(&refused);
    assert!(
        told.contains("give the folder of Apache Kafka's jars"),
        "{told}"
    );
    assert!(told.contains("--lease: Apache Kafka has none"), "{told}");
    let refused = splits(&binary, &["--rows", "D-11"], &out).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        said(&refused).contains("there is no such row; there are D-01"),
        "{}",
        said(&refused)
    );
    assert!(!out.exists());
}
