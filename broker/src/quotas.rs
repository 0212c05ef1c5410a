//! Client quotas in force: who asks, what that used, and how long the answer tells it to wait.
//!
//! [`Quotas`] holds the use of all clients; the rules are those of
//! [`isthmus_broker_core::quotas`]. [`Metered`] is the sender of one request, as [`Access`] is in
//! the matter of rights: handlers ask it for bytes and changes of metadata, and the table of APIs
//! for the time that the request took. Where no quota is set it costs nothing.
//!
//! The longest of the waits stands in the answer's `throttle_time_ms`; the answer goes out at once,
//! and the connection is mute for that long (KIP-219).
//!
//! [`Access`]: crate::authorization::Access

use crate::broker::Broker;
use crate::clocks;
use crate::metrics::QuotaMetrics;
use crate::settings::Settings;
use isthmus_broker_core::metadata::{MetadataDelta, MetadataImage};
use isthmus_broker_core::quotas::{
    ClientQuotas, Enforcement, HeldQuota, MutationUsage, QuotaKey, RateUsage,
};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What all clients used, and where changes of the quotas are told.
pub(crate) struct Quotas {
    produced: Mutex<RateUsage>,
    fetched: Mutex<RateUsage>,
    time: Mutex<RateUsage>,
    mutations: Mutex<MutationUsage>,
    set: watch::Sender<Arc<ClientQuotas>>,
    metrics: QuotaMetrics,
}

/// A rate that clients use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UsedRate {
    Produced,
    Fetched,
    Time,
}

impl UsedRate {
    fn key(self) -> QuotaKey {
        match self {
            Self::Produced => QuotaKey::ProducerByteRate,
            Self::Fetched => QuotaKey::ConsumerByteRate,
            Self::Time => QuotaKey::RequestPercentage,
        }
    }
}

impl Quotas {
    pub(crate) fn new(settings: &Settings, image: &MetadataImage, metrics: QuotaMetrics) -> Self {
        let clients = settings.quota_window;
        Self {
            produced: Mutex::new(RateUsage::new(clients)),
            fetched: Mutex::new(RateUsage::new(clients)),
            time: Mutex::new(RateUsage::new(clients)),
            mutations: Mutex::new(MutationUsage::new(settings.controller_quota_window)),
            set: watch::Sender::new(Arc::clone(image.client_quotas())),
            metrics,
        }
    }

    /// Tells those who subscribed, when a change of metadata was one of quotas.
    pub(crate) fn follow(&self, image: &MetadataImage, delta: &MetadataDelta) {
        if delta.client_quotas_changed {
            self.set.send_replace(Arc::clone(image.client_quotas()));
        }
    }

    /// The quotas at each change; the first are there at once.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<ClientQuotas>> {
        self.set.subscribe()
    }

    pub(crate) fn forget_inactive(&self) {
        let now_ms = now_ms();
        for rate in [UsedRate::Produced, UsedRate::Fetched, UsedRate::Time] {
            let mut usage = self.rate(rate).lock();
            usage.forget_inactive(now_ms);
            self.metrics.tracked(rate.key(), usage.tracked());
        }
        let mut mutations = self.mutations.lock();
        mutations.forget_inactive(now_ms);
        let key = QuotaKey::ControllerMutationRate;
        self.metrics.tracked(key, mutations.tracked());
    }

    fn rate(&self, rate: UsedRate) -> &Mutex<RateUsage> {
        match rate {
            UsedRate::Produced => &self.produced,
            UsedRate::Fetched => &self.fetched,
            UsedRate::Time => &self.time,
        }
    }
}

/// The sender of one request, as quotas see it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Metered {
    pub(crate) broker: Arc<Broker>,
    /// `None` where no quota is set at all.
    client: Option<Arc<Client>>,
}

struct Client {
    user: String,
    client_id: String,
}

impl Metered {
    /// A client without an id is one with an empty id, as in Kafka.
    pub(crate) fn new(broker: &Arc<Broker>, user: &str, client_id: Option<&str>) -> Self {
        let is_measured = !broker.image().client_quotas().is_empty();
        let client = || Client {
            user: user.to_owned(),
            client_id: client_id.unwrap_or_default().to_owned(),
        };
        Self {
            broker: Arc::clone(broker),
            client: is_measured.then(|| Arc::new(client())),
        }
    }

    /// Adds to what the client used; how long it has to wait, in milliseconds. `amount` is worked out
    /// only where it counts.
    pub(crate) fn record(&self, rate: UsedRate, amount: impl FnOnce() -> f64) -> i32 {
        let Some(held) = self.held(rate.key()) else {
            return 0;
        };
        let quotas = &self.broker.quotas;
        let mut usage = quotas.rate(rate).lock();
        let throttle_ms = usage.record(&held, amount(), now_ms());
        let throttle_ms = match rate {
            UsedRate::Produced | UsedRate::Fetched => throttle_ms,
            // One long request is not to keep a client away for longer than a sample.
            UsedRate::Time => throttle_ms.min(usage.sample_ms()),
        };
        drop(usage);
        quotas.metrics.throttled(rate.key(), throttle_ms);
        throttle_ms
    }

    /// Adds the time that a thread was busy with a request (KIP-124).
    pub(crate) fn record_time(&self, busy: Duration) -> i32 {
        let percent_of_a_second = || busy.as_secs_f64() * 100.0;
        self.record(UsedRate::Time, percent_of_a_second)
    }

    /// What was recorded and is not given out after all.
    pub(crate) fn take_back(&self, rate: UsedRate, amount: f64) {
        if let Some(held) = self.held(rate.key()) {
            let mut usage = self.broker.quotas.rate(rate).lock();
            usage.take_back(&held, amount, now_ms());
        }
    }

    /// More bytes in one answer would always be too many.
    pub(crate) fn fetch_bytes_max(&self) -> usize {
        let Some(held) = self.held(QuotaKey::ConsumerByteRate) else {
            return usize::MAX;
        };
        let most = self.broker.quotas.fetched.lock().most_at_once(&held);
        // What does not fit becomes the largest that does.
        most as usize
    }

    /// What the request may change in the metadata, and how a change too many is met.
    pub(crate) fn mutations(&self, enforcement: Enforcement) -> Mutations {
        Mutations {
            metered: self.clone(),
            enforcement,
            wait: Arc::default(),
        }
    }

    fn held(&self, key: QuotaKey) -> Option<HeldQuota> {
        let client = self.client.as_ref()?;
        let image = self.broker.image();
        let quotas = image.client_quotas();
        quotas.holding(key, &client.user, &client.client_id)
    }
}

/// What one request may change in the metadata (KIP-599).
#[derive(Clone)]
pub(crate) struct Mutations {
    metered: Metered,
    enforcement: Enforcement,
    /// How long the client has to wait, and since when.
    wait: Arc<Mutex<Option<(i32, i64)>>>,
}

impl Mutations {
    /// Whether so many partitions may be created or deleted; they are counted.
    pub(crate) fn may_change(&self, partitions: usize) -> bool {
        let Some(held) = self.metered.held(QuotaKey::ControllerMutationRate) else {
            return true;
        };
        let now_ms = now_ms();
        let quotas = &self.metered.broker.quotas;
        let mut usage = quotas.mutations.lock();
        let taken = usage.take(&held, partitions as f64, self.enforcement, now_ms);
        drop(usage);
        let (Ok(throttle_ms) | Err(throttle_ms)) = taken;
        if throttle_ms > 0 {
            *self.wait.lock() = Some((throttle_ms, now_ms));
        }
        taken.is_ok()
    }

    /// How long the client has still to wait.
    pub(crate) fn throttle_ms(&self) -> i32 {
        let Some((throttle_ms, since_ms)) = *self.wait.lock() else {
            return 0;
        };
        let passed_ms = i32::try_from(now_ms() - since_ms).unwrap_or(i32::MAX);
        let left_ms = (throttle_ms - passed_ms).max(0);
        let key = QuotaKey::ControllerMutationRate;
        self.metered.broker.quotas.metrics.throttled(key, left_ms);
        left_ms
    }
}

/// Rates are measured by the clock that goes on while the machine sleeps.
fn now_ms() -> i64 {
    i64::try_from(clocks::boot().as_millis()).unwrap_or(i64::MAX)
}
