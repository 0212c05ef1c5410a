//! A cluster of one node that supports levels this build does not know, and answers as it is told to.
//!
//! It answers what the command asks, keeps the orders it was given, and can lose an answer.

use isthmus_wire::codec::{Decoder, Message, Part};
use isthmus_wire::header::{decode_request_header, encode_response};
use isthmus_wire::messages::api_versions_response::{
    ApiVersion, FinalizedFeatureKey, SupportedFeatureKey,
};
use isthmus_wire::messages::describe_cluster_response::DescribeClusterBroker;
use isthmus_wire::messages::metadata_response::MetadataResponseBroker;
use isthmus_wire::messages::{
    ApiVersionsResponse, DescribeClusterResponse, MetadataResponse, RequestHeader,
    UpdateFeaturesRequest, UpdateFeaturesResponse,
};
use isthmus_wire::{ApiKey, ErrorCode};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const CLUSTER: &str = "fake";
const FEATURE: &str = "isthmus.metadata.level";

/// What becomes of an order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Done,
    Refused,
    /// Done, and the connection closed in place of an answer.
    DoneAndLost,
    /// Not done, and the connection closed in place of an answer.
    Lost,
}

pub(super) struct FakeCluster {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    /// `None`: it knows no such feature.
    level: Option<i16>,
    max: i16,
    fate: Fate,
    orders: Vec<UpdateFeaturesRequest>,
}

impl FakeCluster {
    /// Serves until the test's process ends.
    pub(super) fn start(level: Option<i16>, max: i16, fate: Fate) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            level,
            max,
            fate,
            orders: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, state) = (stream.unwrap(), Arc::clone(&shared));
                // A client that leaves ends its connection, and nothing else.
                std::thread::spawn(move || serve(stream, address, &state).ok());
            }
        });
        Self { address, state }
    }

    /// The orders so far: level, kind of change, whether it was only to be checked.
    pub(super) fn orders(&self) -> Vec<(i16, i8, bool)> {
        let state = self.state.lock().unwrap();
        let order = |order: &UpdateFeaturesRequest| {
            let [update] = &order.feature_updates[..] else {
                panic!("one update: {order:?}")
            };
            assert_eq!(update.feature, FEATURE);
            (
                update.max_version_level,
                update.upgrade_type,
                order.validate_only,
            )
        };
        state.orders.iter().map(order).collect()
    }
}

fn serve(mut stream: TcpStream, address: SocketAddr, state: &Mutex<State>) -> io::Result<()> {
    loop {
        let mut size = [0; 4];
        stream.read_exact(&mut size)?;
        let mut frame = vec![0; usize::try_from(u32::from_be_bytes(size)).unwrap()];
        stream.read_exact(&mut frame)?;
        let mut decoder = Decoder::new(frame.into());
        let header = decode_request_header(&mut decoder).unwrap();
        let key = ApiKey::try_from(header.request_api_key).unwrap();
        let mut state = state.lock().unwrap();
        let answer = match key {
            ApiKey::ApiVersions => encode(&header, key, &state.versions()),
            ApiKey::Metadata => encode(&header, key, &metadata(address)),
            ApiKey::DescribeCluster => encode(&header, key, &description(address)),
            ApiKey::UpdateFeatures => {
                let version = header.request_api_version;
                let order = UpdateFeaturesRequest::decode(&mut decoder, version).unwrap();
                match state.obey(order) {
                    Some(response) => encode(&header, key, &response),
                    None => return Ok(()),
                }
            }
            other => panic!("nobody asks for {other}"),
        };
        drop(state);
        stream.write_all(&answer)?;
    }
}

fn encode<M: Message>(header: &RequestHeader, key: ApiKey, message: &M) -> Vec<u8> {
    let version = header.request_api_version;
    let parts = encode_response(header.correlation_id, key, version, message).unwrap();
    let bytes = parts.iter().map(|part| match part {
        Part::Bytes(bytes) => bytes.to_vec(),
        Part::File(region) => panic!("{region:?}"),
    });
    bytes.collect::<Vec<_>>().concat()
}

impl State {
    fn versions(&self) -> ApiVersionsResponse {
        let served = [
            ApiKey::ApiVersions,
            ApiKey::Metadata,
            ApiKey::DescribeCluster,
            ApiKey::UpdateFeatures,
        ];
        let row = |key: ApiKey| ApiVersion {
            api_key: key.into(),
            min_version: key.versions().min,
            max_version: key.versions().max,
        };
        let supported = self.level.map(|_| SupportedFeatureKey {
            name: FEATURE.to_owned(),
            min_version: 1,
            max_version: self.max,
        });
        let finalized = self.level.map(|level| FinalizedFeatureKey {
            name: FEATURE.to_owned(),
            max_version_level: level,
            min_version_level: level,
        });
        ApiVersionsResponse {
            api_keys: served.map(row).to_vec(),
            supported_features: supported.into_iter().collect(),
            finalized_features: finalized.into_iter().collect(),
            finalized_features_epoch: 7,
            ..Default::default()
        }
    }

    /// `None` closes the connection.
    fn obey(&mut self, order: UpdateFeaturesRequest) -> Option<UpdateFeaturesResponse> {
        let wanted = order.feature_updates[0].max_version_level;
        let is_done = matches!(self.fate, Fate::Done | Fate::DoneAndLost);
        if is_done && !order.validate_only {
            self.level = Some(wanted);
        }
        self.orders.push(order);
        match self.fate {
            Fate::Done => Some(UpdateFeaturesResponse::default()),
            Fate::Refused => Some(UpdateFeaturesResponse {
                error_code: ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
                error_message: Some("not yours".to_owned()),
                ..Default::default()
            }),
            Fate::DoneAndLost | Fate::Lost => None,
        }
    }
}

fn metadata(address: SocketAddr) -> MetadataResponse {
    MetadataResponse {
        brokers: vec![MetadataResponseBroker {
            node_id: 1,
            host: address.ip().to_string(),
            port: i32::from(address.port()),
            rack: None,
        }],
        cluster_id: Some(CLUSTER.to_owned()),
        controller_id: 1,
        ..Default::default()
    }
}

fn description(address: SocketAddr) -> DescribeClusterResponse {
    DescribeClusterResponse {
        cluster_id: CLUSTER.to_owned(),
        controller_id: 1,
        brokers: vec![DescribeClusterBroker {
            broker_id: 1,
            host: address.ip().to_string(),
            port: i32::from(address.port()),
            rack: None,
            is_fenced: false,
        }],
        ..Default::default()
    }
}
