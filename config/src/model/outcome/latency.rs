//! The floor under a producer's latency: round trips alone, without jitter, disks and work.

use serde::Serialize;

use super::Replicas;
use super::view::View;
use crate::model::{Client, ClientKind};

/// The floor for one producer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Floor {
    pub client: String,
    pub site: String,
    pub topic: String,
    /// To the leader and back.
    pub acks_1: Span,
    /// That, and from the leader to the slowest replica and back. All that are in sync are waited
    /// for, not m of them.
    pub acks_all: Span,
}

/// Milliseconds, by where the leader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    pub least_ms: u64,
    pub most_ms: u64,
}

pub(super) fn floors(view: &View<'_>) -> Vec<Floor> {
    let clients = view.model.clients.iter();
    let producers = clients.filter(|client| client.kind == ClientKind::Producer);
    producers.filter_map(|client| floor(view, client)).collect()
}

fn floor(view: &View<'_>, client: &Client) -> Option<Floor> {
    let cluster = view.cluster(&client.cluster)?;
    let topic = client.topics.first()?;
    let placed = view.topics(cluster);
    let placed = placed.iter().find(|it| it.topic.name == *topic)?;
    let from = view.site(&client.site);
    let mut acks_1 = Vec::new();
    let mut acks_all = Vec::new();
    for placement in &placed.placements {
        for leader in sites(&placement.replicas) {
            let to_leader = view.rtt_ms(from, leader)?;
            let others = sites(&placement.replicas).into_iter();
            let others: Option<Vec<u64>> = others.map(|it| view.rtt_ms(leader, it)).collect();
            acks_1.push(to_leader);
            acks_all.push(to_leader + others?.into_iter().max().unwrap_or(0));
        }
    }
    Some(Floor {
        client: client.name.clone(),
        site: client.site.clone(),
        topic: topic.clone(),
        acks_1: Span::of(&acks_1)?,
        acks_all: Span::of(&acks_all)?,
    })
}

fn sites(replicas: &Replicas) -> Vec<usize> {
    replicas.seats().iter().map(|seat| seat.site).collect()
}

impl Span {
    fn of(values: &[u64]) -> Option<Self> {
        Some(Self {
            least_ms: values.iter().min().copied()?,
            most_ms: values.iter().max().copied()?,
        })
    }
}
