//! One partition of one side, read from an offset on as a committed reader sees it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use isthmus_client::fetch::{FetchError, FetchOptions, FetchPosition, FetchedPartition};
use isthmus_client::{Cluster, Deadline, Lane, RequestError};
use isthmus_replicator_core::lane::{AbortedTransaction, AbortedTransactions};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::{BatchError, Record, TimestampType, split_batches};

use super::ends;

/// How long the same offset may bring nothing, with all retries.
const STUCK_MAX: Duration = Duration::from_secs(60);

/// Between two tries.
const AGAIN: Duration = Duration::from_millis(250);

/// Bytes of one answer; the first batch comes whole all the same.
const FETCH_BYTES: i32 = 4 << 20;

/// Most that a batch may be decompressed to.
const DECOMPRESSED_BYTES_MAX: usize = 1 << 30;

#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("{0}")]
    Request(#[from] RequestError),
    #[error("{0}")]
    Batch(#[from] BatchError),
    #[error("nothing came from offset {offset} on for {} s: {last}", STUCK_MAX.as_secs())]
    Stuck { offset: i64, last: String },
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) record: Record,
    /// Its time is that of its append there.
    pub(super) append_time: bool,
}

/// What the comparison reads.
pub(super) trait Log {
    /// The next record, `None` at the end.
    async fn next(&mut self) -> Result<Option<Seen>, ReadError>;
    /// Goes on at `offset`.
    fn seek(&mut self, offset: i64);
    /// The first offset that the log still holds, as far as is known.
    fn start(&self) -> i64;
}

pub(super) struct Reader {
    cluster: Cluster,
    topic: Arc<str>,
    partition: i32,
    next: i64,
    start: i64,
    end: i64,
    log_end: i64,
    read: VecDeque<Seen>,
}

impl Reader {
    /// From its first record on, and at most to `end`.
    pub(super) async fn open(
        cluster: Cluster,
        topic: Arc<str>,
        partition: i32,
        end: i64,
    ) -> Result<Self, ReadError> {
        let (start, log_end) = ends(&cluster, &topic, partition).await?;
        Ok(Self {
            cluster,
            topic,
            partition,
            next: start,
            start,
            end: end.min(log_end),
            log_end,
            read: VecDeque::new(),
        })
    }

    /// A second one of the same log.
    pub(super) fn another(&self) -> Self {
        Self {
            cluster: self.cluster.clone(),
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            next: self.start,
            start: self.start,
            end: self.end,
            log_end: self.log_end,
            read: VecDeque::new(),
        }
    }

    /// Where the log ended when it was opened.
    pub(super) fn log_end(&self) -> i64 {
        self.log_end
    }

    async fn fetch(&self) -> Result<Result<FetchedPartition, ErrorCode>, String> {
        let deadline = Deadline::after(STUCK_MAX);
        let told = |error: RequestError| error.to_string();
        let leader = self.cluster.leader(&self.topic, self.partition, deadline);
        let leader = leader.await.map_err(told)?;
        let metadata = self.cluster.metadata();
        let id = metadata.topics.get(&self.topic).map(|topic| topic.id);
        let connection = self
            .cluster
            .connection(leader.broker, Lane::Fetch(0), deadline);
        let connection = connection.await.map_err(told)?;
        let topic = Arc::clone(&self.topic);
        let at = FetchPosition {
            bytes_max: FETCH_BYTES,
            ..FetchPosition::new(topic, id.unwrap_or_default(), self.partition, self.next)
        };
        let answer = connection.fetch(&FetchOptions::default(), &[at]).await;
        let told = |error: FetchError| error.to_string();
        let fetched = answer.map_err(FetchError::from).map_err(told)?;
        let fetched = fetched.wait().await.map_err(told)?;
        let leaders: Vec<_> = fetched.new_leaders().cloned().collect();
        self.cluster.learn_leaders(&leaders);
        let answered = fetched.partitions.into_iter().next();
        let answered = answered.ok_or("the answer names no partition")?;
        Ok(answered.map_err(|refusal| refusal.code))
    }

    /// Takes the visible records of an answer; false if nothing came.
    fn take(&mut self, fetched: &FetchedPartition) -> Result<bool, BatchError> {
        self.start = self.start.max(fetched.log_start_offset);
        let listed = fetched.aborted.iter().map(|it| AbortedTransaction {
            producer_id: it.producer_id,
            first_offset: it.first_offset,
        });
        let mut aborted = AbortedTransactions::new(listed);
        let before = self.next;
        for batch in split_batches(&fetched.records) {
            let batch = batch?;
            batch.verify_crc()?;
            let is_aborted = aborted.judge(&batch);
            let header = batch.header();
            let append_time = header.timestamp_type() == TimestampType::LogAppendTime;
            if !header.is_control() && !is_aborted && header.last_offset() >= self.next {
                for record in batch.records(DECOMPRESSED_BYTES_MAX)? {
                    let record = record?;
                    if (self.next..self.end).contains(&record.offset) {
                        self.read.push_back(Seen {
                            record,
                            append_time,
                        });
                    }
                }
            }
            self.next = self.next.max(header.next_offset());
        }
        Ok(self.next > before)
    }

    /// Metadata or the log's start have changed; whichever it was, both are asked again.
    async fn look_again(&mut self, code: ErrorCode) -> Result<(), ReadError> {
        if code == ErrorCode::OFFSET_OUT_OF_RANGE {
            let (start, _) = ends(&self.cluster, &self.topic, self.partition).await?;
            self.start = self.start.max(start);
            self.next = self.next.max(start);
        } else {
            self.cluster.refresh(Deadline::after(STUCK_MAX)).await?;
        }
        Ok(())
    }
}

impl Log for Reader {
    async fn next(&mut self) -> Result<Option<Seen>, ReadError> {
        let stuck = Deadline::after(STUCK_MAX);
        let mut last = "no records".to_owned();
        loop {
            if let Some(seen) = self.read.pop_front() {
                return Ok(Some(seen));
            }
            if self.next >= self.end {
                return Ok(None);
            }
            let moved = match self.fetch().await {
                Ok(Ok(fetched)) => self.take(&fetched)?,
                Ok(Err(code)) => {
                    last = code.to_string();
                    self.look_again(code).await?;
                    false
                }
                Err(problem) => {
                    last = problem;
                    false
                }
            };
            if !moved && stuck.sleep(AGAIN).await.is_err() {
                let offset = self.next;
                return Err(ReadError::Stuck { offset, last });
            }
        }
    }

    fn seek(&mut self, offset: i64) {
        let is_read = |seen: &Seen| seen.record.offset <= offset;
        if self.read.front().is_some_and(is_read) {
            while self
                .read
                .front()
                .is_some_and(|it| it.record.offset < offset)
            {
                self.read.pop_front();
            }
            self.next = self.next.max(offset);
        } else {
            self.read.clear();
            self.next = offset.max(self.start);
        }
    }

    fn start(&self) -> i64 {
        self.start
    }
}
