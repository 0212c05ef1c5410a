//! Two brokers and a replicator: mirrored both ways, and what is left when one broker is lost: for a
//! while, and for good.
//!
//! Clients are switched by hand here, by reading the other broker's copy.

use std::time::{Duration, Instant};

use isthmus_testcontainers::Pair;

use crate::http;
use crate::kcat::{Kcat, found, written};

/// How long a daemon may take to see what was done, on a machine that does other things too.
const LIMIT: Duration = Duration::from_secs(60);

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

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_broker_is_failed_over_and_its_return_does_no_harm() {
    if !found("a pair that is failed over") {
        return;
    }
    let pair = Pair::new("east", "west").with_topics(["orders"]).one_way();
    let pair = pair.start().await.unwrap();
    let east = Kcat::at(pair.first.bootstrap());
    let west = Kcat::at(pair.second.bootstrap());
    east.write("orders", 0, 500);
    assert_eq!(west.read_all("east.orders", 500), written(0, 500));
    // It answers: without --forced nothing is given up.
    let failover = ["failover", "--cluster", "east", "--yes", "--json"];
    let refused = pair.replicator.run(failover).await.unwrap();
    assert_eq!(refused.code, 3, "{refused:?}");
    pair.first.kill().await.unwrap();
    // So soon after the start it may not be known yet how much could be lost.
    let forced = [&failover[..], &["--forced"]].concat();
    let done = pair.replicator.run(forced).await.unwrap();
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.stdout.contains("\"verdict\":\"promoted\""), "{done:?}");
    // Nothing that was acknowledged is missing, and clients live on west from now on.
    assert_eq!(west.read("east.orders"), written(0, 500));
    west.write("orders", 1_000, 1_100);
    pair.first.start_again().await.unwrap();
    let deadline = Instant::now() + LIMIT;
    while !http::get(pair.replicator.observe(), "/status").contains("\"promoted at ") {
        assert!(Instant::now() < deadline, "the daemon shows no failover");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // A prefixed copy has its own place and goes on; what clients wrote on west is theirs alone.
    east.write("orders", 500, 600);
    assert_eq!(west.read_all("east.orders", 600), written(0, 600));
    assert_eq!(west.read("orders"), written(1_000, 1_100));
    let release = ["flow", "release", "east-to-west", "--yes"];
    let released = pair.replicator.run(release).await.unwrap();
    assert_eq!(released.code, 0, "{released:?}");
    assert_eq!(pair.replicator.stop().await.unwrap(), 0);
}
