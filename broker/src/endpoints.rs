//! How other brokers are shown to the clients of one listener.

use isthmus_broker_core::metadata::{BrokerRegistration, MetadataImage};

/// A live broker at the address that belongs to the listener asked through.
pub(crate) struct Reachable<'a> {
    pub(crate) id: i32,
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) rack: Option<&'a str>,
    pub(crate) fenced: bool,
}

/// Live brokers that have a listener of this name.
pub(crate) fn reachable<'a>(
    image: &'a MetadataImage,
    listener: &'a str,
) -> impl Iterator<Item = Reachable<'a>> {
    registered(image, listener).filter(|broker| !broker.fenced)
}

/// All brokers that have a listener of this name, fenced ones too.
pub(crate) fn registered<'a>(
    image: &'a MetadataImage,
    listener: &'a str,
) -> impl Iterator<Item = Reachable<'a>> {
    image
        .brokers()
        .filter_map(move |broker| at(broker, listener))
}

/// Those of `replicas` that no live broker holds.
pub(crate) fn offline(image: &MetadataImage, replicas: &[i32]) -> Vec<i32> {
    let live = |id: i32| image.broker(id).is_some_and(|broker| !broker.fenced);
    replicas.iter().copied().filter(|&id| !live(id)).collect()
}

fn at<'a>(broker: &'a BrokerRegistration, listener: &str) -> Option<Reachable<'a>> {
    broker.endpoints.get(listener).map(|endpoint| Reachable {
        id: broker.id,
        host: &endpoint.host,
        port: endpoint.port,
        rack: broker.rack.as_deref(),
        fenced: broker.fenced,
    })
}
