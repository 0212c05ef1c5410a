//! Two clusters that let nobody in without TLS: one wants a password, the other a certificate. When
//! all of that changes, the daemon goes on without a restart.

use crate::content::{fill, wait_for};
use crate::support::address::quiet_addresses;
use crate::support::broker::{Broker, isthmus};
use crate::support::certificates::write_certificates;
use crate::support::http;
use crate::support::process::{Program, run};
use crate::support::random::{Random, seed};
use crate::support::wire::Connection;
use isthmus_wire::ErrorCode;
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(90);

const PASSWORD: &str = "
[listeners.sasl]
mechanisms = [\"PLAIN\"]
plain_users_file = \"DIR/users\"
";

const CERTIFICATE: &str = "client_ca_file = \"DIR/ca.pem\"\nclient_auth = \"required\"\n";

/// A cluster of one broker with a guarded listener, and an open one for the test itself.
struct Side {
    dir: PathBuf,
    guarded: SocketAddr,
}

impl Side {
    fn new(dir: PathBuf, rules: &str, [guarded, open]: [SocketAddr; 2]) -> Self {
        fs::create_dir(&dir).unwrap();
        let text = format!(
            "[node]\nid = 1\ndata = [\"DIR/data\"]\nobserve = \"127.0.0.1:0\"\n\
             [kafka]\n\"default.replication.factor\" = 1\n\
             [[listeners]]\nname = \"OPEN\"\nbind = \"{open}\"\n\
             [[listeners]]\nname = \"GUARDED\"\nbind = \"{guarded}\"\n\
             [listeners.tls]\ncert_file = \"DIR/broker.pem\"\nkey_file = \"DIR/broker.key\"\n{rules}"
        );
        let side = Self { dir, guarded };
        side.write("broker.toml", &text.replace("DIR", &side.path("")));
        let mut format = isthmus();
        let words = ["format", "--cluster-id", "new", "-c"];
        run(format.args(words).arg(side.path("broker.toml")), LIMIT).succeeded();
        side
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.join(name), text).unwrap();
    }

    fn start(&self) -> Broker {
        let mut command = isthmus();
        command.args(["broker", "-c", &self.path("broker.toml")]);
        Broker::of(Program::start(&mut command)).unwrap()
    }

    /// What a client of it has: a copy, which is replaced when a person comes to it.
    fn hand_out(&self, to: &Path) {
        for name in ["ca.pem", "client.pem", "client.key"] {
            fs::copy(self.dir.join(name), to.join(name)).unwrap();
        }
    }
}

struct Sides {
    folder: tempfile::TempDir,
    source: Side,
    target: Side,
}

impl Sides {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = quiet_addresses(4);
        let source = Side::new(folder.path().join("a"), PASSWORD, [at[0], at[1]]);
        let target = Side::new(folder.path().join("b"), CERTIFICATE, [at[2], at[3]]);
        for name in ["of-a", "of-b"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self {
            folder,
            source,
            target,
        }
    }

    /// New authorities, certificates and a password, known to the brokers only.
    fn change(&self, password: &str) -> [Broker; 2] {
        for side in [&self.source, &self.target] {
            write_certificates(&side.dir);
        }
        self.source.write("users", &format!("mirror:{password}\n"));
        [self.source.start(), self.target.start()]
    }

    fn tell_daemon(&self, password: &str) {
        self.source.hand_out(&self.folder.path().join("of-a"));
        self.target.hand_out(&self.folder.path().join("of-b"));
        fs::write(self.folder.path().join("of-a/password"), password).unwrap();
    }

    fn daemon(&self) -> (Program, SocketAddr) {
        let text = format!(
            "[daemon]\nname = \"guarded\"\ncontrol = \"127.0.0.1:0\"\n\
             [clusters.a]\nbootstrap = \"{}\"\ntls.ca_file = \"DIR/of-a/ca.pem\"\n\
             sasl.mechanism = \"PLAIN\"\nsasl.username = \"mirror\"\n\
             sasl.password_file = \"DIR/of-a/password\"\n\
             [clusters.b]\nbootstrap = \"{}\"\ntls.ca_file = \"DIR/of-b/ca.pem\"\n\
             tls.cert_file = \"DIR/of-b/client.pem\"\ntls.key_file = \"DIR/of-b/client.key\"\n\
             [[flows]]\nsource = \"a\"\ntarget = \"b\"\ntopics = \"orders\"\n",
            self.source.guarded, self.target.guarded
        );
        let file = self.folder.path().join("replicator.toml");
        let dir = self.folder.path().to_str().unwrap();
        fs::write(&file, text.replace("DIR", dir)).unwrap();
        let mut command = isthmus();
        command.args(["replicator", "-c"]).arg(file);
        let mut program = Program::start(&mut command);
        let Some(line) = program.line_where(LIMIT, |line| line.starts_with("ready ")) else {
            panic!("the replicator did not start: {:?}", program.kill())
        };
        let mut words = line.split(' ');
        let control = words.find_map(|word| word.strip_prefix("control="));
        (program, control.unwrap().parse().unwrap())
    }
}

/// Until the state of the one partition begins like this.
fn wait_for_state(control: SocketAddr, wanted: &str) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = http::request(control, "GET", "/status");
        let status: Value = serde_json::from_str(&answer.body).unwrap();
        let state = &status["flows"][0]["partitions"][0]["state"];
        if state.as_str().is_some_and(|it| it.starts_with(wanted)) {
            return;
        }
        assert!(Instant::now() < deadline, "never {wanted}: {status:#}");
    }
}

#[test]
fn passwords_and_certificates_change_under_a_running_daemon() {
    let sides = Sides::new();
    let (mut random, mut number) = (Random::new(seed()), 0);
    let [source, target] = sides.change("first");
    sides.tell_daemon("first");
    let mut from = Connection::open(source.address()).unwrap();
    let mut to = Connection::open(target.address()).unwrap();
    let created = from.create_topic("orders", 1, &[("retention.ms", "-1")]);
    assert_eq!(created.unwrap(), ErrorCode::NONE);
    fill(&mut from, "orders", 0, &mut random, &mut number, 300);
    let (daemon, control) = sides.daemon();
    wait_for(&mut to, "a.orders", 0, 300);

    source.stop().succeeded();
    target.stop().succeeded();
    let [source, target] = sides.change("second");
    wait_for_state(control, "away");
    sides.tell_daemon("second");
    let mut from = Connection::open(source.address()).unwrap();
    let mut to = Connection::open(target.address()).unwrap();
    fill(&mut from, "orders", 0, &mut random, &mut number, 300);
    wait_for(&mut to, "a.orders", 0, 600);
    wait_for_state(control, "copying");
    daemon.signal(Signal::TERM);
    daemon.wait(LIMIT).succeeded();
}
