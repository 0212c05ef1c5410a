//! A network of pipes: addresses at which somebody listens, and a record of who dialled when.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use isthmus_client::net::{Address, Dial, Dialing, Stream};
use parking_lot::Mutex;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What a pipe holds before the writer must wait; small, so that writes are cut.
const PIPE_BYTES: usize = 8 << 10;

/// Somebody listening.
pub(crate) type Listener = mpsc::UnboundedReceiver<DuplexStream>;

/// The network; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeNet(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    listeners: HashMap<String, mpsc::UnboundedSender<DuplexStream>>,
    dials: Vec<(String, Instant)>,
}

impl FakeNet {
    /// Listens at `host:port`, in the place of whoever did before.
    pub(crate) fn listen(&self, address: &str) -> Listener {
        let (sender, listener) = mpsc::unbounded_channel();
        self.0.lock().listeners.insert(address.to_owned(), sender);
        listener
    }

    /// Nobody listens there any more.
    pub(crate) fn unlisten(&self, address: &str) {
        self.0.lock().listeners.remove(address);
    }

    /// When an address was dialled.
    pub(crate) fn dials(&self, address: &str) -> Vec<Instant> {
        let state = self.0.lock();
        let mine = state.dials.iter().filter(|(dialled, _)| dialled == address);
        mine.map(|(_, at)| *at).collect()
    }
}

impl Dial for FakeNet {
    fn dial<'a>(&'a self, address: &'a Address) -> Dialing<'a> {
        Box::pin(async move {
            let address = address.to_string();
            let mut state = self.0.lock();
            state.dials.push((address.clone(), Instant::now()));
            let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
            let listener = state.listeners.get(&address);
            let reached = listener.is_some_and(|listener| listener.send(theirs).is_ok());
            if !reached {
                return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
            }
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}
