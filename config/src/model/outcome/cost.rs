//! Bytes that the model's load sends from site to site, and what a month of them costs.
//!
//! Bytes are those of the records' values: nothing is said of compression, of the protocol, of
//! retries and of offsets. Leaders are even over the replicas.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Replicas;
use super::view::View;
use crate::model::prices::{Tariff, tariff};
use crate::model::{Client, ClientKind, Cluster, Flow, Link, Model, Topic};

/// Seconds of a month of 730 hours, as providers have it.
const MONTH_SECONDS: f64 = 730.0 * 3_600.0;
/// What prices are for.
const GIGABYTE: f64 = 1e9;
/// Bytes of a value when a producer does not say.
const RECORD_BYTES: u32 = 200;

/// Why bytes cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Traffic {
    Replica,
    Produce,
    Fetch,
    Mirror,
}

/// All that crosses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Crossing {
    /// By the producers of the model, per second.
    pub produced_bytes_per_second: f64,
    /// By kind, for each byte that is produced.
    pub per_produced_byte: BTreeMap<Traffic, f64>,
    pub per_produced_byte_total: f64,
    pub links: Vec<LinkLoad>,
    /// Of all links that have a price; none if one that is used has none.
    pub month: Option<f64>,
}

/// What a link carries, both directions together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LinkLoad {
    pub between: [String; 2],
    pub bytes_per_second: f64,
    /// In the direction that has more.
    pub busier_bytes_per_second: f64,
    /// What it can carry in one direction.
    pub rate_bytes_per_second: Option<u64>,
    pub tariff: Option<Tariff>,
    pub month: Option<f64>,
}

/// Bytes per second from one site to another.
#[derive(Default)]
struct Matrix(BTreeMap<(usize, usize, Traffic), f64>);

impl Matrix {
    fn add(&mut self, from: usize, to: usize, traffic: Traffic, bytes: f64) {
        if from != to {
            *self.0.entry((from, to, traffic)).or_default() += bytes;
        }
    }
}

/// Records of producers of a cluster, by topic.
pub(super) fn produced(model: &Model, cluster: &str, topic: &str) -> f64 {
    let clients = model.clients.iter();
    let here = clients.filter(|it| {
        let topics = &it.topics;
        it.cluster == cluster && topics.iter().any(|name| name == topic)
    });
    here.map(bytes_per_second).sum()
}

pub(super) fn bytes_per_second(client: &Client) -> f64 {
    let bytes = client.record_bytes.unwrap_or(RECORD_BYTES);
    f64::from(client.rate.unwrap_or(0)) * f64::from(bytes)
}

/// What a flow carries of each topic of its source: those it names, and all for a pattern.
fn taken<'a>(model: &'a Model, flow: &'a Flow) -> impl Iterator<Item = (&'a Topic, f64)> {
    let takes = move |name: &str| {
        let mut topics = flow.topics.iter();
        let excluded = flow.exclude.iter().any(|it| it == name);
        !excluded && topics.any(|it| it == name || is_pattern(it))
    };
    let topics = model.topics.iter();
    let topics = topics.filter(move |it| it.clusters.contains(&flow.source) && takes(&it.name));
    topics.map(move |topic| (topic, produced(model, &flow.source, &topic.name)))
}

/// All that a flow carries.
pub(super) fn mirrored(model: &Model, flow: &Flow) -> f64 {
    taken(model, flow).map(|it| it.1).sum()
}

/// Copies of a mirrored topic: as the flow says, or by the target's default.
pub(super) fn mirrored_copies(flow: &Flow, target: &Cluster) -> u32 {
    let default = || target.setting("default.replication.factor")?.parse().ok();
    flow.replication_factor.or_else(default).unwrap_or(1)
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '+', '?', '(', '[', '|', '^', '\\'])
}

pub(super) fn crossing(view: &View<'_>, price_per_gb: Option<f64>) -> Crossing {
    let mut matrix = Matrix::default();
    for cluster in &view.model.clusters {
        replicas_and_producers(view, cluster, &mut matrix);
        readers(view, cluster, &mut matrix);
    }
    for flow in &view.model.flows {
        mirror(view, flow, &mut matrix);
    }
    let clients = view.model.clients.iter();
    let produced: f64 = clients.map(bytes_per_second).sum();
    let mut per_produced_byte = BTreeMap::new();
    for (&(_, _, traffic), bytes) in &matrix.0 {
        *per_produced_byte.entry(traffic).or_default() += bytes / produced.max(1.0);
    }
    let links = view.model.links.iter();
    let links: Vec<LinkLoad> = links
        .map(|link| load(view, link, &matrix, price_per_gb))
        .collect();
    let used = links.iter().filter(|link| link.bytes_per_second > 0.0);
    Crossing {
        produced_bytes_per_second: produced,
        per_produced_byte_total: per_produced_byte.values().sum(),
        per_produced_byte,
        month: used.map(|link| link.month).sum(),
        links,
    }
}

fn load(view: &View<'_>, link: &Link, matrix: &Matrix, price_per_gb: Option<f64>) -> LinkLoad {
    let ends = [&link.between[0], &link.between[1]].map(|name| view.site(name));
    let way = |from: usize, to: usize| -> f64 {
        let cells = matrix.0.iter();
        let cells = cells.filter(|(key, _)| (key.0, key.1) == (from, to));
        cells.fold(0.0, |sum, (_, bytes)| sum + bytes)
    };
    let ways = [way(ends[0], ends[1]), way(ends[1], ends[0])];
    let bytes: f64 = ways.iter().sum();
    let tariff = tariff(view.model, link, price_per_gb);
    let month = tariff
        .as_ref()
        .map(|it| it.per_gb * bytes * MONTH_SECONDS / GIGABYTE);
    LinkLoad {
        between: ends.map(|site| view.site_name(site).to_owned()),
        bytes_per_second: bytes,
        busier_bytes_per_second: ways[0].max(ways[1]),
        rate_bytes_per_second: link.bytes_per_second,
        tariff,
        month,
    }
}

/// Where a cluster's replicas of so many are, seat by seat, each with its share of leaders.
fn seats(replicas: &Replicas, share: f64) -> impl Iterator<Item = (usize, f64)> {
    let each = share / replicas.seats().len().max(1) as f64;
    replicas.seats().iter().map(move |seat| (seat.site, each))
}

fn replicate(view: &View<'_>, cluster: &Cluster, count: u32, bytes: f64, matrix: &mut Matrix) {
    for placement in view.placements(cluster, count) {
        for (leader, share) in seats(&placement.replicas, placement.share) {
            for seat in placement.replicas.seats() {
                matrix.add(leader, seat.site, Traffic::Replica, share * bytes);
            }
        }
    }
}

fn replicas_and_producers(view: &View<'_>, cluster: &Cluster, matrix: &mut Matrix) {
    for placed in view.topics(cluster) {
        let name = &placed.topic.name;
        let bytes = produced(view.model, &cluster.name, name);
        replicate(
            view,
            cluster,
            placed.topic.replication_factor,
            bytes,
            matrix,
        );
        let clients = view.model.clients.iter();
        let producers = clients.filter(|it| {
            it.kind == ClientKind::Producer
                && it.cluster == cluster.name
                && it.topics.contains(name)
        });
        for client in producers {
            let from = view.site(&client.site);
            for placement in &placed.placements {
                for (leader, share) in seats(&placement.replicas, placement.share) {
                    let bytes = share * bytes_per_second(client);
                    matrix.add(from, leader, Traffic::Produce, bytes);
                }
            }
        }
    }
}

/// Members of a group share its partitions; who reads a pattern reads what is mirrored here, too.
fn readers(view: &View<'_>, cluster: &Cluster, matrix: &mut Matrix) {
    let clients = view.model.clients.iter();
    let here: Vec<&Client> = clients
        .filter(|it| it.kind == ClientKind::Consumer && it.cluster == cluster.name)
        .collect();
    for client in &here {
        let members = here.iter().filter(|it| it.group == client.group).count();
        let members = match client.group {
            Some(_) => members as f64,
            None => 1.0,
        };
        let to = view.site(&client.site);
        let rack = closest(client, cluster);
        for placed in view.topics(cluster) {
            let named = |name: &String| *name == placed.topic.name || name.starts_with('^');
            if !client.topics.iter().any(named) {
                continue;
            }
            let bytes = produced(view.model, &cluster.name, &placed.topic.name) / members;
            for placement in &placed.placements {
                let replicas = &placement.replicas;
                let racks = view.racks(cluster);
                let mut seats_here = replicas.seats().iter();
                // Its own rack has a replica, which is asked in place of the leader (S4-10).
                if seats_here.any(|seat| rack == Some(racks[seat.rack].0.as_str())) {
                    continue;
                }
                for (leader, share) in seats(replicas, placement.share) {
                    matrix.add(leader, to, Traffic::Fetch, share * bytes);
                }
            }
        }
        if client.topics.iter().any(|name| name.starts_with('^')) {
            let flows = view.model.flows.iter();
            for flow in flows.filter(|flow| flow.target == cluster.name) {
                let bytes = mirrored(view.model, flow) / members;
                for placement in view.placements(cluster, mirrored_copies(flow, cluster)) {
                    for (leader, share) in seats(&placement.replicas, placement.share) {
                        matrix.add(leader, to, Traffic::Fetch, share * bytes);
                    }
                }
            }
        }
    }
}

/// The rack whose replica a consumer reads: both it and the brokers must be told to (S4-10).
fn closest<'a>(client: &'a Client, cluster: &Cluster) -> Option<&'a str> {
    let selector = cluster.setting("replica.selector.class");
    let selects = selector.is_some_and(|it| it.ends_with("RackAwareReplicaSelector"));
    client.setting("client.rack").filter(|_| selects)
}

/// From the source's leaders to the replicator, from there to the target's leaders, and on to their
/// followers.
fn mirror(view: &View<'_>, flow: &Flow, matrix: &mut Matrix) {
    let (Some(source), Some(target)) = (view.cluster(&flow.source), view.cluster(&flow.target))
    else {
        return;
    };
    let at = view.site(&flow.site);
    for (topic, bytes) in taken(view.model, flow) {
        for placement in view.placements(source, topic.voting_replicas()) {
            for (leader, share) in seats(&placement.replicas, placement.share) {
                matrix.add(leader, at, Traffic::Mirror, share * bytes);
            }
        }
    }
    let bytes = mirrored(view.model, flow);
    let copies = mirrored_copies(flow, target);
    for placement in view.placements(target, copies) {
        for (leader, share) in seats(&placement.replicas, placement.share) {
            matrix.add(at, leader, Traffic::Mirror, share * bytes);
        }
    }
    replicate(view, target, copies, bytes, matrix);
}
