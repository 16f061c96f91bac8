//! Whether the generator was what limited a run: then its figures say nothing of the targets.
//! Owns the thresholds; the signs come from `digest`, which puts the verdict into the summary.

use std::time::Duration;

use crate::report::Bottleneck;

/// What the rule looks at.
#[derive(Clone, Copy, Debug)]
pub struct Signs {
    /// CPU over wall time of the busiest thread, spinning left out.
    pub busy: f64,
    /// 99th percentile of the send lag; `None` in a closed loop.
    pub lag_p99: Option<Duration>,
    /// The lag from which on it counts.
    pub lag_max: Duration,
    /// Requests that were due and never sent.
    pub unsent: u64,
    /// Requests that were due.
    pub intended: u64,
}

/// Applies the rule.
#[must_use]
pub fn judge(signs: &Signs) -> Bottleneck {
    let mut reasons = Vec::new();
    if signs.busy >= BUSY_MAX {
        let percent = signs.busy * 100.0;
        reasons.push(format!(
            "a generator thread used {percent:.0} % of a core: give it --threads, or ask for less"
        ));
    }
    if let Some(lag) = signs.lag_p99.filter(|&lag| lag > signs.lag_max) {
        reasons.push(format!(
            "1 % of the requests left more than {:.1} ms after their time (limit {:.1} ms)",
            lag.as_secs_f64() * 1e3,
            signs.lag_max.as_secs_f64() * 1e3,
        ));
    }
    if signs.unsent > 0 {
        reasons.push(format!(
            "{} of {} requests were due and never sent: too few connections, too little depth, \
             or targets that cannot take the rate",
            signs.unsent, signs.intended
        ));
    }
    Bottleneck {
        limited: !reasons.is_empty(),
        reasons,
    }
}

/// Above this share of a core a thread has no reserve: what waits, waits for it.
const BUSY_MAX: f64 = 0.95;

#[cfg(test)]
mod tests {
    use super::*;

    fn signs() -> Signs {
        Signs {
            busy: 0.5,
            lag_p99: Some(Duration::from_micros(80)),
            lag_max: Duration::from_millis(1),
            unsent: 0,
            intended: 100,
        }
    }

    #[test]
    fn a_generator_with_reserve_is_no_bottleneck() {
        assert_eq!(judge(&signs()), Bottleneck::default());
        assert!(
            !judge(&Signs {
                lag_p99: None,
                ..signs()
            })
            .limited
        );
    }

    #[test]
    fn every_sign_alone_is_enough() {
        let busy = judge(&Signs {
            busy: 0.96,
            ..signs()
        });
        assert!(
            busy.limited && busy.reasons[0].contains("96 % of a core"),
            "{busy:?}"
        );
        let lag = judge(&Signs {
            lag_p99: Some(Duration::from_millis(3)),
            ..signs()
        });
        assert!(lag.limited && lag.reasons[0].contains("3.0 ms"), "{lag:?}");
        let unsent = judge(&Signs {
            unsent: 7,
            ..signs()
        });
        assert!(
            unsent.limited && unsent.reasons[0].contains("7 of 100"),
            "{unsent:?}"
        );
    }
}
