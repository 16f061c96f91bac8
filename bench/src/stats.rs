//! Median and spread of a handful of rounds, quantiles of many samples.
//!
//! Owns no measuring: it takes the figures of all rounds and says what is typical and how far they
//! wander. Rounds are few and machines noisy, so the median stands for them and the spread is the
//! whole range, never a deviation that assumes a distribution.

use serde::{Deserialize, Serialize};

/// The middle and the ends of a set of figures.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Spread {
    /// The middle figure; the mean of the two middle ones when their number is even.
    pub median: f64,
    /// The smallest figure.
    pub low: f64,
    /// The largest figure.
    pub high: f64,
}

impl Spread {
    /// The spread of `figures`; `None` when there is none, or one that is not a finite number.
    #[must_use]
    pub fn of(figures: &[f64]) -> Option<Self> {
        if figures.is_empty() || figures.iter().any(|figure| !figure.is_finite()) {
            return None;
        }
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Some(Self {
            median,
            low: sorted[0],
            high: sorted[sorted.len() - 1],
        })
    }
}

/// The figure that `share` of `sorted` do not exceed; 0 of none.
#[must_use]
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    let at = rank.clamp(1, sorted.len().max(1)) - 1;
    sorted.get(at).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_of_the_sorted_figures() {
        let spread = Spread::of(&[9.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.low, spread.median, spread.high), (1.0, 2.0, 9.0));
        assert_eq!(Spread::of(&[4.0, 2.0]).unwrap().median, 3.0);
    }

    #[test]
    fn quantiles_are_figures_that_occurred() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(&hundred, 0.5), 50.0);
        assert_eq!(quantile(&hundred, 0.99), 99.0);
        assert_eq!(quantile(&hundred, 1.0), 100.0);
        assert_eq!((quantile(&[7.0], 0.0), quantile(&[], 0.5)), (7.0, 0.0));
    }

    #[test]
    fn nothing_and_not_a_number_have_no_spread() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[1.0, f64::NAN]), None);
    }
}
