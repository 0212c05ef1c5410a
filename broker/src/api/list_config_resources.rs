//! ListConfigResources (74), versions 0–1: which resources can be asked for their configuration.
//!
//! Topics and brokers. Groups, loggers and client metrics are kinds that Kafka knows and of which
//! there are none here; a kind that Kafka does not know is answered as one of a newer version.
//!
//! Versions: 0 lists client metrics only (KIP-714); 1 takes kinds, none meaning all (KIP-1142).

use super::{Call, Reply, Serve};
use isthmus_broker_core::metadata::{ConfigResource as Kind, MetadataImage};
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::list_config_resources_response::ConfigResource;
use isthmus_wire::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use isthmus_wire::{ErrorCode, VersionRange};

const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

pub(super) struct ListConfigResources;

impl Serve for ListConfigResources {
    type Request = ListConfigResourcesRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 1 };

    async fn serve(
        call: Call<'_>,
        request: ListConfigResourcesRequest,
    ) -> Reply<ListConfigResourcesResponse> {
        if let Err(error_code) = call.access().cluster(Operation::DescribeConfigs) {
            return Reply::Now(ListConfigResourcesResponse {
                error_code,
                ..ListConfigResourcesResponse::default()
            });
        }
        let mut asked = request.resource_types;
        if call.version() == 0 {
            asked = vec![CLIENT_METRICS];
        }
        let known = [
            Kind::TOPIC,
            Kind::BROKER,
            BROKER_LOGGER,
            CLIENT_METRICS,
            GROUP,
        ];
        if !asked.iter().all(|kind| known.contains(kind)) {
            return Reply::Now(ListConfigResourcesResponse {
                error_code: ErrorCode::UNSUPPORTED_VERSION,
                ..ListConfigResourcesResponse::default()
            });
        }
        let wanted = |kind: i8| asked.is_empty() || asked.contains(&kind);
        Reply::Now(ListConfigResourcesResponse {
            config_resources: resources(&call.broker.image(), wanted),
            ..ListConfigResourcesResponse::default()
        })
    }
}

fn resources(image: &MetadataImage, wanted: impl Fn(i8) -> bool) -> Vec<ConfigResource> {
    let resource = |resource_type: i8, resource_name: String| ConfigResource {
        resource_name,
        resource_type,
    };
    let mut found = Vec::new();
    if wanted(Kind::BROKER) {
        let brokers = image.brokers();
        found.extend(brokers.map(|broker| resource(Kind::BROKER, broker.id.to_string())));
    }
    if wanted(Kind::TOPIC) {
        let topics = image.topics();
        found.extend(topics.map(|topic| resource(Kind::TOPIC, topic.name.to_string())));
    }
    found
}
