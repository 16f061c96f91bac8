//! Quantiles of Gamma(v, 1/v) for whole v: the sum of v exponential variables, over its mean.
//!
//! For a whole shape the distribution has a closed form (Erlang), which is inverted by halving an
//! interval: no special function is needed.

/// The value that a variable of Gamma(`shape`, 1/`shape`) stays below with probability `share`.
///
/// # Panics
/// When the shape is zero, or the share is no probability between 0 and 1.
#[must_use]
pub fn quantile(shape: u16, share: f64) -> f64 {
    assert!(shape > 0 && share > 0.0 && share < 1.0, "a probability");
    let (mut low, mut high) = (0.0, 1.0);
    while below(shape, high) < share {
        high *= 2.0;
    }
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if below(shape, middle) < share {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// P(X ≤ x) = 1 − e^(−vx) · Σ (vx)^k / k! for k below v.
fn below(shape: u16, value: f64) -> f64 {
    let rate = f64::from(shape) * value;
    let mut term = (-rate).exp();
    let mut sum = term;
    for k in 1..shape {
        term *= rate / f64::from(k);
        sum += term;
    }
    1.0 - sum
}

/// More than the digits of a double.
const HALVINGS: u32 = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // Shape 1 is the exponential distribution; the others are chi-squared tables over 2v.
        let close = |got: f64, wanted: f64| assert!((got - wanted).abs() < 1e-4, "{got} {wanted}");
        close(quantile(1, 0.01), 0.010_050);
        close(quantile(1, 0.99), 4.605_17);
        close(quantile(5, 0.01), 2.558_2 / 10.0);
        close(quantile(5, 0.99), 23.209_3 / 10.0);
        close(quantile(10, 0.01), 8.260_4 / 20.0);
        close(quantile(10, 0.99), 37.566_2 / 20.0);
        close(quantile(20, 0.01), 22.164_3 / 40.0);
        close(quantile(20, 0.99), 63.690_7 / 40.0);
    }
}
