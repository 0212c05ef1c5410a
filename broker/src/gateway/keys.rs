//! Which kinds of request are offered through the gateway, and the answers to which carry addresses.
//!
//! Invariant, tested against the messages themselves: an answer that has room for a broker's host and
//! port is rewritten, or its kind or version is not offered.

use isthmus_wire::{ApiKey, VersionRange};

/// The last version of Fetch whose answer has no addresses (those of new leaders came with KIP-951, in
/// version 16). Without it the records of every consumer would have to be held and decoded here.
const FETCH_MAX: i16 = 15;

/// From this version on a login is made of Kafka's frames; before, of bare tokens, which nobody can
/// follow who does not take part in it (KIP-152). Version 0 is offered all the same: librdkafka takes a
/// broker without it for one that has no SASL, and then uses 1.
const SASL_HANDSHAKE_MIN: i16 = 1;

/// From where on keys are Isthmus' own, between nodes.
const INTERNAL_FROM: i16 = 10_000;

/// Kinds whose answers bring records and addresses in one frame, in every version (KIP-932).
const HIDDEN: [ApiKey; 2] = [ApiKey::ShareFetch, ApiKey::ShareAcknowledge];

/// Answers that are written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rewriting {
    ApiVersions,
    Metadata,
    FindCoordinator,
    DescribeCluster,
    Produce,
    DescribeQuorum,
}

/// Whose answers, and from which version on: those of Produce say since KIP-951 where new leaders are,
/// those of DescribeQuorum since KIP-853 where controllers are.
const REWRITTEN: [(ApiKey, i16, Rewriting); 6] = [
    (ApiKey::ApiVersions, 0, Rewriting::ApiVersions),
    (ApiKey::Metadata, 0, Rewriting::Metadata),
    (ApiKey::FindCoordinator, 0, Rewriting::FindCoordinator),
    (ApiKey::DescribeCluster, 0, Rewriting::DescribeCluster),
    (ApiKey::Produce, 10, Rewriting::Produce),
    (ApiKey::DescribeQuorum, 2, Rewriting::DescribeQuorum),
];

/// The versions that clients are told of; `None` for kinds that do not pass.
pub(super) fn offered(key: ApiKey) -> Option<VersionRange> {
    if !key.is_on_broker() || i16::from(key) >= INTERNAL_FROM || HIDDEN.contains(&key) {
        return None;
    }
    let mut range = key.advertised();
    if key == ApiKey::Fetch {
        range.max = range.max.min(FETCH_MAX);
    }
    Some(range)
}

/// The versions in which requests pass: those offered but for what is offered for show.
pub(super) fn carried(key: ApiKey) -> Option<VersionRange> {
    let mut range = offered(key)?;
    if key == ApiKey::SaslHandshake {
        range.min = range.min.max(SASL_HANDSHAKE_MIN);
    }
    Some(range)
}

/// How the answer is written anew; `None`: it passes as it came.
pub(super) fn rewriting(key: ApiKey, version: i16) -> Option<Rewriting> {
    let found = REWRITTEN
        .iter()
        .find(|&&(it, from, _)| it == key && version >= from);
    found.map(|&(_, _, how)| how)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Answers whose hosts and ports are those of applications, given by applications.
    const OF_APPLICATIONS: [ApiKey; 2] =
        [ApiKey::StreamsGroupDescribe, ApiKey::StreamsGroupHeartbeat];

    /// The generated sources of all answers, by the kind of request.
    fn answers() -> BTreeMap<ApiKey, String> {
        let folder = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../kafka/wire/src/generated/messages"
        );
        let mut found = BTreeMap::new();
        for &key in ApiKey::ALL {
            let path = format!("{folder}/{}_response.rs", snake(key.name()));
            found.insert(key, std::fs::read_to_string(path).unwrap());
        }
        found
    }

    fn snake(name: &str) -> String {
        let mut text = String::new();
        for c in name.chars() {
            if c.is_ascii_uppercase() && !text.is_empty() {
                text.push('_');
            }
            text.push(c.to_ascii_lowercase());
        }
        text
    }

    /// From which version on the field that holds the addresses exists; 0 where it always does.
    fn from_version(source: &str) -> i16 {
        let lines: Vec<&str> = source.lines().map(str::trim).collect();
        let at = lines.iter().position(|line| {
            ["pub node_endpoints:", "pub nodes:"]
                .iter()
                .any(|field| line.starts_with(field))
        });
        let above = at.and_then(|at| lines.get(at - 1)).copied();
        let text = above.and_then(|line| line.strip_prefix("/// Version"));
        let digits = text.map(|text| text.trim_start_matches(['s', ' ']));
        let digits = digits.and_then(|text| text.split(['-', '.']).next());
        digits.map_or(0, |digits| digits.parse().unwrap())
    }

    #[test]
    fn no_answer_with_a_brokers_address_passes_as_it_came() {
        let mut with_addresses = 0;
        for (key, source) in answers() {
            let has_address = source.contains("pub host: ") && source.contains("pub port: ");
            if !has_address || OF_APPLICATIONS.contains(&key) {
                continue;
            }
            with_addresses += 1;
            let from = from_version(&source);
            let passing = offered(key).into_iter().flat_map(VersionRange::iter);
            for version in passing.filter(|&version| version >= from) {
                assert!(
                    rewriting(key, version).is_some(),
                    "{key} {version} passes addresses"
                );
            }
        }
        assert!(with_addresses >= 12, "{with_addresses}: the test is blind");
    }

    #[test]
    fn a_hot_answer_is_not_rewritten_and_its_versions_end_before_addresses_begin() {
        let fetch = offered(ApiKey::Fetch).unwrap();
        let source = &answers()[&ApiKey::Fetch];
        assert_eq!(fetch.max + 1, from_version(source));
        assert!(
            fetch
                .iter()
                .all(|version| rewriting(ApiKey::Fetch, version).is_none())
        );
    }

    #[test]
    fn nothing_between_nodes_is_offered() {
        for key in [
            ApiKey::ReplicaFetch,
            ApiKey::QuorumVote,
            ApiKey::NodeHandshake,
            ApiKey::Vote,
            ApiKey::FetchSnapshot,
            ApiKey::BrokerHeartbeat,
            ApiKey::Envelope,
        ] {
            assert_eq!(offered(key), None, "{key}");
        }
        let handshake = [offered, carried].map(|range| range(ApiKey::SaslHandshake).unwrap().min);
        assert_eq!(handshake, [0, 1]);
    }
}
