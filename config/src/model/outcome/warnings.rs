//! What works, but not as one may think: each with the id of its fact and what to do.

use serde::Serialize;

use super::cost::{mirrored, produced};
use super::view::{Placed, View};
use super::{available, consistent, consistent_by_source, recipe_of};
use crate::model::{ClientKind, Cluster, Role};

/// Round trips up to here are those of zones of one region (S4-17: a few milliseconds).
const NEAR_RTT_MS: u64 = 10;
/// A broker's session when the cluster does not say.
const SESSION_MS: u64 = 2_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// In requirements: a fact's or a contradiction's id.
    pub id: &'static str,
    pub what: String,
    pub remedy: String,
}

pub(super) fn warnings(view: &View<'_>) -> Vec<Warning> {
    let clusters = view.model.clusters.iter();
    let mut found: Vec<Warning> = clusters
        .flat_map(|cluster| {
            let mut found = quorum(view, cluster);
            found.extend(distance(view, cluster));
            for placed in view.topics(cluster) {
                found.extend(topic(view, cluster, &placed));
            }
            found
        })
        .collect();
    found.extend(work(view));
    found
}

fn warn(id: &'static str, what: String, remedy: impl Into<String>) -> Warning {
    Warning {
        id,
        what,
        remedy: remedy.into(),
    }
}

fn quorum(view: &View<'_>, cluster: &Cluster) -> Vec<Warning> {
    let quorum = view.quorum(cluster);
    let name = &cluster.name;
    let mut found = Vec::new();
    let sites = view.sites_of(cluster);
    if sites.len() > 1 && !quorum.outlives_any_site() {
        let fatal = sites.iter().enumerate();
        let fatal = fatal.filter(|&(place, _)| !quorum.outlives_site(place));
        let fatal: Vec<_> = fatal.map(|(_, &site)| view.site_name(site)).collect();
        let what = format!(
            "cluster {name}: without {} the quorum {quorum} has no majority, and nobody is elected",
            fatal.join(" or without ")
        );
        let remedy = "put voters into a third site, at most (N - 1) / 2 of the N into one";
        found.push(warn("S4-06", what, remedy));
    }
    if quorum.is_even() {
        let (total, less) = (quorum.total(), quorum.total() - 1);
        let what = format!("cluster {name}: {total} voters outlive no more than {less} do");
        found.push(warn("X-17", what, "use an odd number"));
    }
    found
}

/// What is near enough to be one cluster, and long enough for a session: a witness is far from the
/// data without harm to writes.
fn distance(view: &View<'_>, cluster: &Cluster) -> Vec<Warning> {
    let name = &cluster.name;
    let mut found = Vec::new();
    if let Some(rtt) = longest(view, &view.data_sites(cluster))
        && rtt > NEAR_RTT_MS
    {
        let what = format!(
            "cluster {name}: {rtt} ms between its sites is paid by every write with acks=all"
        );
        let remedy = "stretch over zones of one region, and mirror between regions";
        found.push(warn("S4-17", what, remedy));
    }
    let session = cluster.setting("broker.session.timeout.ms");
    let session = session.and_then(|it| it.parse().ok()).unwrap_or(SESSION_MS);
    let rtt = longest(view, &view.sites_of(cluster)).unwrap_or(0);
    let least = 1_600 + 10 * rtt;
    if session < least {
        let what = format!(
            "cluster {name}: a session of {session} ms is short for round trips of {rtt} ms, and brokers that live are fenced"
        );
        let remedy = format!("set broker.session.timeout.ms to {least} or more");
        found.push(warn("S4-12", what, remedy));
    }
    found
}

/// The longest round trip between two of the sites.
fn longest(view: &View<'_>, sites: &[usize]) -> Option<u64> {
    let pairs = sites
        .iter()
        .enumerate()
        .flat_map(|(place, &a)| sites[place + 1..].iter().map(move |&b| (a, b)));
    pairs.filter_map(|(a, b)| view.rtt_ms(a, b)).max()
}

fn topic(view: &View<'_>, cluster: &Cluster, placed: &Placed<'_>) -> Vec<Warning> {
    let sites = view.data_sites(cluster);
    let d = sites.len() as u32;
    let (r, m) = (placed.topic.voting_replicas(), placed.demands.min_insync);
    let name = format!("topic {} of {}", placed.topic.name, cluster.name);
    let mut found = Vec::new();
    if placed.topic.unclean {
        let what = format!(
            "{name}: an unclean election brings it back with whatever the replica has, and what was acknowledged beyond is gone"
        );
        found.push(warn(
            "S4-11",
            what,
            "leave unclean off where records matter",
        ));
    }
    if d < 2 {
        return found;
    }
    if consistent(r, d, m) != consistent_by_source(r, d, m) {
        let what = format!(
            "{name}: m > round(r/d) holds with r={r} d={d} m={m}, and yet {m} replicas can all be at one site"
        );
        let remedy = format!("ask for m > ceil(r/d), {} at least", r.div_ceil(d) + 1);
        found.push(warn("X-02", what, remedy));
    }
    let mut kinds = placed.placements.iter();
    let uneven = kinds.any(|it| {
        let at = it.replicas.at_sites(view.sites());
        let at = sites.iter().map(|&site| at[site]);
        at.clone().max().unwrap_or(0) > at.min().unwrap_or(0) + 1
    });
    if uneven {
        let what = format!("{name}: some site has two replicas more than another");
        let remedy = "give every site as many brokers, and every rack a part of them";
        found.push(warn("S4-04", what, remedy));
    }
    let mut kinds = placed.placements.iter();
    let in_one = kinds.any(|it| it.replicas.fits_into_one_site(&placed.demands));
    if in_one {
        let what = format!(
            "{name}: an ISR of {m} can be at one site, and what it acknowledged is then there alone"
        );
        found.push(warn(
            "S2-02",
            what,
            "raise min_insync_replicas or min_insync_racks, or count with it",
        ));
    }
    if in_one && !available(r, d, m) {
        let what =
            format!("{name}: m={m} secures neither a copy elsewhere nor writes without a site");
        let remedy = format!(
            "choose m={} to go on, or m={} for the copy",
            r.saturating_sub(r.div_ceil(d)),
            r.div_ceil(d) + 1
        );
        found.push(warn("S2-16", what, remedy));
    }
    let brokers = view.by_site(cluster, Role::Broker);
    let fewest = sites.iter().map(|&site| brokers[site]).min().unwrap_or(0);
    if let Some(recipe) = recipe_of(r, d, m)
        && fewest < recipe.n + 1
    {
        let what = format!(
            "{name}: the recipe asks for {} brokers per site, and one has {fewest}; it holds, with no spare",
            recipe.n + 1
        );
        found.push(warn(
            "X-19",
            what,
            "add a broker per site if one may fail besides",
        ));
    }
    found
}

/// What clients and mirrors can rely on.
fn work(view: &View<'_>) -> Vec<Warning> {
    let model = view.model;
    let producers = model.clients.iter();
    let producers = producers.filter(|it| it.kind == ClientKind::Producer && !it.waits_for_all());
    let mut found: Vec<Warning> = producers
        .map(|it| {
            let what = format!(
                "client {}: with acks below all a lost leader takes its last records along, whatever the topic asks for",
                it.name
            );
            warn("X-01", what, "use acks=all where records matter")
        })
        .collect();
    for flow in &model.flows {
        let carried = mirrored(model, flow);
        let ways = view.cluster(&flow.source).into_iter();
        let sites = ways.flat_map(|source| view.data_sites(source));
        let at = view.site(&flow.site);
        let rates = sites.filter_map(|site| view.rate(site, at));
        if let Some(rate) = rates.min()
            && (rate as f64) < carried
        {
            let what = format!(
                "flow {}: its link carries {rate} bytes per second of the {carried:.0} that are produced, and the lag grows without end",
                flow.name()
            );
            found.push(warn("X-16", what, "widen the link, or mirror fewer topics"));
        }
        for topic in model
            .topics
            .iter()
            .filter(|it| it.clusters.contains(&flow.source))
        {
            if produced(model, &flow.source, &topic.name) > 0.0
                && model.clients.iter().any(|it| {
                    it.switch_to.as_deref() == Some(&flow.target) && it.kind == ClientKind::Producer
                })
                && !topic.clusters.contains(&flow.target)
            {
                let what = format!(
                    "flow {}: producers are switched to {}, which has no topic {} of its own",
                    flow.name(),
                    flow.target,
                    topic.name
                );
                found.push(warn("S3-02", what, "make it there, too"));
            }
        }
    }
    found
}
