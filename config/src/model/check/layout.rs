//! What a cluster over several sites must hold: a quorum that no site takes along, and racks of all
//! brokers or of none.

use std::collections::{BTreeMap, BTreeSet};

use super::{Check, address};
use crate::model::outcome::Quorum;

/// A cluster's nodes with a role, by their site.
type BySite<'a> = BTreeMap<&'a str, u32>;

impl<'a> Check<'a> {
    pub(super) fn layouts(&mut self) {
        for row in self.rows("clusters") {
            let Some(cluster) = self.text("clusters", row, "name") else {
                continue;
            };
            self.quorum(row, cluster);
            self.racked_or_not(row, cluster);
        }
    }

    /// S4-06: an error, unless the model is there to show it.
    fn quorum(&mut self, row: usize, cluster: &str) {
        let nodes = self.by_site(cluster, None);
        let voters = self.by_site(cluster, Some("controller"));
        let accepts = self.given_list("model.accepts");
        let is_accepted = accepts.iter().any(|it| it == "unsafe-quorum");
        if nodes.len() < 2 || voters.is_empty() || is_accepted {
            return;
        }
        let quorum = Quorum::new(voters.values().copied().collect());
        let (majority, total) = (quorum.majority(), quorum.total());
        let sites = voters.keys().enumerate();
        let fatal = sites.filter(|&(site, _)| !quorum.outlives_site(site));
        let fatal: Vec<&str> = fatal.map(|(_, name)| *name).collect();
        if !fatal.is_empty() {
            let what = format!(
                "has no quorum without {}: {majority} of {total} voters must be left",
                fatal.join(" or without ")
            );
            let spread = match (total - 1) / 2 {
                0 => "put a voter into each of three sites".to_owned(),
                most => {
                    format!("let no site have more than {most}; a witness in a third site helps")
                }
            };
            let remedy =
                format!("{spread}; or say accepts = [\"unsafe-quorum\"] in [model] if it is meant");
            self.refuse(address("clusters", row, "name"), what, remedy);
        }
    }

    /// S4-01: a broker without a rack among others is in everybody's way.
    fn racked_or_not(&mut self, row: usize, cluster: &str) {
        let homes = self.by_site(cluster, Some("broker"));
        let sites = self.rows("sites").filter_map(|site| {
            let name = self.text("sites", site, "name")?;
            let racks = self.list("sites", site, "racks");
            homes.contains_key(name).then_some((name, racks.is_empty()))
        });
        let sites: Vec<_> = sites.collect();
        let without: Vec<&str> = sites.iter().filter(|it| it.1).map(|it| it.0).collect();
        if !without.is_empty() && without.len() < sites.len() {
            let without = without.join(" and ");
            let what = format!("has brokers with racks, and none at {without}");
            let remedy = "give every one of its sites racks, or none";
            self.refuse(address("clusters", row, "name"), what, remedy);
        }
    }

    /// How many racks the cluster's brokers are in.
    pub(super) fn racks(&self, cluster: &str) -> i64 {
        let nodes = self.rows("nodes").filter(|&row| {
            let roles = self.list("nodes", row, "roles");
            self.text("nodes", row, "cluster") == Some(cluster)
                && roles.iter().any(|role| role == "broker")
        });
        let rack = |row: usize| {
            let site = self.text("nodes", row, "site");
            let mut sites = self.rows("sites");
            let home = sites.find(|&it| self.text("sites", it, "name") == site);
            let racks = home.map_or(&[][..], |home| self.list("sites", home, "racks"));
            let only = racks.first().map(String::as_str);
            self.text("nodes", row, "rack").or(only).or(site)
        };
        let racks: BTreeSet<_> = nodes.filter_map(rack).collect();
        i64::try_from(racks.len()).unwrap_or(i64::MAX)
    }

    fn by_site(&self, cluster: &str, role: Option<&str>) -> BySite<'a> {
        let mut counts = BySite::new();
        for row in self.rows("nodes") {
            let roles = self.list("nodes", row, "roles");
            let has_role = role.is_none_or(|role| roles.iter().any(|it| it == role));
            if self.text("nodes", row, "cluster") == Some(cluster)
                && has_role
                && let Some(site) = self.text("nodes", row, "site")
            {
                *counts.entry(site).or_default() += 1;
            }
        }
        counts
    }
}
