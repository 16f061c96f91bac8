//! The data of a run, shared by all threads: keys, values, and which keys are known to be stored.
//! Keys and values follow from the data seed; of what is stored it keeps one bit a key.

use std::sync::atomic::{AtomicU64, Ordering};

use proto::key::Key;

use crate::keyspace;
use crate::payload::{Payloads, Wrong};
use crate::plan::Data;

/// Keys and values of a run.
pub(crate) struct Dataset {
    data_seed: u64,
    payloads: Payloads,
    /// One bit a key: a write of it was confirmed. Only ever set, so no order is needed between
    /// threads: a bit that is seen late misses one check and accuses nobody.
    stored: Box<[AtomicU64]>,
    /// Whether values stay: with a lifetime, a value that is gone is not lost.
    pub(crate) lasting: bool,
}

impl Dataset {
    pub(crate) fn new(data: &Data) -> Self {
        let words = data.keys.div_ceil(64);
        Self {
            data_seed: data.data_seed,
            payloads: Payloads::new(data.data_seed),
            stored: (0..words).map(|_| AtomicU64::new(0)).collect(),
            lasting: data.ttl_s == 0,
        }
    }

    /// Key number `index`.
    pub(crate) fn key(&self, index: u64) -> Key {
        keyspace::key(self.data_seed, index)
    }

    /// Appends the value that write `sequence` gives key `index`.
    pub(crate) fn value(&self, out: &mut Vec<u8>, index: u64, sequence: u64, bytes: u32) {
        self.payloads.write(out, index, sequence, bytes as usize);
    }

    /// Checks a value that was read; see [`Payloads::verify`].
    pub(crate) fn verify(&self, index: u64, value: &[u8]) -> Result<u64, Wrong> {
        self.payloads.verify(index, value)
    }

    /// Notes that a write of key `index` was confirmed.
    pub(crate) fn mark_stored(&self, index: u64) {
        let bit = 1 << (index % 64);
        let word = &self.stored[(index / 64) as usize];
        // Most writes are of keys already known: a plain read is cheaper than a locked write.
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether a read of key `index` that begins now has to find a value.
    pub(crate) fn must_exist(&self, index: u64) -> bool {
        let bit = 1 << (index % 64);
        self.lasting && self.stored[(index / 64) as usize].load(Ordering::Relaxed) & bit != 0
    }
}
