//! Which cluster stood behind a name: kind 7. Another id later on stops its flows.
//!
//! ```text
//! INT8 version = 1 | STRING cluster id | INT64 first seen, ms
//! ```

use bytes::Bytes;

use super::bytes::{read, write};
use super::{StateError, StateWriteError};

const WHAT: &str = "cluster";
const VERSION: i8 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedCluster {
    pub cluster_id: String,
    pub first_seen_ms: i64,
}

impl SavedCluster {
    pub fn encode(&self) -> Result<Bytes, StateWriteError> {
        write(WHAT, VERSION, |e| {
            e.put_string(&self.cluster_id, false)?;
            e.put_i64(self.first_seen_ms);
            Ok(())
        })
    }

    pub fn decode(bytes: &Bytes) -> Result<Self, StateError> {
        read(WHAT, VERSION, bytes, |d| {
            Ok(Self {
                cluster_id: d.get_string(false)?,
                first_seen_ms: d.get_i64()?,
            })
        })
    }
}
