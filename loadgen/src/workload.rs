//! Draws what to ask for: kind, key and size of each request, as a function of the seed alone.
//! Each thread draws from a generator of its own, and numbers its writes apart from all others.

use proto::message::LookupMode;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use crate::keyspace::{KeyPicker, happens};
use crate::payload::ValueSizes;
use crate::plan::{Mix, Plan, Protocol};

/// What kind of request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Read a key.
    Get,
    /// Write a key.
    Put,
    /// Ask who owns a key.
    Lookup(LookupMode),
    /// Send a frame that comes back.
    Echo,
}

impl Kind {
    /// Names by [`Kind::index`].
    pub(crate) const NAMES: [&'static str; 4] = ["get", "put", "lookup", "echo"];

    /// Position in tables of all kinds.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Get => 0,
            Self::Put => 1,
            Self::Lookup(_) => 2,
            Self::Echo => 3,
        }
    }
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// What kind.
    pub(crate) kind: Kind,
    /// Index of the key.
    pub(crate) key: u64,
    /// The number a written value carries: thread, then a count.
    pub(crate) sequence: u64,
    /// Size of a written value or of an echo frame.
    pub(crate) bytes: u32,
}

/// Draws the requests of one thread.
pub(crate) struct Workload {
    rng: Xoshiro256PlusPlus,
    picker: KeyPicker,
    sizes: ValueSizes,
    mix: Mix,
    echo_bytes: Option<u32>,
    sequence: u64,
    lookups: usize,
}

impl Workload {
    /// The requests of thread `thread`. The plan has been checked: its key space is not empty.
    pub(crate) fn new(plan: &Plan, thread: u32) -> Self {
        let picker = KeyPicker::new(plan.data.keys, plan.data.popularity);
        let echo_bytes = match plan.protocol {
            Protocol::Echo { frame_bytes } => Some(frame_bytes),
            Protocol::Dht | Protocol::Resp | Protocol::Memcached | Protocol::Native { .. } => None,
        };
        Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(!plan.seed ^ (u64::from(thread) << 32)),
            picker: picker.expect("a checked plan has a key space"),
            sizes: plan.data.sizes.clone(),
            mix: plan.mix.clone(),
            echo_bytes,
            sequence: u64::from(thread) << THREAD_SHIFT,
            lookups: 0,
        }
    }

    /// The next request of the mix.
    pub(crate) fn draw(&mut self) -> Request {
        self.sequence += 1;
        if let Some(bytes) = self.echo_bytes {
            return Request {
                kind: Kind::Echo,
                key: 0,
                sequence: self.sequence,
                bytes,
            };
        }
        let key = self.picker.draw(&mut self.rng);
        if happens(&mut self.rng, self.mix.lookup_ratio) {
            self.lookups += 1;
            let mode = self.mix.lookup_modes[self.lookups % self.mix.lookup_modes.len()];
            return Request {
                kind: Kind::Lookup(mode),
                key,
                sequence: self.sequence,
                bytes: 0,
            };
        }
        if happens(&mut self.rng, self.mix.put_ratio) {
            return self.put(key);
        }
        Request {
            kind: Kind::Get,
            key,
            sequence: self.sequence,
            bytes: 0,
        }
    }

    /// A write of `key`, as the preload needs it.
    pub(crate) fn put(&mut self, key: u64) -> Request {
        self.sequence += 1;
        let bytes = self.sizes.draw(&mut self.rng);
        Request {
            kind: Kind::Put,
            key,
            sequence: self.sequence,
            bytes,
        }
    }
}

const THREAD_SHIFT: u32 = 48;
