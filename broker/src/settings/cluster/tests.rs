//! Layouts of clusters: what works, and what is said of those that cannot.

use crate::settings::Settings;
use isthmus_config::{ConfigFile, Layers};

const THREE: &str = "controllers = [\"1@a:9093\", \"2@b:9093\", \"3@c:9093\"]";
const CLIENTS: &str = "[[listeners]]\nname = \"clients\"\nbind = \"127.0.0.1:0\"\n";
const BROKERS: &str =
    "[[listeners]]\nname = \"brokers\"\nkind = \"broker\"\nbind = \"127.0.0.1:0\"\n";
const CONTROLLERS: &str =
    "[[listeners]]\nname = \"controllers\"\nkind = \"controller\"\nbind = \"127.0.0.1:0\"\n";

fn load(node: &str, cluster: &str, rest: &[&str]) -> Result<Settings, String> {
    let text = format!(
        "[node]\nid = 1\ndata = \"/d\"\n{node}\n[cluster]\n{cluster}\n{}",
        rest.concat()
    );
    let layers = Layers {
        file: Some(ConfigFile::from_text("node.toml", text)),
        ..Layers::default()
    };
    Settings::load(&layers, None).map_err(|problems| problems.to_string())
}

#[test]
fn layouts_that_work() {
    let alone = load("", "", &[CLIENTS]).unwrap();
    assert!(alone.cluster.is_alone());
    let named = load("", "controllers = [\"1@a:9093\"]", &[CLIENTS]).unwrap();
    assert!(named.cluster.is_alone(), "its own and only controller");
    let both = load("", THREE, &[CLIENTS, BROKERS, CONTROLLERS]).unwrap();
    assert!(!both.cluster.is_alone());
    assert_eq!(both.cluster.controllers.len(), 3);
    assert_eq!(both.cluster.controllers[2].to_string(), "3@c:9093");
    let witness = load("roles = [\"controller\"]", THREE, &[CONTROLLERS]).unwrap();
    assert!(witness.roles().controller && !witness.roles().broker);
    let others = "controllers = [\"2@b:9093\"]";
    load("roles = [\"broker\"]", others, &[BROKERS]).unwrap();
}

#[test]
fn layouts_that_cannot_work_are_refused_with_the_remedy() {
    let broker = "roles = [\"broker\"]";
    let controller = "roles = [\"controller\"]";
    for (node, cluster, rest, words) in [
        (
            "",
            "controllers = [\"a:9093\"]",
            &[CLIENTS][..],
            "write each as id@host:port",
        ),
        (
            "",
            "controllers = [\"1@a:0\"]",
            &[CLIENTS],
            "1@a:0 is no controller",
        ),
        (
            "",
            "controllers = [\"1@a:1\", \"1@b:1\"]",
            &[CLIENTS],
            "names an id twice",
        ),
        (
            "",
            "controllers = [\"1@a:1\", \"2@a:1\"]",
            &[CLIENTS],
            "names an address twice",
        ),
        (
            "",
            "controllers = [\"2@a:1\", \"3@b:1\"]",
            &[CLIENTS],
            "does not name this node",
        ),
        (
            broker,
            THREE,
            &[BROKERS],
            "has not the role of a controller",
        ),
        (
            broker,
            "",
            &[BROKERS],
            "name the controllers as id@host:port",
        ),
        (
            "",
            THREE,
            &[CLIENTS, BROKERS],
            "add one of kind \"controller\"",
        ),
        (
            "",
            THREE,
            &[CLIENTS, CONTROLLERS],
            "add one of kind \"broker\"",
        ),
        (
            controller,
            THREE,
            &[CLIENTS, CONTROLLERS],
            "has not the role of a broker",
        ),
        ("roles = []", "", &[CLIENTS], "names no role"),
    ] {
        let said = load(node, cluster, rest).unwrap_err();
        assert!(said.contains(words), "{node} {cluster}: {said}");
    }
}

#[test]
fn nodes_from_elsewhere_must_prove_themselves() {
    let open = BROKERS.replace("127.0.0.1", "0.0.0.0") + "advertised = \"b:9094\"\n";
    let said = load("", "", &[CLIENTS, &open]).unwrap_err();
    assert!(said.contains("set cluster.secret_file"), "{said}");
    load("", "secret_file = \"/s\"", &[CLIENTS, &open]).unwrap();
    let guarded = open
        + "tls.cert_file = \"/c\"\ntls.key_file = \"/k\"\ntls.client_ca_file = \"/a\"\n\
           tls.client_auth = \"required\"\n";
    load("", "", &[CLIENTS, &guarded]).unwrap();
    let asked = guarded.replace("required", "requested");
    load("", "", &[CLIENTS, &asked]).unwrap_err();
}

#[test]
fn nodes_that_show_certificates_can_check_those_of_others() {
    let shown = "tls.cert_file = \"/c\"\ntls.key_file = \"/k\"\n";
    for blind in [[BROKERS, shown, CONTROLLERS], [BROKERS, CONTROLLERS, shown]] {
        let said = load("", THREE, &[CLIENTS, &blind.concat()]).unwrap_err();
        assert!(said.contains("tls.client_ca_file"), "{said}");
        assert!(said.contains("sign the nodes' certificates"), "{said}");
    }
    let trusting = format!("{shown}tls.client_ca_file = \"/a\"\n");
    load(
        "",
        THREE,
        &[CLIENTS, BROKERS, &trusting, CONTROLLERS, &trusting],
    )
    .unwrap();
    // Who is alone calls nobody.
    load("", "", &[CLIENTS, BROKERS, shown]).unwrap();
}

#[test]
fn an_even_number_of_voters_is_told() {
    let two = "controllers = [\"1@a:1\", \"2@b:1\"]";
    let settings = load("", two, &[CLIENTS, BROKERS, CONTROLLERS]).unwrap();
    let notices: Vec<String> = settings.notices().iter().map(ToString::to_string).collect();
    assert!(
        notices.iter().any(|it| it.contains("names 2 voters")),
        "{notices:?}"
    );
    let three = load("", THREE, &[CLIENTS, BROKERS, CONTROLLERS]).unwrap();
    assert!(three.notices().is_empty());
}

#[test]
fn a_session_outlasts_two_heartbeats_and_an_election() {
    let kafka = |session: u32, heartbeat: u32| {
        let keys = format!(
            "[kafka]\n\"broker.session.timeout.ms\" = {session}\n\
             \"broker.heartbeat.interval.ms\" = {heartbeat}\n"
        );
        load("", "", &[CLIENTS, &keys])
    };
    kafka(9_000, 2_000).unwrap();
    kafka(1_600, 800).unwrap();
    assert!(
        kafka(1_599, 500)
            .unwrap_err()
            .contains("write 1600 or more")
    );
    assert!(
        kafka(2_000, 1_001)
            .unwrap_err()
            .contains("at most half of it")
    );
}
