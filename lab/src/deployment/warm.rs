//! Waiting until every flow mirrors, so that a drill measures the mirror and not its start.
//!
//! A few records of nobody's drill are written to each mirrored topic, and waited for at the target.
//! In the ledgers of the audits they are rows of kind `n`, which count for nothing.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use isthmus_client::Deadline;
use isthmus_client::admin::OffsetSpec;
use isthmus_client::fetch::IsolationLevel;
use isthmus_config::model::{Flow, Naming, Topic};
use regex::Regex;

use super::topics::connect;
use super::{DeployError, Deployment};
use crate::load::client::Who;
use crate::load::producer::{ProducerOptions, produce};

/// MirrorMaker 2 takes 20 to 30 s to its first record on an idle machine, and ten times that on one
/// that compiles beside it.
const MIRRORED_WITHIN: Duration = Duration::from_secs(300);

/// Between two looks at the target.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// One look at the target.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// Records that are written ahead; with as many keys they reach most partitions.
const RECORDS: u32 = 64;

/// What their values name as their drill.
const DRILL: &str = "warm-up";

impl Deployment {
    /// Waits until the first records of every flow are at its target.
    pub(super) async fn warm_up(&mut self) -> Result<(), DeployError> {
        let mut written = Vec::new();
        for (flow, topic) in self.mirrored() {
            let place = (flow.source.clone(), topic.name.clone());
            if !written.contains(&place) {
                self.write_first_records(&flow.source, topic).await?;
                written.push(place);
            }
        }
        let until = Deadline::after(MIRRORED_WITHIN);
        let pairs = self.mirrored();
        let pairs: Vec<_> = pairs
            .map(|(flow, topic)| (flow.clone(), topic.clone()))
            .collect();
        for (flow, topic) in pairs {
            self.wait_for(&flow, &topic, until).await?;
        }
        Ok(())
    }

    /// Each flow with each topic that it mirrors.
    fn mirrored(&self) -> impl Iterator<Item = (&Flow, &Topic)> {
        self.model.flows.iter().flat_map(|flow| {
            let topics = self.model.topics.iter();
            let topics = topics.filter(move |topic| topic.clusters.contains(&flow.source));
            topics
                .filter(move |topic| takes(flow, &topic.name))
                .map(move |topic| (flow, topic))
        })
    }

    async fn write_first_records(&self, cluster: &str, topic: &Topic) -> Result<(), DeployError> {
        let options = ProducerOptions {
            who: Who {
                drill: DRILL.to_owned(),
                name: format!("{DRILL}-{cluster}-{}", topic.name),
                site: "lab".to_owned(),
                cluster: cluster.to_owned(),
                bootstrap: self.model.bootstrap(cluster),
                folder: self.folder.join(DRILL),
                settings: Vec::new(),
            },
            topic: topic.name.clone(),
            records_per_second: RECORDS,
            keys: RECORDS,
            record_bytes: 100,
            records: Some(u64::from(RECORDS)),
        };
        // It ends by itself: its records are few, and expire.
        let wrote =
            tokio::task::spawn_blocking(move || produce(&options, &AtomicBool::new(false), |_| {}));
        let outcome = wrote.await.expect("a producer does not panic");
        let wrote = outcome.map_err(|cause| DeployError::FirstRecords {
            topic: topic.name.clone(),
            cluster: cluster.to_owned(),
            cause,
        })?;
        tracing::debug!(event = "first_records", cluster, topic = %topic.name, acked = wrote.acked);
        Ok(())
    }

    async fn wait_for(
        &mut self,
        flow: &Flow,
        topic: &Topic,
        until: Deadline,
    ) -> Result<(), DeployError> {
        let name = mirrored_name(flow, &topic.name);
        let wanted = i64::from(RECORDS);
        let mut seen = 0;
        while seen < wanted {
            self.check()?;
            if until.has_passed() {
                return Err(self.not_mirrored(flow, name, seen));
            }
            tokio::time::sleep(LOOK_EVERY).await;
            seen = self.records_at(&flow.target, &name, topic.partitions).await;
        }
        Ok(())
    }

    /// How many records are in a topic; none while it is not there, or its cluster does not say.
    async fn records_at(&self, cluster: &str, topic: &str, partitions: u32) -> i64 {
        let Ok(client) = connect(&self.model, cluster) else {
            return 0;
        };
        let topic: Arc<str> = topic.into();
        let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
        let wanted: Vec<_> = (0..partitions)
            .map(|partition| (Arc::clone(&topic), partition, OffsetSpec::Latest))
            .collect();
        let admin = client.admin().with_timeout(LOOK_MAX);
        let ends = admin.list_offsets(&wanted, IsolationLevel::ReadUncommitted);
        let ends = ends.await.into_iter().flatten();
        ends.filter_map(|it| it.offset).sum()
    }

    fn not_mirrored(&self, flow: &Flow, topic: String, seen: i64) -> DeployError {
        let mut mirrors = self.mirrors.iter();
        let mirror = mirrors.find(|mirror| mirror.site() == flow.site);
        DeployError::NotMirrored {
            flow: flow.name(),
            topic,
            seconds: MIRRORED_WITHIN.as_secs(),
            seen,
            wanted: i64::from(RECORDS),
            log: mirror.map(|it| it.last_lines()).unwrap_or_default(),
        }
    }
}

/// Whether a flow mirrors a topic. Its patterns were not checked yet: one that is none matches
/// nothing, and the mirror itself says what is wrong with it.
fn takes(flow: &Flow, topic: &str) -> bool {
    let matches = |patterns: &[String]| {
        patterns.iter().any(|pattern| {
            let whole = Regex::new(&format!("^(?:{pattern})$"));
            whole.is_ok_and(|whole| whole.is_match(topic))
        })
    };
    matches(&flow.topics) && !matches(&flow.exclude)
}

/// What a topic is called at the target.
fn mirrored_name(flow: &Flow, topic: &str) -> String {
    match flow.naming {
        Naming::SourcePrefix => format!("{}.{topic}", flow.source),
        // Under owner-prefix a topic has its owner's name from birth.
        Naming::OwnerPrefix | Naming::Identity => topic.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isthmus_config::model::Model;

    #[test]
    fn a_flow_takes_topics_whose_whole_name_fits() {
        let model = Model::find("active-passive").unwrap();
        let mut flow = model.flows[0].clone();
        flow.topics = vec!["orders.*".to_owned(), "payments".to_owned()];
        flow.exclude = vec!["orders-tmp.*".to_owned()];
        let taken = [
            "orders",
            "orders-eu",
            "payments",
            "orders-tmp-1",
            "my-orders",
            "payments2",
        ];
        let taken = taken.map(|topic| takes(&flow, topic));
        assert_eq!(taken, [true, true, true, false, false, false]);
        assert_eq!(mirrored_name(&flow, "orders"), "east.orders");
        flow.naming = Naming::Identity;
        assert_eq!(mirrored_name(&flow, "orders"), "orders");
    }
}
