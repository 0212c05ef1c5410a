//! The pages that change something. A body of JSON is asked for, which keeps a web page that runs in
//! an operator's browser from calling them unnoticed.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use isthmus_config::SecretRef;
use isthmus_replicator_core::names::FlowName;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::{Shown, observe};
use crate::control::{ControlCommand, ControlDone, ControlHandle, ControlRefused};

/// How much of the flow; all of it when nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// A topic, by its name at the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// A partition of the topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FlowAnswer {
    /// isthmus.flow/1
    pub schema: String,
    pub flow: String,
    /// paused or running
    pub state: String,
    /// Partitions that it concerns at this moment.
    pub partitions: usize,
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Refusal {
    pub error: String,
}

pub(super) fn pages(
    shown: Arc<Shown>,
    commands: ControlHandle,
    token: Option<SecretRef>,
) -> Router {
    Router::new()
        .route("/flows/{flow}/pause", post(pause))
        .route("/flows/{flow}/resume", post(resume))
        .with_state(commands)
        .merge(observe::pages(shown))
        .layer(from_fn_with_state(Arc::new(token), guard))
}

/// Lets in who shows the token, if one is asked for.
async fn guard(
    State(token): State<Arc<Option<SecretRef>>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(reference) = token.as_ref() else {
        return next.run(request).await;
    };
    let Ok(token) = reference.read(|name| std::env::var(name).ok()) else {
        // A token that cannot be read lets nobody in.
        return refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "the control_token cannot be read",
        );
    };
    let shown = request.headers().get(header::AUTHORIZATION);
    let shown = shown.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    match shown {
        Some(shown) if bool::from(shown.ct_eq(token.expose().as_bytes())) => {
            next.run(request).await
        }
        Some(_) | None => refuse(
            StatusCode::UNAUTHORIZED,
            "show the control_token as a bearer token",
        ),
    }
}

/// Stops copying; what is under way is finished and saved.
#[utoipa::path(
    post,
    path = "/flows/{flow}/pause",
    params(("flow" = String, Path, description = "Name of the flow")),
    request_body = Part,
    responses(
        (status = 200, body = FlowAnswer),
        (status = 401, body = Refusal, description = "The token is missing or wrong"),
        (status = 404, body = Refusal, description = "No such flow, topic or partition"),
        (status = 503, body = Refusal, description = "Stopping, or too much to do"),
        (status = 504, body = Refusal, description = "Handed in, and no answer: ask /status"),
    )
)]
pub(super) async fn pause(
    State(commands): State<ControlHandle>,
    Path(flow): Path<String>,
    Json(part): Json<Part>,
) -> Response {
    let command = |flow, part: Part| ControlCommand::Pause {
        flow,
        topic: part.topic,
        partition: part.partition,
    };
    carry_out(&commands, flow, part, "paused", command).await
}

/// Goes on where it stopped.
#[utoipa::path(
    post,
    path = "/flows/{flow}/resume",
    params(("flow" = String, Path, description = "Name of the flow")),
    request_body = Part,
    responses(
        (status = 200, body = FlowAnswer),
        (status = 401, body = Refusal, description = "The token is missing or wrong"),
        (status = 404, body = Refusal, description = "No such flow, topic or partition"),
        (status = 503, body = Refusal, description = "Stopping, or too much to do"),
        (status = 504, body = Refusal, description = "Handed in, and no answer: ask /status"),
    )
)]
pub(super) async fn resume(
    State(commands): State<ControlHandle>,
    Path(flow): Path<String>,
    Json(part): Json<Part>,
) -> Response {
    let command = |flow, part: Part| ControlCommand::Resume {
        flow,
        topic: part.topic,
        partition: part.partition,
    };
    carry_out(&commands, flow, part, "running", command).await
}

async fn carry_out(
    commands: &ControlHandle,
    flow: String,
    part: Part,
    state: &str,
    command: impl FnOnce(FlowName, Part) -> ControlCommand,
) -> Response {
    let name = match FlowName::parse(&flow) {
        Ok(name) => name,
        Err(error) => return refuse(StatusCode::NOT_FOUND, &format!("no flow is called {error}")),
    };
    if part.partition.is_some() && part.topic.is_none() {
        let error = "a partition needs its topic";
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, error);
    }
    match commands.ask(command(name, part)).await {
        Ok(ControlDone { partitions }) => Json(FlowAnswer {
            schema: "isthmus.flow/1".to_owned(),
            flow,
            state: state.to_owned(),
            partitions,
        })
        .into_response(),
        Err(refused) => refuse(code(&refused), &refused.to_string()),
    }
}

fn code(refused: &ControlRefused) -> StatusCode {
    match refused {
        ControlRefused::UnknownFlow { .. }
        | ControlRefused::UnknownTopic { .. }
        | ControlRefused::UnknownPartition { .. } => StatusCode::NOT_FOUND,
        ControlRefused::Stopping | ControlRefused::Busy => StatusCode::SERVICE_UNAVAILABLE,
        ControlRefused::NoAnswer => StatusCode::GATEWAY_TIMEOUT,
    }
}

fn refuse(status: StatusCode, error: &str) -> Response {
    let error = error.to_owned();
    (status, Json(Refusal { error })).into_response()
}
