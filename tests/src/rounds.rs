//! How long a rig goes on and where its choices come from: `CHORDITE_ROUNDS` and `CHORDITE_SEED`.
//!
//! Rigs with real processes do not repeat exactly, but the same seed chooses the same victims,
//! settings and sizes.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

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
pub fn count(ordinary: u64) -> u64 {
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
