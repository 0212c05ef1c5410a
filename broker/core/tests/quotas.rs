//! Client quotas: measured as Kafka's classes measure (`testdata/quotas/rates.txt`), held by whom
//! (`precedence.txt`), changed and refused (`alterations.txt`), and what a client gets through that
//! waits as it is told.

#![expect(
    clippy::unwrap_used,
    reason = "a failure here fails the test, with its place"
)]

use isthmus_broker_core::metadata::{MetadataDelta, MetadataImage, MetadataRecord};
use isthmus_broker_core::quotas::{
    AddressUsage, Enforcement, HeldQuota, Meter, MutationUsage, QuotaAlteration, QuotaEntity,
    QuotaFilter, QuotaKey, QuotaOp, QuotaScope, QuotaWindow, RateUsage, TokenBucket,
    alter_client_quotas,
};
use std::net::IpAddr;

fn rows(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// What is being driven.
enum Measured {
    Rate(Meter),
    Bucket(TokenBucket, TokenBucket),
}

#[test]
fn use_is_measured_as_kafka_measures_it() {
    let mut measured = Measured::Rate(Meter::default());
    let (mut quota, mut window) = (0.0, QuotaWindow::default());
    let mut steps = 0;
    for row in rows(include_str!("../testdata/quotas/rates.txt")) {
        let words: Vec<&str> = row
            .split([' ', ':', ','])
            .filter(|word| !word.is_empty())
            .collect();
        match words[..] {
            [kind, value, "over", samples, "samples", "of", seconds, "s"] => {
                quota = value.parse().unwrap();
                window = QuotaWindow::new(samples.parse().unwrap(), seconds.parse().unwrap());
                measured = match kind {
                    "rate" => Measured::Rate(Meter::default()),
                    _ => Measured::Bucket(TokenBucket::default(), TokenBucket::default()),
                };
            }
            [at, amount, "->", ..] => {
                let (at_ms, amount): (i64, f64) = (at.parse().unwrap(), amount.parse().unwrap());
                let answer = match &mut measured {
                    Measured::Rate(meter) => {
                        meter.record(amount, window, at_ms);
                        meter.throttle_ms(quota, window, at_ms).to_string()
                    }
                    Measured::Bucket(strict, permissive) => {
                        let taken = strict.take_if_clear(amount, (quota, window), at_ms);
                        let told =
                            taken.map_or_else(|ms| format!("refused {ms}"), |()| "taken".into());
                        let ms = permissive.take(amount, (quota, window), at_ms);
                        format!("{told}, permissive {ms}")
                    }
                };
                let expected = row.split_once("-> ").unwrap().1;
                assert_eq!(answer, expected, "{row}, quota {quota}, {window:?}");
                steps += 1;
            }
            _ => panic!("{row}"),
        }
    }
    assert!(steps > 300, "{steps}");
}

/// `user=alice,client-id=default`
fn entity(text: &str) -> QuotaEntity {
    let parts = text.split(',').filter(|part| *part != "none");
    let pair = |part: &str| {
        let (kind, name) = part.split_once('=').unwrap();
        let name = Some(name.trim_matches('"').to_owned()).filter(|name| name != "default");
        (kind.to_owned(), name)
    };
    parts.map(pair).collect()
}

fn apply(image: &mut MetadataImage, records: &[MetadataRecord]) {
    for record in records {
        // As it is read again.
        let record = MetadataRecord::from_bytes(record.to_bytes().unwrap()).unwrap();
        let mut delta = MetadataDelta::default();
        image.apply(image.offset + 1, &record, &mut delta);
        assert!(delta.client_quotas_changed);
    }
}

fn alter(image: &mut MetadataImage, asked: &[QuotaAlteration]) -> String {
    let is_host = |name: &str| name.parse::<IpAddr>().is_ok();
    let (verdicts, records) = alter_client_quotas(image.client_quotas(), asked, &is_host);
    apply(image, &records);
    let told = verdicts.values().map(|verdict| match verdict {
        Ok(()) => "ok".to_owned(),
        Err(error) => error.to_string(),
    });
    let told: Vec<String> = told.collect();
    format!("{}, {}", told.join(", "), records.len())
}

fn alteration(text: &str) -> QuotaAlteration {
    let mut words = text.split_whitespace();
    let entity = entity(words.next().unwrap());
    let op = |word: &str| {
        let (key, value) = word.split_once('=').unwrap();
        QuotaOp {
            key: key.to_owned(),
            value: Some(value)
                .filter(|value| !value.is_empty())
                .map(|value| value.parse().unwrap()),
        }
    };
    QuotaAlteration {
        entity,
        ops: words.map(op).collect(),
    }
}

#[test]
fn quotas_are_changed_and_refused_in_kafkas_words() {
    let mut image = MetadataImage::default();
    let mut asked = Vec::new();
    let mut answers = 0;
    for row in rows(include_str!("../testdata/quotas/alterations.txt")) {
        let Some(expected) = row.strip_prefix("-> ") else {
            asked = row.split(" ; ").map(alteration).collect();
            continue;
        };
        assert_eq!(alter(&mut image, &asked), expected, "{asked:?}");
        answers += 1;
    }
    assert!(answers > 25, "{answers}");
    let quotas = image.client_quotas();
    let alice = quotas.get(&entity("user=alice")).unwrap();
    let keys: Vec<&str> = alice.keys().map(String::as_str).collect();
    let expected = [
        "consumer_byte_rate",
        "controller_mutation_rate",
        "request_percentage",
    ];
    assert_eq!(keys, expected);
    assert_eq!(
        alice["request_percentage"], 12.5,
        "a refused request changes nothing"
    );
    assert_eq!(
        quotas.get(&entity("user=bob")).unwrap()["producer_byte_rate"],
        1.0
    );
    let addresses: Vec<_> = quotas.of_addresses().collect();
    assert_eq!(addresses, [(None, 2.0), (Some("127.0.0.1"), 1.0)]);
}

#[test]
fn the_narrowest_quota_holds() {
    let mut image = MetadataImage::default();
    let mut asked = 0;
    for row in rows(include_str!("../testdata/quotas/precedence.txt")) {
        let words: Vec<&str> = row.split(' ').collect();
        match words[..] {
            ["==", ..] => image = MetadataImage::default(),
            ["set", what, value] => set(&mut image, what, Some(value.parse().unwrap())),
            ["unset", what] => set(&mut image, what, None),
            [user, client, "->", ..] => {
                let quotas = image.client_quotas();
                let held = quotas.holding(QuotaKey::RequestPercentage, user, client);
                let expected = row.split_once("-> ").unwrap().1;
                assert_eq!(
                    held.as_ref().map_or("none".to_owned(), told),
                    expected,
                    "{row}"
                );
                let other = quotas.holding(QuotaKey::ProducerByteRate, user, client);
                assert_eq!(other, None, "another key");
                asked += 1;
            }
            _ => panic!("{row}"),
        }
    }
    assert!(asked > 15, "{asked}");
}

fn told(HeldQuota { quota, scope }: &HeldQuota) -> String {
    let QuotaScope { user, client_id } = scope;
    let parts = [("user", user), ("client-id", client_id)];
    let parts = parts
        .iter()
        .filter_map(|(kind, name)| Some(format!("{kind}={}", name.as_ref()?)));
    format!("{quota} of {}", parts.collect::<Vec<_>>().join(","))
}

fn set(image: &mut MetadataImage, what: &str, value: Option<f64>) {
    let key = if what.starts_with("ip=") {
        "connection_creation_rate"
    } else {
        "request_percentage"
    };
    let asked = QuotaAlteration {
        entity: entity(what),
        ops: vec![QuotaOp {
            key: key.to_owned(),
            value,
        }],
    };
    assert_eq!(alter(image, &[asked]), "ok, 1", "{what}");
}

/// `components | strict or loose | matching entities`
const FILTERS: &str = "
                        | loose  | client-id=app client-id=app,user=alice ip=default user=default user=alice
                        | strict |
user 0 alice            | loose  | client-id=app,user=alice user=alice
user 0 alice            | strict | user=alice
user 1                  | loose  | user=default
user 2                  | loose  | client-id=app,user=alice user=default user=alice
user 2                  | strict | user=default user=alice
user 2, client-id 2     | strict | client-id=app,user=alice
client-id 0 app         | loose  | client-id=app client-id=app,user=alice
client-id 1             | loose  |
ip 2                    | loose  | ip=default
ip 0 127.0.0.1          | loose  |
user 0                  | loose  | Request specified MATCH_TYPE_EXACT, but set match string to null.
user 1 alice            | loose  | Request specified MATCH_TYPE_DEFAULT, but also specified a match string.
user 2 alice            | loose  | Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.
user 9                  | loose  | Unknown match type 9
user 2, user 2          | loose  | Entity type user cannot appear more than once in the filter.
user 2, ip 2            | loose  | Invalid entity filter component combination. IP filter component should not be used with user or clientId filter component.
group 2                 | loose  | Unsupported entity type group
";

#[test]
fn filters_show_what_they_match() {
    let mut image = MetadataImage::default();
    for what in [
        "user=alice",
        "user=alice,client-id=app",
        "user=default",
        "client-id=app",
        "ip=default",
    ] {
        set(&mut image, what, Some(1.0));
    }
    for row in rows(FILTERS) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [components, strict, expected] = cells[..] else {
            panic!("{row}")
        };
        let components = components
            .split(", ")
            .filter(|component| !component.is_empty());
        let component = |text: &str| {
            let mut words = text.split(' ');
            let (kind, code) = (words.next().unwrap(), words.next().unwrap());
            (
                kind.to_owned(),
                code.parse().unwrap(),
                words.next().map(str::to_owned),
            )
        };
        let answer =
            match QuotaFilter::read(components.map(component).collect(), strict == "strict") {
                Err(error) => error.to_string(),
                Ok(filter) => {
                    let all = image.client_quotas().iter();
                    let matching = all.filter(|(entity, _)| filter.matches(entity));
                    let names = matching.map(|(entity, _)| spelled(entity));
                    names.collect::<Vec<_>>().join(" ")
                }
            };
        assert_eq!(answer, expected, "{row}");
    }
}

fn spelled(entity: &QuotaEntity) -> String {
    let parts = entity
        .iter()
        .map(|(kind, name)| format!("{kind}={}", name.as_deref().unwrap_or("default")));
    parts.collect::<Vec<_>>().join(",")
}

fn held(quota: f64, user: &str) -> HeldQuota {
    HeldQuota {
        quota,
        scope: QuotaScope {
            user: Some(user.to_owned()),
            client_id: None,
        },
    }
}

/// A minute of a client that sends as fast as it is let, beside one that does not.
#[test]
fn a_client_that_waits_as_told_gets_its_rate_and_no_more() {
    let (greedy, modest) = (held(1_000.0, "greedy"), held(1_000.0, "modest"));
    let mut usage = RateUsage::default();
    let (mut now_ms, mut sent) = (0, 0.0);
    while now_ms < 60_000 {
        let throttle_ms = usage.record(&greedy, 700.0, now_ms);
        sent += 700.0;
        assert_eq!(
            usage.record(&modest, 1.0, now_ms),
            0,
            "not its neighbour's fault"
        );
        now_ms += i64::from(throttle_ms.max(1));
    }
    assert!((55_000.0..=75_000.0).contains(&sent), "{sent}");
    assert_eq!(usage.tracked(), 2);
    usage.forget_inactive(now_ms + 3_600_000);
    assert_eq!(usage.tracked(), 0);
}

#[test]
fn an_answer_that_is_not_given_counts_nothing() {
    let alice = held(100.0, "alice");
    let mut usage = RateUsage::default();
    assert_eq!(usage.most_at_once(&alice), 1_000.0);
    for step in 0..100 {
        assert!(usage.record(&alice, 1_100.0, step) > 0);
        usage.take_back(&alice, 1_100.0, step);
    }
    assert_eq!(usage.record(&alice, 1_000.0, 100), 0);
}

#[test]
fn changes_beyond_the_burst_are_refused_or_waited_for() {
    let mut usage = MutationUsage::default();
    let (strict, permissive) = (held(2.0, "strict"), held(2.0, "permissive"));
    assert_eq!(
        usage.take(&strict, 30.0, Enforcement::Strict, 0),
        Ok(0),
        "the burst is 22"
    );
    assert_eq!(usage.take(&strict, 1.0, Enforcement::Strict, 0), Err(4_000));
    assert_eq!(usage.take(&strict, 1.0, Enforcement::Strict, 4_000), Ok(0));
    assert_eq!(
        usage.take(&permissive, 30.0, Enforcement::Permissive, 0),
        Ok(4_000)
    );
    assert_eq!(
        usage.take(&permissive, 2.0, Enforcement::Permissive, 0),
        Ok(5_000)
    );
}

#[test]
fn addresses_that_come_too_often_are_told_for_how_long() {
    let mut usage = AddressUsage::default();
    let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
    for come in 0..20 {
        assert_eq!(usage.come(one, 2.0, come), Ok(()), "{come}");
    }
    for come in 20..200 {
        let told = usage.come(one, 2.0, come);
        assert!(
            told.is_err_and(|ms| (1..=1_000).contains(&ms)),
            "a sample at most: {told:?}"
        );
    }
    assert_eq!(usage.come(other, 2.0, 200), Ok(()));
    assert_eq!(
        usage.come(one, 2.0, 11_100),
        Ok(()),
        "those turned away did not count"
    );
}
