//! One attacker: connection after connection, each with a bulk of mutated frames.

use super::corpus::Corpus;
use super::mutation::mutated;
use crate::support::random::Random;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// Frames of one connection. The first that is malformed ends it, and those behind it are lost.
const BULK: u64 = 8;

/// Connections between two ticks.
const TICK_EVERY: u64 = 10;

/// A mutated request may ask to wait for days; so long is waited with it.
const PATIENCE: Duration = Duration::from_millis(250);

const LIMIT: Duration = Duration::from_secs(30);

/// What was sent, and what became of the connections.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Account {
    pub(super) connections: u64,
    pub(super) answers: u64,
    /// Connections that were given up because an answer was still to come.
    pub(super) waited: u64,
}

impl Account {
    pub(super) fn sent(&self) -> u64 {
        self.connections * BULK
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.connections += other.connections;
        self.answers += other.answers;
        self.waited += other.waited;
    }
}

/// Attacks until it is called off; ticks now and then.
pub(super) fn run(
    address: SocketAddr,
    corpus: &Corpus,
    seed: u64,
    ticks: &SyncSender<()>,
    called_off: &AtomicBool,
) -> Account {
    let mut random = Random::new(seed);
    let mut account = Account::default();
    while !called_off.load(Ordering::Relaxed) {
        let bulk: Vec<u8> = (0..BULK)
            .flat_map(|_| mutated(&mut random, corpus.frames()))
            .collect();
        let (answers, is_closed) = send(address, &bulk);
        account.connections += 1;
        account.answers += answers;
        account.waited += u64::from(!is_closed);
        if account.connections.is_multiple_of(TICK_EVERY) {
            // One that is still waiting is as good.
            let _ = ticks.try_send(());
        }
    }
    account
}

/// Sends everything, reads until the broker ends the connection; returns how many answers came,
/// and whether it did end it.
fn send(address: SocketAddr, bulk: &[u8]) -> (u64, bool) {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).expect("the broker accepts");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The broker may have ended the connection before everything was sent, which reading shows.
    let _ = stream.write_all(bulk);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answers = Answers::default();
    let mut buffer = [0; 16 << 10];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (answers.count, true),
            Ok(read) => answers.take(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return (answers.count, false);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
                return (answers.count, true);
            }
        }
    }
}

/// Counts answers in a stream of bytes, whose content does not matter here.
#[derive(Default)]
struct Answers {
    count: u64,
    size: Vec<u8>,
    missing: usize,
}

impl Answers {
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.missing > 0 {
                let skipped = self.missing.min(bytes.len());
                bytes = &bytes[skipped..];
                self.missing -= skipped;
                self.count += u64::from(self.missing == 0);
                continue;
            }
            self.size.push(bytes[0]);
            bytes = &bytes[1..];
            if let Ok(size) = <[u8; 4]>::try_from(self.size.as_slice()) {
                let size = i32::from_be_bytes(size);
                self.missing = usize::try_from(size).expect("a sound size");
                assert!(
                    size >= 4,
                    "an answer has a correlation id, this has {size} bytes"
                );
                self.size.clear();
            }
        }
    }
}
