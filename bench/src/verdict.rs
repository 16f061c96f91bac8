//! Whether a goal is met and, if not, by how much it is missed.
//!
//! Judges one figure against one bound of PERFORMANCE.md; where the figure comes from is the
//! scenario's business.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The bound of a goal.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The figure may not exceed this.
    AtMost(f64),
    /// The figure may not fall below this.
    AtLeast(f64),
}

impl Bound {
    /// The verdict on `figure`, the median.
    #[must_use]
    pub fn judge(self, figure: f64) -> Verdict {
        let (missing, limit) = match self {
            Self::AtMost(limit) => (figure - limit, limit),
            Self::AtLeast(limit) => (limit - figure, limit),
        };
        if missing <= 0.0 {
            Verdict::Met
        } else {
            // Nothing is a share of a bound of zero: whatever breaks it breaks all of it.
            let share = match limit {
                0.0 => 1.0,
                limit => missing / limit.abs(),
            };
            Verdict::Missed {
                by_percent: share * 100.0,
            }
        }
    }
}

/// `≤ 1.15` or `≥ 2`.
impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "≤ {limit}"),
            Self::AtLeast(limit) => write!(f, "≥ {limit}"),
        }
    }
}

/// What became of a goal.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The median keeps the bound.
    Met,
    /// The median breaks the bound.
    Missed {
        /// By how many percent of the bound.
        by_percent: f64,
    },
    /// A figure the goal needs was not measured.
    Unmeasured,
    /// A figure the goal needs cannot be measured on this machine.
    Skipped,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Met => f.write_str("met"),
            Self::Missed { by_percent } if *by_percent < 10.0 => {
                write!(f, "missed by {by_percent:.1} %")
            }
            Self::Missed { by_percent } => write!(f, "missed by {by_percent:.0} %"),
            Self::Unmeasured => f.write_str("not measured"),
            Self::Skipped => f.write_str("left out"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_itself_is_met() {
        assert_eq!(Bound::AtMost(1.15).judge(1.15), Verdict::Met);
        assert_eq!(Bound::AtLeast(2.0).judge(2.0), Verdict::Met);
    }

    #[test]
    fn a_miss_is_told_in_percent_of_the_bound() {
        assert_eq!(Bound::AtMost(2.0).judge(3.0).to_string(), "missed by 50 %");
        assert_eq!(Bound::AtLeast(4.0).judge(3.0).to_string(), "missed by 25 %");
        assert_eq!(Bound::AtMost(0.0).judge(0.1).to_string(), "missed by 100 %");
    }
}
