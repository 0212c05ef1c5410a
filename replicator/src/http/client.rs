//! Asks a daemon that runs: for `isthmus status` and `isthmus flow`.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use isthmus_config::Secret;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A daemon on this machine or near it answers in milliseconds; a status of 5 000 partitions in a
/// second.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// Some 2 kB for each of 50 000 partitions and groups.
const BODY_BYTES_MAX: usize = 128 << 20;

/// Why a daemon could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error("{0} is not http://HOST:PORT")]
    Url(String),
    #[error("could not reach the daemon at {address}: {cause}")]
    Unreachable { address: String, cause: String },
    /// It may have been done.
    #[error("the daemon at {address} did not answer: {cause}")]
    NoAnswer { address: String, cause: String },
}

/// An answer, whatever it says.
#[derive(Debug)]
pub struct DaemonAnswer {
    pub status: u16,
    pub body: Bytes,
}

impl DaemonAnswer {
    pub fn is_success(&self) -> bool {
        StatusCode::from_u16(self.status).is_ok_and(|status| status.is_success())
    }
}

/// Gets a page; `url` is the listener's, with or without `http://`.
pub async fn get(
    url: &str,
    path: &str,
    token: Option<&Secret>,
) -> Result<DaemonAnswer, DaemonError> {
    call(url, Method::GET, path, token, Bytes::new()).await
}

/// Sends JSON.
pub async fn post(
    url: &str,
    path: &str,
    token: Option<&Secret>,
    json: String,
) -> Result<DaemonAnswer, DaemonError> {
    call(url, Method::POST, path, token, json.into()).await
}

async fn call(
    url: &str,
    method: Method,
    path: &str,
    token: Option<&Secret>,
    body: Bytes,
) -> Result<DaemonAnswer, DaemonError> {
    let address = url.strip_prefix("http://").unwrap_or(url);
    let address = address.trim_end_matches('/').to_owned();
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, &address)
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
    }
    let is_address = address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok()
    });
    let request = match request.body(Full::new(body)) {
        Ok(request) if is_address => request,
        Ok(_) | Err(_) => return Err(DaemonError::Url(url.to_owned())),
    };
    let stream = timeout(ANSWER_MAX, TcpStream::connect(&address)).await;
    let unreachable = |cause: String| DaemonError::Unreachable {
        address: address.clone(),
        cause,
    };
    let stream = match stream {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(unreachable(error.to_string())),
        Err(elapsed) => return Err(unreachable(elapsed.to_string())),
    };
    match timeout(ANSWER_MAX, exchange(stream, request)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(cause)) => Err(DaemonError::NoAnswer { address, cause }),
        Err(elapsed) => Err(DaemonError::NoAnswer {
            address,
            cause: elapsed.to_string(),
        }),
    }
}

async fn exchange(
    stream: TcpStream,
    request: Request<Full<Bytes>>,
) -> Result<DaemonAnswer, String> {
    let told = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(told)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(told)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX);
        let body = body.collect().await.map_err(|error| error.to_string())?;
        let body = body.to_bytes();
        Ok(DaemonAnswer { status, body })
    };
    // The connection moves only while it is polled, and ends with the answer.
    tokio::pin!(connection, exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        ended = &mut connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(error.to_string()),
        },
    }
}
