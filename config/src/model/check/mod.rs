//! What must hold in a model as a whole; everything that does not, at once.
//!
//! Values that the loader refused are not there, and what depends on them is left out, so a single
//! mistake is told once.

mod layout;
mod work;

use std::collections::BTreeSet;

use crate::{Breach, Loaded, Value, nearest};

/// Kafka's limit for the names of topics.
const TOPIC_NAME_MAX: usize = 249;

pub(super) fn check(loaded: &Loaded) -> Vec<Breach> {
    let mut check = Check {
        loaded,
        breaches: Vec::new(),
    };
    check.names();
    check.links();
    check.nodes();
    check.layouts();
    check.topics();
    check.flows();
    check.clients();
    check.load();
    check.cells();
    check.predictions();
    check.breaches
}

struct Check<'a> {
    loaded: &'a Loaded,
    breaches: Vec<Breach>,
}

impl<'a> Check<'a> {
    fn rows(&self, table: &str) -> std::ops::Range<usize> {
        0..self.loaded.row_count(table)
    }

    fn value(&self, table: &str, row: usize, key: &str) -> Option<&'a Value> {
        self.loaded.given(&address(table, row, key))
    }

    fn text(&self, table: &str, row: usize, key: &str) -> Option<&'a str> {
        match self.value(table, row, key)? {
            Value::Text(text) => Some(text),
            Value::Bool(_)
            | Value::Integer(_)
            | Value::Double(_)
            | Value::List(_)
            | Value::Secret(_) => None,
        }
    }

    fn number(&self, table: &str, row: usize, key: &str) -> Option<i64> {
        match self.value(table, row, key)? {
            Value::Integer(number) => Some(*number),
            Value::Bool(_)
            | Value::Text(_)
            | Value::Double(_)
            | Value::List(_)
            | Value::Secret(_) => None,
        }
    }

    fn list(&self, table: &str, row: usize, key: &str) -> &'a [String] {
        self.given_list(&address(table, row, key))
    }

    fn given_list(&self, key: &str) -> &'a [String] {
        match self.loaded.given(key) {
            Some(Value::List(items)) => items,
            Some(
                Value::Bool(_)
                | Value::Integer(_)
                | Value::Text(_)
                | Value::Double(_)
                | Value::Secret(_),
            )
            | None => &[],
        }
    }

    fn all(&self, table: &str, key: &str) -> Vec<&'a str> {
        self.rows(table)
            .filter_map(|row| self.text(table, row, key))
            .collect()
    }

    fn refuse(&mut self, key: String, what: impl Into<String>, remedy: impl Into<String>) {
        self.breaches.push(Breach {
            key,
            what: what.into(),
            remedy: remedy.into(),
        });
    }

    /// A name that must be of something in another table.
    fn refer(&mut self, place: String, name: &str, table: &str) {
        let known = self.all(table, "name");
        if known.contains(&name) {
            return;
        }
        let remedy = match nearest(name, known.iter().copied()) {
            Some(near) => format!("the nearest known name is {near}"),
            None => format!("add it to [[{table}]]"),
        };
        self.refuse(place, format!("{name:?} is in no [[{table}]]"), remedy);
    }

    fn refer_key(&mut self, table: &str, row: usize, key: &str, to: &str) {
        if let Some(name) = self.text(table, row, key) {
            self.refer(address(table, row, key), name, to);
        }
    }

    fn names(&mut self) {
        for table in ["sites", "clusters", "topics", "clients", "cells"] {
            let mut seen = BTreeSet::new();
            for row in self.rows(table) {
                let Some(name) = self.text(table, row, "name") else {
                    continue;
                };
                let place = address(table, row, "name");
                if !is_name(name) {
                    let remedy = "use letters, digits, '.', '_' and '-'";
                    self.refuse(place.clone(), "is not a name", remedy);
                } else if table == "clusters" && name.contains('.') {
                    let what = "has a dot, which parts a cluster from a topic in mirrored names";
                    self.refuse(place.clone(), what, "use '-' instead");
                }
                if !seen.insert(name) {
                    self.refuse(place, "is there twice", "give each its own name");
                }
            }
        }
        for table in ["sites", "clusters", "nodes"] {
            if self.rows(table).is_empty() {
                let remedy = format!("add [[{table}]]");
                self.refuse(table.to_owned(), "is empty", remedy);
            }
        }
    }

    fn links(&mut self) {
        let mut seen = BTreeSet::new();
        for row in self.rows("links") {
            let ends = self.list("links", row, "between");
            let place = address("links", row, "between");
            let [a, b] = ends else {
                self.refuse(place, "does not name two sites", "name two");
                continue;
            };
            for end in [a, b] {
                self.refer(place.clone(), end, "sites");
            }
            if a == b {
                self.refuse(place, "names one site twice", "name two");
            } else if !seen.insert((a.min(b), a.max(b))) {
                self.refuse(place, "is there twice", "keep one of them");
            }
        }
        self.missing_links(&seen);
    }

    /// Flows and clients that reach over to another site need a link to do so.
    fn missing_links(&mut self, links: &BTreeSet<(&String, &String)>) {
        let home = |it: &Self, cluster: &str| {
            let nodes = it.rows("nodes");
            let at: BTreeSet<_> = nodes
                .filter(|&node| it.text("nodes", node, "cluster") == Some(cluster))
                .filter_map(|node| it.text("nodes", node, "site"))
                .collect();
            at
        };
        let sites = self.all("sites", "name");
        let reaches = [
            ("flows", "source"),
            ("flows", "target"),
            ("clients", "cluster"),
            ("clients", "switch_to"),
        ];
        for (table, key) in reaches {
            for row in self.rows(table) {
                let site = self.text(table, row, "site");
                let cluster = self.text(table, row, key);
                let (Some(site), Some(cluster)) = (site, cluster) else {
                    continue;
                };
                for other in home(self, cluster) {
                    let known = [site, other].iter().all(|it| sites.contains(it));
                    if site != other && !is_linked(links, site, other) && known {
                        let what = format!("has no link from {site} to {other}");
                        let remedy = "add [[links]] between the two";
                        self.refuse(address(table, row, key), what, remedy);
                    }
                }
            }
        }
        for row in self.rows("clusters") {
            let Some(cluster) = self.text("clusters", row, "name") else {
                continue;
            };
            let home = home(self, cluster);
            let known = home.iter().filter(|it| sites.contains(it));
            let known: Vec<&str> = known.copied().collect();
            for (place, &site) in known.iter().enumerate() {
                for &other in &known[place + 1..] {
                    if !is_linked(links, site, other) {
                        let what = format!("has nodes at {site} and {other}, and no link is there");
                        let remedy = "add [[links]] between the two";
                        self.refuse(address("clusters", row, "name"), what, remedy);
                    }
                }
            }
        }
    }

    fn nodes(&mut self) {
        let mut ids = BTreeSet::new();
        let mut places = BTreeSet::new();
        for row in self.rows("nodes") {
            self.refer_key("nodes", row, "cluster", "clusters");
            self.refer_key("nodes", row, "site", "sites");
            let cluster = self.text("nodes", row, "cluster");
            if let Some(id) = self.number("nodes", row, "id")
                && !ids.insert((cluster, id))
            {
                let what = "is there twice in its cluster";
                self.refuse(address("nodes", row, "id"), what, "give each its own");
            }
            self.rack(row);
            let host = self.text("nodes", row, "host");
            let port = self.number("nodes", row, "port");
            let controller = self.number("nodes", row, "controller_port");
            let controller = controller.or(port.map(|port| port + 1));
            let broker = self.number("nodes", row, "broker_port");
            let broker = broker.or(port.map(|port| port + 2));
            // A node that is alone has nobody to listen for.
            let broker = broker.filter(|_| self.has_others(cluster, "broker", row));
            for (key, number) in [
                ("port", port),
                ("controller_port", controller),
                ("broker_port", broker),
            ] {
                let taken = number.is_some_and(|number| !places.insert((host, number)));
                if taken {
                    let what = format!("{} is taken on its host", number.unwrap_or(0));
                    self.refuse(address("nodes", row, key), what, "choose another");
                }
            }
        }
        for row in self.rows("clusters") {
            for role in ["broker", "controller"] {
                let name = self.text("clusters", row, "name");
                if name.is_some_and(|name| self.count(name, role) == 0) {
                    let what = format!("has no {role}");
                    let remedy = "add [[nodes]] of it";
                    self.refuse(address("clusters", row, "name"), what, remedy);
                }
            }
            self.settings("clusters", row);
        }
    }

    fn rack(&mut self, row: usize) {
        let site = self.text("nodes", row, "site");
        let home = self
            .rows("sites")
            .find(|&it| self.text("sites", it, "name") == site);
        let Some(home) = home else {
            return;
        };
        let racks = self.list("sites", home, "racks");
        let place = address("nodes", row, "rack");
        match self.text("nodes", row, "rack") {
            Some(rack) if !racks.iter().any(|it| it == rack) => {
                let what = format!("{rack:?} is no rack of its site");
                self.refuse(place, what, "add it to the site's racks");
            }
            None if racks.len() > 1 => {
                self.refuse(place, "is missing", "name one of its site's racks");
            }
            Some(_) | None => {}
        }
    }

    fn has_others(&self, cluster: Option<&str>, role: &str, row: usize) -> bool {
        let roles = self.list("nodes", row, "roles");
        let mut others = self.rows("nodes").filter(|&it| it != row);
        roles.iter().any(|it| it == role)
            && others.any(|it| self.text("nodes", it, "cluster") == cluster)
    }

    fn count(&self, cluster: &str, role: &str) -> i64 {
        let nodes = self.rows("nodes");
        let nodes = nodes.filter(|&row| self.text("nodes", row, "cluster") == Some(cluster));
        let is_of = |row: &usize| {
            self.list("nodes", *row, "roles")
                .iter()
                .any(|it| it == role)
        };
        i64::try_from(nodes.filter(is_of).count()).unwrap_or(i64::MAX)
    }
}

fn is_linked(links: &BTreeSet<(&String, &String)>, site: &str, other: &str) -> bool {
    let mut links = links.iter();
    links.any(|(a, b)| (a.as_str(), b.as_str()) == (site.min(other), site.max(other)))
}

fn address(table: &str, row: usize, key: &str) -> String {
    format!("{table}[{row}].{key}")
}

/// What Kafka takes for a topic, and this lab for any name.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= TOPIC_NAME_MAX && name.chars().all(fits)
}
