//! The lobby: connections of one listener that have not yet shown who they are.
//!
//! Bound: [`LOBBY_MAX`] of them. When it is full, one that waits for its peer is shown out, from the
//! address that fills the lobby most, the longest there first: so a crowd of silent peers costs its
//! own members their place, and whoever comes next is served all the same. A crowd from many
//! addresses is given [`GRACE`] first, since it may be all clients coming back at once; until then
//! nobody is let in, and newcomers wait in the kernel's backlog.
//!
//! Who waits for this broker's processor is never shown out: its work would be lost.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Most connections in the lobby of a listener. One costs up to 40 kB under TLS.
pub(super) const LOBBY_MAX: usize = 1_000;

/// An address with more than this share of the lobby is a crowd by itself.
const CROWD: usize = LOBBY_MAX / 4;

/// How long a place is safe when no single address fills the lobby.
const GRACE: Duration = Duration::from_secs(1);

#[derive(Clone, Default)]
pub(super) struct Lobby {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    left: Notify,
}

#[derive(Default)]
struct State {
    next_id: u64,
    /// By address, in the order of their coming.
    places: BTreeMap<IpAddr, BTreeMap<u64, Waiting>>,
    count: usize,
    shown_out: u64,
}

struct Waiting {
    since: Instant,
    busy: bool,
    out: CancellationToken,
}

/// A place in the lobby, until this is dropped.
pub(super) struct Place {
    shared: Arc<Shared>,
    address: IpAddr,
    id: u64,
    out: CancellationToken,
}

/// What must happen before the next can come in.
enum Full {
    /// Somebody was shown out and goes at once.
    Leaving,
    /// Nobody may be shown out before that.
    Until(Instant),
}

impl Lobby {
    /// A place for a peer from that address; waits while there is none.
    pub(super) async fn enter(&self, address: IpAddr) -> Place {
        loop {
            let left = self.shared.left.notified();
            let now = Instant::now();
            let full = {
                let mut state = self.shared.state.lock();
                if state.count < LOBBY_MAX {
                    return self.place(&mut state, address, now);
                }
                state.make_room(now)
            };
            match full {
                Full::Leaving => left.await,
                Full::Until(at) => drop(tokio::time::timeout_at(at, left).await),
            }
        }
    }

    /// How many were shown out since the start.
    pub(super) fn shown_out(&self) -> u64 {
        self.shared.state.lock().shown_out
    }

    pub(super) fn len(&self) -> usize {
        self.shared.state.lock().count
    }

    fn place(&self, state: &mut State, address: IpAddr, now: Instant) -> Place {
        let id = state.next_id;
        state.next_id += 1;
        state.count += 1;
        let out = CancellationToken::new();
        let waiting = Waiting {
            since: now,
            busy: false,
            out: out.clone(),
        };
        state.places.entry(address).or_default().insert(id, waiting);
        Place {
            shared: Arc::clone(&self.shared),
            address,
            id,
            out,
        }
    }
}

impl State {
    fn make_room(&mut self, now: Instant) -> Full {
        let idle =
            |places: &BTreeMap<u64, Waiting>| places.values().filter(|it| it.may_go()).count();
        let crowd = self.places.values_mut().max_by_key(|places| idle(places));
        let Some(places) = crowd else {
            return Full::Until(now + GRACE);
        };
        let count = idle(places);
        let Some(oldest) = places.values_mut().find(|waiting| waiting.may_go()) else {
            return Full::Until(now + GRACE);
        };
        let safe_until = oldest.since + GRACE;
        if count <= CROWD && now < safe_until {
            return Full::Until(safe_until);
        }
        oldest.out.cancel();
        self.shown_out += 1;
        Full::Leaving
    }
}

impl Waiting {
    fn may_go(&self) -> bool {
        !self.busy && !self.out.is_cancelled()
    }
}

impl Place {
    /// Until this one is shown out.
    pub(super) async fn shown_out(&self) {
        self.out.cancelled().await;
    }

    /// While busy, it waits for this broker and not for its peer.
    pub(super) fn set_busy(&self, busy: bool) {
        let mut state = self.shared.state.lock();
        let places = state.places.get_mut(&self.address);
        if let Some(waiting) = places.and_then(|places| places.get_mut(&self.id)) {
            waiting.busy = busy;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if let Some(places) = state.places.get_mut(&self.address) {
            places.remove(&self.id);
            if places.is_empty() {
                state.places.remove(&self.address);
            }
            state.count -= 1;
        }
        drop(state);
        self.shared.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    async fn crowd(lobby: &Lobby, addresses: u8) -> Vec<Place> {
        let mut places = Vec::new();
        for at in 0..LOBBY_MAX {
            let last = u8::try_from(at % usize::from(addresses)).unwrap();
            places.push(lobby.enter(address(last)).await);
        }
        places
    }

    fn is_out(place: &Place) -> bool {
        place.shown_out().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_from_one_address_makes_room_at_once() {
        let lobby = Lobby::default();
        let mut places = crowd(&lobby, 1).await;
        let mut coming = Box::pin(lobby.enter(address(9)));
        assert!(futures::poll!(&mut coming).is_pending());
        assert!(is_out(&places[0]) && !is_out(&places[1]), "the oldest");
        drop(places.remove(0));
        let place = coming.await;
        assert_eq!((lobby.len(), lobby.shown_out()), (LOBBY_MAX, 1));
        drop(place);
        drop(places);
        assert_eq!(lobby.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn many_addresses_have_their_time() {
        let lobby = Lobby::default();
        let places = crowd(&lobby, 100).await;
        let mut coming = Box::pin(lobby.enter(address(200)));
        assert!(futures::poll!(&mut coming).is_pending());
        assert!(
            !places.iter().any(is_out),
            "nobody before the grace is over"
        );
        tokio::time::advance(GRACE).await;
        assert!(futures::poll!(&mut coming).is_pending());
        assert_eq!(places.iter().filter(|place| is_out(place)).count(), 1);
        drop(places);
        coming.await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_this_broker_stays() {
        let lobby = Lobby::default();
        let mut places = crowd(&lobby, 1).await;
        places.iter().for_each(|place| place.set_busy(true));
        let mut coming = Box::pin(lobby.enter(address(9)));
        assert!(futures::poll!(&mut coming).is_pending());
        assert!(!places.iter().any(is_out));
        places[7].set_busy(false);
        tokio::time::advance(GRACE).await;
        assert!(futures::poll!(&mut coming).is_pending());
        assert!(is_out(&places[7]));
        drop(places.remove(7));
        coming.await;
    }
}
