//! Client quotas (KIP-13, KIP-546, KIP-599, KIP-612): which are set, who they hold for, and how long
//! a client that used more than its own has to wait.
//!
//! Reading order: [`QuotaEntity`] and [`ClientQuotas`] (what is set, as metadata), [`alter`] and
//! [`filter`] (what requests change and show), [`rate`] and [`bucket`] (the two ways to measure),
//! [`usage`] (what all clients used, within a bound).
//! Must not know: connections, answers, time of its own.

mod alter;
mod bucket;
mod filter;
mod rate;
mod settings;
mod tracked;
mod usage;
mod window;

pub use alter::{
    QuotaAlteration, QuotaError, QuotaOp, QuotaVerdicts, alter_client_quotas, named_addresses,
};
pub use bucket::TokenBucket;
pub use filter::{QuotaFilter, QuotaFilterError, QuotaMatch};
pub use rate::Meter;
pub use settings::{ClientQuotas, HeldQuota, QuotaEntity, QuotaKey, QuotaScope};
pub use tracked::{Footprint, Tracked};
pub use usage::{AddressUsage, Enforcement, MutationUsage, RateUsage};
pub use window::QuotaWindow;
