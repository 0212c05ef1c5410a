//! The clients: each changes things of its own, one request at a time.

use super::acls::Acls;
use super::configs::Configs;
use super::ledger::{Ledger, States};
use super::offsets::Offsets;
use super::topics::Topics;
use super::users::Users;
use crate::support::random::Random;
use crate::support::wire::Connection;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::Sender;
use std::time::Instant;

/// Clients of each kind.
const OF_EACH: usize = 2;

/// What a client changes.
pub(super) trait Side: Send {
    fn name(&self) -> &'static str;

    /// Makes what changes need, where it is not there yet.
    fn prepare(&mut self, _connection: &mut Connection) -> io::Result<()> {
        Ok(())
    }

    /// Makes one change; returns when it is acknowledged.
    fn change(
        &mut self,
        connection: &mut Connection,
        ledger: &mut Ledger,
        random: &mut Random,
    ) -> io::Result<()>;

    /// All that the broker says there is of this client's.
    fn read(&self, connection: &mut Connection) -> io::Result<States>;
}

/// A client with its ledger.
pub(super) struct Client {
    pub(super) side: Box<dyn Side>,
    pub(super) ledger: Ledger,
    random: Random,
}

/// All of them.
pub(super) fn clients(seed: u64) -> Vec<Client> {
    let kinds = (0..OF_EACH).flat_map(|number| {
        let sides: [Box<dyn Side>; 5] = [
            Box::new(Topics::new(number)),
            Box::new(Configs::new(number)),
            Box::new(Offsets::new(number)),
            Box::new(Acls::new(number)),
            Box::new(Users::new(number)),
        ];
        sides
    });
    let client = |(number, side): (usize, Box<dyn Side>)| Client {
        side,
        ledger: Ledger::default(),
        random: Random::new(seed ^ (number as u64 + 1)),
    };
    kinds.enumerate().map(client).collect()
}

impl Client {
    /// Changes until the connection ends.
    pub(super) fn run(
        &mut self,
        address: SocketAddr,
        acknowledged: &Sender<()>,
        deadline: Instant,
    ) -> io::Error {
        match self.go_on(address, acknowledged, deadline) {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    fn go_on(
        &mut self,
        address: SocketAddr,
        acknowledged: &Sender<()>,
        deadline: Instant,
    ) -> io::Result<Infallible> {
        let mut connection = Connection::open(address)?;
        self.side.prepare(&mut connection)?;
        loop {
            let Self {
                side,
                ledger,
                random,
            } = self;
            side.change(&mut connection, ledger, random)?;
            // Whoever counts may have enough.
            let _ = acknowledged.send(());
            assert!(Instant::now() < deadline, "the broker should have died");
        }
    }

    /// What was acknowledged must be there, whole.
    pub(super) fn compare(&mut self, connection: &mut Connection) -> io::Result<()> {
        let found = self.side.read(connection)?;
        self.ledger.compare(self.side.name(), &found);
        Ok(())
    }
}

/// Some of these, at least one, in their order.
pub(super) fn some<T: Clone>(all: &[T], random: &mut Random) -> Vec<T> {
    let mut picked: Vec<T> = all.to_vec();
    picked.retain(|_| random.below(2) == 0);
    if picked.is_empty() {
        picked.push(random.pick(all).clone());
    }
    picked
}
