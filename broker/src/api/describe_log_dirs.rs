//! DescribeLogDirs (35), versions 1–4: what lies in the data directory, and how full its disk is.
//!
//! Versions: 3 a top-level error; 4 total and usable bytes of the file system (KIP-827).

use super::{Call, Reply, Serve};
use crate::broker::Broker;
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use isthmus_wire::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use isthmus_wire::{ErrorCode, VersionRange};
use std::collections::BTreeMap;

pub(super) struct DescribeLogDirs;

impl Serve for DescribeLogDirs {
    type Request = DescribeLogDirsRequest;
    const VERSIONS: VersionRange = VersionRange { min: 1, max: 4 };

    async fn serve(
        call: Call<'_>,
        request: DescribeLogDirsRequest,
    ) -> Reply<DescribeLogDirsResponse> {
        if let Err(error_code) = call.access().cluster(Operation::Describe) {
            return Reply::Now(DescribeLogDirsResponse {
                error_code,
                ..DescribeLogDirsResponse::default()
            });
        }
        let wanted = |topic: &str, partition: i32| match &request.topics {
            None => true,
            Some(topics) => topics
                .iter()
                .any(|asked| asked.topic == topic && asked.partitions.contains(&partition)),
        };
        let result = describe(call.broker, wanted);
        Reply::Now(DescribeLogDirsResponse {
            results: vec![result],
            ..DescribeLogDirsResponse::default()
        })
    }
}

fn describe(broker: &Broker, wanted: impl Fn(&str, i32) -> bool) -> DescribeLogDirsResult {
    let mut topics: BTreeMap<String, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for partition in broker.partitions.all() {
        if wanted(partition.topic(), partition.index()) {
            let entry = topics.entry(partition.topic().to_owned()).or_default();
            entry.push(DescribeLogDirsPartition {
                partition_index: partition.index(),
                partition_size: i64::try_from(partition.size_bytes()).unwrap_or(i64::MAX),
                offset_lag: 0,
                is_future_key: false,
            });
        }
    }
    let topics = topics.into_iter().map(|(name, mut partitions)| {
        partitions.sort_by_key(|partition| partition.partition_index);
        DescribeLogDirsTopic { name, partitions }
    });
    let (total_bytes, usable_bytes) = file_system_bytes(broker);
    DescribeLogDirsResult {
        error_code: ErrorCode::NONE,
        log_dir: broker.settings.data.display().to_string(),
        topics: topics.collect(),
        total_bytes,
        usable_bytes,
    }
}

/// Total and usable bytes of the data directory's file system; -1 where they cannot be read.
fn file_system_bytes(broker: &Broker) -> (i64, i64) {
    let Ok(stat) = rustix::fs::statvfs(&broker.settings.data) else {
        return (-1, -1);
    };
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(stat.f_frsize)).unwrap_or(-1);
    (bytes(stat.f_blocks), bytes(stat.f_bavail))
}
