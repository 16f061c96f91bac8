//! Keeps trouble with one peer from filling the log: one line for each peer and kind in a while,
//! with the number of those left out.

use std::collections::HashMap;
use std::time::Duration;

use super::limits::{LOG_PAUSE, LOG_PEERS_MAX};

/// What was said about whom, and when.
#[derive(Default)]
pub(crate) struct LogGate {
    said: HashMap<(&'static str, String), Said>,
}

struct Said {
    at: Duration,
    left_out: u64,
}

impl LogGate {
    /// Whether a line of this kind about `peer` may be logged at `now`: `Some` of the number of
    /// lines left out since the last one.
    pub(crate) fn pass(&mut self, kind: &'static str, peer: &str, now: Duration) -> Option<u64> {
        let is_recent = |said: &Said| now.saturating_sub(said.at) < LOG_PAUSE;
        let key = (kind, peer.to_owned());
        if let Some(said) = self.said.get_mut(&key) {
            if is_recent(said) {
                said.left_out += 1;
                return None;
            }
            let left_out = said.left_out;
            *said = Said {
                at: now,
                left_out: 0,
            };
            return Some(left_out);
        }
        if self.said.len() >= LOG_PEERS_MAX {
            self.said.retain(|_, said| is_recent(said));
        }
        if self.said.len() >= LOG_PEERS_MAX {
            return None;
        }
        self.said.insert(
            key,
            Said {
                at: now,
                left_out: 0,
            },
        );
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_line_says_how_many_were_left_out() {
        let mut gate = LogGate::default();
        assert_eq!(gate.pass("dial", "a", Duration::ZERO), Some(0));
        assert_eq!(gate.pass("dial", "a", Duration::from_secs(1)), None);
        assert_eq!(gate.pass("dial", "a", Duration::from_secs(2)), None);
        assert_eq!(gate.pass("refused", "a", Duration::from_secs(2)), Some(0));
        assert_eq!(gate.pass("dial", "b", Duration::from_secs(2)), Some(0));
        assert_eq!(gate.pass("dial", "a", LOG_PAUSE), Some(2));
    }

    #[test]
    fn strangers_cannot_fill_the_memory() {
        let mut gate = LogGate::default();
        for peer in 0..LOG_PEERS_MAX * 2 {
            gate.pass("refused", &peer.to_string(), Duration::ZERO);
        }
        assert_eq!(gate.said.len(), LOG_PEERS_MAX);
        assert_eq!(gate.pass("refused", "new", LOG_PAUSE), Some(0));
    }
}
