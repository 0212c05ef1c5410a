//! DescribeCluster (60), versions 0–2 (KIP-700).
//!
//! Versions: 1 can ask for controllers (KIP-919), which only a listener for controllers shows, and
//! nothing else; 2 can include fenced brokers.

use super::{Call, Reply, Serve};
use crate::endpoints;
use crate::metadata_log::QuorumWatch;
use crate::settings::ListenerKind;
use isthmus_wire::messages::describe_cluster_response::DescribeClusterBroker;
use isthmus_wire::messages::{DescribeClusterRequest, DescribeClusterResponse};
use isthmus_wire::{ErrorCode, VersionRange};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(super) struct DescribeCluster;

impl Serve for DescribeCluster {
    type Request = DescribeClusterRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 2 };

    async fn serve(
        call: Call<'_>,
        request: DescribeClusterRequest,
    ) -> Reply<DescribeClusterResponse> {
        let is_controllers = call.caller.listener.kind == ListenerKind::Controller;
        match (request.endpoint_type, is_controllers) {
            (BROKERS, false) => Reply::Now(describe(call, &request)),
            (CONTROLLERS, true) => Reply::Now(describe_controllers(call)),
            (BROKERS, true) => mismatched("CONTROLLER", "BROKER"),
            (CONTROLLERS, false) => mismatched("BROKER", "CONTROLLER"),
            (unknown, _) => refused(
                ErrorCode::UNSUPPORTED_ENDPOINT_TYPE,
                format!("Unsupported endpoint type {unknown}"),
            ),
        }
    }
}

fn describe(call: Call<'_>, request: &DescribeClusterRequest) -> DescribeClusterResponse {
    let image = call.broker.image();
    let listener = &call.caller.listener.name;
    let shown: Vec<_> = match request.include_fenced_brokers {
        true => endpoints::registered(&image, listener).collect(),
        false => endpoints::listed(&image, listener, call.broker.node_id).collect(),
    };
    let brokers = shown.iter().map(|broker| DescribeClusterBroker {
        broker_id: broker.id,
        host: broker.host.to_owned(),
        port: i32::from(broker.port),
        rack: broker.rack.map(str::to_owned),
        is_fenced: request.include_fenced_brokers && broker.fenced,
    });
    let mut response = DescribeClusterResponse {
        error_message: None,
        cluster_id: call.broker.cluster_id.clone(),
        controller_id: call.broker.node_id,
        brokers: brokers.collect(),
        ..DescribeClusterResponse::default()
    };
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = call.access().cluster_operations();
    }
    response
}

/// The quorum's voters, at the addresses by which they reach each other.
fn describe_controllers(call: Call<'_>) -> DescribeClusterResponse {
    let controllers = call.broker.settings.cluster.controllers.iter();
    let controllers = controllers.map(|it| DescribeClusterBroker {
        broker_id: it.node_id,
        host: it.host.clone(),
        port: i32::from(it.port),
        ..DescribeClusterBroker::default()
    });
    let leader = call.broker.quorum.as_ref().and_then(QuorumWatch::leader);
    DescribeClusterResponse {
        error_message: None,
        endpoint_type: CONTROLLERS,
        cluster_id: call.broker.cluster_id.clone(),
        controller_id: leader.unwrap_or(-1),
        brokers: controllers.collect(),
        ..DescribeClusterResponse::default()
    }
}

fn mismatched(sent_to: &str, wanted: &str) -> Reply<DescribeClusterResponse> {
    let message = format!(
        "The request was sent to an endpoint of type {sent_to}, but we wanted an endpoint of type \
         {wanted}"
    );
    refused(ErrorCode::MISMATCHED_ENDPOINT_TYPE, message)
}

fn refused(error_code: ErrorCode, message: String) -> Reply<DescribeClusterResponse> {
    Reply::Now(DescribeClusterResponse {
        error_code,
        error_message: Some(message),
        ..DescribeClusterResponse::default()
    })
}
