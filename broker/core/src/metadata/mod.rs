//! The cluster's metadata: records, the image they add up to, and the decisions that make them.
//!
//! One path for live, restart and test: a decision yields records, the records are committed,
//! and [`MetadataImage::apply`] is the only thing that ever changes an image.

mod change;
mod configs;
mod features;
mod image;
mod incarnations;
mod min_isr;
mod placement;
mod producer_ids;
mod record;
mod session;
mod spread;
mod sufficiency;
mod topics;

pub use change::{ChangeVerdict, MetadataChange};
pub use configs::{
    AlterConfigs, ConfigChange, ConfigContext, ConfigError, ConfigOperation, alter_configs,
};
pub use features::{
    FeatureError, FeatureRange, FeatureUpdate, METADATA_LEVEL, RACKS_LEVEL, UpgradeType,
    metadata_level, update_features,
};
pub use image::{
    BrokerRegistration, ConfigResource, Endpoint, MetadataDelta, MetadataImage, PartitionImage,
    TopicImage,
};
pub use incarnations::{Incarnations, Kin, LogPlace, QuorumRecovery};
pub use placement::{PlacementError, UsableBroker, place};
pub use producer_ids::{
    PRODUCER_ID_BLOCK, ProducerIdBlock, allocate_producer_ids, first_producer_id,
};
pub use record::{MetadataRecord, RecordFrameError};
pub use session::{SESSION_KEY, SESSION_MIN_MS, commit_session, committed_session};
pub use spread::{NotSpread, RACK_PLACEMENT, RackPlacement, Racks, check_spread};
pub use sufficiency::{MIN_INSYNC_RACKS, Sufficiency, racks_of, too_few_racks};
pub use topics::{
    Assignments, CreatePartitions, CreateTopic, CreatedTopic, DeletionVerdict, MayChange,
    TopicDefaults, TopicError, TopicKey, create_partitions, create_topics, delete_topics,
};
