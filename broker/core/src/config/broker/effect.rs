//! What setting a broker key does here, and why some keys do nothing.
//!
//! A key whose work another piece of the broker takes up becomes `Applied` in its own table; the
//! page docs/broker-keys.md follows (its test says how).

/// What a value of a broker key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The broker works by it.
    Applied,
    /// It is set by this key or table of ours; server.properties sets it under its Kafka name.
    At(&'static str),
    /// Accepted, shown, and without effect: this is why.
    Nothing(&'static str),
}

pub(super) use Effect::Applied;

macro_rules! reasons {
    ($($name:ident = $why:literal;)*) => {
        $(pub(super) const $name: Effect = Effect::Nothing($why);)*
    };
}

reasons! {
    ALWAYS_EARLY = "listeners for controllers take connections first";
    ALWAYS_LEAVES = "a broker among others always hands its leaderships over";
    BYTES_NOT_COUNT = "requests are bounded by their bytes (`queued.max.request.bytes`), not by their number";
    FIXED_BACKLOG = "the system's own bound is used";
    FIXED_PAUSE = "the pause is fixed";
    FIXED_TICK = "the broker looks on a fixed schedule";
    GROWING_FILES = "files grow as they are written";
    NODE_DEADLINES = "connections between nodes have deadlines of their own";
    NODE_PROOF = "nodes prove themselves by certificates or the cluster's secret";
    NO_AUTH = "TLS and SASL are set for each listener of its own, in `[[listeners]]`";
    NO_JMX = "metrics are served at `node.observe`";
    NO_KERBEROS = "GSSAPI is not served";
    NO_LINGER = "coordinators write as requests come";
    NO_LINGERING = "a leader answers as soon as it has bytes";
    NO_NEW_GROUPS = "only the classic group protocol is served";
    NO_OAUTH = "OAUTHBEARER is not served yet";
    NO_PERFORMANCE_LOG = "such summaries are not written";
    NO_PLUGINS = "Java classes cannot be loaded";
    NO_PURGATORY = "a wait that has ended is forgotten at once";
    NO_REMOTE = "there is no remote storage";
    NO_SESSIONS = "fetch sessions are not kept: every fetch is a full one";
    NO_SHARE = "share groups are not served";
    NO_START_LIMIT = "a start takes as long as it takes";
    NO_STREAMS = "streams groups are not served";
    NO_TELEMETRY = "clients' metrics are not taken yet";
    NO_THROTTLE = "replication is not throttled yet";
    NO_TOKENS = "delegation tokens are not served";
    NO_TXN = "transactions are not served yet";
    NO_UNSTABLE = "there are no unstable versions";
    ONE_BUFFER = "a fixed buffer is used";
    ONE_CHECKPOINT = "they are written with the recovery points";
    ONE_DIRECTORY = "there is one log directory";
    ONE_FETCHER = "one connection to each leader carries all partitions";
    ONE_POOL = "all work shares one pool of threads, one per processor";
    OWN_METADATA_LOG = "the metadata log has its own rules";
    PLAIN_STATE = "the broker's own records are small and written plain";
    SYSTEM_BUFFERS = "the system sizes the buffers as it sees fit";
    UNSHARED_LIMIT = "the bound is Kafka's default";
}
