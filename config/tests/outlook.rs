//! What the oracle says of whole models: of those that are shipped, and of small ones made here.
#![expect(clippy::unwrap_used, reason = "a story stops at the first surprise")]

use isthmus_config::ConfigFile;
use isthmus_config::model::draw::draw;
use isthmus_config::model::outcome::{
    Codes, Fate, Given, Lost, Outlook, Rack, Rto, Span, Traffic, placements,
};
use isthmus_config::model::prices::of_table;
use isthmus_config::model::render::Target;
use isthmus_config::model::{LinkKind, Model, SHIPPED};

const MODELS: &str = include_str!("../testdata/outcome/models.txt");
const WARNINGS: &str = include_str!("../testdata/outcome/warnings.txt");

#[test]
fn the_loss_of_each_site_of_each_model() {
    let mut told = Vec::new();
    for (name, _) in SHIPPED {
        let outlook = shipped(name);
        for failure in outlook.clusters.iter().flat_map(|it| &it.failures) {
            let Lost::Site { site } = &failure.lost else {
                continue;
            };
            let quorum = if failure.quorum { "alive" } else { "lost" };
            for left in &failure.topics {
                let (full, worst) = (codes(left.from_full), codes(left.from_worst));
                let topic = &left.topic;
                told.push(format!(
                    "{name} | {site} | {quorum} | {topic} | {full} | {worst}"
                ));
            }
        }
    }
    same(MODELS, &told);
}

#[test]
fn what_each_model_is_warned_of() {
    let told: Vec<String> = SHIPPED
        .iter()
        .map(|(name, _)| {
            let warnings = shipped(name).warnings;
            let ids: Vec<&str> = warnings.iter().map(|it| it.id).collect();
            format!("{name} => {}", ids.join(" ")).trim_end().to_owned()
        })
        .collect();
    same(WARNINGS, &told);
}

/// A claim of the sources holds, or its contradiction is named; both kinds are there.
#[test]
fn every_claim_is_settled() {
    let mut corrected = Vec::new();
    for (name, _) in SHIPPED {
        let outlook = shipped(name);
        assert!(!outlook.claims.is_empty(), "{name}");
        for claim in &outlook.claims {
            assert!(claim.is_settled(), "{name}: {claim:?}");
            corrected.extend(claim.corrected.clone());
        }
    }
    for id in ["X-03", "X-04", "X-12", "X-13"] {
        assert!(corrected.iter().any(|it| it == id), "{id} of {corrected:?}");
    }
}

#[test]
fn a_claim_that_cannot_hold_is_not_settled() {
    let (_, text) = SHIPPED.iter().find(|it| it.0 == "2dc-consistency").unwrap();
    let unexplained = text.replace("corrected = \"X-03\"\n", "");
    assert!(outlook_of(&unexplained).has_unsettled_claims());
    // And one that is called wrong, and holds.
    let doubted = text.replace("leaves = \"X\"\ncorrected", "leaves = \"R\"\ncorrected");
    assert!(outlook_of(&doubted).has_unsettled_claims());
}

/// The last row of table F, from a model in place of numbers; and what closest replicas save (S4-10).
#[test]
fn bytes_between_the_zones_of_a_region() {
    let (_, text) = SHIPPED.iter().find(|it| it.0 == "3az-region").unwrap();
    let all = |text: &str| format!("{:.2}", outlook_of(text).crossing.per_produced_byte_total);
    let closest = outlook_of(text).crossing;
    assert_eq!(all(text), "2.67");
    assert!(!closest.per_produced_byte.contains_key(&Traffic::Fetch));
    assert_eq!(closest.produced_bytes_per_second, 900_000.0);
    // One group of three members; without either of the two settings leaders are read.
    let one_group = text.replace("client.rack=az-", "client.id=az-");
    assert_eq!(all(&one_group), "3.33");
    assert_eq!(
        all(&text.replace("RackAwareReplicaSelector", "Other")),
        "3.33"
    );
    // 2.67 bytes of 900 kB a second for 730 hours, at 0.02 for each 10^9.
    let month = closest.month.unwrap();
    assert!(
        (month - 2.0 * (4.0 / 3.0) * 0.9e6 * 2_628_000.0 / 1e9 * 0.02).abs() < 1e-6,
        "{month}"
    );
}

#[test]
fn a_mirror_carries_every_byte_once() {
    let crossing = shipped("active-passive").crossing;
    assert_eq!(crossing.per_produced_byte[&Traffic::Mirror], 1.0);
    assert_eq!(crossing.per_produced_byte_total, 1.0);
    // Both directions of it: half of what is produced each.
    let both = shipped("active-active").crossing;
    assert_eq!(both.per_produced_byte_total, 1.0);
    assert_eq!(both.links[0].busier_bytes_per_second, 60_000.0);
}

#[test]
fn who_gives_a_price_and_who_does_not() {
    let (_, text) = SHIPPED.iter().find(|it| it.0 == "active-passive").unwrap();
    let link = |text: &str, price_per_gb| {
        let crossing = Outlook::of(&model(text), Given { price_per_gb }).crossing;
        (crossing.links[0].tariff.clone(), crossing.month)
    };
    // The model's own goes before the table's, what is given before both.
    let own = text.replace("amount = 0.02", "amount = 0.5");
    let (tariff, month) = link(&own, None);
    assert_eq!(tariff.unwrap().per_gb, 0.5);
    assert!(month.unwrap() > 0.0);
    assert_eq!(link(&own, Some(0.25)).0.unwrap().per_gb, 0.25);
    let (before, rest) = text.split_once("[[prices]]").unwrap();
    assert!(rest.contains("between-regions"));
    let table = of_table(LinkKind::BetweenRegions).unwrap();
    assert_eq!(link(before, None).0.unwrap(), table);
    assert!(table.day.starts_with("20") && !table.source.is_empty());
    assert!(of_table(LinkKind::BetweenZones).is_some());
    // A link that is of no kind has no price, and no sum is made without it.
    let unknown = before.replace("kind = \"between-regions\"", "# kind");
    assert_eq!(link(&unknown, None), (None, None));
}

#[test]
fn the_floor_under_latency_is_made_of_round_trips() {
    let floors = shipped("stretched-over-regions").latency;
    // Leaders are in all three regions: the nearest one to write to is not the nearest to all.
    let america = &floors[0];
    assert_eq!(america.acks_1, span(0, 160));
    // At home: to Asia and back. In Asia: there and back, and from there to Europe and back.
    assert_eq!(america.acks_all, span(160, 360));
    let asia = &floors[1];
    assert_eq!(asia.acks_all, span(200, 400));
    let one = &shipped("single-site").latency[0];
    assert_eq!((one.acks_1, one.acks_all), (span(0, 0), span(0, 0)));
}

#[test]
fn what_becomes_of_clients() {
    let fates = |model: &str, site: &str| {
        let outlook = shipped(model);
        let site = outlook.sites.iter().find(|it| it.site == site).unwrap();
        let clients = site.clients.iter();
        let clients = clients.map(|it| (it.client.clone(), it.fate, it.switch_to.clone()));
        clients.collect::<Vec<_>>()
    };
    let told = fates("2.5dc", "dc-a");
    let fate = |client: &str| told.iter().find(|it| it.0 == client).unwrap().1;
    assert_eq!(fate("a-payments"), Fate::Gone);
    assert_eq!(fate("b-payments"), Fate::Refused);
    assert_eq!(fate("payments-reader"), Fate::GoesOn);
    let told = fates("active-active", "east-1");
    let of = |client: &str| told.iter().find(|it| it.0 == client).unwrap().clone();
    assert_eq!(of("east-writer").1, Fate::Gone);
    assert_eq!(of("west-writer").1, Fate::Unaffected);
    let told = fates("cross-region-dr", "east-a");
    assert!(told.iter().all(|it| it.2.is_none()), "{told:?}");
    // Both zones gone with the quorum: not asked by site, but by the failure of two.
    let outlook = shipped("cross-region-dr");
    let two = outlook.clusters[0].failures.iter();
    let two = two.filter(|it| matches!(it.lost, Lost::TwoSites { .. }));
    for failure in two {
        assert!(!failure.quorum);
        assert_eq!(failure.brokers_left, 1);
        assert_eq!(codes(failure.topics[0].from_full), "R to X");
        assert_eq!(failure.topics[0].rto, Rto::Return);
    }
}

/// What may be lost, and what ends the wait, by kind of failure.
#[test]
fn losses_and_waits() {
    let told = |model: &str| -> Vec<String> {
        let outlook = shipped(model);
        let failures = outlook.clusters[0].failures.iter();
        let told = failures.map(|failure| {
            let left = &failure.topics[0];
            let words = serde_json::to_value((
                &failure.lost,
                failure.quorum,
                left.rpo_acks_all,
                left.rpo_acks_1,
                left.rto,
            ));
            let words = words.unwrap();
            let lost = &words[0]["kind"];
            format!("{lost} {} {} {} {}", words[1], words[2], words[3], words[4]).replace('"', "")
        });
        let mut told: Vec<String> = told.collect();
        told.dedup();
        told
    };
    let expected = [
        "site true zero replication-lag election",
        "node true zero replication-lag election",
        // The controllers, whose loss nobody waits for.
        "node true zero zero zero",
        "site-and-broker true until-return replication-lag operator",
        "two-sites false until-return until-return return",
    ];
    assert_eq!(told("3az-region"), expected);
    let expected = [
        "site true zero replication-lag election",
        "node true zero replication-lag election",
        // Here the broker elsewhere has a vote.
        "site-and-broker false until-return until-return return",
        "two-sites false until-return until-return return",
    ];
    assert_eq!(told("3dc"), expected);
    let expected = [
        "site true unknown unknown election",
        "site false until-return until-return return",
        "node true zero replication-lag election",
        "site-and-broker false until-return until-return return",
    ];
    assert_eq!(told("2dc-availability"), expected);
    let expected = [
        "site false until-return until-return return",
        "node false until-return until-return return",
    ];
    assert_eq!(told("single-site"), expected);
    // Consistency first, and the loss of a site: what is lost is nothing, who waits is everybody.
    let consistent = told("2dc-consistency");
    assert_eq!(consistent[0], "site true zero replication-lag operator");
}

/// Rule 21: what Kafka would lose with a site, or make wait, Isthmus has at the other one.
#[test]
fn racks_count_where_there_are_such() {
    let model = Model::find("2.5dc").unwrap();
    let told = |target: Target| {
        let outlook = Outlook::of(&model.on(target), Given::default());
        let cluster = &outlook.clusters[0];
        let at_one = cluster
            .topics
            .iter()
            .find(|it| it.name == "ledger")
            .unwrap();
        let mut left = cluster.failures[0].topics.iter();
        let left = left.find(|it| it.topic == "ledger").unwrap();
        let warned = outlook.warnings.iter();
        let warned = warned.filter(|it| it.id == "S2-02" && it.what.contains("ledger"));
        let (full, worst) = (codes(left.from_full), codes(left.from_worst));
        (full, worst, at_one.isr_in_one_site, warned.count())
    };
    let (r, w, x) = ("R".to_owned(), "W".to_owned(), "X".to_owned());
    assert_eq!(told(Target::Isthmus), (r.clone(), r, false, 0));
    assert_eq!(told(Target::ApacheKafka), (w, x, true, 1));
}

/// Every kind of placement that is as even as the racks allow, and no other.
#[test]
fn placements_over_racks() {
    let racks = |brokers: &[(usize, u32)]| -> Vec<Rack> {
        let racks = brokers.iter();
        racks
            .map(|&(site, brokers)| Rack { site, brokers })
            .collect()
    };
    let told = |brokers: &[(usize, u32)], replicas: u32| {
        let sites = brokers.iter().map(|it| it.0 + 1).max().unwrap();
        let mut all: Vec<String> = placements(&racks(brokers), replicas)
            .iter()
            .map(|it| {
                let at = it.replicas.at_sites(sites);
                let at: Vec<String> = at.iter().map(ToString::to_string).collect();
                format!("{} {:.2}", at.join("+"), it.share)
            })
            .collect();
        all.sort();
        all.join(", ")
    };
    let three = [(0, 2), (1, 2), (2, 2)];
    assert_eq!(told(&three, 3), "1+1+1 1.00");
    assert_eq!(told(&three, 4), "1+1+2 0.33, 1+2+1 0.33, 2+1+1 0.33");
    assert_eq!(told(&three, 2), "0+1+1 0.33, 1+0+1 0.33, 1+1+0 0.33");
    // A full rack takes no more; two racks at one site make that site heavy (S4-04).
    assert_eq!(told(&[(0, 3), (1, 1)], 4), "3+1 1.00");
    assert_eq!(told(&[(0, 1), (0, 1), (1, 2)], 2), "1+1 0.67, 2+0 0.33");
    assert_eq!(told(&[(0, 1), (0, 1), (1, 2)], 3), "2+1 1.00");
}

/// S4-04: a layout that breaks the spread is planned, and told.
#[test]
fn an_uneven_layout_is_planned_and_told() {
    let (_, text) = SHIPPED.iter().find(|it| it.0 == "3az-region").unwrap();
    let mut text = (*text).to_owned();
    // Brokers 5 and 6 move to the first zone, and 4 is gone: 4+1.
    for id in [5, 6] {
        let node = format!("id = {id}\ncluster = \"pay\"\nsite = \"az-c\"");
        assert!(text.contains(&node));
        text = text.replace(&node, &node.replace("az-c", "az-a"));
    }
    let node = "[[nodes]]\nid = 4\ncluster = \"pay\"\nsite = \"az-b\"\nroles = [\"broker\"]\nport = 9122\n";
    assert!(text.contains(node));
    let text = text.replace(node, "");
    let outlook = outlook_of(&text.replace("replication_factor = 3", "replication_factor = 4"));
    let ids: Vec<&str> = outlook.warnings.iter().map(|it| it.id).collect();
    assert!(ids.contains(&"S4-04"), "{ids:?}");
    assert_eq!(outlook.clusters[0].topics[0].spreads[0].layout, "3+1");
}

#[test]
fn every_model_has_its_picture() {
    for (name, _) in SHIPPED {
        let model = Model::find(name).unwrap();
        let svg = draw(&model);
        assert!(
            svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"),
            "{name}"
        );
        assert!(svg.contains("prefers-color-scheme: dark"), "{name}");
        let count = |class: &str| svg.matches(&format!("class=\"{class}\"")).count();
        assert_eq!(count("site"), model.sites.len(), "{name}");
        assert_eq!(count("link"), model.links.len(), "{name}");
        assert_eq!(count("flow"), model.flows.len(), "{name}");
        assert_eq!(
            count("broker") + count("controller"),
            model.nodes.len(),
            "{name}"
        );
        for client in &model.clients {
            assert!(svg.contains(&client.name), "{name}: {}", client.name);
        }
    }
    let (_, text) = SHIPPED.iter().find(|it| it.0 == "single-site").unwrap();
    let odd = text.replace("no copy anywhere else.", "a < b & \\\"c\\\"");
    assert!(draw(&model(&odd)).contains("a &lt; b &amp; &quot;c&quot;"));
}

fn shipped(name: &str) -> Outlook {
    Outlook::of(&Model::find(name).unwrap(), Given::default())
}

fn model(text: &str) -> Model {
    Model::load(ConfigFile::from_text("m", text.to_owned())).unwrap()
}

fn outlook_of(text: &str) -> Outlook {
    Outlook::of(&model(text), Given::default())
}

fn codes(codes: Codes) -> String {
    match codes.best == codes.worst {
        true => codes.worst.to_string(),
        false => format!("{} to {}", codes.best, codes.worst),
    }
}

fn span(least_ms: u64, most_ms: u64) -> Span {
    Span { least_ms, most_ms }
}

fn same(table: &str, told: &[String]) {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    let expected: Vec<&str> = lines.collect();
    assert_eq!(expected, told, "told:\n{}", told.join("\n"));
}
