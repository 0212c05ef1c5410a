//! The client against a real Apache Kafka, started here on free ports of the loopback.
//!
//! Runs only if `ISTHMUS_TEST_KAFKA_LIBS` names the directory with Kafka's jars and `java` is there;
//! otherwise it says so and passes, or fails if `ISTHMUS_TEST_REQUIRE` is 1. One broker with three
//! listeners serves all stories: plain, SASL over TLS, mutual TLS.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod admin;
mod broker;
mod certificates;
mod records;
mod restart;
mod security;

use std::path::PathBuf;
use std::time::Instant;

use broker::Kafka;

/// The directory of the jars, or why there is nothing to run.
fn libs() -> Result<PathBuf, String> {
    let named = std::env::var_os("ISTHMUS_TEST_KAFKA_LIBS");
    let path = named
        .map(PathBuf::from)
        .ok_or("ISTHMUS_TEST_KAFKA_LIBS is not set")?;
    let jars = std::fs::read_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let is_jar = |name: String| name.starts_with("kafka_") && name.ends_with(".jar");
    let found = jars
        .flatten()
        .any(|entry| is_jar(entry.file_name().to_string_lossy().into()));
    if found {
        Ok(path)
    } else {
        Err(format!("{} holds no kafka_*.jar", path.display()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apache_kafka_and_the_client_understand_each_other() {
    let libs = match libs() {
        Ok(libs) => libs,
        Err(why) => {
            let required = std::env::var("ISTHMUS_TEST_REQUIRE").is_ok_and(|value| value == "1");
            assert!(!required, "not run: {why}");
            println!("not run: {why}");
            return;
        }
    };
    let begun = Instant::now();
    let mut kafka = Kafka::start(libs).await;
    println!("Apache Kafka answers after {:.1?}", begun.elapsed());
    macro_rules! story {
        ($story:path) => {
            let begun = Instant::now();
            $story(&kafka).await;
            println!("{} ok {:.1?}", stringify!($story), begun.elapsed());
        };
    }
    story!(admin::describes_itself);
    story!(admin::topics_come_grow_and_go);
    story!(admin::configurations_are_read_and_changed);
    story!(admin::groups_keep_offsets);
    story!(admin::feature_levels_are_read_and_guarded);
    story!(records::batches_of_every_codec_come_back_as_they_went);
    story!(records::offsets_are_found_and_records_deleted);
    story!(records::sequences_are_kept_by_the_broker);
    story!(records::requests_are_pipelined);
    story!(records::wrong_positions_are_refused);
    story!(security::every_mechanism_over_tls);
    story!(security::strangers_are_refused);
    story!(security::sessions_are_renewed_under_way);
    restart::a_killed_broker_loses_and_repeats_nothing(&mut kafka).await;
    println!("restart::a_killed_broker_loses_and_repeats_nothing ok");
    println!("all in {:.1?}", begun.elapsed());
}
