//! What each failure leaves of a cluster: of its quorum, and of each topic.

use serde::Serialize;

use super::view::{Placed, View};
use super::{Code, Demands, Placement, Replicas};
use crate::model::{Client, Cluster, Role};

/// What is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Lost {
    Site { site: String },
    Node { node: u32, site: String },
    SiteAndBroker { site: String },
    TwoSites { sites: [String; 2] },
}

/// A failure, and what is left.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failure {
    pub lost: Lost,
    /// Whether a majority of the voters is left.
    pub quorum: bool,
    pub brokers_left: u32,
    pub topics: Vec<TopicLeft>,
}

/// What is left of a topic.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TopicLeft {
    pub topic: String,
    /// All replicas were in sync before.
    pub from_full: Codes,
    /// Before, the ISR was the worst that acks=all is accepted with.
    pub from_worst: Codes,
    pub rpo_acks_all: Rpo,
    pub rpo_acks_1: Rpo,
    pub rto: Rto,
}

/// Of the best and of the worst partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Codes {
    pub best: Code,
    pub worst: Code,
}

/// Which acknowledged records can be lost, whatever legal ISR there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rpo {
    Zero,
    /// Acknowledged by a lost leader alone, not copied yet.
    ReplicationLag,
    /// None for good, and none can be read until what is lost returns.
    UntilReturn,
    /// Whatever the replica lacks that an unclean election takes.
    Unknown,
}

/// What ends the wait of those who write with acks=all, all replicas in sync before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rto {
    /// Nobody waits.
    Zero,
    /// The session ends, a leader is elected, clients learn of it.
    Election,
    /// That, and followers that live catch up.
    CatchUp,
    /// Somebody lowers m to the replicas that are left, or moves replicas (S2-29); or it returns.
    Operator,
    /// The quorum's majority or every replica is gone until it returns.
    Return,
}

/// What becomes of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientLeft {
    pub client: String,
    pub fate: Fate,
    /// Where its team may switch it to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switch_to: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It was at the site.
    Gone,
    Unaffected,
    /// Its cluster goes on, perhaps after an election.
    GoesOn,
    /// Its writes are refused.
    Refused,
    /// There is nobody to serve it, for a part of its partitions at least.
    Waits,
}

impl Codes {
    fn of(codes: impl Iterator<Item = Code>) -> Self {
        let start = Self {
            best: Code::Offline,
            worst: Code::Writes,
        };
        codes.fold(start, |seen, code| Self {
            best: seen.best.min(code),
            worst: seen.worst.max(code),
        })
    }
}

/// A failure of a cluster by what it takes.
struct Taken<'a> {
    lost: Lost,
    voters: u32,
    brokers: u32,
    seats: Box<dyn Fn(&Replicas) -> Ways + 'a>,
}

/// Seats of a placement that are lost, in each way that they can be.
type Ways = Vec<Vec<usize>>;

pub(super) fn failures(view: &View<'_>, cluster: &Cluster) -> Vec<Failure> {
    let topics = view.topics(cluster);
    let taken = sites(view, cluster)
        .chain(nodes(view, cluster))
        .chain(sites_and_broker(view, cluster))
        .chain(pairs(view, cluster));
    taken
        .map(|taken| left(view, cluster, &topics, &taken))
        .collect()
}

fn sites<'a>(view: &'a View<'_>, cluster: &'a Cluster) -> impl Iterator<Item = Taken<'a>> {
    view.sites_of(cluster).into_iter().map(move |site| Taken {
        lost: Lost::Site {
            site: view.site_name(site).to_owned(),
        },
        voters: view.by_site(cluster, Role::Controller)[site],
        brokers: view.by_site(cluster, Role::Broker)[site],
        seats: Box::new(move |replicas| vec![at(replicas, site)]),
    })
}

/// Partitions without a replica on the node are not affected; those with one lose a seat at its
/// site.
fn nodes<'a>(view: &'a View<'_>, cluster: &'a Cluster) -> impl Iterator<Item = Taken<'a>> {
    view.nodes(cluster).map(move |node| {
        let site = view.site(&node.site);
        let has_broker = node.has(Role::Broker);
        let brokers = view.by_site(cluster, Role::Broker)[site];
        Taken {
            lost: Lost::Node {
                node: node.id,
                site: node.site.clone(),
            },
            voters: u32::from(node.has(Role::Controller)),
            brokers: u32::from(has_broker),
            seats: Box::new(move |replicas| {
                let here = at(replicas, site);
                let mut ways: Vec<_> = match has_broker {
                    true => here.iter().map(|&seat| vec![seat]).collect(),
                    false => Vec::new(),
                };
                if ways.is_empty() || (here.len() as u32) < brokers {
                    ways.push(Vec::new());
                }
                ways
            }),
        }
    })
}

/// The worst broker elsewhere, besides the site: one with a vote, if there is one.
fn sites_and_broker<'a>(
    view: &'a View<'_>,
    cluster: &'a Cluster,
) -> impl Iterator<Item = Taken<'a>> {
    let sites = view.data_sites(cluster);
    let several = sites.len() > 1;
    let sites = sites.into_iter().filter(move |_| several);
    let votes_elsewhere = |site: usize| {
        let mut nodes = view.nodes(cluster);
        nodes.any(|it| {
            let both = it.has(Role::Broker) && it.has(Role::Controller);
            both && view.site(&it.site) != site
        })
    };
    sites.map(move |site| Taken {
        lost: Lost::SiteAndBroker {
            site: view.site_name(site).to_owned(),
        },
        voters: view.by_site(cluster, Role::Controller)[site] + u32::from(votes_elsewhere(site)),
        brokers: view.by_site(cluster, Role::Broker)[site] + 1,
        seats: Box::new(move |replicas| {
            let others = replicas.lost(|seat| seat.site != site);
            let others = others.into_iter();
            let ways: Vec<_> = others
                .map(|other| [at(replicas, site), vec![other]].concat())
                .collect();
            match ways.is_empty() {
                true => vec![at(replicas, site)],
                false => ways,
            }
        }),
    })
}

fn pairs<'a>(view: &'a View<'_>, cluster: &'a Cluster) -> impl Iterator<Item = Taken<'a>> {
    let sites = view.sites_of(cluster);
    let pairs: Vec<[usize; 2]> = match sites.len() {
        0..=2 => Vec::new(),
        _ => sites
            .iter()
            .enumerate()
            .flat_map(|(place, &a)| sites[place + 1..].iter().map(move |&b| [a, b]))
            .collect(),
    };
    pairs.into_iter().map(move |pair| {
        let both = |role| -> u32 {
            let counts = view.by_site(cluster, role);
            pair.iter().map(|&site| counts[site]).sum()
        };
        Taken {
            lost: Lost::TwoSites {
                sites: pair.map(|site| view.site_name(site).to_owned()),
            },
            voters: both(Role::Controller),
            brokers: both(Role::Broker),
            seats: Box::new(move |replicas| vec![replicas.lost(|it| pair.contains(&it.site))]),
        }
    })
}

fn at(replicas: &Replicas, site: usize) -> Vec<usize> {
    replicas.lost(|seat| seat.site == site)
}

fn left(view: &View<'_>, cluster: &Cluster, topics: &[Placed<'_>], taken: &Taken<'_>) -> Failure {
    let quorum = view.quorum(cluster).outlives(taken.voters);
    let all: u32 = view.by_site(cluster, Role::Broker).iter().sum();
    let topics = topics.iter().map(|placed| {
        let ways = |placement: &Placement| (taken.seats)(&placement.replicas);
        let mut touched = placed.placements.iter().flat_map(ways);
        let touched = touched.any(|lost| !lost.is_empty());
        let codes = |of: fn(&Replicas, &Demands, &[usize]) -> Code| {
            let codes = placed.placements.iter().flat_map(|placement| {
                let replicas = &placement.replicas;
                let ways = (taken.seats)(replicas).into_iter();
                ways.flat_map(move |lost| {
                    let code = of(replicas, &placed.demands, &lost);
                    by_quorum(&lost, code, quorum)
                })
            });
            Codes::of(codes)
        };
        let from_full = codes(Replicas::after_full);
        let from_worst = codes(Replicas::after_worst);
        TopicLeft {
            topic: placed.topic.name.clone(),
            from_full,
            from_worst,
            rpo_acks_all: rpo_acks_all(from_worst.worst),
            rpo_acks_1: match touched {
                true => rpo_acks_1(from_full.best, from_worst.worst, quorum),
                false => Rpo::Zero,
            },
            rto: rto(from_full.worst, touched),
        }
    });
    Failure {
        lost: taken.lost.clone(),
        quorum,
        brokers_left: all.saturating_sub(taken.brokers),
        topics: topics.collect(),
    }
}

/// Without a majority nobody elects, and no ISR can shrink: who was led by a lost replica stays
/// without a leader, and who waits for a lost replica waits for it. A placement that the failure
/// does not touch goes on.
fn by_quorum(lost: &[usize], code: Code, quorum: bool) -> Vec<Code> {
    if quorum || lost.is_empty() {
        return vec![code];
    }
    match code {
        // Its leader was among the lost, or it was not.
        Code::Writes | Code::CatchesUp | Code::Reads => vec![Code::Offline, Code::Reads],
        Code::Unclean | Code::Offline => vec![Code::Offline],
    }
}

fn rpo_acks_all(worst: Code) -> Rpo {
    match worst {
        Code::Writes | Code::CatchesUp | Code::Reads => Rpo::Zero,
        Code::Unclean => Rpo::Unknown,
        Code::Offline => Rpo::UntilReturn,
    }
}

/// A lost leader's last records are gone as soon as somebody else is elected; where nobody can be,
/// they are there when it returns.
fn rpo_acks_1(full_best: Code, worst: Code, quorum: bool) -> Rpo {
    match (worst, full_best) {
        (Code::Unclean, _) => Rpo::Unknown,
        (_, Code::Offline) => Rpo::UntilReturn,
        _ if quorum => Rpo::ReplicationLag,
        _ => Rpo::UntilReturn,
    }
}

fn rto(worst: Code, touched: bool) -> Rto {
    match worst {
        Code::Writes if !touched => Rto::Zero,
        Code::Writes | Code::Unclean => Rto::Election,
        Code::CatchesUp => Rto::CatchUp,
        Code::Reads => Rto::Operator,
        Code::Offline => Rto::Return,
    }
}

/// What becomes of the model's clients when a site is gone.
pub(super) fn clients_left(
    view: &View<'_>,
    site: usize,
    failures: &[(String, Failure)],
) -> Vec<ClientLeft> {
    let clients = view.model.clients.iter();
    clients
        .map(|client| {
            let fate = match view.site(&client.site) == site {
                true => Fate::Gone,
                false => fate(client, failures),
            };
            let may_switch = matches!(fate, Fate::Refused | Fate::Waits);
            ClientLeft {
                client: client.name.clone(),
                fate,
                switch_to: client.switch_to.clone().filter(|_| may_switch),
            }
        })
        .collect()
}

/// Of a client elsewhere; a pattern is taken for every topic of the cluster.
fn fate(client: &Client, failures: &[(String, Failure)]) -> Fate {
    let failure = failures.iter().find(|it| it.0 == client.cluster);
    let Some((_, failure)) = failure else {
        return Fate::Unaffected;
    };
    let topics = failure.topics.iter();
    let its = topics.filter(|it| {
        let mut names = client.topics.iter();
        names.any(|name| name.starts_with('^') || *name == it.topic)
    });
    match its.map(|it| it.from_full.worst).max() {
        Some(Code::Offline) => Fate::Waits,
        Some(Code::Reads | Code::CatchesUp) if client.waits_for_all() => Fate::Refused,
        Some(Code::Reads | Code::CatchesUp | Code::Writes | Code::Unclean) => Fate::GoesOn,
        None => Fate::Unaffected,
    }
}
