//! Seeded randomness of the machines: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). Only for
//! jitter and choices among equals, never for secrets.

use std::time::Duration;

/// A seeded source of random numbers.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; zero when `end` is zero.
    pub(super) const fn below(&mut self, end: usize) -> usize {
        if end == 0 {
            return 0;
        }
        // The remainder is below `end`, so it fits.
        (self.roll() % end as u64) as usize
    }

    /// `middle` give or take an eighth, so that members do not march in step.
    pub(super) fn around(&mut self, middle: Duration) -> Duration {
        let share = u32::try_from(self.below(257)).unwrap_or(0);
        middle * 7 / 8 + middle * share / 1024
    }

    /// Uniform from half of `middle` to one and a half.
    pub(super) fn papers_pause(&mut self, middle: Duration) -> Duration {
        let share = u32::try_from(self.below(1025)).unwrap_or(0);
        middle / 2 + middle * share / 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_an_eighth() {
        let mut dice = Dice::new(1);
        let second = Duration::from_secs(1);
        for _ in 0..1000 {
            let rolled = dice.around(second);
            assert!(rolled >= second * 7 / 8 && rolled <= second * 9 / 8);
        }
    }
}
