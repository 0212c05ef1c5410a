//! One broker: found by clients at the address they are told, with its settings, killed and back.

use isthmus_testcontainers::{Broker, StartError};

use crate::http;
use crate::kcat::{Kcat, found, written};

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_is_killed_and_comes_back_with_its_records_where_it_was() {
    if !found("one broker") {
        return;
    }
    let broker = Broker::new().with_setting("num.partitions", "3");
    let broker = broker.start().await.unwrap();
    let kcat = Kcat::at(broker.bootstrap());
    kcat.write("orders", 0, 300);
    assert_eq!(kcat.read("orders"), written(0, 300));
    let listed = kcat.run(&["-L", "-t", "orders"], "");
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.contains(&format!("broker 1 at {}", broker.bootstrap())),
        "{listed}"
    );
    assert!(listed.contains("\"orders\" with 3 partitions"), "{listed}");
    assert_eq!(http::status(broker.observe(), "/readyz"), "HTTP/1.1 200 OK");
    broker.kill().await.unwrap();
    assert_eq!(
        kcat.read("orders"),
        Vec::<String>::new(),
        "a dead broker answered"
    );
    broker.start_again().await.unwrap();
    assert_eq!(kcat.read_all("orders", 300), written(0, 300));
    kcat.write("orders", 300, 310);
    assert_eq!(kcat.read("orders"), written(0, 310));
    assert_eq!(broker.stop().await.unwrap(), 0);
    let log = broker.log().await.unwrap();
    assert!(log.contains("SIGTERM"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_does_not_come_up_says_why() {
    if !found("a wrong setting") {
        return;
    }
    let broker = Broker::new().with_setting("num.partition", "3");
    let error = broker.start().await.unwrap_err();
    assert!(matches!(error, StartError::Ended { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("the nearest known name is num.partitions"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_there_is_named() {
    if !found("no image") {
        return;
    }
    // A registry at a port where nobody listens refuses at once.
    let broker = Broker::new().with_image("127.0.0.1:9/isthmus:none");
    let text = broker.start().await.unwrap_err().to_string();
    assert!(
        text.contains("there is no image 127.0.0.1:9/isthmus:none"),
        "{text}"
    );
    assert!(text.contains("cargo xtask image"), "{text}");
}
