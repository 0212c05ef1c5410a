//! Where both sides of partitions are: starts, ends and topic ids, asked for many partitions at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join;
use isthmus_client::admin::{ByPartition, ListedOffset, OffsetSpec};
use isthmus_client::fetch::IsolationLevel;
use isthmus_replicator_core::lane::TargetLimits;
use isthmus_replicator_core::names::{SourceOffset, TargetOffset};
use isthmus_replicator_core::partition::{Event, Failure, Found, Side, Start};

use super::acts::failure;
use super::mirrored::At;
use super::{Done, Flow};
use crate::context::FlowContext;
use crate::scan;

/// One look, with its retries; a partition without a leader holds up those asked for with it.
const SEEK_MAX: Duration = Duration::from_secs(5);

/// Looks under way, so that one slow side does not hold up all.
const SEEKS_MAX: usize = 4;

/// Partitions of one look.
const PARTITIONS_MAX: usize = 2_000;

#[derive(Default)]
pub(super) struct Seeking {
    wanted: BTreeMap<At, Option<Start>>,
    under_way: usize,
}

impl Seeking {
    pub(super) fn want(&mut self, at: At, start: Option<Start>) {
        self.wanted.insert(at, start);
    }
}

/// A partition that is looked for.
struct Seek {
    at: At,
    topic: Arc<str>,
    target_topic: Arc<str>,
    partition: i32,
    start: Option<Start>,
    /// The target's limits are asked anew.
    limits: bool,
}

pub(super) struct Sought {
    at: At,
    found: Result<Found, (Side, Failure)>,
    limits: Option<TargetLimits>,
}

impl Flow {
    pub(super) fn start_seeks(&mut self) {
        while !self.seeking.wanted.is_empty() && self.seeking.under_way < SEEKS_MAX {
            let mut seeks = vec![];
            while let Some((at, start)) = self.seeking.wanted.pop_first() {
                let mirrored = &self.partitions[at];
                seeks.push(Seek {
                    at,
                    topic: Arc::clone(&mirrored.topic),
                    target_topic: Arc::clone(&mirrored.target_topic),
                    partition: mirrored.partition,
                    start,
                    limits: mirrored.limits_stale,
                });
                if seeks.len() == PARTITIONS_MAX {
                    break;
                }
            }
            self.seeking.under_way += 1;
            let ctx = Arc::clone(&self.ctx);
            self.work.push(seek(ctx, seeks).map(Done::Sought).boxed());
        }
    }

    pub(super) fn sought(&mut self, all: Vec<Sought>) {
        self.seeking.under_way -= 1;
        for it in all {
            if let Some(limits) = it.limits {
                self.partitions[it.at].limits = Some(limits);
                self.partitions[it.at].limits_stale = false;
            }
            let event = match it.found {
                Ok(mut found) => {
                    let map = &self.partitions[it.at].map;
                    found.source_of_target_end = map.source_at(found.target_end).offset();
                    Event::Found(found)
                }
                Err((side, failure)) => Event::SeekFailed(side, failure),
            };
            self.feed(it.at, event);
        }
    }
}

async fn seek(ctx: Arc<FlowContext>, seeks: Vec<Seek>) -> Vec<Sought> {
    let all = |spec: OffsetSpec| -> Vec<(Arc<str>, i32, OffsetSpec)> {
        let of = |it: &Seek| (Arc::clone(&it.topic), it.partition, spec);
        seeks.iter().map(of).collect()
    };
    let (starts, ends) = (all(OffsetSpec::Earliest), all(OffsetSpec::Latest));
    let target = |it: &Seek| {
        (
            Arc::clone(&it.target_topic),
            it.partition,
            OffsetSpec::Latest,
        )
    };
    let targets: Vec<_> = seeks.iter().map(target).collect();
    let source_admin = ctx.source.admin().with_timeout(SEEK_MAX);
    let target_admin = ctx.target.admin().with_timeout(SEEK_MAX);
    let level = IsolationLevel::ReadUncommitted;
    let source = async {
        let starts = source_admin.list_offsets(&starts, level).await;
        let ends = source_admin.list_offsets(&ends, level).await;
        (starts, ends, begin(&ctx, &seeks).await)
    };
    let target = target_admin.list_offsets(&targets, level);
    let ((starts, ends, begins), targets) = join(source, target).await;
    let limits = limits(&ctx, &seeks).await;
    let rows = starts.into_iter().zip(ends).zip(begins).zip(targets);
    let found = rows
        .zip(&seeks)
        .map(|((((start, end), begin), target), seek)| Sought {
            at: seek.at,
            found: found(&ctx, seek, [start, end], begin, target),
            limits: limits.get(&seek.target_topic).copied(),
        });
    found.collect()
}

/// What `start` comes to, where it was asked and is neither end: `None` for those.
async fn begin(ctx: &FlowContext, seeks: &[Seek]) -> Vec<Option<Result<ListedOffset, Failure>>> {
    let spec = |it: &Seek| match it.start {
        // The end of what is decided: what an open transaction wrote may still come.
        Some(Start::Latest) => Some(OffsetSpec::Latest),
        Some(Start::Time { ms }) => Some(OffsetSpec::AtTimestamp(ms)),
        Some(Start::Earliest | Start::At(_)) | None => None,
    };
    let asked = seeks
        .iter()
        .filter_map(|it| Some((Arc::clone(&it.topic), it.partition, spec(it)?)));
    let asked: Vec<_> = asked.collect();
    let admin = ctx.source.admin().with_timeout(SEEK_MAX);
    let listed: ByPartition<ListedOffset> = match asked.is_empty() {
        true => vec![],
        false => {
            admin
                .list_offsets(&asked, IsolationLevel::ReadCommitted)
                .await
        }
    };
    let mut listed = listed.into_iter();
    let mut answer = |it: &Seek| {
        spec(it)?;
        let outcome = listed.next()?;
        Some(outcome.map_err(|error| failure(error.code())))
    };
    seeks.iter().map(&mut answer).collect()
}

fn found(
    ctx: &FlowContext,
    seek: &Seek,
    source: [Result<ListedOffset, isthmus_client::RequestError>; 2],
    begin: Option<Result<ListedOffset, Failure>>,
    target: Result<ListedOffset, isthmus_client::RequestError>,
) -> Result<Found, (Side, Failure)> {
    let offset = |side: Side, listed: Result<ListedOffset, isthmus_client::RequestError>| {
        let listed = listed.map_err(|error| {
            tracing::debug!(event = "seek_failed", ?side, topic = &*seek.topic, %error);
            (side, failure(error.code()))
        })?;
        Ok(listed.offset.unwrap_or(0))
    };
    let [start, end] = source;
    let source_start = SourceOffset(offset(Side::Source, start)?);
    let source_end = SourceOffset(offset(Side::Source, end)?);
    let begin = begin
        .transpose()
        .map_err(|failure| (Side::Source, failure))?;
    let start_at = match seek.start {
        Some(Start::At(at)) => Some(at),
        // Nothing is that young: from the end on.
        Some(Start::Latest | Start::Time { .. }) => {
            let listed = begin.and_then(|listed| listed.offset);
            Some(listed.map_or(source_end, SourceOffset))
        }
        Some(Start::Earliest) | None => None,
    };
    let id = |cluster: &isthmus_client::Cluster, topic: &Arc<str>| {
        let metadata = cluster.metadata();
        metadata
            .topics
            .get(topic)
            .map(|it| it.id)
            .unwrap_or_default()
    };
    Ok(Found {
        source_topic_id: id(&ctx.source, &seek.topic),
        source_start,
        source_end,
        start_at,
        target_topic_id: id(&ctx.target, &seek.target_topic),
        target_end: TargetOffset(offset(Side::Target, target)?),
        // Added where the map is.
        source_of_target_end: None,
    })
}

async fn limits(ctx: &FlowContext, seeks: &[Seek]) -> BTreeMap<Arc<str>, TargetLimits> {
    let stale = seeks.iter().filter(|it| it.limits);
    let mut limits = BTreeMap::new();
    for it in stale {
        if !limits.contains_key(&it.target_topic)
            && let Some(found) = scan::topic_limits(ctx, &it.target_topic).await
        {
            limits.insert(Arc::clone(&it.target_topic), found);
        }
    }
    limits
}
