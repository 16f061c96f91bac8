//! Random numbers that a seed repeats, and the seed itself: `CHORDITE_SEED` or a new one, which the
//! rig prints.
//!
//! Rigs with real processes do not repeat exactly, but the same seed chooses the same victims,
//! settings and sizes.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

/// SplitMix64: enough for choosing keys, sizes and moments.
#[derive(Clone, Debug)]
pub struct Chance {
    state: u64,
}

impl Chance {
    /// The numbers of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// True in `percent` of a hundred cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The seed of this run, printed so that a failure can be looked at again.
pub fn seed(rig: &str) -> u64 {
    let given = env::var(SEED).ok();
    let seed = given.map_or_else(from_clock, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("CHORDITE_SEED is a number, not {text:?}"))
    });
    println!("{rig}: CHORDITE_SEED={seed}");
    seed
}

/// How many rounds a rig does: `CHORDITE_ROUNDS`, or `ordinary`.
pub fn rounds(ordinary: u64) -> u64 {
    env::var(ROUNDS).map_or(ordinary, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("CHORDITE_ROUNDS is a number, not {text:?}"))
    })
}

/// Names the seed of the rigs.
pub const SEED: &str = "CHORDITE_SEED";
/// Names the number of rounds of the rigs.
pub const ROUNDS: &str = "CHORDITE_ROUNDS";

fn from_clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::from(now.subsec_nanos()) ^ now.as_secs() << 20)
}
