//! Requests that only the active controller carries out (KIP-590): passed on to it from wherever a
//! client asked, and taken up there.

use super::node::{self, PASSED_ON_BYTES_MAX};
use super::{APIS, Answer, Api, Caller, ENVELOPE_VERSION, Outcome, Refusal, handled, peek};
use crate::broker::Broker;
use bytes::Bytes;
use std::sync::Arc;

/// Takes up a request that only the active controller can carry out, be it this node or another.
/// NOT_CONTROLLER means nothing to a client that may ask any broker, so a controller that loses the
/// lead over a request leaves it to the next one. What it had done of it by then, the next one finds
/// done, as with any request that is made twice.
///
/// One that is too large for the way there is too large here too: which node leads is not the client's
/// concern. It ends the connection, as any frame that is too large.
pub(super) async fn at_the_controller(
    broker: &Arc<Broker>,
    caller: &Caller,
    api: &Api,
    frame: Bytes,
) -> Result<Outcome, Refusal> {
    let bytes = frame.len();
    if bytes > PASSED_ON_BYTES_MAX {
        let name = api.key.name();
        return Err(Refusal::TooLargeToPassOn { name, bytes });
    }
    if let Some(answer) = forwarded(broker, caller, api, &frame).await {
        broker.metrics.requests(api.key).inc();
        return Ok(Outcome::Answer(answer));
    }
    let outcome = handled(broker, caller, api, frame.clone()).await?;
    match outcome {
        Outcome::Answer(answer) if answer.lost_the_lead => {
            let next = forwarded(broker, caller, api, &frame).await;
            Ok(Outcome::Answer(next.unwrap_or(answer)))
        }
        outcome => Ok(outcome),
    }
}

/// Takes up a request that came in an envelope: only kinds that may, and here is where they end.
pub(super) async fn dispatch_forwarded(
    broker: &Arc<Broker>,
    caller: &Caller,
    frame: Bytes,
) -> Result<Outcome, Refusal> {
    let (key, _, _) = peek(&frame).map_err(|error| Refusal::Malformed(error.to_string()))?;
    let api = APIS.iter().find(|api| api.key as i16 == key);
    let api = api.filter(|api| api.key.is_forwardable());
    handled(broker, caller, api.ok_or(Refusal::UnknownApi(key))?, frame).await
}

/// What the active controller says, where that is another node. `None`: this node is to answer, if
/// only that it is not the controller.
async fn forwarded(
    broker: &Arc<Broker>,
    caller: &Caller,
    api: &Api,
    frame: &Bytes,
) -> Option<Answer> {
    let (_, version, _) = peek(frame).ok()?;
    if broker.controller.is_active() || !api.serves(version) {
        return None;
    }
    let from = node::Forwarded::User(caller.principal.clone());
    let envelope = node::enveloped(from, caller.peer.ip(), frame.clone()).ok()?;
    let limit = broker.settings.request_timeout;
    let asked = broker.ask_controller(&envelope, ENVELOPE_VERSION, limit);
    let answer = match asked.await {
        Ok(response) => node::opened(response).map_err(|code| format!("{code:?}")),
        Err(error) => Err(error.to_string()),
    };
    answer
        .inspect_err(|error| {
            tracing::debug!(event = "not_forwarded", api = api.key.name(), error);
        })
        .ok()
}
