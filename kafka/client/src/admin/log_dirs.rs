//! DescribeLogDirs 1-4, asked of one broker about its own disks.

use isthmus_wire::messages::describe_log_dirs_response::DescribeLogDirsResult;
use isthmus_wire::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};

use super::Admin;
use crate::cluster::{Destination, Refusal, RequestError, Verdict};

/// A directory of logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDir {
    pub path: String,
    pub partitions: Vec<LogDirPartition>,
    /// Of the volume; `None` where the broker does not say (below version 4).
    pub total_bytes: Option<i64>,
    pub usable_bytes: Option<i64>,
}

/// One replica in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDirPartition {
    pub topic: String,
    pub partition: i32,
    pub size_bytes: i64,
    pub offset_lag: i64,
    /// On its way to another directory.
    pub is_future: bool,
}

impl Admin {
    /// The directories of a broker with all their partitions.
    pub async fn describe_log_dirs(
        &self,
        broker: i32,
    ) -> Result<Vec<Result<LogDir, Refusal>>, RequestError> {
        let build = |_version| DescribeLogDirsRequest { topics: None };
        let judge = |response: &DescribeLogDirsResponse| Verdict::from(response.error_code);
        let to = Destination::Broker(broker);
        let request = self
            .cluster
            .request(to, i16::MAX, self.deadline(), build, judge);
        Ok(request.await?.results.into_iter().map(log_dir).collect())
    }
}

fn log_dir(row: DescribeLogDirsResult) -> Result<LogDir, Refusal> {
    let mut partitions = Vec::new();
    for topic in row.topics {
        for it in topic.partitions {
            partitions.push(LogDirPartition {
                topic: topic.name.clone(),
                partition: it.partition_index,
                size_bytes: it.partition_size,
                offset_lag: it.offset_lag,
                is_future: it.is_future_key,
            });
        }
    }
    let known = |bytes: i64| (bytes >= 0).then_some(bytes);
    let dir = LogDir {
        path: row.log_dir,
        partitions,
        total_bytes: known(row.total_bytes),
        usable_bytes: known(row.usable_bytes),
    };
    Refusal::unless_ok(row.error_code, None, || dir)
}
