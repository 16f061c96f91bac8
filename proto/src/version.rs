//! Version stamps: a hybrid logical clock and the node that gave the stamp.
//!
//! The order of stamps is the order of writes: milliseconds of the wall clock first, then a counter
//! that tells writes of one millisecond apart, then the node. RELIABILITY.md, "The contract", 4.

/// A version stamp; the greatest one of a key wins on every replica.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Version {
    /// 48 bits of milliseconds since 1970, then a 16-bit counter.
    pub stamp: u64,
    /// The most significant 64 bits of the id of the node that gave the stamp.
    pub node: u64,
}

impl Version {
    /// Milliseconds since 1970 of the stamp.
    #[must_use]
    pub const fn wall_ms(&self) -> u64 {
        self.stamp >> COUNTER_BITS
    }
}

/// Gives stamps that never go backwards, whatever the wall clock does.
#[derive(Clone, Debug)]
pub struct VersionClock {
    last: u64,
    node: u64,
}

impl VersionClock {
    /// A clock that signs its stamps with `node`, the high bits of the node's id.
    #[must_use]
    pub const fn new(node: u64) -> Self {
        Self { last: 0, node }
    }

    /// The next stamp at wall time `wall_ms`: strictly greater than every stamp given or seen
    /// before. A counter that overflows borrows from the next millisecond.
    pub fn next(&mut self, wall_ms: u64) -> Version {
        self.last = (wall_ms << COUNTER_BITS).max(self.last + 1);
        Version {
            stamp: self.last,
            node: self.node,
        }
    }

    /// The greatest stamp given or seen; 0 before the first.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// Takes note of a stamp given elsewhere, so that the next one is greater.
    pub fn observe(&mut self, version: Version) {
        self.last = self.last.max(version.stamp);
    }
}

const COUNTER_BITS: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_grow_while_the_wall_clock_steps_back() {
        let mut clock = VersionClock::new(1);
        let first = clock.next(1_000);
        let second = clock.next(900);
        assert!(second > first);
        assert_eq!(second.wall_ms(), 1_000);
    }

    #[test]
    fn observed_stamps_are_passed() {
        let mut clock = VersionClock::new(1);
        let seen = Version {
            stamp: 5_000 << 16,
            node: 9,
        };
        clock.observe(seen);
        assert!(clock.next(10) > seen);
    }
}
