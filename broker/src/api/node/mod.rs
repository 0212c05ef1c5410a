//! The requests that only nodes of the cluster may make of each other (design, decision 20): answered
//! on inter-broker and controller listeners, to who has shaken hands there.
//!
//! Whoever else asks is logged, counted, and loses the connection. None of them is advertised.

mod allocate_producer_ids;
mod alter_partition;
mod broker_heartbeat;
mod broker_registration;
mod envelope;
mod handshake;
mod isr_changes;
mod own_requests;
mod quorum;
mod replica_fetch;

pub(super) use envelope::{Forwarded, PASSED_ON_BYTES_MAX, enveloped, opened};
pub(crate) use handshake::{Shaken, shake_hands};
pub(crate) use isr_changes::IsrChanges;
pub(crate) use own_requests::create_topics;

use super::Api;

/// In the order of their keys, as [`super::APIS`].
pub(super) const NODE_APIS: &[Api] = &[
    Api::of::<alter_partition::AlterPartition>(),
    Api::of::<envelope::Envelope>(),
    Api::of::<broker_registration::BrokerRegistration>(),
    Api::of::<broker_heartbeat::BrokerHeartbeat>(),
    Api::of::<allocate_producer_ids::AllocateProducerIds>(),
    Api::of::<quorum::QuorumVote>(),
    Api::of::<quorum::QuorumAppend>(),
    Api::of::<quorum::QuorumSnapshot>(),
    Api::of::<quorum::QuorumTransfer>(),
    Api::of::<quorum::FetchMetadata>(),
    Api::of::<quorum::FetchMetadataSnapshot>(),
    Api::of::<replica_fetch::ReplicaFetch>(),
];
