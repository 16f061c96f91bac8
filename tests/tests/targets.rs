//! What the DHT API is tested against: a node alone, and a node of a ring that does not own the
//! keys asked for. Both are shared by the tests that run at the same time.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};

use harness::dht::{Client, KeyBytes};
use harness::ring::Ring;
use harness::serve::Serve;

/// A place to send DHT API messages to.
pub(crate) enum Target {
    /// A ring of one.
    Single(Arc<Serve>),
    /// Node 0 of a ring of three.
    Gateway(Arc<Ring>),
}

impl Target {
    /// A ring of one.
    pub(crate) fn single() -> Self {
        static NODE: Mutex<Weak<Serve>> = Mutex::new(Weak::new());
        Self::Single(share(&NODE, || Serve::single("single", &[])))
    }

    /// A gateway of a ring.
    pub(crate) fn gateway() -> Self {
        static RING: Mutex<Weak<Ring>> = Mutex::new(Weak::new());
        Self::Gateway(share(&RING, || Ring::shared(3, &[])))
    }

    /// Where the DHT API is.
    pub(crate) fn api(&self) -> SocketAddr {
        match self {
            Self::Single(node) => node.plan.api(),
            Self::Gateway(ring) => ring.nodes[0].api,
        }
    }

    /// A new connection.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.api())
    }

    /// A key that nobody else uses and, in a ring, another node than the gateway owns.
    pub(crate) fn key(&self, text: &str) -> KeyBytes {
        let Self::Gateway(ring) = self else {
            return harness::dht::key(text);
        };
        let all = ring.all();
        let keys = (0..1000).map(|at| harness::dht::key(&format!("{text} {at}")));
        let mut remote = keys.filter(|key| ring.owner(&all, key) != 0);
        remote.next().expect("a gateway does not own everything")
    }

    /// The processes behind it.
    pub(crate) fn pids(&self) -> Vec<u32> {
        match self {
            Self::Single(node) => vec![node.process.pid()],
            Self::Gateway(ring) => ring.nodes.iter().map(|node| node.pid).collect(),
        }
    }
}

/// What `shared` holds as long as somebody uses it, or else what `start` makes.
fn share<T>(shared: &Mutex<Weak<T>>, start: impl FnOnce() -> T) -> Arc<T> {
    let mut shared = shared
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(running) = shared.upgrade() {
        return running;
    }
    let started = Arc::new(start());
    *shared = Arc::downgrade(&started);
    started
}
