//! The pages for observers: GET only, fit to be public.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;

use super::{Shown, openapi};
use crate::metrics;
use crate::status::StatusDocument;

pub(super) fn pages(shown: Arc<Shown>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/status", get(status))
        .route("/openapi.json", get(|| async { Json(openapi()) }))
        .with_state(shown)
}

/// Metrics in Prometheus' text format.
#[utoipa::path(
    get,
    path = "/metrics",
    responses((status = 200, description = "Metrics in Prometheus' text format", content_type = "text/plain"))
)]
pub(super) async fn metrics(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    let kind = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    (kind, metrics::text(&shown.status()))
}

/// Whether this process moves.
#[utoipa::path(
    get,
    path = "/healthz",
    responses(
        (status = 200, description = "It moves, whatever the clusters do"),
        (status = 503, description = "Its data path has not moved for a minute: restart it"),
    )
)]
pub(super) async fn health(State(shown): State<Arc<Shown>>) -> (StatusCode, &'static str) {
    if shown.is_alive() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "stuck\n")
    }
}

/// Whether it has read its saved state and does the work.
#[utoipa::path(
    get,
    path = "/readyz",
    responses(
        (status = 200, description = "The saved state was read, and this instance does the work"),
        (status = 503, description = "Not yet"),
    )
)]
pub(super) async fn ready(State(shown): State<Arc<Shown>>) -> (StatusCode, &'static str) {
    if shown.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

/// Of which flow.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct StatusQuery {
    /// Only this flow.
    flow: Option<String>,
}

/// All that is known, as `isthmus.status/1`.
#[utoipa::path(
    get,
    path = "/status",
    params(StatusQuery),
    responses(
        (status = 200, description = "Schema isthmus.status/1: clusters, memory, and per flow its summary, topics, partitions, lanes and groups", body = Object),
        (status = 404, description = "No flow has that name"),
    )
)]
pub(super) async fn status(
    State(shown): State<Arc<Shown>>,
    Query(query): Query<StatusQuery>,
) -> Response {
    let document = StatusDocument::new(&shown.status());
    let Some(flow) = query.flow else {
        return Json(document).into_response();
    };
    match document.only(&flow) {
        Some(document) => Json(document).into_response(),
        None => (StatusCode::NOT_FOUND, format!("no flow is called {flow}\n")).into_response(),
    }
}
