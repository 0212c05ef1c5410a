//! May this client do that? Every handler asks here, before it looks whether a thing exists.
//!
//! Without `authorizer.class.name` there are no ACLs and everything is allowed. With it, the rules
//! of [`isthmus_broker_core::security::Authorizer`] decide on the metadata of the moment the
//! request was taken up. Which kind of request asks for what, and what it answers when refused,
//! is the table `broker/testdata/acl_matrix.txt`: a kind that has no row there fails a test.

mod denials;

pub(crate) use denials::Denials;

use crate::broker::Broker;
use crate::operations;
use isthmus_broker_core::metadata::{ConfigResource, MetadataImage};
use isthmus_broker_core::security::{CLUSTER, Operation, Principal, ResourceType};
use isthmus_wire::{ErrorCode, Uuid};
use std::net::IpAddr;
use std::sync::Arc;

/// What the sender of one request may do. Cheap to clone, and free where nothing is forbidden.
#[derive(Clone)]
pub(crate) struct Access(Option<Arc<Sender>>);

struct Sender {
    broker: Arc<Broker>,
    image: Arc<MetadataImage>,
    principal: Principal,
    host: String,
    api: &'static str,
}

impl Access {
    pub(crate) fn new(
        broker: &Arc<Broker>,
        principal: &Principal,
        peer: IpAddr,
        api: &'static str,
    ) -> Self {
        Self(broker.settings.authorizer.as_ref().map(|_| {
            Arc::new(Sender {
                broker: Arc::clone(broker),
                image: broker.image(),
                principal: principal.clone(),
                host: host_address(peer),
                api,
            })
        }))
    }

    /// Of a broker that asks for itself: nothing is forbidden.
    pub(crate) fn of_the_cluster() -> Self {
        Self(None)
    }

    /// `TOPIC_AUTHORIZATION_FAILED` when it may not.
    pub(crate) fn topic(&self, operation: Operation, name: &str) -> Result<(), ErrorCode> {
        let allowed = self.may(operation, ResourceType::Topic, name);
        allowed_or(allowed, ErrorCode::TOPIC_AUTHORIZATION_FAILED)
    }

    /// The same for a topic named by id from some version on. An id that is not known is let pass:
    /// what is answered then says nothing about any topic.
    pub(crate) fn topic_or_id(
        &self,
        operation: Operation,
        name: &str,
        id: Option<Uuid>,
    ) -> Result<(), ErrorCode> {
        let (Some(id), Some(sender)) = (id, &self.0) else {
            return self.topic(operation, name);
        };
        match sender.image.topic_by_id(id) {
            Some(topic) => self.topic(operation, &topic.name),
            None => Ok(()),
        }
    }

    /// The resource whose configuration is read or changed: brokers' belong to the cluster.
    pub(crate) fn config(
        &self,
        operation: Operation,
        resource: &ConfigResource,
    ) -> Result<(), ErrorCode> {
        match resource.kind {
            ConfigResource::TOPIC => self.topic(operation, &resource.name),
            ConfigResource::GROUP => self.group(operation, &resource.name),
            _ => self.cluster(operation),
        }
    }

    pub(crate) fn group(&self, operation: Operation, name: &str) -> Result<(), ErrorCode> {
        let allowed = self.may(operation, ResourceType::Group, name);
        allowed_or(allowed, ErrorCode::GROUP_AUTHORIZATION_FAILED)
    }

    pub(crate) fn transactional_id(&self, operation: Operation, id: &str) -> Result<(), ErrorCode> {
        let allowed = self.may(operation, ResourceType::TransactionalId, id);
        allowed_or(allowed, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    }

    pub(crate) fn cluster(&self, operation: Operation) -> Result<(), ErrorCode> {
        let allowed = self.may(operation, ResourceType::Cluster, CLUSTER);
        allowed_or(allowed, ErrorCode::CLUSTER_AUTHORIZATION_FAILED)
    }

    /// What goes with a refusal to touch the cluster, where the answer has room for words.
    pub(crate) fn cluster_message(&self, operation: Operation) -> String {
        let api = self.0.as_ref().map_or("", |sender| sender.api);
        format!("Request {api} needs {operation} permission.")
    }

    /// Whether it may; a denial is put into the audit log.
    pub(crate) fn may(&self, operation: Operation, kind: ResourceType, name: &str) -> bool {
        let allowed = self.may_quietly(operation, kind, name);
        if let Some(sender) = self.0.as_deref().filter(|_| !allowed) {
            sender.deny(operation, kind, name);
        }
        allowed
    }

    /// The same without a trace: for lists that show what may be seen, and for permissions in the
    /// place of which another one does as well.
    pub(crate) fn may_quietly(&self, operation: Operation, kind: ResourceType, name: &str) -> bool {
        self.0
            .as_ref()
            .is_none_or(|sender| sender.allows(operation, kind, name))
    }

    pub(crate) fn may_on_cluster_quietly(&self, operation: Operation) -> bool {
        self.may_quietly(operation, ResourceType::Cluster, CLUSTER)
    }

    /// Whether there may be a resource of this kind on which it is allowed (KIP-679).
    pub(crate) fn may_somewhere(&self, operation: Operation, kind: ResourceType) -> bool {
        let Some(sender) = self.0.as_deref() else {
            return true;
        };
        let Some(rules) = &sender.broker.settings.authorizer else {
            return true;
        };
        let allowed = rules.allows_somewhere(sender.image.acls(), sender.who(), operation, kind);
        if !allowed {
            sender.deny(operation, kind, "any");
        }
        allowed
    }

    /// The operations allowed on a resource, as the bit set of KIP-430.
    pub(crate) fn operations(&self, kind: ResourceType, name: &str) -> i32 {
        let known = operations::known(kind);
        match self.0.as_deref().and_then(|sender| {
            let rules = sender.broker.settings.authorizer.as_ref()?;
            Some((sender, rules))
        }) {
            None => operations::bits(known),
            Some((sender, rules)) => {
                rules.allowed_operations(sender.image.acls(), sender.who(), (kind, name), known)
            }
        }
    }

    /// The cluster's operations; none for whoever may not even describe it.
    pub(crate) fn cluster_operations(&self) -> i32 {
        if self.cluster(Operation::Describe).is_ok() {
            self.operations(ResourceType::Cluster, CLUSTER)
        } else {
            0
        }
    }
}

impl Sender {
    fn who(&self) -> (&Principal, &str) {
        (&self.principal, &self.host)
    }

    fn allows(&self, operation: Operation, kind: ResourceType, name: &str) -> bool {
        let rules = self.broker.settings.authorizer.as_ref();
        rules.is_none_or(|rules| {
            rules.allows(self.image.acls(), self.who(), operation, (kind, name))
        })
    }

    fn deny(&self, operation: Operation, kind: ResourceType, name: &str) {
        self.broker.metrics.denials(kind, operation).inc();
        let denials = &self.broker.denials;
        denials.note(self.who(), self.api, operation, (kind, name));
    }
}

fn allowed_or(allowed: bool, code: ErrorCode) -> Result<(), ErrorCode> {
    if allowed { Ok(()) } else { Err(code) }
}

/// An address as ACLs spell it: as Java prints it, IPv6 in full and without its mapping of IPv4.
fn host_address(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let groups = address.segments().map(|group| format!("{group:x}"));
            groups.join(":")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_spelled_as_java_does() {
        for (address, spelled) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "0:0:0:0:0:0:0:1"),
            ("fe80::1a:0", "fe80:0:0:0:0:0:1a:0"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(host_address(address.parse().unwrap()), spelled);
        }
    }
}
