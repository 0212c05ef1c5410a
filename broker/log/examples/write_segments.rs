//! Writes a data directory with one partition for Kafka's own dump tool to judge: every codec,
//! several segments, transactions, two leader epochs, a clean shutdown.
//!
//! ```text
//! cargo run -p isthmus-log --example write_segments -- target/segments
//! java -cp 'kafka/libs/*' kafka.tools.DumpLogSegments --deep-iteration --files \
//!     target/segments/orders-0/00000000000000000000.log
//! ```

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use isthmus_log::disk::RealDisk;
use isthmus_log::{
    AppendOrigin, AppendRules, CheckpointKind, Log, LogConfig, LogDirectory, MetaProperties,
    OffsetCheckpoint, OpenContext,
};
use isthmus_wire::Uuid;
use isthmus_wire::batch::{
    BatchBuilder, BatchParams, Compression, ControlRecordType, EndTransactionMarker, TimestampType,
};

const NOW: i64 = 1_700_000_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("which directory?")?;
    let disk = Arc::new(RealDisk);
    let meta = MetaProperties {
        cluster_id: "example".to_owned(),
        node_id: 1,
        directory_id: Uuid([0x42; 16]),
    };
    LogDirectory::format(&*disk, Path::new(&path), &meta)?;
    let directory = LogDirectory::open(&disk, Path::new(&path), "example", 1)?;
    let dir = directory.create_partition("orders", 0, Uuid([0x17; 16]))?;
    let config = LogConfig {
        segment_bytes: 16_000,
        index_interval_bytes: 1000,
        ..LogConfig::default()
    };
    let context = OpenContext {
        recovery_point: 0,
        log_start_offset: 0,
        clean_shutdown: false,
        now_ms: NOW,
    };
    let (mut log, _) = Log::open(&disk, dir, config, context)?;
    fill(&mut log)?;
    log.close()?;
    let key = || ("orders".to_owned(), 0);
    let end = OffsetCheckpoint::from([(key(), log.log_end_offset())]);
    directory.write_checkpoint(CheckpointKind::RecoveryPoint, &end)?;
    directory.write_checkpoint(CheckpointKind::HighWatermark, &end)?;
    let start = OffsetCheckpoint::from([(key(), log.log_start_offset())]);
    directory.write_checkpoint(CheckpointKind::LogStartOffset, &start)?;
    directory.mark_clean_shutdown(7)?;
    Ok(())
}

fn fill(log: &mut Log<RealDisk>) -> Result<(), Box<dyn Error>> {
    let mut sequence = 0;
    for round in 0..40_i32 {
        let epoch = if round < 20 { 0 } else { 3 };
        for codec in Compression::ALL {
            let timestamp_type = if round % 8 == 5 {
                TimestampType::LogAppendTime
            } else {
                TimestampType::CreateTime
            };
            let rules = AppendRules {
                timestamp_type,
                ..AppendRules::default()
            };
            let params = BatchParams {
                compression: codec,
                producer_id: 11,
                producer_epoch: 0,
                base_sequence: sequence,
                ..BatchParams::default()
            };
            let records = 1 + round % 7;
            let batch = data(params, records, NOW + i64::from(round) * 100)?;
            let now = NOW + i64::from(round) * 100 + 50;
            log.append_as_leader(&batch, AppendOrigin::Client, epoch, &rules, now)?;
            sequence += records;
        }
        transaction(log, round, epoch)?;
    }
    Ok(())
}

fn transaction(log: &mut Log<RealDisk>, round: i32, epoch: i32) -> Result<(), Box<dyn Error>> {
    let params = BatchParams {
        producer_id: 12,
        producer_epoch: 1,
        base_sequence: round * 2,
        transactional: true,
        ..BatchParams::default()
    };
    let rules = AppendRules::default();
    let now = NOW + i64::from(round) * 100 + 60;
    let batch = data(params.clone(), 2, now)?;
    log.append_as_leader(&batch, AppendOrigin::Client, epoch, &rules, now)?;
    let kind = if round % 3 == 0 {
        ControlRecordType::Abort
    } else {
        ControlRecordType::Commit
    };
    let control = BatchParams {
        base_sequence: -1,
        control: true,
        ..params
    };
    let mut marker = BatchBuilder::new(control);
    marker.append_end_transaction(
        now,
        kind,
        EndTransactionMarker {
            coordinator_epoch: 2,
        },
    )?;
    let batch = marker.finish()?;
    log.append_as_leader(&batch, AppendOrigin::Coordinator, epoch, &rules, now)?;
    Ok(())
}

fn data(params: BatchParams, records: i32, timestamp: i64) -> Result<bytes::Bytes, Box<dyn Error>> {
    let mut builder = BatchBuilder::new(params);
    for index in 0..records {
        let key = format!("key-{index}");
        let value = format!(
            "value {index} of a record that compresses {}",
            "well ".repeat(20)
        );
        let timestamp = timestamp + i64::from(index);
        builder.append(timestamp, Some(key.as_bytes()), Some(value.as_bytes()), &[])?;
    }
    Ok(builder.finish()?)
}
