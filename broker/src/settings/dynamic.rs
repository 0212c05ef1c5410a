//! The values that change while the broker runs.
//!
//! [`DynamicSettings`] lays what metadata says of this broker over what it was started with. It is
//! shared by all clones of the settings, follows the image before the image is shown, and tells those
//! who subscribed. Who works by a key that may change reads it here when needed, or subscribes.

use isthmus_broker_core::config::{BrokerLayers, ConfigValues, Effect, broker_key, listener_key};
use isthmus_broker_core::metadata::{ConfigResource, MetadataDelta, MetadataImage, SESSION_KEY};
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

pub(crate) struct DynamicSettings {
    node_id: i32,
    /// What file, environment and flags gave, by Kafka's names.
    fixed: Arc<ConfigValues>,
    current: watch::Sender<Arc<BrokerLayers>>,
}

impl DynamicSettings {
    pub(super) fn new(node_id: i32, fixed: ConfigValues) -> Self {
        let fixed = Arc::new(fixed);
        let layers = BrokerLayers::new(None, None, Arc::clone(&fixed));
        Self {
            node_id,
            fixed,
            current: watch::Sender::new(Arc::new(layers)),
        }
    }

    /// What the broker was started with.
    pub(crate) fn fixed(&self, name: &str) -> Option<String> {
        self.fixed.get(name).cloned()
    }

    pub(crate) fn current(&self) -> Arc<BrokerLayers> {
        Arc::clone(&self.current.borrow())
    }

    /// The layers at each change; the first is there at once.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<BrokerLayers>> {
        self.current.subscribe()
    }

    /// Whether a change of metadata concerns this broker's keys.
    pub(crate) fn is_touched(&self, delta: &MetadataDelta) -> bool {
        let mut changed = delta.configs_changed.iter();
        changed.any(|resource| *resource == self.own() || *resource == ConfigResource::broker(""))
    }

    /// Takes over what the image says.
    pub(crate) fn follow(&self, image: &MetadataImage) {
        let before = self.current();
        let own = image.config(&self.own());
        let cluster = image.config(&ConfigResource::broker(""));
        let after = BrokerLayers::new(own, cluster, Arc::clone(&self.fixed));
        tell_of_idle(&before, &after);
        tell_of_session(&before, &after, &self.fixed);
        self.current.send_replace(Arc::new(after));
    }

    fn own(&self) -> ConfigResource {
        ConfigResource::broker(&self.node_id.to_string())
    }
}

/// A value may be anyone's secret.
impl fmt::Debug for DynamicSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DynamicSettings")
    }
}

/// Says once that the cluster's session is another one than the node's file asks for.
fn tell_of_session(before: &BrokerLayers, after: &BrokerLayers, fixed: &ConfigValues) {
    let (own, cluster) = (fixed.get(SESSION_KEY), after.value(SESSION_KEY));
    let is_new = cluster != before.value(SESSION_KEY);
    if let Some(own) = own.filter(|own| is_new && Some(own.as_str()) != cluster) {
        tracing::warn!(
            event = "session_of_the_cluster",
            own,
            cluster,
            "broker.session.timeout.ms of this node's file does not count: the cluster has another one; \
             change either"
        );
    }
}

/// Says once which of the new values do nothing.
fn tell_of_idle(before: &BrokerLayers, after: &BrokerLayers) {
    let is_new = |name: &&str| before.value(name) != after.value(name);
    for name in after.dynamic_names().filter(is_new) {
        let key = broker_key(name).or_else(|| listener_key(name));
        if let Some(Effect::Nothing(why)) = key.map(|key| key.effect) {
            tracing::warn!(event = "config_without_effect", key = name, why);
        }
    }
}
