//! What an operator paused of a flow: kind 8.
//!
//! ```text
//! INT8 version = 1 | INT32 count
//! per order: INT8 1 pause, 0 resume | STRING topic, empty for all | INT32 partition, -1 for all
//! ```
//! In the sequence in which they were given. A flow of which nothing is paused has no record.

use bytes::Bytes;
use isthmus_wire::codec::{DecodeError, Decoder};

use super::bytes::{count, read, write};
use super::{StateError, StateWriteError};
use crate::pauses::{PauseOrder, Pauses};

const WHAT: &str = "pauses";
const VERSION: i8 = 1;

const ALL_PARTITIONS: i32 = -1;

/// An act, an empty string and a partition.
const ORDER_BYTES_MIN: usize = 7;

impl Pauses {
    pub fn encode(&self) -> Result<Bytes, StateWriteError> {
        write(WHAT, VERSION, |e| {
            e.put_i32(i32::try_from(self.orders().len()).unwrap_or(i32::MAX));
            for order in self.orders() {
                e.put_i8(i8::from(order.pause));
                e.put_string(order.topic.as_deref().unwrap_or(""), false)?;
                e.put_i32(order.partition.unwrap_or(ALL_PARTITIONS));
            }
            Ok(())
        })
    }

    pub fn decode(bytes: &Bytes) -> Result<Self, StateError> {
        read(WHAT, VERSION, bytes, |d| {
            let count = count(d, ORDER_BYTES_MIN)?;
            let orders = (0..count).map(|_| get_order(d));
            Ok(Self::of(orders.collect::<Result<Vec<_>, _>>()?))
        })
    }
}

fn get_order(d: &mut Decoder) -> Result<PauseOrder, DecodeError> {
    let pause = d.get_i8()? != 0;
    let topic = d.get_string(false)?;
    let partition = d.get_i32()?;
    Ok(PauseOrder {
        pause,
        topic: (!topic.is_empty()).then_some(topic),
        partition: (partition != ALL_PARTITIONS).then_some(partition),
    })
}
