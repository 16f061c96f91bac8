//! Per-peer retransmission timeouts as in TCP: smoothed round trip + 4 × deviation (RFC 6298),
//! doubled with every timeout until the next measurement. Bounded; the peer measured longest ago
//! goes first.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::peer::NodeName;

use super::bounds::RTT_PEERS_MAX;

/// Between which bounds a timeout stays, and where it starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RttBounds {
    /// For a peer that was never measured.
    pub initial: Duration,
    /// The shortest timeout.
    pub min: Duration,
    /// The longest timeout.
    pub max: Duration,
}

/// What was measured of each peer.
#[derive(Clone, Debug)]
pub struct RttTable {
    bounds: RttBounds,
    peers: BTreeMap<NodeName, Rtt>,
    /// All peers taken together.
    anybody: Rtt,
}

impl RttTable {
    /// An empty table.
    #[must_use]
    pub const fn new(bounds: RttBounds) -> Self {
        Self {
            bounds,
            peers: BTreeMap::new(),
            anybody: Rtt::NONE,
        }
    }

    /// The present timeout for `peer`.
    #[must_use]
    pub fn timeout(&self, peer: &NodeName) -> Duration {
        let rtt = self.peers.get(peer).unwrap_or(&Rtt::NONE);
        self.backed_off(rtt, rtt.timeout().unwrap_or(self.bounds.initial))
    }

    /// The present timeout for `peer`; what was measured of others stands in for what was not
    /// measured of it (temporal sharing of RFC 9040, section 6, between peers).
    #[must_use]
    pub fn guess(&self, peer: &NodeName) -> Duration {
        let rtt = self.peers.get(peer).unwrap_or(&Rtt::NONE);
        let (own, others) = (rtt.timeout(), self.anybody.timeout());
        // The first samples say little: a formal deviation, and the handshakes of a new link.
        let base = if rtt.samples < SAMPLES_SETTLED {
            own.into_iter().chain(others).min()
        } else {
            own
        };
        self.backed_off(rtt, base.unwrap_or(self.bounds.initial))
    }

    /// A request that was sent once was answered after `sample`.
    pub fn measured(&mut self, peer: &NodeName, sample: Duration, now: Duration) {
        self.entry(peer).measured(sample, now);
        self.anybody.measured(sample, now);
    }

    /// A request was not answered in time.
    pub fn timed_out(&mut self, peer: &NodeName) {
        let rtt = self.entry(peer);
        rtt.backoff = rtt.backoff.saturating_add(1).min(BACKOFF_MAX);
    }

    /// Every measured peer with its smoothed round trip and timeout.
    pub fn peers(&self) -> impl Iterator<Item = (&NodeName, Duration, Duration)> {
        let measured = self.peers.iter().filter(|(_, rtt)| rtt.samples > 0);
        measured.map(|(name, rtt)| (name, rtt.smoothed, self.timeout(name)))
    }

    fn backed_off(&self, rtt: &Rtt, base: Duration) -> Duration {
        let backed_off = base.max(self.bounds.min) * (1 << rtt.backoff.min(BACKOFF_MAX));
        backed_off.min(self.bounds.max)
    }

    fn entry(&mut self, peer: &NodeName) -> &mut Rtt {
        if self.peers.len() >= RTT_PEERS_MAX && !self.peers.contains_key(peer) {
            let oldest = self.peers.iter().min_by_key(|(_, rtt)| rtt.at);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                self.peers.remove(&name);
            }
        }
        self.peers.entry(peer.clone()).or_insert(Rtt::NONE)
    }
}

#[derive(Clone, Debug)]
struct Rtt {
    smoothed: Duration,
    deviation: Duration,
    samples: u32,
    backoff: u8,
    at: Duration,
}

impl Rtt {
    const NONE: Self = Self {
        smoothed: Duration::ZERO,
        deviation: Duration::ZERO,
        samples: 0,
        backoff: 0,
        at: Duration::ZERO,
    };

    fn timeout(&self) -> Option<Duration> {
        (self.samples > 0).then(|| self.smoothed + 4 * self.deviation)
    }

    fn measured(&mut self, sample: Duration, now: Duration) {
        if self.samples == 0 {
            self.smoothed = sample;
            self.deviation = sample / 2;
        } else {
            // RFC 6298, section 2.3: alpha 1/8, beta 1/4.
            let error = self.smoothed.abs_diff(sample);
            self.deviation = self.deviation * 3 / 4 + error / 4;
            self.smoothed = self.smoothed * 7 / 8 + sample / 8;
        }
        self.samples = self.samples.saturating_add(1);
        self.backoff = 0;
        self.at = now;
    }
}

const BACKOFF_MAX: u8 = 6;

/// Samples after which a peer's own timeout is better than what others need.
const SAMPLES_SETTLED: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: RttBounds = RttBounds {
        initial: Duration::from_millis(500),
        min: Duration::from_millis(50),
        max: Duration::from_secs(4),
    };

    fn name(port: usize) -> NodeName {
        NodeName::parse(&format!("127.0.0.1:{port}")).unwrap()
    }

    #[test]
    fn timeout_follows_the_samples_and_doubles_when_missed() {
        let mut table = RttTable::new(BOUNDS);
        let peer = name(1);
        assert_eq!(table.timeout(&peer), BOUNDS.initial);
        table.measured(&peer, Duration::from_millis(100), Duration::ZERO);
        assert_eq!(table.timeout(&peer), Duration::from_millis(300));
        table.timed_out(&peer);
        assert_eq!(table.timeout(&peer), Duration::from_millis(600));
        for _ in 0..10 {
            table.timed_out(&peer);
        }
        assert_eq!(table.timeout(&peer), BOUNDS.max);
        for _ in 0..100 {
            table.measured(&peer, Duration::from_millis(1), Duration::ZERO);
        }
        assert_eq!(table.timeout(&peer), BOUNDS.min);
    }

    #[test]
    fn strangers_are_guessed_from_those_who_were_measured() {
        let mut table = RttTable::new(BOUNDS);
        assert_eq!(table.guess(&name(9)), BOUNDS.initial);
        table.measured(&name(1), Duration::from_millis(40), Duration::ZERO);
        assert_eq!(table.guess(&name(9)), Duration::from_millis(120));
        assert_eq!(table.timeout(&name(9)), BOUNDS.initial);
        assert_eq!(table.guess(&name(1)), table.timeout(&name(1)));
        table.timed_out(&name(9));
        assert_eq!(table.guess(&name(9)), Duration::from_millis(240));
        for _ in 0..20 {
            table.measured(&name(1), Duration::from_millis(40), Duration::ZERO);
        }
        table.measured(&name(2), Duration::from_millis(100), Duration::ZERO);
        assert_eq!(table.timeout(&name(2)), Duration::from_millis(300));
        assert!(table.guess(&name(2)) < Duration::from_millis(120));
        for _ in 0..20 {
            table.measured(&name(2), Duration::from_millis(100), Duration::ZERO);
        }
        assert_eq!(table.guess(&name(2)), table.timeout(&name(2)));
    }

    #[test]
    fn table_is_bounded() {
        let mut table = RttTable::new(BOUNDS);
        for port in 1..=RTT_PEERS_MAX + 10 {
            let at = Duration::from_secs(port as u64);
            table.measured(&name(port), Duration::from_millis(1), at);
        }
        assert_eq!(table.peers().count(), RTT_PEERS_MAX);
        assert_eq!(table.timeout(&name(1)), BOUNDS.initial);
    }
}
