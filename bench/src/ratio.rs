//! Ratios between programs that took turns.
//!
//! A figure alone wanders by a factor of two on a shared machine; two figures taken one after the
//! other wander together. So the ratio is formed within each pair of rounds and only then is the
//! median taken (PERFORMANCE.md, first paragraph).

use crate::stats::Spread;

/// The spread of `of[i] / over[i]`; rounds that only one side has are left out.
///
/// `None` when no round has both sides, or a divisor is zero.
#[must_use]
pub fn of_rounds(of: &[f64], over: &[f64]) -> Option<Spread> {
    let ratios: Vec<f64> = of.iter().zip(over).map(|(of, over)| of / over).collect();
    Spread::of(&ratios)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_slows_down_for_both_leaves_the_ratio_alone() {
        let spread = of_rounds(&[2.0, 4.0, 20.0], &[1.0, 2.0, 10.0]).unwrap();
        assert_eq!((spread.low, spread.median, spread.high), (2.0, 2.0, 2.0));
    }

    #[test]
    fn unpaired_rounds_and_zero_divisors_count_for_nothing() {
        assert_eq!(of_rounds(&[3.0, 9.0], &[1.0]).unwrap().high, 3.0);
        assert_eq!(of_rounds(&[1.0], &[0.0]), None);
        assert_eq!(of_rounds(&[], &[]), None);
    }
}
