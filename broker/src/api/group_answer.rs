//! What the requests to one group have in common: ask its shard, turn the reply into the answer.

use super::{Call, Reply};
use crate::broker::Broker;
use isthmus_broker_core::groups::{Reply as GroupReply, Request};
use isthmus_broker_core::security::Operation;
use isthmus_wire::ErrorCode;
use std::sync::Arc;

/// An answer that a shard gives.
pub(super) trait GroupAnswer: Sized + Send + 'static {
    /// `None`: the shard answered something else, which is a mistake in the shard.
    fn from_reply(reply: GroupReply) -> Option<Self>;

    /// The answer when no shard could be asked.
    fn refused(error_code: ErrorCode, version: i16) -> Self;
}

/// Asks in the second stage: the reply may take long, and later requests of the connection must
/// not wait for it to be taken up. The request reaches its shard before the next one is read.
pub(super) fn later<A: GroupAnswer>(
    call: Call<'_>,
    needs: Operation,
    group: &str,
    request: Request,
) -> Reply<A> {
    let version = call.version();
    if let Err(code) = call.access().group(needs, group) {
        return Reply::Now(A::refused(code, version));
    }
    match call.broker.ask_group(group, request) {
        Ok(answer) => Reply::Later(Box::pin(async move { settle(answer.await, version) })),
        Err(code) => Reply::Now(A::refused(code, version)),
    }
}

/// Asks and waits: for requests that take parts of the answer from elsewhere.
pub(super) async fn ask<A: GroupAnswer>(
    broker: &Arc<Broker>,
    version: i16,
    group: &str,
    request: Request,
) -> A {
    match broker.ask_group(group, request) {
        Ok(answer) => settle(answer.await, version),
        Err(code) => A::refused(code, version),
    }
}

fn settle<A: GroupAnswer>(reply: Result<GroupReply, ErrorCode>, version: i16) -> A {
    match reply {
        Ok(reply) => A::from_reply(reply)
            .unwrap_or_else(|| A::refused(ErrorCode::UNKNOWN_SERVER_ERROR, version)),
        Err(code) => A::refused(code, version),
    }
}
