//! The wall clock of a host as those who judge it need it: what it may have read at any moment
//! between two sights of it.
//! It runs forward by itself; only jumps that somebody makes set it back or on.

use std::time::Duration;

/// The jumps of a wall clock.
#[derive(Clone, Debug, Default)]
pub(super) struct Wall {
    jumps: Vec<Jump>,
}

#[derive(Clone, Copy, Debug)]
struct Jump {
    at: Duration,
    before_ms: u64,
    after_ms: u64,
}

impl Wall {
    /// The clock was set, from one reading to the other.
    pub(super) fn jump(&mut self, at: Duration, before_ms: u64, after_ms: u64) {
        self.jumps.push(Jump {
            at,
            before_ms,
            after_ms,
        });
    }

    /// The least it read between two moments, with its readings then.
    pub(super) fn least(&self, from: (Duration, u64), to: (Duration, u64)) -> u64 {
        let jumps = self.between(from.0, to.0).map(|jump| jump.after_ms);
        jumps.fold(from.1.min(to.1), u64::min)
    }

    /// The most it ever read, with its reading now.
    pub(super) fn latest(&self, now_ms: u64) -> u64 {
        let jumps = self.jumps.iter().map(|jump| jump.before_ms);
        jumps.fold(now_ms, u64::max)
    }

    fn between(&self, from: Duration, to: Duration) -> impl Iterator<Item = &Jump> {
        let within = move |jump: &&Jump| (from..=to).contains(&jump.at);
        self.jumps.iter().filter(within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_widens_what_the_clock_may_have_read() {
        let at = Duration::from_secs;
        let mut wall = Wall::default();
        wall.jump(at(2), 2_000, 1_000);
        assert_eq!(wall.least((at(1), 1_000), (at(3), 2_000)), 1_000);
        assert_eq!(wall.least((at(0), 500), (at(3), 2_000)), 500);
        assert_eq!(wall.latest(1_500), 2_000);
    }
}
