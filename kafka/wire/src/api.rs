//! What is known of each kind of request: versions, header versions, listeners.
//!
//! The facts are in `protocol/apis.json`; the enum itself is generated.

use std::fmt;

use crate::ApiKey;

/// A closed range of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VersionRange {
    pub min: i16,
    pub max: i16,
}

impl VersionRange {
    pub const fn new(min: i16, max: i16) -> Self {
        Self { min, max }
    }

    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// What both ranges have in common.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let common = Self {
            min: self.min.max(other.min),
            max: self.max.min(other.max),
        };
        (common.min <= common.max).then_some(common)
    }

    pub fn iter(self) -> impl DoubleEndedIterator<Item = i16> {
        self.min..=self.max
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.min, self.max)
    }
}

/// A number that stands for no kind of request known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown api key {0}")]
pub struct UnknownApiKey(pub i16);

/// One row of the table of APIs.
pub(crate) struct ApiRow {
    pub(crate) name: &'static str,
    pub(crate) supported: VersionRange,
    pub(crate) stable: VersionRange,
    pub(crate) advertised: VersionRange,
    pub(crate) request_header_2_from: Option<i16>,
    pub(crate) response_header_1_from: Option<i16>,
    pub(crate) on_broker: bool,
    pub(crate) on_controller: bool,
    pub(crate) cluster_action: bool,
    pub(crate) forwardable: bool,
}

impl ApiKey {
    /// Kafka's name without `Request`, as in metrics and logs.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The stable versions served.
    pub const fn versions(self) -> VersionRange {
        self.row().stable
    }

    /// All versions that have a codec, the unstable latest one included.
    pub const fn all_versions(self) -> VersionRange {
        self.row().supported
    }

    /// The range to report in ApiVersions, which for Produce reaches below what is served.
    pub const fn advertised(self) -> VersionRange {
        self.row().advertised
    }

    /// Header of a request, also for versions beyond those known: its first fields can be read, so
    /// that an unknown ApiVersions request gets its answer.
    pub fn request_header_version(self, version: i16) -> i16 {
        if self
            .row()
            .request_header_2_from
            .is_some_and(|from| version >= from)
        {
            2
        } else {
            1
        }
    }

    /// Header of a response. ApiVersions always has header 0: its reader does not know yet what
    /// the broker speaks (KIP-511).
    pub fn response_header_version(self, version: i16) -> i16 {
        self.row()
            .response_header_1_from
            .is_some_and(|from| version >= from)
            .into()
    }

    /// Served on client and inter-broker listeners.
    pub const fn is_on_broker(self) -> bool {
        self.row().on_broker
    }

    /// Served on controller listeners.
    pub const fn is_on_controller(self) -> bool {
        self.row().on_controller
    }

    /// Needs the right to act for the cluster.
    pub const fn is_cluster_action(self) -> bool {
        self.row().cluster_action
    }

    /// A broker may pass it on to the controller.
    pub const fn is_forwardable(self) -> bool {
        self.row().forwardable
    }
}

impl From<ApiKey> for i16 {
    fn from(key: ApiKey) -> Self {
        key as Self
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
