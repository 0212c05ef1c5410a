//! The gateway's file as tables of keys (`docs/gateway.md`).

use isthmus_config::{Form, Key, KeyTable, Kind, Schema};

static SCHEMA: Schema = Schema {
    tables: &[
        KeyTable {
            name: "gateway",
            form: Form::Plain,
            keys: GATEWAY,
            doc: "This gateway. May be left out.",
        },
        KeyTable {
            name: BROKERS,
            form: Form::Repeated,
            keys: BROKER,
            doc: "A broker that clients are taken to.",
        },
        KeyTable {
            name: LISTENERS,
            form: Form::Repeated,
            keys: LISTENER,
            doc: "An address that clients know: one host, a port to begin at, and one port per broker.",
        },
    ],
    rules: &[],
    env_ignored: &["ISTHMUS_LOG", "ISTHMUS_TEST_", "ISTHMUS_FAULT"],
};

pub(super) const BROKERS: &str = "brokers";
pub(super) const LISTENERS: &str = "listeners";

/// The schema of the gateway's file.
pub fn schema() -> &'static Schema {
    &SCHEMA
}

/// TCP asks no more often than once a second whether the other end is there, and gives up after three.
const SILENCE: Kind = Kind::Duration {
    min_ms: 3_000,
    max_ms: 3_600_000,
};

const WAIT: Kind = Kind::Duration {
    min_ms: 1,
    max_ms: 3_600_000,
};

const GATEWAY: &[Key] = &[
    Key::optional("observe", Kind::Address)
        .doc("Address of /metrics, /healthz and /readyz. Answers GET only; absent: not served."),
    Key::with_default("max_connections", Kind::Int { min: 1, max: 1_000_000 }, "10000")
        .doc("Connections of clients at the same time, of all listeners together; beyond it new ones are closed.")
        .worst("each takes two sockets, about 20 kB while it is idle and 150 kB while it is busy"),
    Key::with_default("connect_timeout", WAIT, "2s")
        .doc("How long a connection to a broker may take to be made. After it the next broker is tried at a bootstrap port, and the client's connection is closed at a broker's port.")
        .worst("too short, and brokers far away are never reached"),
    Key::with_default("broker_silence", SILENCE, "10s")
        .doc("For how long nothing may come back of what was sent to a broker, until its machine is taken for gone and the client's connection is closed.")
        .worst("too short, and a broker that makes a client wait for its quota is taken for gone"),
    Key::with_default("client_silence", SILENCE, "60s")
        .doc("The same of a client's machine. A client that reads nothing for so long is given up, too.")
        .worst("too short, and consumers that take long over what they polled are cut off"),
    Key::with_default("idle_timeout", Kind::Duration { min_ms: 1_000, max_ms: 86_400_000 }, "11m")
        .doc("How long a client may ask nothing until its connection is closed. Brokers and clients close idle connections themselves, after ten and nine minutes.")
        .worst("below the clients' max.poll.interval.ms, a group that waits for a slow member is cut off"),
    Key::with_default("drain_timeout", WAIT, "5s")
        .doc("When the gateway is told to stop: how long requests under way may take to get their answers."),
    Key::with_default("request_bytes_max", Kind::Bytes { min: 1 << 10, max: i32::MAX as i64 }, "100MiB")
        .doc("Largest request. As socket.request.max.bytes of the brokers; nothing of that size is ever held."),
];

const BROKER: &[Key] = &[
    Key::required("id", Kind::Int { min: 0, max: 65_535 })
        .doc("The broker's node id, as the cluster knows it; its port is first_port and this together."),
    Key::required("address", Kind::Address)
        .doc("Where the gateway reaches it: a listener for clients, without TLS. Names are looked up at each connection."),
];

const LISTENER: &[Key] = &[
    Key::required("name", Kind::Text).doc("Name of the listener in logs and metrics."),
    Key::required("bind", Kind::Text)
        .doc("Address of this machine to listen at, without a port: 0.0.0.0 for all."),
    Key::required("host", Kind::Text)
        .doc("What clients of this listener are told to connect to: a name or an address, without a port.")
        .worst("what clients cannot reach, they only notice after their first request"),
    Key::required("bootstrap_port", Kind::Int { min: 1, max: 65_535 })
        .doc("Port for a client's first connection: it comes to any broker that can be reached."),
    Key::required("first_port", Kind::Int { min: 0, max: 65_535 })
        .doc("Broker i is reached at this port plus i."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_has_no_faults() {
        assert_eq!(schema().faults(), Vec::<String>::new());
    }
}
