//! What one experiment found: tables, plots, gates that must hold, and notes. Experiments fill
//! chapters; a report prints and stores them.

use std::fmt;

use super::plot::Plot;
use super::table::Table;

/// The findings of one experiment.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Chapter {
    /// Heading.
    pub title: String,
    /// Tables, in order.
    pub tables: Vec<Table>,
    /// Plots, in order.
    pub plots: Vec<Plot>,
    /// What had to hold.
    pub gates: Vec<Gate>,
    /// Sentences that must be known to read the figures.
    pub notes: Vec<String>,
}

/// A figure and the range it has to be in.
#[derive(Clone, PartialEq, Debug)]
pub struct Gate {
    name: String,
    measured: f64,
    low: f64,
    high: f64,
}

impl Chapter {
    /// An empty chapter.
    #[must_use]
    pub fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            ..Self::default()
        }
    }

    /// Adds a note.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// How many gates were missed.
    #[must_use]
    pub fn misses(&self) -> usize {
        self.gates.iter().filter(|gate| !gate.is_met()).count()
    }
}

impl Gate {
    /// `measured` may be at most `limit`.
    #[must_use]
    pub fn at_most(name: impl Into<String>, measured: f64, limit: f64) -> Self {
        Self::between(name, measured, f64::NEG_INFINITY, limit)
    }

    /// `measured` must be at least `limit`.
    #[must_use]
    pub fn at_least(name: impl Into<String>, measured: f64, limit: f64) -> Self {
        Self::between(name, measured, limit, f64::INFINITY)
    }

    /// `measured` may differ from `wanted` by at most `by`.
    #[must_use]
    pub fn within(name: impl Into<String>, measured: f64, wanted: f64, by: f64) -> Self {
        Self::between(name, measured, wanted - by, wanted + by)
    }

    /// `measured` must lie between the two, both included.
    #[must_use]
    pub fn between(name: impl Into<String>, measured: f64, low: f64, high: f64) -> Self {
        Self {
            name: name.into(),
            measured,
            low,
            high,
        }
    }

    /// Whether it holds; what is not a number never does.
    #[must_use]
    pub fn is_met(&self) -> bool {
        (self.low..=self.high).contains(&self.measured)
    }

    /// What has to hold, in words.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The figure.
    #[must_use]
    pub const fn measured(&self) -> f64 {
        self.measured
    }

    /// The range: `≤ 1`, `≥ 1` or `1 … 2`.
    #[must_use]
    pub fn wanted(&self) -> String {
        let show = |figure: f64| format!("{}", (figure * 1e6).round() / 1e6);
        match (self.low.is_finite(), self.high.is_finite()) {
            (true, true) if self.low == self.high => show(self.low),
            (true, true) => format!("{} … {}", show(self.low), show(self.high)),
            (true, false) => format!("≥ {}", show(self.low)),
            (false, _) => format!("≤ {}", show(self.high)),
        }
    }
}

/// `met   mean path: 3.39 (3.32 … 3.42)`.
impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_met() { "met   " } else { "MISSED" };
        let (name, measured, wanted) = (&self.name, self.measured, self.wanted());
        write!(f, "{verdict} {name}: {measured:.4} ({wanted})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_belong_to_the_range_and_nonsense_misses() {
        assert!(Gate::at_most("a", 1.0, 1.0).is_met());
        assert!(!Gate::at_most("a", 1.1, 1.0).is_met());
        assert!(Gate::at_least("a", 2.0, 1.0).is_met());
        assert!(Gate::within("a", 3.43, 3.4, 0.05).is_met());
        assert!(!Gate::within("a", 3.46, 3.4, 0.05).is_met());
        assert!(!Gate::at_most("a", f64::NAN, 1.0).is_met());
        let mut chapter = Chapter::new("c");
        chapter.gates = vec![Gate::at_most("a", 2.0, 1.0), Gate::at_most("b", 1.0, 1.0)];
        assert_eq!(chapter.misses(), 1);
        assert_eq!(chapter.gates[0].to_string(), "MISSED a: 2.0000 (≤ 1)");
        assert_eq!(Gate::within("a", 1.0, 2.0, 0.1).wanted(), "1.9 … 2.1");
    }
}
