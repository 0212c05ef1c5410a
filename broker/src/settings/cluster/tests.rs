//! Layouts of clusters: what works, and what is said of those that cannot (`testdata/layouts.txt`).

use crate::settings::Settings;
use isthmus_config::{ConfigFile, ConfigProblems, Layers};

const THREE: &str = "controllers = [\"1@127.0.0.1:9093\", \"2@b:9093\", \"3@c:9093\"]";
const CLIENTS: &str = "[[listeners]]\nname = \"clients\"\nbind = \"127.0.0.1:0\"\n";
const BROKERS: &str =
    "[[listeners]]\nname = \"brokers\"\nkind = \"broker\"\nbind = \"127.0.0.1:0\"\n";
const CONTROLLERS: &str =
    "[[listeners]]\nname = \"controllers\"\nkind = \"controller\"\nbind = \"127.0.0.1:9093\"\n";

fn load_text(text: String) -> Result<Settings, ConfigProblems> {
    let layers = Layers {
        file: Some(ConfigFile::from_text("node.toml", text)),
        ..Layers::default()
    };
    Settings::load(&layers, None)
}

fn load(node: &str, cluster: &str, rest: &[&str]) -> Result<Settings, String> {
    let text = format!(
        "[node]\nid = 1\ndata = \"/d\"\n{node}\n[cluster]\n{cluster}\n{}",
        rest.concat()
    );
    load_text(text).map_err(|problems| problems.to_string())
}

/// One layout of the table, on its way to a file.
#[derive(Default)]
struct Layout {
    node: String,
    cluster: String,
    listeners: String,
    kafka: String,
}

impl Layout {
    fn take(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut words = rest.split_whitespace();
        match word {
            "node" => {
                let id = words.next().unwrap();
                let roles: Vec<&str> = words.flat_map(|roles| roles.split(',')).collect();
                self.node = format!("id = {id}\nroles = {roles:?}\ndata = \"/d\"\n");
            }
            "rack" => self.node += &format!("rack = {rest:?}\n"),
            "voters" => {
                let voters: Vec<&str> = words.collect();
                self.cluster += &format!("controllers = {voters:?}\n");
            }
            "secret" => self.cluster += "secret_file = \"/s\"\n",
            "listen" => {
                let (kind, bind) = (words.next().unwrap(), words.next().unwrap());
                let name = self.listeners.len();
                self.listeners += &format!(
                    "[[listeners]]\nname = \"l{name}\"\nkind = {kind:?}\nbind = {bind:?}\n"
                );
                if let Some(advertised) = words.next() {
                    self.listeners += &format!("advertised = {advertised:?}\n");
                }
            }
            "set" => {
                let (key, value) = rest.split_once(' ').unwrap();
                self.kafka += &format!("{key:?} = {value}\n");
            }
            other => panic!("the table has no word {other:?}"),
        }
    }

    /// What comes of it, in the words of the table.
    fn outcome(&self) -> Vec<String> {
        let text = format!(
            "[node]\n{}[cluster]\n{}{}[kafka]\n{}",
            self.node, self.cluster, self.listeners, self.kafka
        );
        let line = |word: &str, it: &isthmus_config::ConfigProblem| {
            let told = it.to_string();
            let place = format!("{}: ", it.origin);
            format!("{word} {}", told.strip_prefix(&place).unwrap_or(&told))
        };
        match load_text(text) {
            Err(problems) => problems.0.iter().map(|it| line("refused", it)).collect(),
            Ok(settings) if settings.notices().is_empty() => {
                let word = match settings.cluster.is_alone() {
                    true => "alone",
                    false => "sound",
                };
                vec![word.to_owned()]
            }
            Ok(settings) => {
                let notices = settings.notices().iter();
                notices.map(|it| line("warned", it)).collect()
            }
        }
    }
}

#[test]
fn what_comes_of_each_layout() {
    let table = include_str!("../../../testdata/layouts.txt");
    let mut cases = table.split("\ncase ");
    cases.next();
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in cases {
        let (title, lines) = case.split_once('\n').unwrap();
        let is_outcome = |line: &str| {
            let word = line.split(' ').next().unwrap_or_default();
            ["sound", "alone", "warned", "refused"].contains(&word)
        };
        let lines = lines.lines().filter(|line| !line.is_empty());
        let (expected, given): (Vec<&str>, Vec<&str>) = lines.partition(|line| is_outcome(line));
        let mut layout = Layout::default();
        given.iter().for_each(|line| layout.take(line));
        let found = layout.outcome();
        if found != expected {
            wrong.push(format!("{title}\n{}", found.join("\n")));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(count > 30, "the table was read: {count}");
}

#[test]
fn nodes_from_elsewhere_must_prove_themselves() {
    let open = BROKERS.replace("127.0.0.1", "0.0.0.0") + "advertised = \"b:9094\"\n";
    load("", "secret_file = \"/s\"", &[CLIENTS, &open]).unwrap();
    let guarded = open
        + "tls.cert_file = \"/c\"\ntls.key_file = \"/k\"\ntls.client_ca_file = \"/a\"\n\
           tls.client_auth = \"required\"\n";
    load("", "", &[CLIENTS, &guarded]).unwrap();
    let asked = guarded.replace("required", "requested");
    load("", "", &[CLIENTS, &asked]).unwrap_err();
}

#[test]
fn nodes_that_show_certificates_can_check_those_of_others() {
    let shown = "tls.cert_file = \"/c\"\ntls.key_file = \"/k\"\n";
    for blind in [[BROKERS, shown, CONTROLLERS], [BROKERS, CONTROLLERS, shown]] {
        let said = load("", THREE, &[CLIENTS, &blind.concat()]).unwrap_err();
        assert!(said.contains("tls.client_ca_file"), "{said}");
        assert!(said.contains("sign the nodes' certificates"), "{said}");
    }
    let trusting = format!("{shown}tls.client_ca_file = \"/a\"\n");
    load(
        "",
        THREE,
        &[CLIENTS, BROKERS, &trusting, CONTROLLERS, &trusting],
    )
    .unwrap();
    // Who is alone calls nobody.
    load("", "", &[CLIENTS, BROKERS, shown]).unwrap();
}
