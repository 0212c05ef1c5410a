//! Stories from `testdata/settings.txt`: a file in, what it comes to or all problems out.

use std::fmt::Write;

use isthmus_config::{ConfigFile, Setting};
use isthmus_replicator_core::partition::Start;
use isthmus_replicator_core::selection::Selected;

use super::*;

#[test]
fn the_schema_is_sound() {
    assert_eq!(schema().faults(), Vec::<String>::new());
}

#[test]
fn stories() {
    let text = include_str!("../../testdata/settings.txt");
    let stories: Vec<&str> = text.split("\n== ").skip(1).collect();
    assert!(stories.len() > 12, "the file lost its stories");
    for story in stories {
        let (title, body) = story.split_once('\n').unwrap();
        check(title, body);
    }
}

fn check(title: &str, body: &str) {
    let files = tempfile::tempdir().unwrap();
    let dir = files.path().to_str().unwrap();
    for (name, content) in [("pw", "hunter2\n"), ("empty", "\n"), ("pem", "pem")] {
        std::fs::write(files.path().join(name), content).unwrap();
    }
    let mut layers = Layers::default();
    let mut wanted = Vec::new();
    let mut expected = "";
    for part in body.split("-- ").skip(1) {
        let (name, content) = part.split_once('\n').unwrap();
        match name {
            "file" => {
                let text = content.replace("DIR", dir);
                layers.file = Some(ConfigFile::from_text("x.toml", text));
            }
            "set" => {
                let flags = content.lines().map(|l| Setting::parse("--set", l).unwrap());
                layers.flags = flags.collect();
            }
            "flow" => wanted.extend(content.lines().map(str::to_owned)),
            "expect" => expected = content.trim_end(),
            other => panic!("{title}: no part is called {other}"),
        }
    }
    let settings = Settings::load(&layers).and_then(|mut settings| {
        if !wanted.is_empty() {
            settings.only(&wanted)?;
        }
        Ok(settings)
    });
    let seen = match settings {
        Ok(settings) => told(&settings),
        Err(problems) => problems.to_string(),
    };
    let seen = seen.replace(dir, "DIR");
    assert_eq!(seen.trim_end(), expected, "{title}: seen on the left");
    assert!(!seen.contains("hunter2"), "{title}: shows a secret");
}

fn told(settings: &Settings) -> String {
    let mut text = String::new();
    let daemon = &settings.daemon;
    writeln!(
        text,
        "daemon {} memory {}",
        daemon.name, daemon.memory_bytes
    )
    .unwrap();
    if let Some(address) = daemon.observe {
        writeln!(text, "observe {address}").unwrap();
    }
    if let Some(control) = &daemon.control {
        let token = control.token.as_ref().map_or("", |_| " with a token");
        writeln!(text, "control {}{token}", control.address).unwrap();
    }
    for cluster in settings.clusters.values() {
        let config = cluster.client_config("me").unwrap();
        let sasl = config.sasl.as_ref();
        let sasl = sasl.map(|it| format!(" {} as {}", it.mechanism.name(), it.username));
        let tls = config.tls.as_ref();
        let tls = tls.map(|it| format!(" tls, mutual {}", it.identity.is_some()));
        writeln!(
            text,
            "cluster {} at {}{}{}",
            cluster.name,
            config.bootstrap.join(" "),
            tls.unwrap_or_default(),
            sasl.unwrap_or_default()
        )
        .unwrap();
    }
    for flow in &settings.flows {
        let start = match flow.start {
            Start::Earliest => "earliest".to_owned(),
            Start::Latest => "latest".to_owned(),
            Start::Time { ms } => ms.to_string(),
            Start::At(offset) => panic!("no file gives the offset {offset}"),
        };
        writeln!(
            text,
            "flow {} {} -> {} {} start {start} {:?} factor {:?} pace {:?} {:?} rpo {:?}",
            flow.name,
            flow.source,
            flow.target,
            flow.naming,
            flow.existing,
            flow.replication_factor,
            flow.pace.bytes_per_second_max,
            flow.pace.catch_up_bytes_per_second,
            flow.rpo_target,
        )
        .unwrap();
    }
    for notice in settings.notices() {
        writeln!(text, "notice {notice}").unwrap();
    }
    text
}

#[test]
fn the_defaults_of_the_selections_are_the_cores() {
    use isthmus_replicator_core::selection::{GROUPS_EXCLUDE_DEFAULT, TOPICS_EXCLUDE_DEFAULT};
    let flow = schema().table("flows").unwrap();
    let default = |key: &str| flow.key(key).unwrap().default;
    for (key, theirs) in [
        ("exclude", TOPICS_EXCLUDE_DEFAULT),
        ("groups_exclude", GROUPS_EXCLUDE_DEFAULT),
    ] {
        let isthmus_config::DefaultValue::Is(ours) = default(key) else {
            panic!("{key} has no default")
        };
        assert_eq!(ours.split(',').collect::<Vec<_>>(), theirs, "{key}");
    }
}

#[test]
fn patterns_reach_the_selection() {
    let text = "[clusters.a]\nbootstrap = 'a:1'\n[clusters.b]\nbootstrap = 'b:1'\n[[flows]]\n\
        source = 'a'\ntarget = 'b'\ntopics = ['t{1,2}']\nexclude = []\ngroups = 'g'\n";
    let layers = Layers {
        file: Some(ConfigFile::from_text("x.toml", text)),
        ..Layers::default()
    };
    let settings = Settings::load(&layers).unwrap();
    let flow = &settings.flows[0];
    assert_eq!(flow.topics.topic("tt"), Selected::Yes);
    assert_eq!(flow.topics.topic("x.replica"), Selected::NotNamed);
    assert_eq!(flow.groups.group("g"), Selected::Yes);
    assert_eq!(flow.groups.group("gg"), Selected::NotNamed);
}

#[test]
fn a_properties_file_is_refused_by_name() {
    let refused = read_config(Path::new("/etc/mm2.properties")).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "/etc/mm2.properties: is a properties file, and MirrorMaker 2's are not read yet; write a \
         TOML file: isthmus config sample replicator"
    );
}
