//! Addresses for programs that must be told theirs before they have them.
//!
//! A port that the system gives out as free is a trap: connections that others open meanwhile get their own
//! ports from the same range, and then this one is taken.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};

/// Where Linux has no ports of outgoing connections, unless it was told otherwise.
const QUIET: std::ops::Range<u16> = 20_000..32_000;

/// An address of this machine that nothing else listens at. Every test has its own in 127.0.0.0/8: one part
/// tells the process, one the caller in it.
pub(crate) fn own_ip() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let process = std::process::id() % 60_000;
    let (high, low) = (process / 250 + 10, process % 250 + 1);
    let part = |number: u32| u8::try_from(number).unwrap();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(next > 0, "a process has 255 addresses of its own");
    IpAddr::from([127, part(high), part(low), next])
}

/// At 127.0.0.1, the one address that certificates of tests name; free a moment ago.
pub(crate) fn quiet_addresses(count: usize) -> Vec<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let quiet = std::iter::repeat_with(|| {
        let turn = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let places = u32::from(QUIET.end - QUIET.start);
        let place = std::process::id().wrapping_mul(64).wrapping_add(turn) % places;
        let port = QUIET.start + u16::try_from(place).unwrap();
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    });
    let free = |address: &SocketAddr| TcpListener::bind(address).is_ok();
    let found: Vec<SocketAddr> = quiet.take(1_000).filter(free).take(count).collect();
    assert_eq!(found.len(), count, "of a thousand ports");
    found
}
