//! Configuration for every Isthmus program: keys, layers, units, secrets, and where a value came from.
//!
//! Owns: reading a TOML file with line numbers, the layers (default < preset < file < environment
//! < flag), the check of every value at once, and the account of each effective value (`explain`).
//! A program declares its keys as a [`Schema`] of [`KeyTable`]s and hands the layers to [`load`].
//!
//! Must not know: any program's settings. A crate with everyone's types is a hub that hurts, so
//! each program keeps its own key tables and structs and only the mechanism lives here. The one
//! thing of substance is [`model`]: what a deployment is, which belongs to no program.
//!
//! Invariants: a value that left [`load`] was parsed by the kind of its key and is within its
//! range; no secret's content is ever held by a [`Value`], a [`ConfigProblem`] or [`Effective`];
//! a key that no table names is an error, never ignored.

mod file;
mod json_schema;
mod key;
mod kind;
mod layers;
mod load;
mod loaded;
mod merge;
pub mod model;
mod nearest;
mod origin;
mod problem;
mod properties;
mod schema;
mod secret;
pub mod units;
mod value;
mod words;

pub use file::{ConfigFile, PlacedEntry, PlacedFile};
pub use key::{DefaultValue, Key};
pub use kind::Kind;
pub use layers::{Layers, Setting, process_env};
pub use load::{load, load_checked};
pub use loaded::{Effective, Loaded};
pub use nearest::nearest;
pub use origin::Origin;
pub use problem::{ConfigProblem, ConfigProblems};
pub use properties::{BadEscape, Property, parse_properties, read_properties};
pub use schema::{Breach, Form, KeyTable, Rule, Schema, env_name};
pub use secret::{Secret, SecretError, SecretRef};
pub use value::Value;
pub use words::Mismatch;
