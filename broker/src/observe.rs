//! The `observe` listener: GET only, fit to be public.
//!
//! `/healthz` says that this process moves; `/readyz` that it is joined and serves; `/metrics` is
//! for Prometheus.

use crate::broker::Broker;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(crate) async fn serve(
    socket: TcpListener,
    broker: Arc<Broker>,
    stop: CancellationToken,
) -> io::Result<()> {
    let pages = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(broker);
    axum::serve(socket, pages)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

async fn metrics(State(broker): State<Arc<Broker>>) -> impl IntoResponse {
    let kind = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    (kind, broker.metrics_text())
}

async fn ready(State(broker): State<Arc<Broker>>) -> impl IntoResponse {
    if broker.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}
