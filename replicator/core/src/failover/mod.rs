//! The source is lost, or is to be given up: what that costs, and whether it may be done now.
//!
//! Owns: the loss in records and in time ([`Loss`]), what stands in the way ([`not_ready`]), and the
//! bound that an operator sets ([`LossMax`]). Must not know how the facts were learned: all of them
//! come from the target, for the source may be dark and no daemon alive. What becomes of the role
//! is in [`crate::roles`], what of groups' offsets in [`crate::groups`].

mod loss;
mod ready;

pub use loss::{Loss, LossMax, PartitionFacts};
pub use ready::{FlowFacts, NotReady, not_ready};

#[cfg(test)]
mod tests;
