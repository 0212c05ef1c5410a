//! How many connections there may be and how fast new ones may come: over all listeners, on one
//! listener, from one address (KIP-402, KIP-612).
//!
//! At a bound of the broker or of a listener newcomers wait in the kernel's backlog: only the
//! listener that is over its own bound stops accepting. At a bound of an address the newcomer is
//! closed at once, since waiting would hold up everybody else; one that comes too soon by the quota of
//! its address (client quotas, `connection_creation_rate`) is closed after the time it should have
//! waited, so that it does not come again at once.
//!
//! A rate of the broker or of a listener allows as many at once as in a second.

use crate::clocks;
use crate::settings::{ConnectionLimits, DynamicSettings, Listener};
use isthmus_broker_core::quotas::{AddressUsage, ClientQuotas, QuotaWindow};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a newcomer waits before it looks again, where nothing may come at all.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The bounds over all listeners, and what they bound.
#[derive(Clone)]
pub(crate) struct Limits(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Somebody left, or the bounds changed.
    changed: Notify,
}

struct State {
    limits: ConnectionLimits,
    open: usize,
    addresses: BTreeMap<IpAddr, usize>,
    rate: Rate,
    quotas: AddressQuotas,
    usage: AddressUsage,
}

/// How many may come in a second from which addresses.
#[derive(Debug, Default, PartialEq)]
struct AddressQuotas {
    own: BTreeMap<IpAddr, f64>,
    default: Option<f64>,
}

/// The bounds of one listener, and what they bound.
#[derive(Clone)]
pub(super) struct ListenerLimits(Arc<Mutex<ListenerState>>);

struct ListenerState {
    connections_max: usize,
    open: usize,
    rate: Rate,
}

/// One open connection; gives its place back when dropped.
pub(super) struct Counted {
    limits: Limits,
    listener: ListenerLimits,
    address: IpAddr,
}

/// Why a newcomer is not let in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TurnedAway {
    /// Its address has too many.
    TooMany,
    /// Its address came too often; for how long it should stay away.
    TooSoon(Duration),
}

/// Who may not come in yet.
enum Wait {
    /// Until somebody leaves.
    ForRoom,
    For(Duration),
}

impl Limits {
    pub(crate) fn new(limits: &ConnectionLimits, window: QuotaWindow) -> Self {
        let state = State {
            limits: limits.clone(),
            open: 0,
            addresses: BTreeMap::new(),
            rate: Rate::new(limits.creation_rate_max, Instant::now()),
            quotas: AddressQuotas::default(),
            usage: AddressUsage::new(window),
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            changed: Notify::new(),
        }))
    }

    /// Takes over what clients change, until the broker stops.
    pub(crate) async fn follow(self, dynamic: &DynamicSettings, stop: CancellationToken) {
        let mut changes = dynamic.subscribe();
        changes.mark_changed();
        loop {
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
            let layers = Arc::clone(&changes.borrow_and_update());
            // Names in the overrides are looked up.
            let read = tokio::task::spawn_blocking(move || ConnectionLimits::of(&layers)).await;
            match read {
                Ok(Ok(limits)) => self.set(limits),
                Ok(Err(error)) => {
                    tracing::warn!(event = "connection_limits_refused", %error, "the old bounds stay");
                }
                Err(_) => return,
            }
        }
    }

    /// Takes over the quotas of addresses at each change, until the broker stops.
    pub(crate) async fn follow_quotas(
        self,
        mut set: watch::Receiver<Arc<ClientQuotas>>,
        stop: CancellationToken,
    ) {
        set.mark_changed();
        loop {
            tokio::select! {
                changed = set.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
            let quotas = Arc::clone(&set.borrow_and_update());
            // Names are looked up.
            let read = tokio::task::spawn_blocking(move || AddressQuotas::of(&quotas)).await;
            let Ok(quotas) = read else {
                return;
            };
            self.0.state.lock().quotas = quotas;
        }
    }

    pub(crate) fn forget_inactive(&self) {
        self.0.state.lock().usage.forget_inactive(now_ms());
    }

    fn set(&self, limits: ConnectionLimits) {
        let mut state = self.0.state.lock();
        if state.limits == limits {
            return;
        }
        state.rate.per_second = limits.creation_rate_max;
        state.limits = limits;
        drop(state);
        self.0.changed.notify_waiters();
    }

    /// Counts a connection that has come, and waits until there is room for it.
    pub(super) async fn admit(
        &self,
        listener: &ListenerLimits,
        address: IpAddr,
    ) -> Result<Counted, TurnedAway> {
        let address = address.to_canonical();
        loop {
            let changed = self.0.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            match self.try_admit(listener, address, Instant::now())? {
                Ok(counted) => return Ok(counted),
                Err(Wait::ForRoom) => changed.await,
                // A higher rate counts at once, not when the old one would have had room.
                Err(Wait::For(time)) => drop(tokio::time::timeout(time, changed).await),
            }
        }
    }

    fn try_admit(
        &self,
        listener: &ListenerLimits,
        address: IpAddr,
        now: Instant,
    ) -> Result<Result<Counted, Wait>, TurnedAway> {
        let mut state = self.0.state.lock();
        let state = &mut *state;
        let mut of_listener = listener.0.lock();
        let of_address = state.addresses.get(&address).copied().unwrap_or(0);
        if of_address >= state.limits.of_ip(address) {
            return Err(TurnedAway::TooMany);
        }
        let is_full = of_listener.open >= of_listener.connections_max
            || state.open >= state.limits.connections_max;
        if is_full {
            return Ok(Err(Wait::ForRoom));
        }
        let wait = of_listener.rate.wait(now).max(state.rate.wait(now));
        if !wait.is_zero() {
            return Ok(Err(Wait::For(wait)));
        }
        if let Some(quota) = state.quotas.of_ip(address) {
            let come = state.usage.come(address, quota, now_ms());
            come.map_err(TurnedAway::too_soon)?;
        }
        of_listener.rate.take();
        state.rate.take();
        of_listener.open += 1;
        state.open += 1;
        state.addresses.insert(address, of_address + 1);
        Ok(Ok(Counted {
            limits: self.clone(),
            listener: listener.clone(),
            address,
        }))
    }
}

impl TurnedAway {
    fn too_soon(throttle_ms: i32) -> Self {
        Self::TooSoon(Duration::from_millis(throttle_ms.unsigned_abs().into()))
    }
}

impl AddressQuotas {
    /// Looks names up: not for a thread of the runtime. Of a name the first address counts.
    fn of(quotas: &ClientQuotas) -> Self {
        let mut all = Self::default();
        for (name, rate) in quotas.of_addresses() {
            let Some(name) = name else {
                all.default = Some(rate);
                continue;
            };
            match address_of(name) {
                Some(address) => drop(all.own.insert(address, rate)),
                None => tracing::warn!(
                    event = "client_quota_without_address",
                    name,
                    "the name cannot be resolved: its quota does not hold until quotas change again"
                ),
            }
        }
        all
    }

    fn of_ip(&self, address: IpAddr) -> Option<f64> {
        self.own.get(&address).copied().or(self.default)
    }
}

fn address_of(name: &str) -> Option<IpAddr> {
    let parsed = name.parse::<IpAddr>().ok();
    let resolve = || Some((name, 0).to_socket_addrs().ok()?.next()?.ip());
    parsed
        .or_else(resolve)
        .map(|address| address.to_canonical())
}

/// Quotas are measured by the clock that goes on while the machine sleeps.
fn now_ms() -> i64 {
    i64::try_from(clocks::boot().as_millis()).unwrap_or(i64::MAX)
}

impl ListenerLimits {
    pub(super) fn new(listener: &Listener) -> Self {
        Self::of(listener.connections_max, listener.creation_rate_max)
    }

    fn of(connections_max: usize, creation_rate_max: u32) -> Self {
        Self(Arc::new(Mutex::new(ListenerState {
            connections_max,
            open: 0,
            rate: Rate::new(creation_rate_max, Instant::now()),
        })))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut state = self.limits.0.state.lock();
        state.open -= 1;
        match state.addresses.get_mut(&self.address) {
            Some(open) if *open > 1 => *open -= 1,
            Some(_) | None => drop(state.addresses.remove(&self.address)),
        }
        self.listener.0.lock().open -= 1;
        drop(state);
        self.limits.0.changed.notify_waiters();
    }
}

/// So many in a second, and as many at once.
struct Rate {
    per_second: u32,
    left: f64,
    at: Instant,
}

impl Rate {
    fn new(per_second: u32, now: Instant) -> Self {
        Self {
            per_second,
            left: f64::from(per_second),
            at: now,
        }
    }

    /// How long until one may be taken.
    fn wait(&mut self, now: Instant) -> Duration {
        let per_second = f64::from(self.per_second);
        let passed = now.duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * per_second).min(per_second);
        self.at = now;
        if self.per_second == 0 {
            return LOOK_AGAIN;
        }
        if self.left >= 1.0 {
            return Duration::ZERO;
        }
        // Rounded up by a little, or a wait might end just before its time.
        let wait = Duration::from_secs_f64((1.0 - self.left) / per_second);
        wait + Duration::from_micros(1)
    }

    fn take(&mut self) {
        self.left -= 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn bounds(
        connections_max: usize,
        per_ip_max: usize,
        creation_rate_max: u32,
    ) -> ConnectionLimits {
        ConnectionLimits {
            connections_max,
            per_ip_max,
            per_ip_overrides: BTreeMap::from([(IpAddr::from([10, 0, 0, 9]), 1)]),
            creation_rate_max,
        }
    }

    fn limits(connections_max: usize, per_ip_max: usize, creation_rate_max: u32) -> Limits {
        Limits::new(
            &bounds(connections_max, per_ip_max, creation_rate_max),
            QuotaWindow::default(),
        )
    }

    fn listener(connections_max: usize) -> ListenerLimits {
        ListenerLimits::of(connections_max, u32::MAX)
    }

    fn admitted(limits: &Limits, listener: &ListenerLimits) -> Option<Counted> {
        limits.admit(listener, HOME).now_or_never()?.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_comes_too_often_is_turned_away_and_no_other() {
        let (limits, listener) = (limits(100, 100, u32::MAX), listener(100));
        limits.0.state.lock().quotas = AddressQuotas {
            own: BTreeMap::from([(HOME, 1.0)]),
            default: Some(2.0),
        };
        let come = async |address: IpAddr| limits.admit(&listener, address).await;
        for _ in 0..10 {
            assert!(come(HOME).await.is_ok(), "as many as in a whole window");
        }
        let longest = Duration::from_secs(1);
        let turned_away = come(HOME).await.err();
        assert!(
            matches!(turned_away, Some(TurnedAway::TooSoon(time)) if !time.is_zero() && time <= longest),
            "{turned_away:?}"
        );
        for _ in 0..20 {
            assert!(come([10, 0, 0, 7].into()).await.is_ok(), "by the default");
        }
        assert!(come([10, 0, 0, 7].into()).await.is_err());
        assert_eq!(limits.0.state.lock().open, 0, "nobody stayed");
    }

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test(start_paused = true)]
    async fn a_listener_at_its_bound_leaves_the_others_alone() {
        let limits = limits(3, 10, u32::MAX);
        let (one, other) = (listener(2), listener(2));
        let held = [
            limits.admit(&one, HOME).await,
            limits.admit(&one, HOME).await,
        ];
        let mut waiting = Box::pin(limits.admit(&one, HOME));
        assert!(futures::poll!(&mut waiting).is_pending());
        let others = admitted(&limits, &other);
        assert!(others.is_some());
        let beyond = limits.admit(&other, HOME).now_or_never();
        assert!(beyond.is_none(), "the broker's own bound");
        drop(held);
        assert!(waiting.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_at_its_bound_is_refused_until_one_of_its_own_ends() {
        let (limits, listener) = (limits(10, 2, u32::MAX), listener(10));
        let come = async |last: u8| {
            let address = IpAddr::from([10, 0, 0, last]);
            limits.admit(&listener, address).await.ok()
        };
        let (first, second) = (come(1).await, come(1).await);
        assert!(first.is_some() && second.is_some() && come(1).await.is_none());
        assert!(come(2).await.is_some(), "another address");
        let only = come(9).await;
        assert!(only.is_some() && come(9).await.is_none(), "its own bound");
        drop(first);
        assert!(come(1).await.is_some());
        drop((second, only));
        assert!(limits.0.state.lock().addresses.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn newcomers_beyond_the_rate_wait() {
        let (limits, listener) = (limits(100, 100, 5), listener(100));
        let start = Instant::now();
        let mut open = Vec::new();
        for _ in 0..15 {
            open.push(limits.admit(&listener, HOME).await);
        }
        let waited = start.elapsed();
        let expected = Duration::from_secs(2);
        assert!(waited >= expected && waited < expected + Duration::from_millis(100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_raised_rate_counts_at_once() {
        let (limits, listener) = (limits(100, 100, 1), listener(100));
        let start = Instant::now();
        let first = limits.admit(&listener, HOME).await;
        let mut waiting = Box::pin(limits.admit(&listener, HOME));
        assert!(first.is_ok() && futures::poll!(&mut waiting).is_pending());
        limits.set(bounds(100, 100, 100));
        assert!(waiting.await.is_ok());
        assert!(start.elapsed() < Duration::from_millis(50));
    }

    #[tokio::test(start_paused = true)]
    async fn bounds_may_change_while_somebody_waits() {
        let (limits, listener) = (limits(0, 10, 0), listener(10));
        let mut waiting = Box::pin(limits.admit(&listener, HOME));
        assert!(futures::poll!(&mut waiting).is_pending());
        limits.set(bounds(1, 10, 0));
        assert!(futures::poll!(&mut waiting).is_pending(), "nobody may come");
        limits.set(bounds(1, 10, 5));
        assert!(waiting.await.is_ok());
    }
}
