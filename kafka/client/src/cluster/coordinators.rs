//! Finding the broker that coordinates a group or a transactional id.

use isthmus_wire::codec::Request;
use isthmus_wire::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use isthmus_wire::{ApiKey, ErrorCode};

use super::{Broker, Cluster, Lane, Node, RequestError};
use crate::connection::Connection;
use crate::deadline::Deadline;
use crate::net::Address;

/// Most coordinators remembered; beyond it they are found anew.
const REMEMBERED_MAX: usize = 10_000;

/// First version that asks for several keys at once.
const BATCHED_FROM: i16 = 4;

/// What is coordinated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CoordinatorKind {
    Group,
    Transaction,
}

impl CoordinatorKind {
    fn key_type(self) -> i8 {
        match self {
            Self::Group => 0,
            Self::Transaction => 1,
        }
    }
}

impl Cluster {
    /// The connection to the coordinator of a group or a transactional id.
    pub async fn coordinator_connection(
        &self,
        kind: CoordinatorKind,
        key: &str,
        deadline: Deadline,
    ) -> Result<Connection, RequestError> {
        let remembered = self
            .0
            .coordinators
            .lock()
            .get(&(kind, key.to_owned()))
            .cloned();
        let broker = match remembered {
            Some(broker) => broker,
            None => self.find_coordinator(kind, key, deadline).await?,
        };
        let node = Node::Broker(broker.id);
        Ok(self
            .open(node, Lane::Control, &broker.address, deadline)
            .await?)
    }

    /// The coordinator moved or is gone.
    pub(super) fn forget_coordinator(&self, kind: CoordinatorKind, key: &str) {
        self.0.coordinators.lock().remove(&(kind, key.to_owned()));
    }

    async fn find_coordinator(
        &self,
        kind: CoordinatorKind,
        key: &str,
        deadline: Deadline,
    ) -> Result<Broker, RequestError> {
        let connection = self.any_connection(deadline).await?;
        let version = connection.version(ApiKey::FindCoordinator)?;
        let request = FindCoordinatorRequest {
            key: if version < BATCHED_FROM {
                key.to_owned()
            } else {
                String::new()
            },
            key_type: kind.key_type(),
            coordinator_keys: if version < BATCHED_FROM {
                vec![]
            } else {
                vec![key.to_owned()]
            },
        };
        let response = connection.call_by(&request, version, deadline).await?;
        let broker = found(response, version)?;
        let mut coordinators = self.0.coordinators.lock();
        if coordinators.len() >= REMEMBERED_MAX {
            coordinators.clear();
        }
        coordinators.insert((kind, key.to_owned()), broker.clone());
        Ok(broker)
    }
}

fn found(response: FindCoordinatorResponse, version: i16) -> Result<Broker, RequestError> {
    const API: ApiKey = FindCoordinatorRequest::KEY;
    let (id, host, port, code, message) = if version < BATCHED_FROM {
        let it = response;
        (
            it.node_id,
            it.host,
            it.port,
            it.error_code,
            it.error_message,
        )
    } else {
        let first = response.coordinators.into_iter().next();
        let it = first.ok_or(RequestError::Incomplete { api: API })?;
        (
            it.node_id,
            it.host,
            it.port,
            it.error_code,
            it.error_message,
        )
    };
    if code.is_error() {
        return Err(RequestError::Refused {
            api: API,
            code,
            message,
        });
    }
    match u16::try_from(port) {
        Ok(port) => Ok(Broker {
            id,
            address: Address { host, port },
            rack: None,
        }),
        Err(_) => Err(RequestError::Refused {
            api: API,
            code: ErrorCode::COORDINATOR_NOT_AVAILABLE,
            message: Some(format!("port {port}")),
        }),
    }
}
