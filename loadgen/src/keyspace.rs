//! Which keys there are and how often each is asked for.
//!
//! Key `index` of a data seed is 32 bytes computed on the fly; runs with the same data seed share
//! their keys. Indices are drawn uniformly, by Zipf's law, or from a hot and a cold part, index 0
//! being among the most wanted; where a key lies on the ring has nothing to do with its index.

use proto::key::{KEY_BYTES, Key};
use rand::distr::Distribution as _;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt};
use rand_distr::Zipf;

/// How often each key is asked for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Popularity {
    /// All keys alike.
    Uniform,
    /// Key of rank i with a weight of i^−theta, theta ≥ 0.
    Zipf {
        /// The exponent; 0.99 is what YCSB uses.
        theta: f64,
    },
    /// The first tenth of the keys is asked for nine times out of ten.
    HotCold,
}

impl Popularity {
    /// The name used on the command line and in the summary.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf { .. } => "zipf",
            Self::HotCold => "hot-cold",
        }
    }

    /// The exponent, when there is one.
    #[must_use]
    pub const fn theta(self) -> Option<f64> {
        match self {
            Self::Uniform | Self::HotCold => None,
            Self::Zipf { theta } => Some(theta),
        }
    }
}

/// Key `index` of the data set `data_seed`. Distinct indices give distinct keys.
#[must_use]
pub fn key(data_seed: u64, index: u64) -> Key {
    let mut bytes = [0; KEY_BYTES];
    for (word, chunk) in (0u64..).zip(bytes.chunks_exact_mut(8)) {
        let salt = data_seed.wrapping_add(word.wrapping_mul(KEY_WORD_SALT));
        chunk.copy_from_slice(&mix(index ^ mix(salt)).to_le_bytes());
    }
    Key::from_bytes(bytes)
}

/// Draws key indices.
#[derive(Clone, Debug)]
pub struct KeyPicker {
    keys: u64,
    law: Law,
}

#[derive(Clone, Debug)]
enum Law {
    Uniform,
    Zipf(Zipf<f64>),
    HotCold,
}

impl KeyPicker {
    /// A picker of `keys` keys; `None` when there are no keys or theta is negative or not a number.
    #[must_use]
    pub fn new(keys: u64, popularity: Popularity) -> Option<Self> {
        let law = match popularity {
            Popularity::Uniform => Law::Uniform,
            // Exact rejection sampling, no table: set up at once for any number of keys.
            Popularity::Zipf { theta } => Law::Zipf(Zipf::new(keys as f64, theta).ok()?),
            Popularity::HotCold => Law::HotCold,
        };
        (keys > 0).then_some(Self { keys, law })
    }

    /// Draws an index below the number of keys.
    pub fn draw(&self, rng: &mut Xoshiro256PlusPlus) -> u64 {
        match &self.law {
            Law::Zipf(zipf) => (zipf.sample(rng) as u64).clamp(1, self.keys) - 1,
            Law::Uniform => scale(rng.next_u64(), self.keys),
            Law::HotCold => {
                let hot = (self.keys / HOT_PART).max(1);
                if self.keys == hot || happens(rng, HOT_SHARE) {
                    scale(rng.next_u64(), hot)
                } else {
                    hot + scale(rng.next_u64(), self.keys - hot)
                }
            }
        }
    }
}

/// Whether an event of probability `share` happens.
pub(crate) fn happens(rng: &mut Xoshiro256PlusPlus, share: f64) -> bool {
    share > 0.0 && rng.random::<f64>() < share
}

/// Maps 64 random bits evenly to `0..below` (Lemire's multiplication; the bias is below 2^−32 for
/// every key space that fits a disk).
fn scale(random: u64, below: u64) -> u64 {
    let product = u128::from(random) * u128::from(below);
    (product >> 64) as u64
}

/// The finalizer of SplitMix64: a bijection that spreads every bit.
pub(crate) const fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// One key out of so many is hot, and this share of the requests asks for one.
const HOT_PART: u64 = 10;
const HOT_SHARE: f64 = 0.9;

const KEY_WORD_SALT: u64 = 0xd6e8_feb8_6659_fd93;

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::collections::HashSet;

    fn draws(keys: u64, popularity: Popularity, count: usize) -> Vec<u64> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
        let picker = KeyPicker::new(keys, popularity).unwrap();
        let mut seen = vec![0; keys as usize];
        for _ in 0..count {
            seen[picker.draw(&mut rng) as usize] += 1;
        }
        seen
    }

    #[test]
    fn keys_are_distinct_and_depend_on_the_data_seed() {
        let keys: HashSet<_> = (0..10_000).map(|index| key(1, index)).collect();
        assert_eq!(keys.len(), 10_000);
        assert!(!keys.contains(&key(2, 0)));
    }

    #[test]
    fn uniform_draws_reach_all_keys_alike() {
        let seen = draws(10, Popularity::Uniform, 100_000);
        assert!(
            seen.iter().all(|&count| (9_500..10_500).contains(&count)),
            "{seen:?}"
        );
    }

    #[test]
    fn zipf_draws_follow_the_law() {
        let theta = 0.99;
        let seen = draws(1_000, Popularity::Zipf { theta }, 1_000_000);
        let norm: f64 = (1..=1_000).map(|rank| f64::from(rank).powf(-theta)).sum();
        for rank in [1u32, 2, 3, 10, 100] {
            let want = 1e6 * f64::from(rank).powf(-theta) / norm;
            let got = seen[rank as usize - 1] as f64;
            assert!(
                (got / want - 1.0).abs() < 0.1,
                "rank {rank}: {got} instead of {want}"
            );
        }
        assert!(seen[999] > 0);
    }

    #[test]
    fn nine_of_ten_draws_are_hot() {
        let seen = draws(100, Popularity::HotCold, 100_000);
        let hot: u64 = seen[..10].iter().sum();
        assert!((89_000..91_000).contains(&hot), "{hot}");
        assert!(seen.iter().all(|&count| count > 50), "{seen:?}");
        assert_eq!(draws(1, Popularity::HotCold, 10), [10]);
    }

    #[test]
    fn one_key_and_no_key() {
        assert_eq!(draws(1, Popularity::Zipf { theta: 1.0 }, 10), [10]);
        assert!(KeyPicker::new(0, Popularity::Uniform).is_none());
        assert!(KeyPicker::new(5, Popularity::Zipf { theta: -1.0 }).is_none());
    }
}
