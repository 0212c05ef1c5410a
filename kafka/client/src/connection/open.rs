//! Opening a connection: dial, TLS, ApiVersions, SASL, and the check of the cluster's id.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use isthmus_wire::codec::{Decoder, Message, Request};
use isthmus_wire::header::decode_response_header;
use isthmus_wire::messages::{
    ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, MetadataResponse,
};
use isthmus_wire::{ApiKey, ErrorCode};

use super::session::Session;
use super::{CallError, CommonVersions, Connection, Inner, Lost, Settings};
use crate::config::ClientConfig;
use crate::deadline::{Deadline, Elapsed};
use crate::net::{Address, Dial, TcpDialer};
use crate::sasl::{SaslConfig, SaslError};
use crate::tls::{self, TlsContext, TlsError};

/// Name and version that a broker shows in its metrics (KIP-511).
const SOFTWARE_NAME: &str = "isthmus-client";
const SOFTWARE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why no connection could be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("connect to {address}: {cause}")]
    Dial { address: Address, cause: io::Error },
    #[error("connect to {address}: {cause}")]
    Tls { address: Address, cause: TlsError },
    #[error("connect to {address}: ApiVersions: {cause}")]
    Negotiate { address: Address, cause: CallError },
    #[error("connect to {address}: ApiVersions answered {code}")]
    Versions { address: Address, code: ErrorCode },
    #[error("authenticate to {address}: {cause}")]
    Sasl { address: Address, cause: SaslError },
    #[error("ask {address} for its cluster id: {cause}")]
    Identify { address: Address, cause: CallError },
    #[error("{address} belongs to cluster {found:?}, not to {expected:?}")]
    WrongCluster {
        address: Address,
        expected: String,
        found: Option<String>,
    },
    #[error("connect to {address}: {elapsed}")]
    TimedOut { address: Address, elapsed: Elapsed },
    #[error("broker {broker} is not in the cluster's metadata")]
    UnknownBroker { broker: i32 },
    #[error("no broker is known")]
    NoBroker,
    /// The last failure, if the last attempt failed, is in its own words.
    #[error("no time left to wait before connecting to {address} again{}", after(.last.as_deref()))]
    BackingOff {
        address: Address,
        last: Option<String>,
    },
}

fn after(last: Option<&str>) -> String {
    last.map(|last| format!(": {last}")).unwrap_or_default()
}

impl ConnectError {
    /// Whether one side refuses the other (credentials, certificates, another cluster): waiting will
    /// not help, somebody must look.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Sasl { cause, .. } => cause.is_refusal(),
            Self::Tls { cause, .. } => cause.is_refusal(),
            Self::Negotiate { cause, .. } => match cause {
                CallError::NotSent {
                    lost: Lost::Io(error),
                    ..
                }
                | CallError::Unanswered {
                    lost: Lost::Io(error),
                    ..
                } => tls::is_refusal(error),
                CallError::NotSent { .. }
                | CallError::Unanswered { .. }
                | CallError::NotSentInTime { .. }
                | CallError::UnsupportedByBroker { .. }
                | CallError::Encode(_)
                | CallError::Decode(_) => false,
            },
            Self::WrongCluster { .. } => true,
            Self::Dial { .. }
            | Self::Versions { .. }
            | Self::Identify { .. }
            | Self::TimedOut { .. }
            | Self::UnknownBroker { .. }
            | Self::NoBroker
            | Self::BackingOff { .. } => false,
        }
    }
}

/// Opens connections that are ready for use.
#[derive(Debug)]
pub struct Connector {
    settings: Settings,
    connect_timeout: std::time::Duration,
    tls: Option<TlsContext>,
    sasl: Option<SaslConfig>,
    dialer: Arc<dyn Dial>,
}

impl Connector {
    /// For TCP.
    pub fn new(config: &ClientConfig) -> Self {
        Self::with_dialer(config, Arc::new(TcpDialer))
    }

    pub fn with_dialer(config: &ClientConfig, dialer: Arc<dyn Dial>) -> Self {
        let settings = Settings {
            client_id: config.client_id.clone(),
            request_timeout: config.request_timeout,
            in_flight_max: config.in_flight_max,
            frame_bytes_max: config.frame_bytes_max,
        };
        Self {
            settings,
            connect_timeout: config.connect_timeout,
            tls: config.tls.clone().map(TlsContext::new),
            sasl: config.sasl.clone(),
            dialer,
        }
    }

    /// Connects, negotiates and authenticates, by the deadline or within the configured time.
    pub async fn connect(
        &self,
        address: &Address,
        deadline: Deadline,
    ) -> Result<Connection, ConnectError> {
        self.connect_to(address, None, deadline).await
    }

    /// As `connect`; a broker of another cluster than the expected one is refused.
    pub async fn connect_to(
        &self,
        address: &Address,
        cluster_id: Option<&str>,
        deadline: Deadline,
    ) -> Result<Connection, ConnectError> {
        let deadline = deadline.or_after(self.connect_timeout);
        let open = Box::pin(self.open(address, cluster_id, deadline));
        let outcome = deadline.run(open).await;
        outcome.unwrap_or_else(|elapsed| {
            Err(ConnectError::TimedOut {
                address: address.clone(),
                elapsed,
            })
        })
    }

    async fn open(
        &self,
        address: &Address,
        cluster_id: Option<&str>,
        deadline: Deadline,
    ) -> Result<Connection, ConnectError> {
        let dialled = self.dialer.dial(address).await;
        let mut stream = dialled.map_err(|cause| ConnectError::Dial {
            address: address.clone(),
            cause,
        })?;
        if let Some(tls) = &self.tls {
            let wrapped = tls.wrap(stream, &address.host).await;
            stream = wrapped.map_err(|cause| ConnectError::Tls {
                address: address.clone(),
                cause,
            })?;
        }
        let mut inner = Inner::start(stream, address.clone(), self.settings.clone());
        inner.versions = negotiate(&inner, address, deadline).await?;
        if let Some(config) = &self.sasl {
            let session = Session::new(config.clone());
            let outcome = session.authenticate(&inner, deadline.remaining()).await;
            outcome.map_err(|cause| ConnectError::Sasl {
                address: address.clone(),
                cause,
            })?;
            inner.session = Some(session);
        }
        inner
            .frame_bytes_max
            .store(self.settings.frame_bytes_max, Ordering::Relaxed);
        let connection = Connection(Arc::new(inner));
        if let Some(expected) = cluster_id {
            check_cluster(&connection, expected, deadline).await?;
        }
        Ok(connection)
    }
}

/// Asks in our highest version; a broker that does not know it answers in version 0 and says which
/// it knows (KIP-511).
async fn negotiate(
    inner: &Inner,
    address: &Address,
    deadline: Deadline,
) -> Result<CommonVersions, ConnectError> {
    let ours = ApiKey::ApiVersions.versions();
    let mut version = ours.max;
    loop {
        let asked = ask_versions(inner, version, deadline).await;
        let response = asked.map_err(|cause| ConnectError::Negotiate {
            address: address.clone(),
            cause,
        })?;
        match response.error_code {
            ErrorCode::NONE => return Ok(CommonVersions::of(&response)),
            ErrorCode::UNSUPPORTED_VERSION if version > 0 => {
                let known = CommonVersions::of(&response);
                let lower = known.highest(ApiKey::ApiVersions, version - 1);
                version = lower.unwrap_or(0);
            }
            code => {
                return Err(ConnectError::Versions {
                    address: address.clone(),
                    code,
                });
            }
        }
    }
}

async fn ask_versions(
    inner: &Inner,
    version: i16,
    deadline: Deadline,
) -> Result<ApiVersionsResponse, CallError> {
    let request = if version >= 3 {
        ApiVersionsRequest {
            client_software_name: SOFTWARE_NAME.to_owned(),
            client_software_version: SOFTWARE_VERSION.to_owned(),
        }
    } else {
        ApiVersionsRequest::default()
    };
    let frame = inner.call_alone(&request, version, deadline).await?;
    let mut decoder = Decoder::new(frame);
    decode_response_header(&mut decoder, ApiVersionsRequest::KEY, version)?;
    // The error code comes first in every version and says in which one the rest is.
    let error = decoder
        .rest()
        .first_chunk()
        .map(|&bytes| i16::from_be_bytes(bytes));
    let refused = error == Some(ErrorCode::UNSUPPORTED_VERSION.0);
    Ok(ApiVersionsResponse::decode(
        &mut decoder,
        if refused { 0 } else { version },
    )?)
}

/// Metadata without topics: it says the cluster's id in every version from 2 on, and every client
/// may ask for it.
async fn check_cluster(
    connection: &Connection,
    expected: &str,
    deadline: Deadline,
) -> Result<(), ConnectError> {
    let asked = ask_cluster(connection, deadline).await;
    let address = connection.address().clone();
    let found = match asked {
        Ok(response) => response.cluster_id,
        Err(cause) => return Err(ConnectError::Identify { address, cause }),
    };
    if found.as_deref() == Some(expected) {
        return Ok(());
    }
    Err(ConnectError::WrongCluster {
        address,
        expected: expected.to_owned(),
        found,
    })
}

async fn ask_cluster(
    connection: &Connection,
    deadline: Deadline,
) -> Result<MetadataResponse, CallError> {
    let version = connection.version(ApiKey::Metadata)?;
    let request = MetadataRequest {
        topics: Some(Vec::new()),
        allow_auto_topic_creation: version < 4,
        ..Default::default()
    };
    connection.call_by(&request, version, deadline).await
}
