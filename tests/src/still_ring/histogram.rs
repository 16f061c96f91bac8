//! How often small whole numbers occurred: hops, timeouts.
//! Means, quantiles and shares of them; what they count is their user's business.

/// Counts by number.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Histogram {
    counts: Vec<u64>,
}

impl Histogram {
    /// Counts `number` once more.
    pub fn add(&mut self, number: u64) {
        let at = usize::try_from(number).expect("a small number");
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
    }

    /// Adds all counts of another.
    pub fn join(&mut self, other: &Self) {
        let len = self.counts.len().max(other.counts.len());
        self.counts.resize(len, 0);
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// How many numbers were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their mean; not a number when there is none.
    #[must_use]
    pub fn mean(&self) -> f64 {
        let weighted = self.counts.iter().zip(0u64..);
        let sum: u64 = weighted.map(|(count, number)| count * number).sum();
        sum as f64 / self.total() as f64
    }

    /// Standard deviation of one of them.
    #[must_use]
    pub fn deviation(&self) -> f64 {
        let mean = self.mean();
        let weighted = self.counts.iter().zip(0u32..);
        let squares = weighted.map(|(count, number)| {
            let away = f64::from(number) - mean;
            away * away * *count as f64
        });
        (squares.sum::<f64>() / self.total() as f64).sqrt()
    }

    /// The number that `share` of all do not exceed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u64 {
        let rank = (self.total() as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (count, number) in self.counts.iter().zip(0..) {
            seen += count;
            if seen >= rank {
                return number;
            }
        }
        0
    }

    /// Numbers with the share of each.
    pub fn shares(&self) -> impl Iterator<Item = (u64, f64)> {
        let total = self.total() as f64;
        let counts = self.counts.iter().zip(0..);
        counts.map(move |(count, number)| (number, *count as f64 / total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_few_numbers() {
        let mut histogram = Histogram::default();
        [1, 1, 3, 7]
            .into_iter()
            .for_each(|number| histogram.add(number));
        let mut more = Histogram::default();
        more.add(3);
        histogram.join(&more);
        assert_eq!((histogram.total(), histogram.mean()), (5, 3.0));
        assert!((histogram.deviation() - 4.8_f64.sqrt()).abs() < 1e-9);
        let quantiles = [0.0, 0.4, 0.41, 1.0].map(|share| histogram.quantile(share));
        assert_eq!(quantiles, [1, 1, 3, 7]);
        assert_eq!(histogram.shares().nth(3), Some((3, 0.4)));
        assert!(Histogram::default().mean().is_nan());
    }
}
