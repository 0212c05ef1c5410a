//! Model files: what is shipped, what is refused, and what is made of them.
#![expect(clippy::unwrap_used, reason = "a story stops at the first surprise")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

use isthmus_config::ConfigFile;
use isthmus_config::model::render::{Options, Target, render};
use isthmus_config::model::{Model, SCHEMA, SHIPPED};

/// `# what`, then lines that are changed in the commented example: `- before`, `+ after`; `=>` lines
/// are the problems, all of them.
const STORIES: &str = include_str!("../testdata/model.txt");

fn example() -> &'static str {
    SHIPPED
        .iter()
        .find(|it| it.0 == "active-passive")
        .unwrap()
        .1
}

#[test]
fn shipped_models_are_whole() {
    assert_eq!(SCHEMA.faults(), Vec::<String>::new());
    for (name, _) in SHIPPED {
        let model = Model::find(name).unwrap();
        assert_eq!(model.model.name, name);
    }
    assert_eq!(Model::find("active-active").unwrap().flows.len(), 2);
}

#[test]
fn the_commented_example_has_every_table_and_key() {
    for table in SCHEMA.tables {
        let head = format!("[{}]", table.name);
        let place = example().find(&head).unwrap_or_else(|| panic!("no {head}"));
        let rest = &example()[place..];
        for key in table.keys {
            let [line, comment] = ["\n", "\n# "].map(|start| format!("{start}{} = ", key.name));
            let is_there = rest.contains(&line) || rest.contains(&comment);
            assert!(is_there, "{head} has no {}", key.name);
        }
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let mut count = 0;
    let mut wrong = Vec::new();
    for story in STORIES.split("\n# ").skip(1) {
        let (title, lines) = story.split_once('\n').unwrap();
        let mut text = example().to_owned();
        let mut before = None;
        let mut expected = Vec::new();
        for line in lines.lines().filter(|line| !line.is_empty()) {
            match line.split_at(2) {
                ("- ", old) => before = Some(old),
                ("+ ", new) => {
                    let old = before.take().unwrap().replace("\\n", "\n");
                    assert!(
                        text.contains(&old),
                        "{title}: {old:?} is not in the example"
                    );
                    text = text.replacen(&old, &new.replace("\\n", "\n"), 1);
                }
                ("=>", problem) => expected.push(problem.trim().to_owned()),
                (other, _) => panic!("{title}: {other:?} begins no line of a story"),
            }
        }
        let loaded = Model::load(ConfigFile::from_text("m", text));
        let told = match loaded {
            Ok(_) => Vec::new(),
            Err(problems) => problems.0.iter().map(ToString::to_string).collect(),
        };
        if told != expected {
            let told: Vec<String> = told.iter().map(|it| format!("=> {it}")).collect();
            wrong.push(format!("# {title}\n{}", told.join("\n")));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "told instead:\n{}", wrong.join("\n"));
    assert!(count >= 12, "{count} stories");
}

#[test]
fn a_model_that_is_not_there_is_told_with_its_name() {
    let problems = Model::find("active-pasive").unwrap_err().to_string();
    assert!(
        problems.starts_with("active-pasive: is no model and no file; name one of single-site, "),
        "{problems}"
    );
}

#[test]
fn the_only_cluster_must_come_back() {
    let (_, text) = SHIPPED[0];
    let text = text.replace("returns_after = \"10s\"\n", "");
    let problems = Model::load(ConfigFile::from_text("m", text)).unwrap_err();
    let expected = "m: cells[0].returns_after: is missing, and without it nobody can tell in the end what is left; say when the only cluster comes back";
    assert_eq!(problems.to_string(), expected);
}

/// Every node, mirror and client of every model has its file or its command, on ports of its own.
#[test]
fn every_model_is_rendered_for_both() {
    for (name, _) in SHIPPED {
        let model = Model::find(name).unwrap();
        let mut counts = Vec::new();
        for target in [Target::Isthmus, Target::ApacheKafka] {
            let files = render(&model, &options(target));
            let text = |path: &str| match files.iter().find(|file| file.path == path) {
                Some(file) => &file.text,
                None => panic!("{name}: no {path}"),
            };
            let mut taken = BTreeSet::new();
            for node in &model.nodes {
                let ending = match target {
                    Target::Isthmus => "toml",
                    Target::ApacheKafka => "properties",
                };
                let file = text(&format!("{}/node-{}.{ending}", node.cluster, node.id));
                let places = bound(file, target);
                assert!(!places.is_empty(), "{name}: node {}: {file}", node.id);
                for place in places {
                    assert!(
                        taken.insert(place.clone()),
                        "{name}: {place} is there twice"
                    );
                }
            }
            for flow in &model.flows {
                let (file, line) = match target {
                    Target::Isthmus => (
                        text(&format!("replicator-{}.toml", flow.site)),
                        format!("name = \"{}\"", flow.name()),
                    ),
                    Target::ApacheKafka => (
                        text(&format!("mm2-{}.properties", flow.site)),
                        format!("{}->{}.enabled=true", flow.source, flow.target),
                    ),
                };
                assert!(file.lines().any(|it| it == line), "{name}: {file}");
            }
            for client in &model.clients {
                let line = format!("'{} home')", client.name);
                assert!(text("clients.sh").contains(&line), "{name}: {line}");
            }
            for topic in &model.topics {
                let start = format!("--topic '{}'", topic.name);
                let mut lines = text("topics.sh").lines();
                assert!(lines.any(|it| it.contains(&start)), "{name}: {start}");
                // By a tool that does not look names up in Kafka's own list; and never on Kafka.
                let racks = format!(
                    "--entity-name '{}' --add-config 'min.insync.racks={}'",
                    topic.name, topic.min_insync_racks
                );
                let asks = topic.min_insync_racks > 1 && target == Target::Isthmus;
                assert_eq!(text("topics.sh").contains(&racks), asks, "{name}: {racks}");
            }
            counts.push(files.len());
        }
        assert_eq!(counts[0], counts[1], "{name}");
    }
}

/// Where a node listens, by its file.
fn bound(file: &str, target: Target) -> Vec<String> {
    let lines = file.lines();
    match target {
        Target::Isthmus => {
            let binds = lines.filter_map(|line| line.strip_prefix("bind = \""));
            binds
                .map(|it| it.trim_end_matches('"').to_owned())
                .collect()
        }
        Target::ApacheKafka => {
            let mut listeners = lines.filter_map(|line| line.strip_prefix("listeners="));
            let listeners = listeners.next().unwrap().split(',');
            let places = listeners.map(|it| it.split_once("://").unwrap().1.to_owned());
            places.collect()
        }
    }
}

/// Nodes of other machines prove themselves to each other by a secret.
#[test]
fn nodes_beyond_loopback_have_a_secret() {
    let (_, text) = SHIPPED.iter().find(|it| it.0 == "3dc").unwrap();
    let text = text.replace("port = 9092\n", "port = 9092\nhost = \"b1.example\"\n");
    let model = Model::load(ConfigFile::from_text("m", text)).unwrap();
    let files = render(&model, &options(Target::Isthmus));
    let text = |id: u32| {
        let path = format!("pay/node-{id}.toml");
        &files.iter().find(|file| file.path == path).unwrap().text
    };
    let line = "secret_file = \"/var/lib/isthmus/secret\"";
    assert!(
        text(1).contains(line) && text(2).contains(line),
        "{}",
        text(2)
    );
    assert!(text(2).contains("1@b1.example:9093"), "{}", text(2));
}

#[test]
fn what_is_rendered() {
    check("active-passive", Target::Isthmus, "isthmus.txt");
    check("active-passive", Target::ApacheKafka, "apache-kafka.txt");
    // Several nodes, one of them a witness.
    check("2.5dc", Target::Isthmus, "isthmus-2.5dc.txt");
    check("2.5dc", Target::ApacheKafka, "apache-kafka-2.5dc.txt");
}

/// All files of a model in one text. A wanted change is taken over with ISTHMUS_BLESS=1.
fn check(model: &str, target: Target, golden: &str) {
    let model = Model::find(model).unwrap();
    let mut text = String::new();
    for file in render(&model, &options(target)) {
        write!(text, "==> {} <==\n{}\n", file.path, file.text).unwrap();
    }
    same(&format!("testdata/render/{golden}"), &text);
}

#[test]
fn the_json_schema_is_the_one_of_the_tables() {
    let schema = SCHEMA.json_schema("A deployment model of Isthmus");
    let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    same("models/model.schema.json", &text);
}

#[test]
fn the_page_of_docs_is_the_one_of_the_tables() {
    let mut text = String::new();
    for table in SCHEMA.tables {
        let head = match table.form {
            isthmus_config::Form::Repeated => format!("[[{}]]", table.name),
            isthmus_config::Form::Named => format!("[{}.NAME]", table.name),
            isthmus_config::Form::Plain | isthmus_config::Form::Flat => format!("[{}]", table.name),
        };
        writeln!(text, "### `{head}`\n\n{}\n", table.doc).unwrap();
        writeln!(
            text,
            "| Key | Value | Default | Meaning |\n|---|---|---|---|"
        )
        .unwrap();
        for key in table.keys {
            let default = match key.default {
                isthmus_config::DefaultValue::Required => "must be given".to_owned(),
                isthmus_config::DefaultValue::Unset => String::new(),
                isthmus_config::DefaultValue::Is(value) => format!("`{value}`"),
            };
            let kind = key.kind.in_words();
            let worst = if key.worst.is_empty() { "" } else { " " };
            let (name, doc) = (key.name, key.doc);
            writeln!(
                text,
                "| `{name}` | {kind} | {default} | {doc}{worst}{} |",
                key.worst
            )
            .unwrap();
        }
        writeln!(text).unwrap();
    }
    let page = std::fs::read_to_string(root().join("../docs/models.md")).unwrap();
    let (before, rest) = page.split_once("<!-- tables -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- end -->\n").unwrap();
    let expected = format!("{before}<!-- tables -->\n\n{text}<!-- end -->\n{after}");
    same("../docs/models.md", &expected);
}

fn options(target: Target) -> Options {
    Options {
        target,
        data: PathBuf::from("/var/lib/isthmus"),
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn same(path: &str, text: &str) {
    let file = root().join(path);
    if std::env::var_os("ISTHMUS_BLESS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        there == text,
        "{path} is not what the tables say; ISTHMUS_BLESS=1 takes it over"
    );
}
