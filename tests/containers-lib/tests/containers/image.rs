//! What the image is, asked of the engine and of the program in it.

use isthmus_testcontainers::Broker;
use isthmus_testcontainers::testcontainers::bollard::query_parameters::InspectContainerOptions;
use isthmus_testcontainers::testcontainers::core::client::docker_client_instance;
use serde_json::{Value, json};

use crate::kcat::found;

/// Whom it runs as.
const USER: &str = "10001";

#[tokio::test(flavor = "multi_thread")]
async fn the_image_has_no_root_no_librdkafka_and_a_volume() {
    if !found("the image") {
        return;
    }
    let broker = Broker::new().start().await.unwrap();
    let docker = docker_client_instance().await.unwrap();
    let image = std::env::var("ISTHMUS_TEST_IMAGE").unwrap();
    let image = docker.inspect_image(&image).await.unwrap();
    let image: Value = serde_json::to_value(&image).unwrap();
    let config = &image["Config"];
    assert_eq!(config["User"], format!("{USER}:{USER}"), "{image:#}");
    assert_eq!(config["Entrypoint"], json!(["/usr/bin/isthmus"]));
    assert!(
        config["Volumes"].to_string().contains("/var/lib/isthmus"),
        "{image:#}"
    );
    let label = |name: &str| &config["Labels"][format!("org.opencontainers.image.{name}")];
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(label("licenses"), "Apache-2.0");
    // The engine is on this machine, so its containers' processes are ours to see.
    let id = broker.container().id();
    let container = docker.inspect_container(id, None::<InspectContainerOptions>);
    let container: Value = serde_json::to_value(container.await.unwrap()).unwrap();
    let status = format!("/proc/{}/status", container["State"]["Pid"]);
    let status = std::fs::read_to_string(status).unwrap();
    assert!(status.contains(&format!("\nUid:\t{USER}\t")), "{status}");
    let program = broker
        .container()
        .copy_file_from("/usr/bin/isthmus", Vec::<u8>::new());
    let program = String::from_utf8_lossy(&program.await.unwrap()).into_owned();
    assert!(program.contains("isthmus_broker"), "not our program");
    for foreign in ["rd_kafka_", "OpenSSL 3."] {
        assert!(
            !program.contains(foreign),
            "{foreign} in the shipped program"
        );
    }
}
