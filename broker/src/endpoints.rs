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

/// The same for the list that clients take as all brokers there are. Where none is live it has the one that
/// answers (`own`), which is there, fenced or not: librdkafka 2.12 and 2.13 never come back from an answer
/// without brokers, since they forget all that they know, those of their configuration too
/// (<https://github.com/confluentinc/librdkafka/issues/5301>).
pub(crate) fn listed<'a>(
    image: &'a MetadataImage,
    listener: &'a str,
    own: i32,
) -> impl Iterator<Item = Reachable<'a>> {
    let has_live = reachable(image, listener).next().is_some();
    let is_listed = move |it: &Reachable<'_>| !it.fenced || !has_live && it.id == own;
    registered(image, listener).filter(is_listed)
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

/// A client that says in which rack it stands, and the listener that it came through.
#[derive(Clone, Copy)]
pub(crate) struct ClientPlace<'a> {
    pub(crate) image: &'a MetadataImage,
    pub(crate) listener: &'a str,
    pub(crate) rack: &'a str,
}

impl ClientPlace<'_> {
    /// Whether that broker stands in the same rack, and has an address for the client.
    pub(crate) fn is_near(&self, broker: i32) -> bool {
        let broker = self.image.broker(broker);
        let found = broker.and_then(|broker| at(broker, self.listener));
        found.is_some_and(|it| it.rack == Some(self.rack))
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use isthmus_broker_core::metadata::{MetadataDelta, MetadataRecord};
    use isthmus_wire::messages::RegisterBrokerRecord;
    use isthmus_wire::messages::register_broker_record::BrokerEndpoint;

    fn image(fenced: [bool; 3]) -> MetadataImage {
        let mut image = MetadataImage::default();
        for (id, fenced) in (1..).zip(fenced) {
            let end_point = BrokerEndpoint {
                name: "clients".to_owned(),
                host: format!("b{id}.example"),
                port: 9092,
                ..BrokerEndpoint::default()
            };
            let record = MetadataRecord::RegisterBroker(RegisterBrokerRecord {
                broker_id: id,
                fenced,
                end_points: vec![end_point],
                ..RegisterBrokerRecord::default()
            });
            image.apply(i64::from(id), &record, &mut MetadataDelta::default());
        }
        image
    }

    fn ids(image: &MetadataImage, own: i32) -> Vec<i32> {
        listed(image, "clients", own).map(|it| it.id).collect()
    }

    #[test]
    fn clients_are_never_told_that_there_is_no_broker() {
        assert_eq!(ids(&image([false, true, false]), 2), [1, 3]);
        assert_eq!(ids(&image([true, true, false]), 1), [3]);
        assert_eq!(ids(&image([true, true, true]), 2), [2]);
        let none = reachable(&image([true, true, true]), "clients").count();
        assert_eq!(none, 0, "nobody coordinates there");
    }
}
