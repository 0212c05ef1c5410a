//! A broker that answers by kind of request, on every connection, and keeps what it was asked.

use std::collections::HashMap;
use std::sync::Arc;

use isthmus_client::net::Stream;
use isthmus_wire::codec::Request;
use isthmus_wire::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use isthmus_wire::messages::{MetadataRequest, MetadataResponse};
use isthmus_wire::{ApiKey, ErrorCode, Uuid};
use parking_lot::Mutex;

use crate::net::{FakeNet, Listener};
use crate::peer::{Incoming, Peer, all_versions};

/// What a broker does with a request.
pub(crate) enum Reply {
    Frame(Vec<u8>),
    Close,
}

type Handler = Box<dyn FnMut(&Incoming) -> Reply + Send>;

/// A broker; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Script(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    handlers: HashMap<ApiKey, Handler>,
    asked: Vec<Incoming>,
}

impl Script {
    /// Starts a broker at an address, with answers to ApiVersions.
    pub(crate) fn start(net: &FakeNet, address: &str) -> Self {
        let script = Self::default();
        script.on_frame(ApiKey::ApiVersions, |it| {
            Reply::Frame(it.answer(&all_versions()))
        });
        tokio::spawn(script.clone().listen(net.listen(address)));
        script
    }

    async fn listen(self, mut listener: Listener) {
        while let Some(stream) = listener.recv().await {
            tokio::spawn(self.clone().serve(stream));
        }
    }

    /// Serves one connection.
    pub(crate) async fn serve(self, stream: impl Stream) {
        let mut peer = Peer::new(stream);
        while let Some(incoming) = peer.next().await {
            match self.reply(&incoming) {
                Reply::Frame(frame) => peer.send(&frame).await,
                Reply::Close => return,
            }
        }
    }

    fn reply(&self, incoming: &Incoming) -> Reply {
        let mut state = self.0.lock();
        state.asked.push(incoming.clone());
        match state.handlers.get_mut(&incoming.key) {
            Some(handler) => handler(incoming),
            None => panic!("nobody said what to answer to {}", incoming.key),
        }
    }

    /// Answers requests of this kind from now on.
    pub(crate) fn on<R: Request>(&self, mut answer: impl FnMut(R) -> R::Response + Send + 'static) {
        self.on_frame(R::KEY, move |it| {
            Reply::Frame(it.answer(&answer(it.read())))
        });
    }

    /// Does something else with requests of this kind from now on.
    pub(crate) fn on_frame(
        &self,
        key: ApiKey,
        handler: impl FnMut(&Incoming) -> Reply + Send + 'static,
    ) {
        self.0.lock().handlers.insert(key, Box::new(handler));
    }

    /// Answers Metadata with this.
    pub(crate) fn knows(&self, metadata: MetadataResponse) {
        self.on(move |request: MetadataRequest| told(&metadata, &request));
    }

    /// The requests of one kind, as they came.
    pub(crate) fn asked<R: Request>(&self) -> Vec<R> {
        let state = self.0.lock();
        state
            .asked
            .iter()
            .filter(|it| it.key == R::KEY)
            .map(Incoming::read)
            .collect()
    }
}

/// What a broker that knows all this tells of the topics asked for.
fn told(all: &MetadataResponse, request: &MetadataRequest) -> MetadataResponse {
    let mut answer = all.clone();
    if let Some(topics) = &request.topics {
        answer.topics = topics
            .iter()
            .map(|topic| of_topic(all, topic.name.as_deref()))
            .collect();
    }
    answer
}

fn of_topic(all: &MetadataResponse, name: Option<&str>) -> MetadataResponseTopic {
    let known = all
        .topics
        .iter()
        .find(|topic| topic.name.as_deref() == name);
    known.cloned().unwrap_or_else(|| MetadataResponseTopic {
        name: name.map(str::to_owned),
        error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ..Default::default()
    })
}

/// The cluster `fake` with brokers 1 and 2 at `b1:9092` and `b2:9092`, led by controller 1.
pub(crate) fn two_brokers(topics: Vec<MetadataResponseTopic>) -> MetadataResponse {
    let broker = |node_id: i32| MetadataResponseBroker {
        node_id,
        host: format!("b{node_id}"),
        port: 9092,
        rack: None,
    };
    MetadataResponse {
        brokers: [1, 2].map(broker).to_vec(),
        cluster_id: Some("fake".to_owned()),
        controller_id: 1,
        topics,
        ..Default::default()
    }
}

/// A topic with (leader, epoch) for every partition.
pub(crate) fn topic(name: &str, id: u8, leaders: &[(i32, i32)]) -> MetadataResponseTopic {
    let partition =
        |(index, &(leader_id, leader_epoch)): (usize, &(i32, i32))| MetadataResponsePartition {
            partition_index: i32::try_from(index).unwrap(),
            leader_id,
            leader_epoch,
            ..Default::default()
        };
    MetadataResponseTopic {
        name: Some(name.to_owned()),
        topic_id: Uuid([id; 16]),
        partitions: leaders.iter().enumerate().map(partition).collect(),
        ..Default::default()
    }
}
