//! Which of the source topic's settings the target's topic gets.
//!
//! Three values per key: the source's, the target's, and what we wrote last (*ours*). Only a key
//! whose target value is ours, or is not set at all, is written; so nothing that somebody set by
//! hand is overwritten, and a change made at the target is shown as such.
//!
//! Only settings of the topic itself count at the source: values that come from its brokers are
//! theirs, not the topic's; sensitive and read-only ones are skipped (mirror.md 2.6).
//!
//! Three keys have rules of their own (X-22). `min.insync.replicas` is raised to the source's but never
//! lowered: MirrorMaker leaves it out, and a failover then lands on topics that promise less.
//! `unclean.leader.election.enable` is never copied, and reported where it is on. `min.insync.racks`, a key of
//! Isthmus, counts the racks of one cluster: it is never copied, and reported where the target asks for fewer.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::{SourceTopic, TargetCluster, TargetTopic, TopicReport, TopicRules};
use crate::lag::Retention;
use crate::selection::{PatternError, compile};

/// MirrorMaker's `config.properties.exclude`, as called on 4.2.
pub const CONFIG_EXCLUDE_DEFAULT: [&str; 6] = [
    r"follower\.replication\.throttled\.replicas",
    r"leader\.replication\.throttled\.replicas",
    r"message\.timestamp\.difference\.max\.ms",
    r"message\.timestamp\.type",
    r"unclean\.leader\.election\.enable",
    r"min\.insync\.replicas",
];

const MIN_INSYNC: &str = "min.insync.replicas";
const MIN_INSYNC_RACKS: &str = "min.insync.racks";
/// A key of Isthmus about the racks of one cluster: never copied.
const RACK_PLACEMENT: &str = "rack.placement";
const UNCLEAN: &str = "unclean.leader.election.enable";

/// One setting, as DescribeConfigs answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    pub name: String,
    /// `None` for sensitive ones.
    pub value: Option<String>,
    pub origin: ConfigOrigin,
    pub is_read_only: bool,
    pub is_sensitive: bool,
}

/// `config_source`, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigOrigin {
    /// Set on the topic.
    Topic,
    /// From the brokers, dynamic or static, or Kafka's default.
    Broker,
}

/// Keys that are not copied: full match of the name.
#[derive(Clone, Debug)]
pub struct ConfigExclude(Vec<Regex>);

impl ConfigExclude {
    pub fn new(patterns: &[String]) -> Result<Self, Vec<PatternError>> {
        let compiled = patterns.iter().map(|pattern| compile(pattern));
        let (good, bad): (Vec<_>, Vec<_>) = compiled.partition(Result::is_ok);
        match bad.is_empty() {
            true => Ok(Self(good.into_iter().filter_map(Result::ok).collect())),
            false => Err(bad.into_iter().filter_map(Result::err).collect()),
        }
    }

    fn excludes(&self, key: &str) -> bool {
        self.0.iter().any(|pattern| pattern.is_match(key))
    }
}

/// The value of a key, wherever it comes from.
pub fn config_value<'a>(entries: &'a [ConfigEntry], key: &str) -> Option<&'a str> {
    let entry = entries.iter().find(|entry| entry.name == key)?;
    entry.value.as_deref()
}

pub fn has_cleanup_policy(entries: &[ConfigEntry], policy: &str) -> bool {
    let policies = config_value(entries, "cleanup.policy").unwrap_or("delete");
    policies.split(',').any(|it| it.trim() == policy)
}

/// How long the source keeps records; no limit where nothing was described.
pub fn retention(entries: &[ConfigEntry]) -> Retention {
    if !has_cleanup_policy(entries, "delete") {
        return Retention::default();
    }
    let limit = |key| {
        let limit = config_value(entries, key)?.trim().parse().ok()?;
        (limit >= 0).then_some(limit)
    };
    Retention {
        time_ms: limit("retention.ms"),
        bytes: limit("retention.bytes"),
    }
}

/// What to do, what is ours afterwards, and what to say.
#[derive(Debug, Default)]
pub(super) struct ConfigDiff {
    pub(super) set: BTreeMap<String, String>,
    pub(super) delete: BTreeSet<String>,
    pub(super) ours: BTreeMap<String, String>,
    pub(super) reports: Vec<TopicReport>,
}

/// Settings to create the topic with. `min.insync.replicas` waits for the first look at the new
/// topic: whether it would be lowered shows only there.
pub(super) fn at_creation(
    source: &SourceTopic,
    cluster: &TargetCluster,
    rules: &TopicRules,
) -> (BTreeMap<String, String>, Vec<TopicReport>) {
    let mut reports = vec![];
    let wanted = wanted(source, cluster, &rules.config_exclude, &mut reports);
    (wanted, reports)
}

pub(super) fn diff(
    source: &SourceTopic,
    target: &TargetTopic,
    ours: &BTreeMap<String, String>,
    cluster: &TargetCluster,
    exclude: &ConfigExclude,
) -> ConfigDiff {
    let mut diff = ConfigDiff::default();
    let mut wanted = wanted(source, cluster, exclude, &mut diff.reports);
    // Its own rule below, whatever the exclude says.
    wanted.remove(MIN_INSYNC);
    for (key, value) in &wanted {
        diff.want(
            key,
            value,
            set_on_topic(&target.configs, key),
            ours.get(key),
        );
    }
    let gone = ours.iter().filter(|(key, _)| {
        !wanted.contains_key(*key) && *key != MIN_INSYNC && !exclude.excludes(key)
    });
    for (key, last) in gone {
        diff.unset(key, last, set_on_topic(&target.configs, key));
    }
    diff.min_insync(source, target, ours.get(MIN_INSYNC));
    diff.min_insync_racks(source, target);
    diff.unclean(source, target);
    diff
}

/// The source topic's own settings that may be copied and that the target knows.
fn wanted(
    source: &SourceTopic,
    cluster: &TargetCluster,
    exclude: &ConfigExclude,
    reports: &mut Vec<TopicReport>,
) -> BTreeMap<String, String> {
    let mut wanted = BTreeMap::new();
    for entry in &source.configs {
        let is_own = entry.origin == ConfigOrigin::Topic;
        let is_copied = is_own && !entry.is_read_only && !entry.is_sensitive;
        let is_kept_back = [UNCLEAN, RACK_PLACEMENT].contains(&entry.name.as_str());
        if !is_copied || exclude.excludes(&entry.name) || is_kept_back {
            continue;
        }
        match &entry.value {
            None => {}
            Some(_) if !cluster.config_keys.contains(&entry.name) => {
                reports.push(TopicReport::UnknownKey {
                    key: entry.name.clone(),
                });
            }
            Some(_) if entry.name == MIN_INSYNC_RACKS => {}
            Some(value) => drop(wanted.insert(entry.name.clone(), value.clone())),
        }
    }
    wanted
}

impl ConfigDiff {
    fn want(&mut self, key: &str, wanted: &str, found: Option<&str>, ours: Option<&String>) {
        match (found, ours) {
            // Equal values are ours from now on: a crash between writing and saving leaves them.
            (Some(found), _) if found == wanted => self.own(key, wanted),
            (None, None) => self.write(key, wanted),
            (Some(found), Some(ours)) if found == ours => self.write(key, wanted),
            (found, Some(ours)) => {
                self.own(key, ours);
                self.reports.push(TopicReport::ChangedOnTarget {
                    key: key.to_owned(),
                    found: found.map(str::to_owned),
                });
            }
            (Some(found), None) => self.reports.push(TopicReport::ForeignValue {
                key: key.to_owned(),
                wanted: wanted.to_owned(),
                found: found.to_owned(),
            }),
        }
    }

    /// The source no longer sets it.
    fn unset(&mut self, key: &str, ours: &str, found: Option<&str>) {
        match found {
            Some(found) if found == ours => drop(self.delete.insert(key.to_owned())),
            Some(found) => self.reports.push(TopicReport::ChangedOnTarget {
                key: key.to_owned(),
                found: Some(found.to_owned()),
            }),
            None => {}
        }
    }

    fn min_insync(&mut self, source: &SourceTopic, target: &TargetTopic, ours: Option<&String>) {
        if let Some(ours) = ours {
            self.own(MIN_INSYNC, ours);
        }
        let number = |entry: &ConfigEntry| entry.value.as_ref()?.trim().parse::<i64>().ok();
        let find = |configs: &[ConfigEntry]| {
            let entry = configs.iter().find(|entry| entry.name == MIN_INSYNC)?;
            Some((number(entry)?, entry.origin))
        };
        let (Some((wanted, origin)), Some((there, _))) =
            (find(&source.configs), find(&target.configs))
        else {
            return;
        };
        let replicas = target.replication_factor;
        match origin {
            ConfigOrigin::Broker if wanted > there => {
                self.reports.push(TopicReport::MinInsyncByDefault {
                    wanted,
                    target: there,
                });
            }
            ConfigOrigin::Topic if wanted < there => {
                self.reports.push(TopicReport::MinInsyncNotLowered {
                    wanted,
                    target: there,
                });
            }
            // More than the replicas would stop every write with acks=all.
            ConfigOrigin::Topic if wanted > there && wanted > i64::from(replicas) => {
                self.reports.push(TopicReport::MinInsyncNotRaised {
                    wanted,
                    target: there,
                    replicas,
                });
            }
            ConfigOrigin::Topic if wanted > there => {
                let found = set_on_topic(&target.configs, MIN_INSYNC);
                self.want(MIN_INSYNC, &wanted.to_string(), found, ours);
            }
            ConfigOrigin::Topic | ConfigOrigin::Broker => {}
        }
    }

    fn min_insync_racks(&mut self, source: &SourceTopic, target: &TargetTopic) {
        let number = |configs: &[ConfigEntry]| -> Option<i64> {
            let value = config_value(configs, MIN_INSYNC_RACKS)?;
            value.trim().parse().ok()
        };
        // A target that does not know the key is reported already.
        if let (Some(wanted), Some(there)) = (number(&source.configs), number(&target.configs))
            && wanted > there
        {
            let target = there;
            self.reports
                .push(TopicReport::MinInsyncRacksNotCopied { wanted, target });
        }
    }

    fn unclean(&mut self, source: &SourceTopic, target: &TargetTopic) {
        let is_on = |configs: &[ConfigEntry]| {
            let entry = configs.iter().find(|entry| entry.name == UNCLEAN);
            entry.is_some_and(|entry| entry.value.as_deref() == Some("true"))
        };
        if is_on(&source.configs) {
            self.reports.push(TopicReport::UncleanAtSource);
        }
        if is_on(&target.configs) {
            self.reports.push(TopicReport::UncleanAtTarget);
        }
    }

    fn write(&mut self, key: &str, value: &str) {
        self.set.insert(key.to_owned(), value.to_owned());
        self.own(key, value);
    }

    fn own(&mut self, key: &str, value: &str) {
        self.ours.insert(key.to_owned(), value.to_owned());
    }
}

fn set_on_topic<'a>(configs: &'a [ConfigEntry], key: &str) -> Option<&'a str> {
    let entry = configs.iter().find(|entry| entry.name == key);
    let own = entry.filter(|entry| entry.origin == ConfigOrigin::Topic)?;
    own.value.as_deref()
}
