//! The spliced frame is byte for byte the frame that copying would give, and shares the records.

use std::sync::Arc;

use bytes::Bytes;
use isthmus_wire::Uuid;
use isthmus_wire::batch::{self, BATCH_HEADER_LEN, BatchBuilder, BatchParams, BatchView};
use isthmus_wire::codec::{Decoder, Message};
use isthmus_wire::header::decode_request_header;

use super::*;
use crate::places::Places;
use crate::produce::ProducerStamp;

const STAMP: ProducerStamp = ProducerStamp {
    producer_id: 77,
    producer_epoch: 3,
    base_sequence: 9,
};

fn source(value_len: usize) -> Bytes {
    let mut builder = BatchBuilder::new(BatchParams {
        base_offset: 1234,
        ..Default::default()
    });
    builder
        .append(1_000, Some(b"key"), Some(&vec![b'v'; value_len]), &[])
        .unwrap();
    builder.finish().unwrap()
}

fn to(partition: i32, bytes: Bytes, edited: bool) -> PartitionBatch {
    let mut batch = RawBatch::new(bytes).unwrap();
    if edited {
        batch.set_base_offset(0);
        batch.set_producer(STAMP).unwrap();
    }
    let topic = Arc::from(if partition % 2 == 0 { "even" } else { "odd" });
    PartitionBatch {
        topic,
        topic_id: Uuid::ZERO,
        partition,
        batch,
    }
}

fn encode(batches: &[PartitionBatch], version: i16) -> Vec<Part> {
    let asked = batches
        .iter()
        .map(|it| (&it.topic, it.topic_id, it.partition));
    let (_, topics) = Places::group(asked);
    let options = ProduceOptions::default();
    let frame = ProduceFrame {
        options: &options,
        batches,
        topics: &topics,
    };
    frame.encode(5, "me", version).unwrap()
}

fn bytes_of(parts: &[Part]) -> Vec<Bytes> {
    let bytes = parts.iter().map(|part| match part {
        Part::Bytes(bytes) => bytes.clone(),
        Part::File(region) => panic!("{region:?}"),
    });
    bytes.collect()
}

/// What the broker sees: (topic, partition, batch).
fn received(parts: &[Part]) -> Vec<(String, i32, BatchView)> {
    let frame = Bytes::from(bytes_of(parts).concat());
    let size = u32::from_be_bytes(*frame.first_chunk().unwrap());
    assert_eq!(size as usize, frame.len() - 4);
    let mut decoder = Decoder::new(frame.slice(4..));
    let version = decode_request_header(&mut decoder)
        .unwrap()
        .request_api_version;
    let request = ProduceRequest::decode(&mut decoder, version).unwrap();
    decoder.expect_end().unwrap();
    let mut rows = Vec::new();
    for topic in request.topic_data {
        for it in topic.partition_data {
            let records = it.records.unwrap().bytes().unwrap().clone();
            rows.push((
                topic.name.clone(),
                it.index,
                BatchView::new(records).unwrap(),
            ));
        }
    }
    rows
}

#[test]
fn every_batch_arrives_edited_and_sound_whatever_its_size() {
    for version in [3, 8, 9, 12] {
        let sizes = [0, 900, 1024, 3_900, 4_096, 100_000, 4_000, 70_000];
        let batches: Vec<_> = (0..)
            .zip(sizes)
            .map(|(n, size)| to(n, source(size), n != 4))
            .collect();
        let rows = received(&encode(&batches, version));
        assert_eq!(rows.len(), batches.len());
        for (topic, partition, view) in rows {
            view.verify_crc().unwrap();
            let header = view.header();
            let sent = &batches[usize::try_from(partition).unwrap()];
            assert_eq!(*topic, *sent.topic);
            let told = (header.base_offset, header.producer_id, header.base_sequence);
            let edited = (0, STAMP.producer_id, STAMP.base_sequence);
            assert_eq!(
                told,
                if partition == 4 {
                    (1234, -1, -1)
                } else {
                    edited
                }
            );
            assert_eq!(
                view.bytes()[BATCH_HEADER_LEN..],
                sent.batch.unedited()[BATCH_HEADER_LEN..]
            );
        }
    }
}

#[test]
fn large_records_are_not_copied() {
    let large = source(100_000);
    let batches = [to(0, large.clone(), true), to(2, large.clone(), false)];
    let parts = bytes_of(&encode(&batches, 9));
    let shared = |from: usize| {
        let place = large[from..].as_ptr();
        parts.iter().filter(|part| part.as_ptr() == place).count()
    };
    assert_eq!(
        shared(BATCH_HEADER_LEN),
        1,
        "the edited one, behind its new header"
    );
    assert_eq!(shared(0), 1, "the other one as it came");
    let copied: usize = parts
        .iter()
        .map(Bytes::len)
        .filter(|&len| len < 50_000)
        .sum();
    assert!(copied < 300, "{copied} bytes");
}

#[test]
fn the_same_batch_may_go_to_several_partitions() {
    let large = source(50_000);
    let batches = [0, 1, 2, 3].map(|partition| to(partition, large.clone(), partition != 2));
    let rows = received(&encode(&batches, 9));
    let ids: Vec<_> = rows
        .iter()
        .map(|(_, it, view)| (*it, view.header().producer_id))
        .collect();
    assert_eq!(ids, [(0, 77), (2, -1), (1, 77), (3, 77)]);
}

#[test]
fn without_shared_parts_the_splice_gives_up() {
    let batch = to(0, source(50_000), true).batch;
    let copy = Part::Bytes(Bytes::copy_from_slice(batch.unedited()));
    assert!(splice(vec![copy], &[&batch]).is_none());
    assert!(batch::verify_crc(&batch.copied()).is_ok());
}

#[test]
fn only_one_whole_batch_is_taken() {
    let one = source(10);
    RawBatch::new(one.clone()).unwrap();
    for bytes in [
        Bytes::new(),
        one.slice(..one.len() - 1),
        [&one[..], &one[..]].concat().into(),
    ] {
        RawBatch::new(bytes).unwrap_err();
    }
}
