//! All that the oracle says of a model, in one value.

use serde::Serialize;

use super::claims::{ClaimVerdict, judge};
use super::cost::{Crossing, bytes_per_second, crossing, mirrored};
use super::failures::{ClientLeft, Failure, Lost, clients_left, failures};
use super::latency::{Floor, floors};
use super::view::{Placed, View};
use super::warnings::{Warning, warnings};
use super::{
    available, bridged_seconds, consistent, consistent_by_source, crossing_bytes, recipe_of,
};
use crate::model::{Client, ClientKind, Cluster, Flow, Model, Role};

/// The oracle's answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outlook {
    pub model: String,
    pub title: String,
    pub clusters: Vec<ClusterOutlook>,
    pub flows: Vec<FlowOutlook>,
    pub latency: Vec<Floor>,
    pub buffers: Vec<BufferOutlook>,
    pub crossing: Crossing,
    pub sites: Vec<SiteOutlook>,
    pub claims: Vec<ClaimVerdict>,
    pub warnings: Vec<Warning>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClusterOutlook {
    pub name: String,
    /// Where it has nodes.
    pub sites: Vec<SiteNodes>,
    pub quorum: QuorumOutlook,
    pub topics: Vec<TopicOutlook>,
    pub failures: Vec<Failure>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SiteNodes {
    pub site: String,
    pub brokers: u32,
    pub voters: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuorumOutlook {
    /// Voters by site, in the order of the cluster's sites.
    pub layout: String,
    pub total: u32,
    pub majority: u32,
    pub outlives_any_site: bool,
    pub fatal_sites: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TopicOutlook {
    pub name: String,
    pub partitions: u32,
    /// Without observers, which never count.
    pub replicas: u32,
    pub observers: u32,
    pub min_insync: u32,
    /// Racks in which they must be.
    pub min_racks: u32,
    pub unclean: bool,
    pub spreads: Vec<Spread>,
    /// Over how many sites the formulas are asked.
    pub data_sites: u32,
    pub formulas: Option<Formulas>,
    /// A legal ISR can have all its members at one site.
    pub isr_in_one_site: bool,
    /// For each byte produced.
    pub replica_bytes_crossing: f64,
}

/// How many replicas each site has, and of how many partitions that holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub layout: String,
    pub share: f64,
}

/// Of r replicas over d sites with m in sync; there are none for a single site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Formulas {
    /// m > round(r/d), as the source has it.
    pub consistent_by_source: bool,
    /// m > ceil(r/d).
    pub consistent: bool,
    /// r - m >= r/d.
    pub available: bool,
    /// n of r = d·n, m = n + 1.
    pub recipe: Option<u32>,
    /// The contradiction by which the two first ones differ.
    pub differs: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FlowOutlook {
    pub name: String,
    pub source: String,
    pub target: String,
    pub bytes_per_second: f64,
    /// The narrowest link that it reads or writes over.
    pub rate_bytes_per_second: Option<u64>,
    /// How much later the target has a record, at the least.
    pub lag_floor_ms: u64,
}

/// How long an outage a producer bridges without loss.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BufferOutlook {
    pub client: String,
    pub bridged_seconds: f64,
}

/// What the loss of a site is for the clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SiteOutlook {
    pub site: String,
    pub clients: Vec<ClientLeft>,
}

/// What the model cannot know.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Given {
    /// Of every link, in place of the model's prices and the table's.
    pub price_per_gb: Option<f64>,
}

impl Outlook {
    pub fn of(model: &Model, given: Given) -> Self {
        let view = View { model };
        let clusters: Vec<ClusterOutlook> = model
            .clusters
            .iter()
            .map(|cluster| of_cluster(&view, cluster))
            .collect();
        let all: Vec<(String, Failure)> = clusters
            .iter()
            .flat_map(|it| it.failures.iter().map(|one| (it.name.clone(), one.clone())))
            .collect();
        let of_site = |name: &str| -> Vec<(String, Failure)> {
            let all = all.iter();
            let of_it = all.filter(|(_, failure)| match &failure.lost {
                Lost::Site { site } => site == name,
                Lost::Node { .. } | Lost::SiteAndBroker { .. } | Lost::TwoSites { .. } => false,
            });
            of_it.cloned().collect()
        };
        let sites = model.sites.iter().map(|site| SiteOutlook {
            site: site.name.clone(),
            clients: clients_left(&view, view.site(&site.name), &of_site(&site.name)),
        });
        Self {
            model: model.model.name.clone(),
            title: model.model.title.clone(),
            flows: model
                .flows
                .iter()
                .map(|flow| of_flow(&view, flow))
                .collect(),
            latency: floors(&view),
            buffers: model.clients.iter().filter_map(buffer).collect(),
            crossing: crossing(&view, given.price_per_gb),
            sites: sites.collect(),
            claims: judge(model, &all),
            warnings: warnings(&view),
            clusters,
        }
    }

    /// Whether a claim does not hold that nobody has corrected, or is called wrong and holds.
    pub fn has_unsettled_claims(&self) -> bool {
        self.claims.iter().any(|claim| !claim.is_settled())
    }
}

fn of_cluster(view: &View<'_>, cluster: &Cluster) -> ClusterOutlook {
    let sites = view.sites_of(cluster);
    let brokers = view.by_site(cluster, Role::Broker);
    let voters = view.by_site(cluster, Role::Controller);
    let nodes = sites.iter().map(|&site| SiteNodes {
        site: view.site_name(site).to_owned(),
        brokers: brokers[site],
        voters: voters[site],
    });
    let quorum = view.quorum(cluster);
    let fatal = sites.iter().enumerate();
    let fatal = fatal.filter(|&(place, _)| !quorum.outlives_site(place));
    let topics = view.topics(cluster);
    ClusterOutlook {
        name: cluster.name.clone(),
        sites: nodes.collect(),
        quorum: QuorumOutlook {
            layout: quorum.to_string(),
            total: quorum.total(),
            majority: quorum.majority(),
            outlives_any_site: quorum.outlives_any_site(),
            fatal_sites: fatal
                .map(|(_, &site)| view.site_name(site).to_owned())
                .collect(),
        },
        topics: topics
            .iter()
            .map(|placed| of_topic(view, cluster, placed))
            .collect(),
        failures: failures(view, cluster),
    }
}

fn of_topic(view: &View<'_>, cluster: &Cluster, placed: &Placed<'_>) -> TopicOutlook {
    let sites = view.data_sites(cluster);
    let data_sites = sites.len() as u32;
    let (replicas, min_insync) = (placed.topic.voting_replicas(), placed.demands.min_insync);
    let at = |placement: &super::Placement| -> Vec<u32> {
        let at = placement.replicas.at_sites(view.sites());
        sites.iter().map(|&site| at[site]).collect()
    };
    let spreads = placed.placements.iter().map(|placement| {
        let counts: Vec<_> = at(placement).iter().map(ToString::to_string).collect();
        Spread {
            layout: counts.join("+"),
            share: placement.share,
        }
    });
    let crossing = placed.placements.iter();
    let crossing = crossing.map(|it| it.share * crossing_bytes(&at(it)));
    let mut kinds = placed.placements.iter();
    TopicOutlook {
        name: placed.topic.name.clone(),
        partitions: placed.topic.partitions,
        replicas,
        observers: placed.topic.observers,
        min_insync,
        min_racks: placed.demands.min_racks,
        unclean: placed.topic.unclean,
        spreads: spreads.collect(),
        data_sites,
        formulas: (data_sites > 1).then(|| formulas(replicas, data_sites, min_insync)),
        isr_in_one_site: kinds.any(|it| it.replicas.fits_into_one_site(&placed.demands)),
        replica_bytes_crossing: crossing.sum(),
    }
}

fn formulas(r: u32, d: u32, m: u32) -> Formulas {
    let (by_source, corrected) = (consistent_by_source(r, d, m), consistent(r, d, m));
    Formulas {
        consistent_by_source: by_source,
        consistent: corrected,
        available: available(r, d, m),
        recipe: recipe_of(r, d, m).map(|recipe| recipe.n),
        differs: (by_source != corrected).then_some("X-02"),
    }
}

fn of_flow(view: &View<'_>, flow: &Flow) -> FlowOutlook {
    let at = view.site(&flow.site);
    let ends = [&flow.source, &flow.target].map(|name| {
        let cluster = view.cluster(name);
        cluster.map_or(Vec::new(), |cluster| view.data_sites(cluster))
    });
    let far = |sites: &[usize]| {
        let rtts = sites.iter().filter_map(|&site| view.rtt_ms(site, at));
        rtts.max().unwrap_or(0)
    };
    let rates = ends.iter().flatten();
    let rates = rates.filter_map(|&site| view.rate(site, at));
    FlowOutlook {
        name: flow.name(),
        source: flow.source.clone(),
        target: flow.target.clone(),
        bytes_per_second: mirrored(view.model, flow),
        rate_bytes_per_second: rates.min(),
        // A fetch waits at the source, its answer takes half a round trip; what is written takes
        // another half.
        lag_floor_ms: (far(&ends[0]) + far(&ends[1])).div_ceil(2),
    }
}

/// By librdkafka's names and defaults, which are the lab's clients.
fn buffer(client: &Client) -> Option<BufferOutlook> {
    if client.kind != ClientKind::Producer {
        return None;
    }
    let setting = |names: [&str; 2], default: f64| {
        let value = names.iter().find_map(|name| client.setting(name));
        value.and_then(|it| it.parse().ok()).unwrap_or(default)
    };
    let records = setting(["queue.buffering.max.messages"; 2], 100_000.0);
    let bytes = setting(["queue.buffering.max.kbytes"; 2], 1_048_576.0) * 1_024.0;
    let timeout = setting(["message.timeout.ms", "delivery.timeout.ms"], 300_000.0) / 1_000.0;
    let rate = f64::from(client.rate?);
    let by_records = bridged_seconds(records, rate, timeout);
    Some(BufferOutlook {
        client: client.name.clone(),
        bridged_seconds: bridged_seconds(bytes, bytes_per_second(client), by_records),
    })
}
