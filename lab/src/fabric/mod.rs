//! Fabric: a network of this machine's own in which places can be cut off from each other.
//!
//! Owns: a network namespace per place, a router between them, and the cuts. Must not know: what runs in
//! a place, and why it is cut off.
//!
//! ```text
//!  place 1            router               place 2
//!  10.91.1.2 ── veth ── 10.91.1.1
//!                       10.91.2.1 ── veth ── 10.91.2.2
//! ```
//!
//! Every place has a link to the router and to nobody else. The router is a namespace too, so that nothing
//! of the machine's own network is touched: no address, no route, no bridge, no packet filter. A cut is a
//! rule of the router's (`ip rule … blackhole`) for packets from one place to another: they vanish, no
//! answer comes, connections stall and new ones get nothing. It counts for one direction; a cut of both has
//! two of them. The machine needs root and `ip` of iproute2, no packet filter and no emulator of the
//! kernel's.
//!
//! Invariants: what a [`Fabric`] has made is gone when it is dropped; what a process left that could not
//! drop it is gone when the next one is made ([`leftovers`]). A [`Cut`] ends with its guard.
//!
//! Reading order: [`namespace`], [`ip`], [`leftovers`].

mod ip;
mod leftovers;
mod namespace;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::geteuid;

use ip::{batch, batch_to_its_end, run};
pub use namespace::Namespace;

/// A place's number is one of the bytes of its address.
pub const PLACES_MAX: usize = 200;

/// Cuts come before the router's own rules, which begin with 32766; each has a number of its own, so that
/// two of them may cut the same way and end apart.
const FIRST_RULE: u32 = 1_000;
const RULES: u32 = 30_000;

/// Fabrics of this process; none takes another's names.
static MADE: AtomicU32 = AtomicU32::new(0);

/// The network cannot be made, or not be cut. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum FabricError {
    #[error(
        "make network namespaces: that needs root; run it as root, or in a container with the \
         capabilities SYS_ADMIN and NET_ADMIN"
    )]
    NoRoot,
    #[error("run ip: {0}; install iproute2, which brings it")]
    NoIp(std::io::Error),
    #[error("{what}: ip said: {said}")]
    Refused { what: String, said: String },
    #[error("{what}: {cause}")]
    System { what: String, cause: std::io::Error },
    #[error("make {0} places: there are addresses for {PLACES_MAX} only")]
    TooMany(usize),
}

/// A network, until it is dropped.
#[derive(Debug)]
pub struct Fabric {
    router: Namespace,
    places: Vec<Place>,
    cuts: AtomicU32,
}

/// Where programs can run.
#[derive(Clone, Debug)]
pub struct Place {
    name: String,
    namespace: Namespace,
    address: Ipv4Addr,
}

/// One direction between two places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    from: Ipv4Addr,
    to: Ipv4Addr,
}

/// As long as it is there, nothing passes its ways.
#[derive(Debug)]
#[must_use = "a cut ends when it is dropped"]
pub struct Cut<'a> {
    fabric: &'a Fabric,
    /// What takes its rules away; empty once that is done.
    undo: String,
}

/// Whether this process may make a network, and has what it takes.
///
/// # Errors
/// With the remedy, before anything is made.
pub fn check() -> Result<(), FabricError> {
    if !geteuid().is_root() {
        return Err(FabricError::NoRoot);
    }
    run("ask ip for its version", ["-V"]).map(drop)
}

impl Fabric {
    /// Makes a place for each name. Names are for people, and for [`Fabric::place`].
    pub fn make(names: &[&str]) -> Result<Self, FabricError> {
        check()?;
        if names.len() > PLACES_MAX {
            return Err(FabricError::TooMany(names.len()));
        }
        leftovers::sweep();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let called = |name: &str| Namespace::of_this_process(number, name);
        // It is there before anything is made: dropped halfway, it removes what there is.
        let mut fabric = Self {
            router: called("router"),
            places: Vec::new(),
            cuts: AtomicU32::new(0),
        };
        fabric.router.make()?;
        fabric.router.let_pass()?;
        for (number, &name) in (1..).zip(names) {
            let place = Place {
                name: name.to_owned(),
                namespace: called(name),
                address: Ipv4Addr::new(10, 91, number, 2),
            };
            fabric.places.push(place);
            fabric.link(number)?;
        }
        Ok(fabric)
    }

    /// Between the last place and the router.
    fn link(&self, number: u8) -> Result<(), FabricError> {
        let place = self.places.last().expect("one was pushed");
        let Place {
            name,
            namespace,
            address,
        } = place;
        namespace.make()?;
        let gateway = Ipv4Addr::new(10, 91, number, 1);
        let of_router = format!(
            "link add n{number} type veth peer name eth0 netns {}\n\
             addr add {gateway}/24 dev n{number}\nlink set n{number} up\n",
            namespace.name()
        );
        let of_place = format!(
            "addr add {address}/24 dev eth0\nlink set eth0 up\nlink set lo up\n\
             route add default via {gateway}\n"
        );
        let what = format!("link {name} to the router");
        batch(&what, &self.router, &of_router)?;
        batch(&what, namespace, &of_place)
    }

    /// The place of that name.
    ///
    /// # Panics
    /// When there is none: names come from who made the fabric.
    pub fn place(&self, name: &str) -> &Place {
        let found = self.places.iter().find(|it| it.name == name);
        found.unwrap_or_else(|| panic!("no place is called {name}"))
    }

    /// From when it returns until the guard is dropped nothing passes these ways.
    pub fn cut(&self, ways: &[Way]) -> Result<Cut<'_>, FabricError> {
        let number = self.cuts.fetch_add(1, Ordering::Relaxed) % RULES + FIRST_RULE;
        let rules = |act: &str| -> String {
            let rule = |way: &Way| {
                let Way { from, to } = way;
                format!("rule {act} from {from} to {to} blackhole priority {number}\n")
            };
            ways.iter().map(rule).collect()
        };
        // The guard comes first: what was cut before something failed is undone.
        let cut = Cut {
            fabric: self,
            undo: rules("del"),
        };
        batch("cut", &self.router, &rules("add"))?;
        Ok(cut)
    }
}

impl Drop for Fabric {
    fn drop(&mut self) {
        let places = self.places.iter().map(|it| &it.namespace);
        for namespace in places.chain([&self.router]) {
            namespace.remove();
        }
    }
}

impl Place {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Where the others find what listens in it.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }
}

/// From any of the ones to any of the others, and not back.
pub fn one_way(ones: &[&Place], others: &[&Place]) -> Vec<Way> {
    let pairs = ones
        .iter()
        .flat_map(|one| others.iter().map(move |other| (one, other)));
    let ways = pairs.map(|(one, other)| Way {
        from: one.address,
        to: other.address,
    });
    ways.collect()
}

/// Between any of the ones and any of the others.
pub fn both_ways(ones: &[&Place], others: &[&Place]) -> Vec<Way> {
    let mut ways = one_way(ones, others);
    ways.extend(one_way(others, ones));
    ways
}

impl Cut<'_> {
    /// Ends it; from when this returns everything passes again, but for what other cuts keep.
    pub fn heal(mut self) -> Result<(), FabricError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), FabricError> {
        let undo = std::mem::take(&mut self.undo);
        match undo.is_empty() {
            true => Ok(()),
            false => batch_to_its_end("heal a cut", &self.fabric.router, &undo),
        }
    }
}

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(event = "cut_not_healed", %error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: u8) -> Place {
        Place {
            name: format!("p{number}"),
            namespace: Namespace::of_this_process(0, "unused"),
            address: Ipv4Addr::new(10, 91, number, 2),
        }
    }

    fn shown(ways: &[Way]) -> Vec<(u8, u8)> {
        let ways = ways.iter();
        ways.map(|it| (it.from.octets()[2], it.to.octets()[2]))
            .collect()
    }

    #[test]
    fn a_cut_of_both_directions_is_two_of_one() {
        let (a, b, c) = (place(1), place(2), place(3));
        assert_eq!(shown(&one_way(&[&a], &[&b, &c])), [(1, 2), (1, 3)]);
        let both = both_ways(&[&a], &[&b, &c]);
        assert_eq!(shown(&both), [(1, 2), (1, 3), (2, 1), (3, 1)]);
        assert_eq!(both_ways(&[], &[&a]), []);
    }
}
