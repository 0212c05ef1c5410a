//! Java's admin client.

use super::support::wire::Connection;
use super::{bench, check};

#[test]
fn topics_are_made_described_grown_and_deleted_with_errors_of_their_own() {
    let Some(bench) = bench("java: topics") else {
        return;
    };
    let cluster = &bench.broker.ready.cluster;
    check(
        &bench.own("AdminCalls", "topics", &[]),
        &format!(
            "cluster id: {cluster}
             nodes: 1 controller 1
             rack: null
             operations: null
             validate three: fine
             validate defaults: fine
             validate placed: fine
             validate misplaced: InvalidReplicaAssignmentException
             validate no good: InvalidTopicException
             validate none: InvalidPartitionsException
             validate lonely: InvalidReplicationFactorException
             validate odd: InvalidConfigurationException
             validate wrong: InvalidConfigurationException
             topics after validation: 0
             create three: partitions 3 replicas 1 id given retention.ms 60000
             create defaults: partitions 1 replicas 1 id given retention.ms 604800000
             create placed: partitions 2 replicas 1 id given retention.ms 604800000
             create misplaced: InvalidReplicaAssignmentException
             create no good: InvalidTopicException
             create none: InvalidPartitionsException
             create lonely: InvalidReplicationFactorException
             create odd: InvalidConfigurationException
             create wrong: InvalidConfigurationException
             create three again: TopicExistsException
             topics: [defaults, placed, three]
             describe three: three 0@1/1/1 1@1/1/1 2@1/1/1
             describe placed: placed 0@1/1/1 1@1/1/1
             describe unknown: UnknownTopicOrPartitionException
             describe by id: three 0@1/1/1 1@1/1/1 2@1/1/1
             describe by unknown id: UnknownTopicIdException
             grow three to 5: done
             grow three to 5: InvalidPartitionsException
             grow three to 2: InvalidPartitionsException
             grow unknown: UnknownTopicOrPartitionException
             grow placed: done
             grow placed on a stranger: InvalidReplicaAssignmentException
             three now: 5 partitions
             delete three: done
             delete three again: UnknownTopicOrPartitionException
             delete by id: done
             delete by id again: UnknownTopicIdException
             create three anew: done
             topics left: [placed, three]"
        ),
    );
    bench.broker.stop().succeeded();
}

/// Kafka shows `log.segment.bytes` as changeable; here nothing can be changed at run time yet, so
/// every key of the broker is read-only and altering is refused by name.
#[test]
fn configurations_are_described_with_where_each_value_comes_from() {
    let Some(bench) = bench("java: configs") else {
        return;
    };
    let mut connection = Connection::open(bench.broker.address()).unwrap();
    connection
        .create_topic("filled", 1, &[("segment.bytes", "1048576")])
        .unwrap();
    check(
        &bench.own("AdminCalls", "configs", &[]),
        "unknown topic: UnknownTopicOrPartitionException
         topic segment.bytes: 1048576 from DYNAMIC_TOPIC_CONFIG type INT
         topic retention.ms: 604800000 from DEFAULT_CONFIG type LONG
         topic cleanup.policy: delete from DEFAULT_CONFIG type LIST
         topic min.insync.replicas: 1 from DEFAULT_CONFIG type INT
         topic keys: many, values all
         broker num.partitions: 1 from DEFAULT_CONFIG type INT read-only
         broker log.segment.bytes: 1073741824 from DEFAULT_CONFIG type INT
         broker auto.create.topics.enable: true from DEFAULT_CONFIG type BOOLEAN read-only
         alter: done",
    );
    bench.broker.stop().succeeded();
}

#[test]
fn offsets_of_every_kind_before_and_after_records_are_deleted() {
    let Some(bench) = bench("java: offsets") else {
        return;
    };
    let mut connection = Connection::open(bench.broker.address()).unwrap();
    connection
        .create_topic("filled", 1, &[("retention.ms", "-1")])
        .unwrap();
    connection.create_topic("empty", 1, &[]).unwrap();
    bench.own(
        "Records",
        "produce",
        &["filled", "100", "compression.type=zstd"],
    );
    check(
        &bench.own("AdminCalls", "offsets", &[]),
        "filled at 25: 25 timestamp 1700000000025 epoch 0
         filled at the end of time: -1 timestamp -1 epoch none
         filled earliest: 0 timestamp -1 epoch 0
         filled earliest local: 0 timestamp -1 epoch 0
         filled latest: 100 timestamp -1 epoch 0
         filled latest tiered: -1 timestamp -1 epoch none
         filled max timestamp: 99 timestamp 1700000000099 epoch 0
         filled no such partition: TimeoutException
         delete before 30: low watermark 30
         delete before 10: low watermark 30
         delete before 1000000: OffsetOutOfRangeException
         delete before -1: low watermark 100
         filled at 25: -1 timestamp -1 epoch none
         filled at the end of time: -1 timestamp -1 epoch none
         filled earliest: 100 timestamp -1 epoch 0
         filled earliest local: 100 timestamp -1 epoch 0
         filled latest: 100 timestamp -1 epoch 0
         filled latest tiered: -1 timestamp -1 epoch none
         filled max timestamp: 99 timestamp 1700000000099 epoch 0
         filled no such partition: TimeoutException
         empty at 25: -1 timestamp -1 epoch none
         empty at the end of time: -1 timestamp -1 epoch none
         empty earliest: 0 timestamp -1 epoch 0
         empty earliest local: 0 timestamp -1 epoch 0
         empty latest: 0 timestamp -1 epoch 0
         empty latest tiered: -1 timestamp -1 epoch none
         empty max timestamp: -1 timestamp -1 epoch none
         empty no such partition: TimeoutException
         log dir: sound
         space: told
         replicas: {empty-0=empty lag 0, filled-0=bytes lag 0}",
    );
    bench.broker.stop().succeeded();
}
