//! What must hold of the work: topics, flows, clients, the times of a drill, predictions.

use super::{Check, TOPIC_NAME_MAX, address};
use crate::Value;

impl Check<'_> {
    pub(super) fn topics(&mut self) {
        for row in self.rows("topics") {
            let replicas = self.number("topics", row, "replication_factor");
            for cluster in self.list("topics", row, "clusters") {
                self.refer(address("topics", row, "clusters"), cluster, "clusters");
                let brokers = self.count(cluster, "broker");
                if let Some(replicas) = replicas
                    && brokers > 0
                    && replicas > brokers
                {
                    let what = format!("is more than the {brokers} brokers of {cluster}");
                    let remedy = "ask for fewer replicas, or add nodes";
                    self.refuse(address("topics", row, "replication_factor"), what, remedy);
                }
            }
            for key in ["min_insync_replicas", "observers"] {
                let Some((number, replicas)) = self.number("topics", row, key).zip(replicas) else {
                    continue;
                };
                if number > replicas {
                    let what = format!("is more than the {replicas} replicas");
                    self.refuse(address("topics", row, key), what, "ask for fewer");
                }
            }
            self.racks_of_topic(row, replicas);
            let demanded = self.number("topics", row, "min_insync_replicas");
            let observers = self.number("topics", row, "observers").unwrap_or(0);
            if let Some((demanded, replicas)) = demanded.zip(replicas)
                && (1..=replicas).contains(&observers)
                && demanded <= replicas
                && demanded > replicas - observers
            {
                let left = replicas - observers;
                let what = format!("is more than the {left} replicas that are no observers");
                let remedy = "ask for fewer, or for fewer observers";
                self.refuse(address("topics", row, "min_insync_replicas"), what, remedy);
            }
        }
    }

    /// Rule 21: more racks than the replicas can be in would never be met.
    fn racks_of_topic(&mut self, row: usize, replicas: Option<i64>) {
        let demanded = self.number("topics", row, "min_insync_racks").unwrap_or(1);
        let observers = self.number("topics", row, "observers").unwrap_or(0);
        let Some(replicas) = replicas.map(|it| it - observers).filter(|it| *it > 0) else {
            return;
        };
        for cluster in self.list("topics", row, "clusters") {
            let racks = self.racks(cluster).min(replicas);
            if racks > 0 && demanded > racks {
                let what =
                    format!("is more than the {racks} racks that its replicas on {cluster} are in");
                let remedy = "ask for fewer, or for more replicas in more racks";
                self.refuse(address("topics", row, "min_insync_racks"), what, remedy);
            }
        }
    }

    pub(super) fn flows(&mut self) {
        for row in self.rows("flows") {
            self.refer_key("flows", row, "source", "clusters");
            self.refer_key("flows", row, "target", "clusters");
            self.refer_key("flows", row, "site", "sites");
            let source = self.text("flows", row, "source");
            let target = self.text("flows", row, "target");
            if source.is_some() && source == target {
                let what = "is the source too";
                let place = address("flows", row, "target");
                self.refuse(place, what, "mirror to another cluster");
            }
            let identity = |row| self.text("flows", row, "naming") == Some("identity");
            let mut back = self.rows("flows").take_while(|&it| it < row);
            let back = back.any(|it| {
                let (from, to) = (
                    self.text("flows", it, "source"),
                    self.text("flows", it, "target"),
                );
                (from, to) == (target, source) && identity(it) && identity(row)
            });
            if back {
                // S3-15: without prefixes a two-way mirror repeats data in a cycle.
                let what = "in both directions would mirror records in a circle";
                let remedy = "use source-prefix in one of them";
                self.refuse(address("flows", row, "naming"), what, remedy);
            }
            let copies = self.number("flows", row, "replication_factor");
            let brokers = target.map_or(0, |target| self.count(target, "broker"));
            if let (Some(copies), Some(target)) = (copies, target)
                && brokers > 0
                && copies > brokers
            {
                let what = format!("is more than the {brokers} brokers of {target}");
                let remedy = "ask for fewer replicas, or add nodes";
                self.refuse(address("flows", row, "replication_factor"), what, remedy);
            }
            self.mirrored_names(row);
        }
    }

    /// Table E: a prefix must not make a name too long.
    fn mirrored_names(&mut self, flow: usize) {
        let Some(source) = self.text("flows", flow, "source") else {
            return;
        };
        for row in self.rows("topics") {
            let clusters = self.list("topics", row, "clusters");
            let name = self.text("topics", row, "name").unwrap_or_default();
            let length = source.len() + 1 + name.len();
            if clusters.iter().any(|it| it == source) && length > TOPIC_NAME_MAX {
                let what = format!("has {length} letters with the prefix of {source}");
                let remedy = format!("{TOPIC_NAME_MAX} is the most; shorten it");
                self.refuse(address("topics", row, "name"), what, remedy);
            }
        }
    }

    pub(super) fn clients(&mut self) {
        for row in self.rows("clients") {
            self.refer_key("clients", row, "site", "sites");
            self.refer_key("clients", row, "cluster", "clusters");
            self.refer_key("clients", row, "switch_to", "clusters");
            self.settings("clients", row);
            match self.text("clients", row, "kind") {
                Some("producer") => self.producer(row),
                Some("consumer") => {
                    for key in ["rate", "record_bytes", "keys"] {
                        if self.value("clients", row, key).is_some() {
                            let place = address("clients", row, key);
                            self.refuse(place, "is a producer's", "remove it");
                        }
                    }
                }
                Some(_) | None => {}
            }
        }
    }

    fn producer(&mut self, row: usize) {
        if self.value("clients", row, "rate").is_none() {
            let remedy = "say how many records per second it sends";
            self.refuse(address("clients", row, "rate"), "is missing", remedy);
        }
        if self.value("clients", row, "group").is_some() {
            let place = address("clients", row, "group");
            self.refuse(place, "is a consumer's", "remove it");
        }
        let place = address("clients", row, "topics");
        let [topic] = self.list("clients", row, "topics") else {
            self.refuse(place, "is not one topic", "name the one it writes");
            return;
        };
        for key in ["cluster", "switch_to"] {
            let Some(cluster) = self.text("clients", row, key) else {
                continue;
            };
            let exists = self.rows("topics").any(|it| {
                let on = self.list("topics", it, "clusters");
                self.text("topics", it, "name") == Some(topic) && on.iter().any(|it| it == cluster)
            });
            if !exists {
                let what = format!("{topic:?} is not made on {cluster}");
                self.refuse(place.clone(), what, "add it to [[topics]]");
            }
        }
    }

    pub(super) fn settings(&mut self, table: &str, row: usize) {
        for setting in self.list(table, row, "settings") {
            if !setting.contains('=') {
                let what = format!("{setting:?} is not key=value");
                self.refuse(address(table, row, "settings"), what, "add its value");
            }
        }
    }

    pub(super) fn load(&mut self) {
        let number = |key: &str| match self.loaded.given(key) {
            Some(Value::Integer(number)) => *number,
            Some(
                Value::Bool(_)
                | Value::Text(_)
                | Value::Double(_)
                | Value::List(_)
                | Value::Secret(_),
            )
            | None => 0,
        };
        let switched = number("load.fault_after") + number("load.switch_after");
        if number("load.run") > 0 && switched >= number("load.run") {
            let what = "ends before the clients are switched";
            let remedy = "make it longer than fault_after and switch_after together";
            self.refuse("load.run".to_owned(), what, remedy);
        }
    }

    pub(super) fn cells(&mut self) {
        for row in self.rows("cells") {
            self.refer_key("cells", row, "kill", "clusters");
            let returns = self.number("cells", row, "returns_after");
            let only = self.rows("clusters").len() == 1;
            if returns.is_none() && only {
                let what = "is missing, and without it nobody can tell in the end what is left";
                let remedy = "say when the only cluster comes back";
                self.refuse(address("cells", row, "returns_after"), what, remedy);
            }
        }
        for table in ["claims", "predictions"] {
            for row in self.rows(table) {
                self.refer_key(table, row, "cell", "cells");
            }
        }
        self.claims();
    }

    fn claims(&mut self) {
        for row in self.rows("claims") {
            self.refer_key("claims", row, "fails", "sites");
            self.refer_key("claims", row, "topic", "topics");
            let has = |key| self.value("claims", row, key).is_some();
            if !has("cell") && !has("fails") {
                let remedy = "name the cell or the lost site that it is about";
                self.refuse(address("claims", row, "cell"), "is missing", remedy);
            } else if has("fails") != has("leaves") {
                let (key, remedy) = match has("fails") {
                    true => ("leaves", "say what is left without the site"),
                    false => ("fails", "name the site that is lost"),
                };
                self.refuse(address("claims", row, key), "is missing", remedy);
            }
        }
    }

    pub(super) fn predictions(&mut self) {
        for row in self.rows("predictions") {
            let number = |key| match self.value("predictions", row, key) {
                Some(Value::Double(number)) => Some(*number),
                Some(
                    Value::Bool(_)
                    | Value::Text(_)
                    | Value::Integer(_)
                    | Value::List(_)
                    | Value::Secret(_),
                )
                | None => None,
            };
            if let Some((min, max)) = number("min").zip(number("max"))
                && min > max
            {
                let place = address("predictions", row, "max");
                self.refuse(place, "is below min", "exchange the two");
            }
        }
    }
}
