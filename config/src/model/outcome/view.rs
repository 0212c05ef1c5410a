//! A model as the oracle looks at it: sites by number, round trips, the brokers of a cluster.

use super::placement::{Placement, Rack, placements};
use super::{Demands, Quorum};
use crate::model::{Cluster, Link, Model, Node, Role, Topic};

pub(super) struct View<'a> {
    pub(super) model: &'a Model,
}

/// A topic on one cluster.
pub(super) struct Placed<'a> {
    pub(super) topic: &'a Topic,
    pub(super) demands: Demands,
    pub(super) placements: Vec<Placement>,
}

impl<'a> View<'a> {
    pub(super) fn site(&self, name: &str) -> usize {
        let mut sites = self.model.sites.iter();
        // A loaded model names no site that it does not have.
        sites.position(|site| site.name == name).unwrap_or(0)
    }

    pub(super) fn site_name(&self, site: usize) -> &'a str {
        &self.model.sites[site].name
    }

    pub(super) fn sites(&self) -> usize {
        self.model.sites.len()
    }

    /// Milliseconds there and back; none where no link is.
    pub(super) fn rtt_ms(&self, from: usize, to: usize) -> Option<u64> {
        match from == to {
            true => Some(0),
            false => Some(self.link(from, to)?.rtt_ms),
        }
    }

    /// Bytes per second in one direction; none where there is no limit, or no link.
    pub(super) fn rate(&self, from: usize, to: usize) -> Option<u64> {
        self.link(from, to)?.bytes_per_second
    }

    fn link(&self, from: usize, to: usize) -> Option<&'a Link> {
        let mut ends = [self.site_name(from), self.site_name(to)];
        ends.sort_unstable();
        let mut links = self.model.links.iter();
        links.find(|link| {
            let mut between: Vec<&str> = link.between.iter().map(String::as_str).collect();
            between.sort_unstable();
            between == ends
        })
    }

    pub(super) fn nodes(&self, cluster: &Cluster) -> impl Iterator<Item = &'a Node> {
        let nodes = self.model.nodes.iter();
        nodes.filter(move |node| node.cluster == cluster.name)
    }

    /// How many nodes with a role each site has.
    pub(super) fn by_site(&self, cluster: &Cluster, role: Role) -> Vec<u32> {
        let mut counts = vec![0; self.sites()];
        for node in self.nodes(cluster).filter(|node| node.has(role)) {
            counts[self.site(&node.site)] += 1;
        }
        counts
    }

    /// Sites where the cluster has a node.
    pub(super) fn sites_of(&self, cluster: &Cluster) -> Vec<usize> {
        let has = |site: &usize| self.nodes(cluster).any(|it| self.site(&it.site) == *site);
        (0..self.sites()).filter(has).collect()
    }

    /// Sites where the cluster has a broker.
    pub(super) fn data_sites(&self, cluster: &Cluster) -> Vec<usize> {
        let counts = self.by_site(cluster, Role::Broker);
        let sites = counts.iter().enumerate();
        sites
            .filter_map(|(site, &count)| (count > 0).then_some(site))
            .collect()
    }

    /// Its voters at the sites where it has nodes.
    pub(super) fn quorum(&self, cluster: &Cluster) -> Quorum {
        let voters = self.by_site(cluster, Role::Controller);
        let sites = self.sites_of(cluster);
        Quorum::new(sites.into_iter().map(|site| voters[site]).collect())
    }

    /// Racks of its brokers, with their names.
    pub(super) fn racks(&self, cluster: &Cluster) -> Vec<(String, Rack)> {
        let mut racks: Vec<(String, Rack)> = Vec::new();
        for node in self.nodes(cluster).filter(|node| node.has(Role::Broker)) {
            let (name, site) = (self.model.rack(node), self.site(&node.site));
            match racks.iter_mut().find(|it| it.0 == name) {
                Some((_, rack)) => rack.brokers += 1,
                None => racks.push((name, Rack { site, brokers: 1 })),
            }
        }
        racks
    }

    pub(super) fn topics(&self, cluster: &Cluster) -> Vec<Placed<'a>> {
        let topics = self.model.topics.iter();
        let here = topics.filter(|topic| topic.clusters.contains(&cluster.name));
        here.map(|topic| self.placed(cluster, topic)).collect()
    }

    /// Observers hold copies and never count, so that only the others are looked at.
    fn placed(&self, cluster: &Cluster, topic: &'a Topic) -> Placed<'a> {
        Placed {
            topic,
            demands: Demands {
                min_insync: topic.min_insync_replicas,
                min_racks: topic.min_insync_racks,
                unclean: topic.unclean,
            },
            placements: self.placements(cluster, topic.voting_replicas()),
        }
    }

    pub(super) fn placements(&self, cluster: &Cluster, replicas: u32) -> Vec<Placement> {
        let racks: Vec<Rack> = self.racks(cluster).into_iter().map(|it| it.1).collect();
        placements(&racks, replicas)
    }

    pub(super) fn cluster(&self, name: &str) -> Option<&'a Cluster> {
        self.model.clusters.iter().find(|it| it.name == name)
    }
}
