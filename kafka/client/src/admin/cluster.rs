//! DescribeCluster, versions 0 to 2, sent to any broker; fenced brokers from version 2 on.

use isthmus_wire::messages::{DescribeClusterRequest, DescribeClusterResponse};

use super::Admin;
use crate::cluster::{Destination, RequestError, Verdict};

/// What a cluster says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    pub cluster_id: String,
    pub controller: Option<i32>,
    pub brokers: Vec<DescribedBroker>,
}

/// A broker as DescribeCluster lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedBroker {
    pub id: i32,
    pub host: String,
    pub port: i32,
    pub rack: Option<String>,
    pub is_fenced: bool,
}

impl Admin {
    /// Brokers, controller and id; fenced brokers too where the broker lists them.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, RequestError> {
        let build = |version| DescribeClusterRequest {
            include_fenced_brokers: version >= 2,
            ..Default::default()
        };
        let judge = |response: &DescribeClusterResponse| Verdict {
            code: response.error_code,
            message: response.error_message.clone(),
        };
        let request =
            self.cluster
                .request(Destination::Any, i16::MAX, self.deadline(), build, judge);
        let response = request.await?;
        let brokers = response.brokers.into_iter().map(|it| DescribedBroker {
            id: it.broker_id,
            host: it.host,
            port: it.port,
            rack: it.rack,
            is_fenced: it.is_fenced,
        });
        Ok(ClusterDescription {
            cluster_id: response.cluster_id,
            controller: (response.controller_id >= 0).then_some(response.controller_id),
            brokers: brokers.collect(),
        })
    }
}
