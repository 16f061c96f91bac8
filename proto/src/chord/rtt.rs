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
}

impl RttTable {
    /// An empty table.
    #[must_use]
    pub const fn new(bounds: RttBounds) -> Self {
        Self {
            bounds,
            peers: BTreeMap::new(),
        }
    }

    /// The present timeout for `peer`.
    #[must_use]
    pub fn timeout(&self, peer: &NodeName) -> Duration {
        let Some(rtt) = self.peers.get(peer) else {
            return self.bounds.initial;
        };
        let base = if rtt.samples == 0 {
            self.bounds.initial
        } else {
            rtt.smoothed + 4 * rtt.deviation
        };
        let backed_off = base.max(self.bounds.min) * (1 << rtt.backoff.min(BACKOFF_MAX));
        backed_off.min(self.bounds.max)
    }

    /// A request that was sent once was answered after `sample`.
    pub fn measured(&mut self, peer: &NodeName, sample: Duration, now: Duration) {
        let rtt = self.entry(peer);
        if rtt.samples == 0 {
            rtt.smoothed = sample;
            rtt.deviation = sample / 2;
        } else {
            // RFC 6298, section 2.3: alpha 1/8, beta 1/4.
            let error = rtt.smoothed.abs_diff(sample);
            rtt.deviation = rtt.deviation * 3 / 4 + error / 4;
            rtt.smoothed = rtt.smoothed * 7 / 8 + sample / 8;
        }
        rtt.samples = rtt.samples.saturating_add(1);
        rtt.backoff = 0;
        rtt.at = now;
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

    fn entry(&mut self, peer: &NodeName) -> &mut Rtt {
        if self.peers.len() >= RTT_PEERS_MAX && !self.peers.contains_key(peer) {
            let oldest = self.peers.iter().min_by_key(|(_, rtt)| rtt.at);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                self.peers.remove(&name);
            }
        }
        self.peers.entry(peer.clone()).or_default()
    }
}

#[derive(Clone, Debug, Default)]
struct Rtt {
    smoothed: Duration,
    deviation: Duration,
    samples: u32,
    backoff: u8,
    at: Duration,
}

const BACKOFF_MAX: u8 = 6;

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
