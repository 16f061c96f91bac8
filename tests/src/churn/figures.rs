//! What is counted of lookups under churn, and of what nodes send.
//! The same for the ring and for the model of Kademlia.

use std::time::Duration;

/// Lookups that ended, and how.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// All that ended at an asker that was still there.
    pub lookups: u64,
    /// Named the member that owned the position.
    pub correct: u64,
    /// Named a member that did not.
    pub wrong: u64,
    /// Named nobody.
    pub failed: u64,
    hops: u64,
    timeouts: u64,
    took: Vec<u32>,
}

impl Figures {
    /// Counts one lookup: whether it named somebody, and the right one, with the nodes contacted,
    /// the timeouts met, and the time it took.
    pub fn add(&mut self, named: bool, correct: bool, hops: u64, timeouts: u64, took: Duration) {
        self.lookups += 1;
        self.correct += u64::from(correct);
        self.wrong += u64::from(named && !correct);
        self.failed += u64::from(!named);
        if named {
            self.hops += hops;
            self.timeouts += timeouts;
            self.took
                .push(u32::try_from(took.as_millis()).unwrap_or(u32::MAX));
        }
    }

    /// Correct lookups, in percent of all.
    #[must_use]
    pub fn correct_percent(&self) -> f64 {
        self.correct as f64 * 100.0 / self.lookups.max(1) as f64
    }

    /// Mean nodes contacted by lookups that named somebody.
    #[must_use]
    pub fn hops(&self) -> f64 {
        self.hops as f64 / self.took.len().max(1) as f64
    }

    /// Mean timeouts of lookups that named somebody.
    #[must_use]
    pub fn timeouts(&self) -> f64 {
        self.timeouts as f64 / self.took.len().max(1) as f64
    }

    /// The time below which this share of the lookups that named somebody ended.
    #[must_use]
    pub fn took(&self, share: f64) -> Duration {
        let mut took = self.took.clone();
        let rank = (took.len().saturating_sub(1) as f64 * share) as usize;
        if took.is_empty() {
            return Duration::ZERO;
        }
        let (_, at, _) = took.select_nth_unstable(rank);
        Duration::from_millis(u64::from(*at))
    }
}

/// What a node sends.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Costs {
    /// Messages of a node in a second, without those of the lookups that were asked for.
    pub messages: f64,
    /// Bytes of a node in a second, without those of the lookups that were asked for.
    pub bytes: f64,
    /// Bytes that a lookup costs.
    pub lookup_bytes: f64,
}
