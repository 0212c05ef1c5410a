//! Two brokers and a replicator: mirrored both ways, and what is left when one broker is lost.
//!
//! Clients are switched by hand here, by reading the other broker's copy. `isthmus failover`, which
//! does more, is not part of this test.

use isthmus_testcontainers::Pair;

use crate::http;
use crate::kcat::{Kcat, found, written};

#[tokio::test(flavor = "multi_thread")]
async fn when_one_broker_is_lost_the_other_has_the_records_and_both_agree_when_it_is_back() {
    if !found("a pair") {
        return;
    }
    let pair = Pair::new("east", "west").with_topics(["orders"]);
    let pair = pair.start().await.unwrap();
    let east = Kcat::at(pair.first.bootstrap());
    let west = Kcat::at(pair.second.bootstrap());
    assert_eq!(
        http::status(pair.replicator.observe(), "/healthz"),
        "HTTP/1.1 200 OK"
    );
    east.write("orders", 0, 500);
    west.write("orders", 1_000, 1_200);
    assert_eq!(west.read_all("east.orders", 500), written(0, 500));
    assert_eq!(east.read_all("west.orders", 200), written(1_000, 1_200));
    pair.first.kill().await.unwrap();
    assert_eq!(
        east.read("orders"),
        Vec::<String>::new(),
        "a dead broker answered"
    );
    // Everything that east acknowledged is on west, and west takes what comes now.
    assert_eq!(west.read("east.orders"), written(0, 500));
    west.write("orders", 1_200, 1_300);
    assert_eq!(west.read("orders"), written(1_000, 1_300));
    // The replicator has waited, and goes on by itself.
    pair.first.start_again().await.unwrap();
    assert_eq!(east.read_all("west.orders", 300), written(1_000, 1_300));
    east.write("orders", 500, 600);
    assert_eq!(west.read_all("east.orders", 600), written(0, 600));
    assert_eq!(pair.replicator.stop().await.unwrap(), 0);
}
