//! The routing table of one node of the model: a bucket for each length of the common prefix, the
//! contact seen longest ago first.

use std::collections::VecDeque;
use std::time::Duration;

use super::K;

/// A node as others know it. Of its id, the first 64 bits tell thousands of nodes apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Contact {
    pub(super) id: u64,
    pub(super) host: u32,
}

/// The buckets of one node.
#[derive(Clone, Debug)]
pub(super) struct Buckets {
    me: u64,
    buckets: Vec<VecDeque<Contact>>,
    /// When a lookup last went into the range of each bucket.
    looked: Vec<Duration>,
}

impl Buckets {
    pub(super) fn new(me: u64, now: Duration) -> Self {
        Self {
            me,
            buckets: vec![VecDeque::new(); 64],
            looked: vec![now; 64],
        }
    }

    /// Enters whoever has just sent something. When there is no room, returns the contact that has
    /// to be dead for that.
    pub(super) fn see(&mut self, contact: Contact) -> Option<Contact> {
        let bucket = &mut self.buckets[bucket_of(self.me, contact.id)?];
        if let Some(at) = bucket.iter().position(|known| *known == contact) {
            bucket.remove(at);
        } else if bucket.len() >= K {
            return bucket.front().copied();
        }
        bucket.push_back(contact);
        None
    }

    /// Drops a contact that did not answer.
    pub(super) fn drop(&mut self, contact: Contact) {
        if let Some(at) = bucket_of(self.me, contact.id) {
            self.buckets[at].retain(|known| *known != contact);
        }
    }

    /// The k contacts closest to `target`, closest first.
    pub(super) fn closest(&self, target: u64) -> Vec<Contact> {
        let mut all: Vec<_> = self.buckets.iter().flatten().copied().collect();
        let distance = |contact: &Contact| contact.id ^ target;
        if all.len() > K {
            all.select_nth_unstable_by_key(K, distance);
            all.truncate(K);
        }
        all.sort_unstable_by_key(distance);
        all
    }

    /// A lookup goes to `target`.
    pub(super) fn note_lookup(&mut self, target: u64, now: Duration) {
        if let Some(at) = bucket_of(self.me, target) {
            self.looked[at] = now;
        }
    }

    /// Positions in the ranges of buckets without a lookup since `since`, of those down to the
    /// closest neighbour's.
    pub(super) fn stale(&self, since: Duration, noise: u64) -> Vec<u64> {
        let used = self.buckets.iter().rposition(|bucket| !bucket.is_empty());
        let range = 0..used.map_or(0, |last| last + 1);
        let stale = range.filter(|at| self.looked[*at] <= since);
        stale.map(|at| position(self.me, at, noise)).collect()
    }
}

/// The bucket of `id`: the length of the prefix it shares with `me`; none for `me` itself.
fn bucket_of(me: u64, id: u64) -> Option<usize> {
    (me != id).then(|| (me ^ id).leading_zeros() as usize)
}

/// A position in the range of bucket `at`: the first `at` bits of `me`, the next one turned, then
/// noise.
fn position(me: u64, at: usize, noise: u64) -> u64 {
    let turned = 1u64 << (63 - at);
    (me ^ turned) & !(turned - 1) | noise & (turned - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_buckets_keep_those_who_answer() {
        let contact = |id| Contact { id, host: 0 };
        let mut buckets = Buckets::new(0, Duration::ZERO);
        let far = |low| 1 << 63 | low;
        for low in 0..K as u64 {
            assert_eq!(buckets.see(contact(far(low))), None);
        }
        assert_eq!(buckets.see(contact(far(99))), Some(contact(far(0))));
        assert_eq!(buckets.see(contact(far(0))), None);
        assert_eq!(buckets.see(contact(far(99))), Some(contact(far(1))));
        buckets.drop(contact(far(1)));
        assert_eq!(buckets.see(contact(far(99))), None);
        assert_eq!(buckets.see(contact(7)), None);
        assert_eq!(buckets.closest(6)[0], contact(7));
        assert_eq!(buckets.closest(far(99))[0], contact(far(99)));
        assert_eq!(buckets.closest(0).len(), K);
    }

    #[test]
    fn refreshed_positions_lie_in_their_buckets() {
        let me = 0x0123_4567_89ab_cdef;
        for at in 0..64 {
            assert_eq!(bucket_of(me, position(me, at, !me)), Some(at));
        }
    }
}
