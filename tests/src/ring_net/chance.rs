//! Delays of messages and other continuous chances, from seeded dice.
//! All of them are given by their mean or median, in virtual time.

use std::time::Duration;

use crate::dice::Dice;

/// How long a message takes from one node to another, one way.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Delay {
    /// Always the same.
    Fixed(Duration),
    /// Every message for itself, uniform from half of this to one and a half.
    Uniform(Duration),
    /// Every message for itself, exponential with this mean (Stoica et al. 2003, section VI-A).
    Exponential(Duration),
    /// Every pair of nodes its own, exponential with this mean over the pairs but at most four
    /// times it, as distances in the Internet are; each message takes up to a tenth longer.
    Pairs(Duration),
}

impl Delay {
    /// The delay of one message from node `from` to node `to`.
    pub fn draw(&self, from: u32, to: u32, dice: &mut Dice) -> Duration {
        match *self {
            Self::Fixed(delay) => delay,
            Self::Uniform(mean) => mean / 2 + mean.mul_f64(unit(dice)),
            Self::Exponential(mean) => mean.mul_f64(exponential(dice)),
            Self::Pairs(mean) => {
                let pair = u64::from(from.min(to)) << 32 | u64::from(from.max(to));
                let distance = exponential(&mut Dice::new(pair)).clamp(0.02, 4.0);
                mean.mul_f64(distance * (1.0 + unit(dice) / 10.0))
            }
        }
    }
}

/// Uniform from 0 up to but not including 1.
pub fn unit(dice: &mut Dice) -> f64 {
    (dice.roll() >> 11) as f64 / (1u64 << 53) as f64
}

/// Exponential with mean 1.
pub fn exponential(dice: &mut Dice) -> f64 {
    -(1.0 - unit(dice)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_have_their_means_and_pairs_keep_theirs() {
        let mean = Duration::from_millis(50);
        let mut dice = Dice::new(1);
        for delay in [
            Delay::Fixed(mean),
            Delay::Uniform(mean),
            Delay::Exponential(mean),
            Delay::Pairs(mean),
        ] {
            let sum: Duration = (0..20_000).map(|to| delay.draw(1, to + 2, &mut dice)).sum();
            let drawn = sum / 20_000;
            assert!(drawn.abs_diff(mean) < mean / 10, "{delay:?}: {drawn:?}");
        }
        let there = Delay::Pairs(mean).draw(3, 9, &mut dice);
        let back = Delay::Pairs(mean).draw(9, 3, &mut dice);
        assert!(there.abs_diff(back) <= there / 9);
    }
}
