//! Loopback ports for programs that must be told their port.
//!
//! Ports come from below the range from which the system gives ports to outgoing connections. A
//! port of that range would be a trap: a client that tries, again and again, a port where nobody
//! listens yet is in time given this very port as its own, is connected to itself, and the program
//! that should listen there finds the port taken.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Ports below are well known to somebody.
const LOWEST: u16 = 20_000;

/// Where outgoing connections begin, if the system does not say.
const OUTGOING_DEFAULT: u16 = 32_768;

/// Ports handed out by this process; none is given twice, used or not.
static GIVEN: AtomicU16 = AtomicU16::new(0);

/// An address on loopback that was free a moment ago.
pub fn free_address() -> io::Result<SocketAddr> {
    let range = read_range();
    for _ in 0..range.count {
        let turn = GIVEN.fetch_add(1, Ordering::Relaxed);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, range.port(std::process::id(), turn)));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AddrInUse,
        format!("no free port from {} on", range.first),
    ))
}

/// Ports that are ours to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: u16,
    count: u16,
}

impl Range {
    /// Labs that run side by side begin at different places.
    fn port(self, process: u32, turn: u16) -> u16 {
        let places = u64::from(process) * 64 + u64::from(turn);
        let place = places % u64::from(self.count);
        self.first + u16::try_from(place).expect("less than a count of ports")
    }
}

fn read_range() -> Range {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let outgoing = text.split_whitespace().next();
    let outgoing = outgoing.and_then(|first| first.parse().ok());
    range_below(outgoing.unwrap_or(OUTGOING_DEFAULT))
}

/// Where outgoing connections may begin so low that little is left, the trap cannot be avoided.
fn range_below(outgoing: u16) -> Range {
    let end = if outgoing > LOWEST + 100 {
        outgoing
    } else {
        OUTGOING_DEFAULT
    };
    Range {
        first: LOWEST,
        count: end - LOWEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_stay_below_the_outgoing_ones() {
        let range = range_below(32_768);
        assert_eq!((range.first, range.count), (20_000, 12_768));
        for (process, turn) in [(1, 0), (4_000_000, 65_535), (199, 12_767)] {
            let port = range.port(process, turn);
            assert!((20_000..32_768).contains(&port), "{port}");
        }
        assert_eq!(range_below(1_024), range_below(32_768));
        assert_eq!(range_below(30_000).count, 10_000);
    }

    #[test]
    fn addresses_differ() {
        assert_ne!(free_address().unwrap(), free_address().unwrap());
    }
}
