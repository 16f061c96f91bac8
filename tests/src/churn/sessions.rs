//! How long nodes stay: sessions drawn from a law with a given median.
//!
//! Stutzbach and Rejaie (Understanding churn in peer-to-peer networks, IMC 2006) find that sessions
//! in Gnutella, Kad and BitTorrent are not exponential and fit Weibull laws with shapes of about
//! 0.34 to 0.59: many short stays, few very long ones. The exponential law is what most simulations
//! use.

use std::time::Duration;

use crate::dice::Dice;
use crate::ring_net::exponential;

/// The shape of a distribution of sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Law {
    /// Without memory.
    Exponential,
    /// Weibull with shape one half.
    Weibull,
}

/// Sessions of nodes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sessions {
    /// Half of all sessions are shorter.
    pub median: Duration,
    /// The law they follow.
    pub law: Law,
}

impl Sessions {
    /// The length of a session that begins.
    pub fn draw(&self, dice: &mut Dice) -> Duration {
        let exponential = exponential(dice) / std::f64::consts::LN_2;
        let medians = match self.law {
            Law::Exponential => exponential,
            Law::Weibull => exponential.powf(1.0 / WEIBULL_SHAPE),
        };
        self.median.mul_f64(medians)
    }

    /// What is left of the session of a node that is met at a random moment, long after everything
    /// began: of a chain of sessions, the one that lasts beyond that moment.
    pub fn rest(&self, dice: &mut Dice) -> Duration {
        let moment = self.mean() * SESSIONS_BEFORE;
        let mut end = Duration::ZERO;
        while end <= moment {
            end += self.draw(dice);
        }
        end - moment
    }

    /// The mean length: of Γ(1 + 1/shape), which is 1 and 2 for the two laws, times their scale.
    #[must_use]
    pub fn mean(&self) -> Duration {
        let medians = match self.law {
            Law::Exponential => std::f64::consts::LN_2.recip(),
            Law::Weibull => 2.0 * std::f64::consts::LN_2.powf(-1.0 / WEIBULL_SHAPE),
        };
        self.median.mul_f64(medians)
    }
}

impl std::fmt::Display for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let law = match self.law {
            Law::Exponential => "exponential",
            Law::Weibull => "Weibull 0.5",
        };
        let seconds = self.median.as_secs_f64();
        match self.median.as_secs() {
            3600.. => write!(f, "{} h, {law}", seconds / 3600.0),
            _ => write!(f, "{} min, {law}", seconds / 60.0),
        }
    }
}

const WEIBULL_SHAPE: f64 = 0.5;

/// Mean sessions before the moment at which a node is met.
const SESSIONS_BEFORE: u32 = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_means_are_those_of_the_laws() {
        let median = Duration::from_secs(600);
        for law in [Law::Exponential, Law::Weibull] {
            let (sessions, mut dice) = (Sessions { median, law }, Dice::new(1));
            let mut drawn: Vec<_> = (0..100_000).map(|_| sessions.draw(&mut dice)).collect();
            let mean = drawn.iter().sum::<Duration>() / 100_000;
            drawn.sort();
            assert!(drawn[50_000].abs_diff(median) < median / 25, "{law:?}");
            let expected = sessions.mean();
            assert!(mean.abs_diff(expected) < expected / 20, "{law:?} {mean:?}");
            // Whoever is met stays longer than newcomers on average (Weibull), or as long.
            let rests = (0..2_000)
                .map(|_| sessions.rest(&mut dice))
                .sum::<Duration>()
                / 2_000;
            match law {
                Law::Exponential => assert!(rests.abs_diff(expected) < expected / 8),
                Law::Weibull => assert!(rests > expected * 2),
            }
        }
    }
}
