//! What is done to a shard to see what its log makes of it: scripts that a seed makes, one kind for
//! each thing a log can do.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use node::engine::wal::settings::{LogConfig, SEGMENT_BYTES_MIN, SyncPolicy};
use proto::key::Key;

use crate::dice::Dice;

/// One thing to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Store a value of so many bytes.
    Put {
        /// See [`key_of`].
        key: u16,
        /// Length of the value.
        bytes: usize,
        /// Lifetime in seconds.
        ttl_s: u32,
    },
    /// Delete a key.
    Delete {
        /// See [`key_of`].
        key: u16,
    },
    /// Read a key.
    Get {
        /// See [`key_of`].
        key: u16,
    },
    /// Let time pass.
    Rest {
        /// Milliseconds.
        ms: u64,
    },
    /// Wait for all answers.
    Settle,
    /// Stop in order and start again.
    Restart,
}

/// What a script is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Theme {
    /// Keys that are written once.
    Puts,
    /// Few keys, written again and again.
    Overwrites,
    /// Keys that come and go.
    Deletes,
    /// Short and long lifetimes, one over the other, and time to pass them.
    Expiry,
    /// Long values: a segment after the other.
    Rotation,
    /// Live records among many dead ones: segments are compacted and used again.
    Compaction,
    /// Stops and starts.
    Restarts,
    /// Anything.
    Mixture,
}

/// A script and what it runs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Script {
    /// What it is about.
    pub theme: Theme,
    /// When a record counts as durable.
    pub sync: SyncPolicy,
    /// Decides everything else.
    pub seed: u64,
}

impl Theme {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Puts,
        Self::Overwrites,
        Self::Deletes,
        Self::Expiry,
        Self::Rotation,
        Self::Compaction,
        Self::Restarts,
        Self::Mixture,
    ];
}

impl Script {
    /// The log it runs on: small segments, of which a quarter of the seeds has larger ones.
    #[must_use]
    pub fn config(&self) -> LogConfig {
        let mut dice = Dice::new(self.seed ^ 0x5e7);
        let factor = if dice.one_in(4) { 2 } else { 1 };
        LogConfig {
            node: 7,
            shard: 3,
            segment_bytes: SEGMENT_BYTES_MIN * factor,
            sync: self.sync,
            space_percent: 200,
            seed: self.seed,
        }
    }

    /// What is done, `count` things in all.
    #[must_use]
    pub fn actions(&self, count: usize) -> Vec<Action> {
        let mut dice = Dice::new(self.seed);
        let mut actions = Vec::new();
        for _ in 0..count {
            actions.push(self.action(&mut dice, actions.len()));
        }
        actions.push(Action::Settle);
        // A rest is followed by the batch that attests those before it.
        actions.push(Action::Rest { ms: 30 });
        actions.push(Action::Settle);
        actions
    }

    fn action(&self, dice: &mut Dice, at: usize) -> Action {
        match dice.below(20) {
            0 => return Action::Rest { ms: dice.below(60) },
            1 if dice.one_in(2) => return Action::Settle,
            2 | 3 => return Action::Get { key: key(dice, 12) },
            _ => {}
        }
        match self.theme {
            Theme::Puts => put(u16::try_from(at).unwrap_or(0), 10 + dice.below(600), LONG_S),
            Theme::Overwrites => put(key(dice, 4), 10 + dice.below(2_000), LONG_S),
            Theme::Deletes => match dice.below(5) {
                0 | 1 => Action::Delete { key: key(dice, 6) },
                _ => put(key(dice, 6), 10 + dice.below(1_500), LONG_S),
            },
            Theme::Expiry => match dice.below(8) {
                0 => Action::Rest {
                    ms: 1_000 + dice.below(2_000),
                },
                1 => Action::Delete { key: key(dice, 6) },
                2 | 3 => put(key(dice, 6), 10 + dice.below(3_000), LONG_S),
                _ => put(key(dice, 6), 10 + dice.below(3_000), lifetime(dice)),
            },
            Theme::Rotation => put(key(dice, 40), 4_000 + dice.below(4_000), LONG_S),
            Theme::Compaction => match dice.below(12) {
                0 => Action::Delete { key: key(dice, 12) },
                1 => put(key(dice, 12), 4_000 + dice.below(4_000), lifetime(dice)),
                2 => Action::Rest {
                    ms: 500 + dice.below(1_500),
                },
                3 => put(20 + key(dice, 12), 10 + dice.below(500), LONG_S),
                _ => put(key(dice, 3), 4_000 + dice.below(4_000), LONG_S),
            },
            Theme::Restarts => match dice.below(14) {
                0 => Action::Restart,
                1 => Action::Delete { key: key(dice, 8) },
                _ => put(key(dice, 8), 10 + dice.below(7_000), LONG_S),
            },
            Theme::Mixture => match dice.below(24) {
                0 => Action::Restart,
                1..=3 => Action::Delete { key: key(dice, 10) },
                4 => Action::Rest {
                    ms: dice.below(3_000),
                },
                5..=7 => put(key(dice, 10), 10 + dice.below(7_990), lifetime(dice)),
                _ => put(key(dice, 10), 10 + dice.below(7_990), LONG_S),
            },
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = POLICIES.iter().find(|(_, sync)| *sync == self.sync);
        let policy = policy.map_or("other", |(name, _)| name);
        let theme = format!("{:?}", self.theme).to_lowercase();
        write!(f, "{theme}/{policy}/{}", self.seed)
    }
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no script: THEME/POLICY/SEED");
        let mut words = text.split('/');
        let (theme, policy, seed) = (words.next(), words.next(), words.next());
        let themes = Theme::ALL.into_iter();
        let mut same = themes.filter(|it| Some(&*format!("{it:?}").to_lowercase()) == theme);
        let policy = POLICIES.iter().find(|(name, _)| Some(*name) == policy);
        Ok(Self {
            theme: same.next().ok_or_else(wrong)?,
            sync: policy.ok_or_else(wrong)?.1,
            seed: seed.and_then(|seed| seed.parse().ok()).ok_or_else(wrong)?,
        })
    }
}

/// The key of a number.
#[must_use]
pub fn key_of(number: u16) -> Key {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    Key::from_bytes(bytes)
}

/// A value of so many bytes that no other seed gives.
#[must_use]
pub fn value_of(seed: u64, bytes: usize) -> Vec<u8> {
    let mut value = vec![0; bytes];
    Dice::new(seed).fill(&mut value);
    value
}

/// The policies a log can have, by name.
pub const POLICIES: [(&str, SyncPolicy); 3] = [
    ("always", SyncPolicy::Always),
    ("interval", SyncPolicy::Interval(Duration::from_millis(25))),
    ("never", SyncPolicy::Never),
];

fn key(dice: &mut Dice, keys: u64) -> u16 {
    u16::try_from(dice.below(keys)).expect("few keys")
}

fn put(key: u16, bytes: u64, ttl_s: u32) -> Action {
    let bytes = usize::try_from(bytes).expect("short values");
    Action::Put { key, bytes, ttl_s }
}

fn lifetime(dice: &mut Dice) -> u32 {
    u32::try_from(1 + dice.below(4)).expect("seconds")
}

/// A lifetime that no script outlives.
const LONG_S: u32 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_replay_by_name() {
        for theme in Theme::ALL {
            for (_, sync) in POLICIES {
                let seed = 12;
                let script = Script { theme, sync, seed };
                assert_eq!(script.to_string().parse(), Ok(script));
                assert_eq!(script.actions(30), script.actions(30));
            }
        }
        assert!("puts/sometimes/1".parse::<Script>().is_err());
    }
}
