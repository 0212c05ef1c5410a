//! By which listeners clients come in.
//!
//! A listener for nodes knows nobody but nodes where it demands neither a login nor a certificate: the
//! secret is proved by nodes alone. Clients are heard there only where that opens nothing: where they
//! may ask by a listener of their own without saying who they are. A broker without a listener of the
//! kind `client` has them come by that of the kind `broker`, as in Kafka's ordinary layout.

use super::{ClientAuth, Listener, ListenerKind, Settings};

impl Listener {
    /// Whether whoever comes must prove who it is, by a login or a certificate.
    fn demands_proof(&self) -> bool {
        let tls = self.tls.as_ref();
        self.sasl.is_some() || tls.is_some_and(|tls| tls.client_auth == ClientAuth::Required)
    }

    /// Whether everybody may ask there who may ask at `other`.
    fn is_as_open_as(&self, other: &Self) -> bool {
        !self.demands_proof() && (!self.is_only_here() || other.is_only_here())
    }

    fn is_only_here(&self) -> bool {
        self.bind.ip().is_loopback()
    }
}

impl Settings {
    /// Whether clients may ask at that listener of this node. Where they may not, only nodes are heard
    /// there, once they have proved that they know the secret.
    pub fn takes_clients(&self, listener: &Listener) -> bool {
        listener.kind == ListenerKind::Client
            || self.cluster.secret_file.is_none()
            || listener.demands_proof()
            || self
                .clients_doors()
                .any(|door| door.is_as_open_as(listener))
    }

    /// The listeners that are there for clients.
    fn clients_doors(&self) -> impl Iterator<Item = &Listener> {
        let has = |kind| self.listeners.iter().any(|it| it.kind == kind);
        let kind = match has(ListenerKind::Client) {
            true => ListenerKind::Client,
            false => ListenerKind::Broker,
        };
        let listeners = self.listeners.iter().map(AsRef::as_ref);
        listeners.filter(move |it| it.kind == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isthmus_config::{ConfigFile, Layers};

    /// The listeners as kind, host and what they demand; then whether each takes clients.
    const ROWS: &str = "
client:0.0.0.0: broker:0.0.0.0: controller:0.0.0.0:             | yes yes yes
client:0.0.0.0:tls broker:0.0.0.0: controller:0.0.0.0:          | yes yes yes
client:0.0.0.0:sasl broker:0.0.0.0: controller:0.0.0.0:         | yes no no
client:0.0.0.0:mutual broker:0.0.0.0:tls controller:0.0.0.0:tls | yes no no
client:0.0.0.0:sasl client:0.0.0.0: broker:0.0.0.0:             | yes yes yes
client:0.0.0.0:sasl broker:0.0.0.0:sasl controller:0.0.0.0:     | yes yes no
client:0.0.0.0:sasl broker:0.0.0.0: controller:0.0.0.0:mutual   | yes no yes
client:127.0.0.1: broker:0.0.0.0: controller:0.0.0.0:           | yes no no
client:127.0.0.1: broker:127.0.0.1: controller:127.0.0.1:       | yes yes yes
client:127.0.0.1:sasl broker:127.0.0.1: controller:127.0.0.1:   | yes no no
broker:0.0.0.0: controller:0.0.0.0:                             | yes yes
broker:0.0.0.0:sasl controller:0.0.0.0:                         | yes no
broker:127.0.0.1: controller:0.0.0.0:                           | yes no
controller:0.0.0.0:                                             | no
controller:0.0.0.0:mutual                                       | yes
";

    fn settings(listeners: &str, secret: &str) -> Settings {
        let has = |kind: &str| listeners.split_whitespace().any(|it| it.starts_with(kind));
        let roles = match has("client") || has("broker") {
            true => "\"broker\", \"controller\"",
            false => "\"controller\"",
        };
        let mut text = format!(
            "[node]\nid = 1\nroles = [{roles}]\ndata = \"/d\"\n\
             [cluster]\ncontrollers = [\"1@c:9093\"]\n{secret}"
        );
        for (at, row) in listeners.split_whitespace().enumerate() {
            let cells: Vec<&str> = row.split(':').collect();
            let [kind, host, demand] = cells[..] else {
                panic!("{row}")
            };
            let files = "\"tls.cert_file\" = \"/c\"\n\"tls.key_file\" = \"/k\"\n\
                         \"tls.client_ca_file\" = \"/a\"\n";
            let more = match demand {
                "" => String::new(),
                "sasl" => "\"sasl.mechanisms\" = [\"SCRAM-SHA-512\"]\n".to_owned(),
                "tls" => files.to_owned(),
                "mutual" => format!("{files}\"tls.client_auth\" = \"required\"\n"),
                other => panic!("{other}"),
            };
            text += &format!(
                "[[listeners]]\nname = \"l{at}\"\nkind = \"{kind}\"\nbind = \"{host}:9093\"\n\
                 advertised = \"c:9093\"\n{more}"
            );
        }
        let layers = Layers {
            file: Some(ConfigFile::from_text("node.toml", text)),
            ..Layers::default()
        };
        Settings::load(&layers, None).unwrap_or_else(|problems| panic!("{listeners}: {problems}"))
    }

    fn verdicts(settings: &Settings) -> String {
        let verdicts = settings.listeners.iter().map(|it| {
            let takes = settings.takes_clients(it);
            if takes { "yes" } else { "no" }
        });
        verdicts.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_secret_keeps_clients_out_where_they_would_have_to_prove_themselves() {
        for row in ROWS.lines().filter(|row| !row.is_empty()) {
            let (listeners, expected) = row.split_once('|').unwrap();
            let settings = settings(listeners, "secret_file = \"/s\"\n");
            assert_eq!(verdicts(&settings), expected.trim(), "{listeners}");
        }
    }

    #[test]
    fn without_a_secret_whoever_is_on_this_machine_may_play_a_node() {
        let listeners = "client:127.0.0.1:sasl broker:127.0.0.1: controller:127.0.0.1:";
        assert_eq!(verdicts(&settings(listeners, "")), "yes yes yes");
    }
}
