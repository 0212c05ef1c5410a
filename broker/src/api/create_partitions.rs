//! CreatePartitions (37), versions 0–3 (KIP-195): a topic grows to a total.
//!
//! Versions: 3 knows that a topic is refused for the client's quota of changes (KIP-599).

use super::create_topics::timeout;
use super::{Call, Reply, Serve};
use isthmus_broker_core::metadata;
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::create_partitions_response::CreatePartitionsTopicResult;
use isthmus_wire::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use isthmus_wire::{ErrorCode, VersionRange};

/// The first version whose clients know THROTTLING_QUOTA_EXCEEDED.
const STRICT_FROM: i16 = 3;

pub(super) struct CreatePartitions;

impl Serve for CreatePartitions {
    type Request = CreatePartitionsRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 3 };

    async fn serve(
        call: Call<'_>,
        mut request: CreatePartitionsRequest,
    ) -> Reply<CreatePartitionsResponse> {
        let access = call.access();
        let denied: Vec<_> = request
            .topics
            .extract_if(.., |topic| {
                access.topic(Operation::Alter, &topic.name).is_err()
            })
            .collect();
        let names: Vec<String> = request
            .topics
            .iter()
            .map(|topic| topic.name.clone())
            .collect();
        let wishes: Vec<metadata::CreatePartitions> = request
            .topics
            .into_iter()
            .map(|topic| metadata::CreatePartitions {
                name: topic.name,
                count: topic.count,
                assignments: topic
                    .assignments
                    .map(|lists| lists.into_iter().map(|list| list.broker_ids).collect()),
            })
            .collect();
        let mutations = call.mutations(STRICT_FROM);
        let controller = &call.broker.controller;
        let verdicts = if request.validate_only {
            Ok(controller.check_partitions(&wishes, &mutations))
        } else {
            controller
                .create_partitions(wishes, mutations.clone(), timeout(request.timeout_ms))
                .await
        };
        let mut results: Vec<CreatePartitionsTopicResult> = match verdicts {
            Ok(verdicts) => names
                .into_iter()
                .zip(verdicts)
                .map(|(name, verdict)| match verdict {
                    Ok(()) => answer(name, ErrorCode::NONE, None),
                    // Of a topic that is not there Kafka says no more than that.
                    Err(error) if error.code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
                        answer(name, error.code, None)
                    }
                    Err(error) => answer(name, error.code, error.told()),
                })
                .collect::<Vec<_>>(),
            Err(failure) => {
                let told = Some(failure.to_string());
                names
                    .into_iter()
                    .map(|name| answer(name, failure.code(), told.clone()))
                    .collect()
            }
        };
        let refused = |name| answer(name, ErrorCode::TOPIC_AUTHORIZATION_FAILED, None);
        results.extend(denied.into_iter().map(|topic| refused(topic.name)));
        Reply::Now(CreatePartitionsResponse {
            throttle_time_ms: mutations.throttle_ms(),
            results: super::once::<CreatePartitionsTopicResult>(results, |result| &result.name),
        })
    }
}

fn answer(
    name: String,
    error_code: ErrorCode,
    error_message: Option<String>,
) -> CreatePartitionsTopicResult {
    CreatePartitionsTopicResult {
        name,
        error_code,
        error_message,
    }
}
