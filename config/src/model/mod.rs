//! Deployment models: sites, links, nodes, topics, flows and clients, in one file.
//!
//! Owns: the form of a model file, the check of it as a whole, the models that come with the
//! program, and the files that real machines need ([`render`]). Must not know: how anything is
//! started, and what was measured.
//!
//! Invariants: a [`Model`] that was loaded is whole: every name in it is of something in it, every
//! cluster has a broker and a controller, and no topic asks for more replicas than there are
//! brokers.
//!
//! Reading order: [`schema`], [`check`], [`outcome`], [`prices`], [`draw`], [`render`].

mod check;
pub mod draw;
pub mod outcome;
pub mod prices;
pub mod render;
mod schema;

use std::path::Path;

use serde::Deserialize;

use crate::{ConfigFile, ConfigProblem, ConfigProblems, Layers, Loaded, Origin, load_checked};
use outcome::Code;
pub use schema::SCHEMA;

/// A deployment, as its file describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub model: About,
    pub sites: Vec<Site>,
    pub links: Vec<Link>,
    pub clusters: Vec<Cluster>,
    pub nodes: Vec<Node>,
    pub topics: Vec<Topic>,
    pub flows: Vec<Flow>,
    pub clients: Vec<Client>,
    pub load: Load,
    pub cells: Vec<Cell>,
    pub claims: Vec<Claim>,
    pub predictions: Vec<Prediction>,
    pub prices: Vec<Price>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct About {
    pub name: String,
    pub title: String,
    #[serde(default)]
    pub accepts: Vec<Danger>,
}

/// What a model may ask for on purpose, so that it can be shown to be bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Danger {
    /// The loss of one site takes the quorum along.
    UnsafeQuorum,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Site {
    pub name: String,
    #[serde(default)]
    pub racks: Vec<String>,
}

/// A link between two sites, the same in both directions.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Link {
    pub between: Vec<String>,
    #[serde(rename = "rtt")]
    pub rtt_ms: u64,
    #[serde(rename = "jitter")]
    pub jitter_ms: u64,
    #[serde(rename = "rate")]
    pub bytes_per_second: Option<u64>,
    pub loss: f64,
    pub kind: Option<LinkKind>,
}

/// What a link is to who sends the bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    BetweenZones,
    BetweenRegions,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Cluster {
    pub name: String,
    /// `key=value`, Kafka's own keys, the same on every node.
    #[serde(default)]
    pub settings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Node {
    pub id: u32,
    pub cluster: String,
    pub site: String,
    pub rack: Option<String>,
    pub roles: Vec<Role>,
    pub host: String,
    pub port: u16,
    /// Where controllers talk; one more than `port` if it is not given.
    pub controller_port: Option<u16>,
    /// Where brokers of Isthmus talk to each other; two more than `port` if it is not given.
    pub broker_port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Broker,
    Controller,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Topic {
    pub name: String,
    pub clusters: Vec<String>,
    pub partitions: u32,
    pub replication_factor: u32,
    pub min_insync_replicas: u32,
    pub min_insync_racks: u32,
    pub observers: u32,
    pub unclean: bool,
    #[serde(rename = "retention")]
    pub retention_ms: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Flow {
    pub name: Option<String>,
    pub source: String,
    pub target: String,
    /// Where its replicator runs.
    pub site: String,
    pub topics: Vec<String>,
    #[serde(default)]
    pub exclude: Vec<String>,
    pub naming: Naming,
    #[serde(default)]
    pub groups: Vec<String>,
    pub replication_factor: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Naming {
    SourcePrefix,
    OwnerPrefix,
    Identity,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Client {
    pub name: String,
    pub kind: ClientKind,
    pub site: String,
    pub cluster: String,
    /// Where it goes when its cluster is lost.
    pub switch_to: Option<String>,
    pub topics: Vec<String>,
    pub group: Option<String>,
    pub rate: Option<u32>,
    pub record_bytes: Option<u32>,
    pub keys: Option<u32>,
    #[serde(default)]
    pub settings: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientKind {
    Producer,
    Consumer,
}

/// How long a drill of the model runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Load {
    #[serde(rename = "run")]
    pub run_ms: u64,
    #[serde(rename = "fault_after")]
    pub fault_after_ms: u64,
    #[serde(rename = "switch_after")]
    pub switch_after_ms: u64,
}

/// One thing that is done to the deployment, to see what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Cell {
    pub name: String,
    /// The cluster whose nodes are all killed.
    pub kill: String,
    /// From the fault until they are started again; never without it.
    #[serde(rename = "returns_after")]
    pub returns_after_ms: Option<u64>,
}

/// What somebody says of the model: of a cell, to be measured against, or of the loss of a site, to be
/// predicted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Claim {
    pub cell: Option<String>,
    /// The site that is lost.
    pub fails: Option<String>,
    /// What is left then.
    pub leaves: Option<Code>,
    /// Of this topic; of all, without it.
    pub topic: Option<String>,
    pub isr: IsrBefore,
    /// The contradiction by which it does not hold.
    pub corrected: Option<String>,
    pub text: String,
    pub source: String,
}

/// Who was in sync before a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IsrBefore {
    /// All replicas.
    Full,
    /// The worst with which acks=all is accepted.
    Worst,
}

/// What is expected of a number in a cell.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Prediction {
    pub cell: String,
    pub quantity: Quantity,
    pub min: f64,
    pub max: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    LostRecords,
    LostSeconds,
    ProduceOutageSeconds,
    FetchOutageSeconds,
    Duplicates,
}

/// A price, which is worth nothing without its day.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Price {
    pub what: LinkKind,
    pub amount: f64,
    pub unit: String,
    pub day: String,
    pub source: String,
}

macro_rules! shipped {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../../models/", $name, ".toml")),
        )
    };
}

/// The models that come with the program, by name.
pub const SHIPPED: [(&str, &str); 12] = [
    shipped!("single-site"),
    shipped!("2dc-consistency"),
    shipped!("2dc-availability"),
    shipped!("2.5dc"),
    shipped!("3dc"),
    shipped!("3az-region"),
    shipped!("ckafka-2az"),
    shipped!("ckafka-3az"),
    shipped!("active-passive"),
    shipped!("active-active"),
    shipped!("cross-region-dr"),
    shipped!("stretched-over-regions"),
];

impl Model {
    /// A shipped model by its name, or a file by its path.
    pub fn find(name: &str) -> Result<Self, ConfigProblems> {
        match SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
            Some((_, text)) => Self::load(ConfigFile::from_text(format!("{name}.toml"), *text)),
            None if is_bare(name) && !Path::new(name).exists() => Err(unknown(name)),
            None => Self::load(ConfigFile::read(Path::new(name))?),
        }
    }

    /// Loads a model, or tells everything that is wrong with it.
    pub fn load(file: ConfigFile) -> Result<Self, ConfigProblems> {
        let layers = Layers {
            file: Some(file),
            ..Layers::default()
        };
        let loaded = load_checked(&layers, &SCHEMA, check::check)?;
        Self::of(&loaded)
    }

    fn of(loaded: &Loaded) -> Result<Self, ConfigProblems> {
        Ok(Self {
            model: loaded.table("model")?,
            sites: loaded.rows("sites")?,
            links: loaded.rows("links")?,
            clusters: loaded.rows("clusters")?,
            nodes: loaded.rows("nodes")?,
            topics: loaded.rows("topics")?,
            flows: loaded.rows("flows")?,
            clients: loaded.rows("clients")?,
            load: loaded.table("load")?,
            cells: loaded.rows("cells")?,
            claims: loaded.rows("claims")?,
            predictions: loaded.rows("predictions")?,
            prices: loaded.rows("prices")?,
        })
    }
}

/// Meant as a name, and not as a path.
fn is_bare(name: &str) -> bool {
    !name.contains(['/', '.'])
}

fn unknown(name: &str) -> ConfigProblems {
    let shipped: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
    ConfigProblems::from(ConfigProblem {
        origin: Origin::File {
            name: name.to_owned(),
            line: None,
        },
        key: String::new(),
        value: None,
        what: "is no model and no file".to_owned(),
        remedy: format!("name one of {}, or a file of your own", shipped.join(", ")),
    })
}

impl Model {
    /// What the programs make of it: Apache Kafka has no racks that an ISR must be in.
    pub fn on(&self, target: render::Target) -> Self {
        let mut model = self.clone();
        match target {
            render::Target::Isthmus => {}
            render::Target::ApacheKafka => {
                let topics = model.topics.iter_mut();
                topics.for_each(|topic| topic.min_insync_racks = 1);
            }
        }
        model
    }
}

impl Flow {
    pub fn name(&self) -> String {
        match &self.name {
            Some(name) => name.clone(),
            None => format!("{}-to-{}", self.source, self.target),
        }
    }
}

impl Node {
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

impl Cluster {
    /// A setting of its nodes.
    pub fn setting(&self, key: &str) -> Option<&str> {
        setting(&self.settings, key)
    }
}

impl Topic {
    /// Replicas that count for the in-sync set: all but observers.
    pub fn voting_replicas(&self) -> u32 {
        self.replication_factor.saturating_sub(self.observers)
    }
}

impl Client {
    /// A setting of its library.
    pub fn setting(&self, key: &str) -> Option<&str> {
        setting(&self.settings, key)
    }

    /// A producer with acks=all, the default of every library.
    pub fn waits_for_all(&self) -> bool {
        let acks = self.setting("acks");
        let acks = acks.or(self.setting("request.required.acks"));
        let is_all = acks.is_none_or(|acks| matches!(acks, "all" | "-1"));
        self.kind == ClientKind::Producer && is_all
    }
}

impl LinkKind {
    /// As models and prices write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::BetweenZones => "between-zones",
            Self::BetweenRegions => "between-regions",
        }
    }
}

fn setting<'a>(settings: &'a [String], key: &str) -> Option<&'a str> {
    let mut settings = settings.iter().filter_map(|it| it.split_once('='));
    let found = settings.find(|(name, _)| name.trim() == key);
    found.map(|(_, value)| value.trim())
}
