//! Plans as drawn in `testdata/topics/plans.txt`.

use super::*;
use crate::lag::Retention;

const PLANS: &str = include_str!("../../testdata/topics/plans.txt");

fn id(text: &str) -> Uuid {
    Uuid([text.parse().unwrap(); 16])
}

/// `key=value` is set on the topic, `key~value` comes from the broker, `!` in front: read-only.
fn entry(word: &str) -> ConfigEntry {
    let (is_read_only, word) = match word.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    let at = word.find(['=', '~']).unwrap();
    ConfigEntry {
        name: word[..at].to_owned(),
        value: Some(word[at + 1..].to_owned()),
        origin: match &word[at..=at] {
            "=" => ConfigOrigin::Topic,
            _ => ConfigOrigin::Broker,
        },
        is_read_only,
        is_sensitive: false,
    }
}

/// One case: lines `source`, `target`, `saved`, `cluster`, `rules`, then lines of `=`.
#[derive(Default)]
struct Case<'a> {
    name: &'a str,
    source: Option<SourceTopic>,
    target: Option<TargetTopic>,
    saved: Option<SavedTopic>,
    factor: Option<i16>,
    existing: Existing,
    others: BTreeSet<String>,
    knows: Vec<&'a str>,
    expected: Vec<&'a str>,
}

fn shape(word: &str) -> (i32, i16) {
    let (partitions, factor) = word.split_once('x').unwrap();
    (partitions.parse().unwrap(), factor.parse().unwrap())
}

fn source(words: &[&str]) -> SourceTopic {
    let (partitions, replication_factor) = shape(words[1]);
    SourceTopic {
        name: "t".to_owned(),
        id: id(words[0]),
        partitions,
        replication_factor,
        configs: words[2..].iter().map(|word| entry(word)).collect(),
    }
}

/// Words `0:5..9` say where a partition's log begins and ends, `0:5..9@7` also MirrorMaker's offset.
fn target(words: &[&str]) -> TargetTopic {
    let (partitions, replication_factor) = shape(words[1]);
    let mut topic = TargetTopic {
        id: id(words[0]),
        replication_factor,
        partitions: vec![TargetPartition::default(); partitions as usize],
        configs: vec![],
    };
    for word in &words[2..] {
        let Some((ends, rest)) = word.split_once("..") else {
            topic.configs.push(entry(word));
            continue;
        };
        let (partition, start) = ends.split_once(':').unwrap();
        let (end, mm2) = rest.split_once('@').unwrap_or((rest, ""));
        topic.partitions[partition.parse::<usize>().unwrap()] = TargetPartition {
            log_start: start.parse().unwrap(),
            log_end: end.parse().unwrap(),
            mm2_next: mm2.parse().ok().map(SourceOffset),
        };
    }
    topic
}

fn saved(words: &[&str]) -> SavedTopic {
    let (kept, configs): (Vec<&str>, Vec<&str>) = words[3..]
        .iter()
        .partition(|word| word.starts_with("kept:"));
    let kept = kept.first().map(|word| word["kept:".len()..].parse());
    let configs = configs.iter().map(|word| word.split_once('=').unwrap());
    SavedTopic {
        source_id: id(words[0]),
        target_id: id(words[1]),
        first_seen_ms: 7,
        target_topic: words[2].to_owned(),
        retention: Retention {
            time_ms: kept.map(Result::unwrap),
            bytes: None,
        },
        configs: configs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
    }
}

impl<'a> Case<'a> {
    fn line(&mut self, line: &'a str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            "source" => self.source = Some(source(&words[1..])),
            "target" => self.target = Some(target(&words[1..])),
            "saved" => self.saved = Some(saved(&words[1..])),
            "factor" => self.factor = words[1].parse().ok(),
            "existing" => {
                self.existing = match words[1] {
                    "append" => Existing::Append,
                    "mm2" => Existing::Mm2,
                    other => panic!("existing {other}"),
                }
            }
            "other" => drop(self.others.insert(words[1].to_owned())),
            "knows" => self.knows.push(words[1]),
            "=" => self.expected.push(line[1..].trim()),
            other => panic!("no line {other:?} in {}", self.name),
        }
    }

    fn check(&self) {
        let exclude = CONFIG_EXCLUDE_DEFAULT.map(str::to_owned);
        let keys = [
            "retention.ms",
            "cleanup.policy",
            "max.message.bytes",
            "min.insync.replicas",
        ];
        let cluster = TargetCluster {
            brokers: 3,
            default_replication_factor: Some(1),
            config_keys: keys
                .iter()
                .chain(&self.knows)
                .map(|it| (*it).to_owned())
                .collect(),
            topics: self.others.clone(),
        };
        let rules = TopicRules {
            target_topic: "east.t".to_owned(),
            replication_factor: self.factor,
            existing: self.existing,
            config_exclude: ConfigExclude::new(&exclude).unwrap(),
        };
        let sight = self
            .source
            .as_ref()
            .map_or(SourceSight::Gone, SourceSight::There);
        let plan = plan(
            9,
            sight,
            self.target.as_ref(),
            self.saved.as_ref(),
            &cluster,
            &rules,
        );
        assert_eq!(drawn(&plan), self.expected, "{}", self.name);
    }
}

fn pairs(map: &BTreeMap<String, String>) -> String {
    map.iter()
        .map(|(key, value)| format!(" {key}={value}"))
        .collect()
}

fn drawn(plan: &TopicPlan) -> Vec<String> {
    let mut lines = vec![match &plan.verdict {
        TopicVerdict::Copy { partitions } => format!("copy {partitions}"),
        TopicVerdict::Held(reason) => format!("held: {reason}"),
    }];
    lines.extend(plan.steps.iter().map(|step| match step {
        Step::CreateTopic {
            partitions,
            replication_factor,
            configs,
        } => {
            let factor = replication_factor.map_or("default".to_owned(), |it| it.to_string());
            format!("create {partitions}x{factor}{}", pairs(configs))
        }
        Step::CreatePartitions { count } => format!("grow to {count}"),
        Step::AlterConfigs { set, delete } => {
            let delete: String = delete.iter().map(|key| format!(" -{key}")).collect();
            format!("alter{}{delete}", pairs(set))
        }
    }));
    lines.extend(plan.reports.iter().map(|report| format!("report {report}")));
    lines.extend(plan.save.as_ref().map(|saved| {
        let kept = saved.retention.time_ms.map(|it| format!(" kept:{it}"));
        format!("save{}{}", kept.unwrap_or_default(), pairs(&saved.configs))
    }));
    lines
}

#[test]
fn plans_are_as_drawn() {
    let mut cases: Vec<Case<'_>> = vec![];
    for line in PLANS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        match line.strip_prefix("case ") {
            Some(name) => cases.push(Case {
                name,
                ..Case::default()
            }),
            None => cases.last_mut().unwrap().line(line),
        }
    }
    cases.iter().for_each(Case::check);
    assert!(cases.len() > 25, "{} cases", cases.len());
}

/// From nothing to a steady state: each plan's steps done, the next plan has fewer, and the last
/// one changes nothing.
#[test]
fn plans_come_to_rest() {
    let exclude = ConfigExclude::new(&CONFIG_EXCLUDE_DEFAULT.map(str::to_owned)).unwrap();
    let keys = ["retention.ms", "min.insync.replicas"];
    let cluster = TargetCluster {
        brokers: 3,
        config_keys: keys.map(str::to_owned).into(),
        ..TargetCluster::default()
    };
    let rules = TopicRules {
        target_topic: "east.t".to_owned(),
        replication_factor: Some(3),
        existing: Existing::Refuse,
        config_exclude: exclude,
    };
    let source = source(&["1", "4x3", "retention.ms=5", "min.insync.replicas=2"]);
    let (mut there, mut remembered): (Option<TargetTopic>, Option<SavedTopic>) = (None, None);
    let mut rounds = 0;
    loop {
        let plan = plan(
            9,
            SourceSight::There(&source),
            there.as_ref(),
            remembered.as_ref(),
            &cluster,
            &rules,
        );
        let is_rest = plan.steps.is_empty() && plan.save.is_none();
        remembered = plan.save.or(remembered);
        for step in plan.steps {
            match step {
                Step::CreateTopic {
                    partitions,
                    configs,
                    ..
                } => {
                    let configs: Vec<String> =
                        configs.iter().map(|(k, v)| format!("{k}={v}")).collect();
                    let shape = format!("{partitions}x3");
                    let mut words = vec!["2", &shape, "min.insync.replicas~1"];
                    words.extend(configs.iter().map(String::as_str));
                    there = Some(target(&words));
                }
                Step::CreatePartitions { count } => {
                    let partitions = &mut there.as_mut().unwrap().partitions;
                    partitions.resize(count as usize, TargetPartition::default());
                }
                Step::AlterConfigs { set, delete } => {
                    let configs = &mut there.as_mut().unwrap().configs;
                    configs.retain(|it| !set.contains_key(&it.name) && !delete.contains(&it.name));
                    configs.extend(set.iter().map(|(k, v)| entry(&format!("{k}={v}"))));
                }
            }
        }
        rounds += 1;
        assert!(rounds < 6, "no rest");
        if is_rest {
            assert_eq!(plan.verdict, TopicVerdict::Copy { partitions: 4 });
            break;
        }
    }
    let pairs = pairs(&remembered.unwrap().configs);
    assert_eq!(pairs, " min.insync.replicas=2 retention.ms=5");
    assert_eq!(rounds, 3);
}
