//! What the simulator predicts of a live ring, and how far the ring is from it.
//!
//! The prediction is made by the program `sim` for the names and settings of the ring's nodes. It
//! supposes that all pointers are settled, and names those pointers; so a turn waits until every
//! node's `/status` shows them. Two distributions of hops are told apart by their total variation
//! distance, and that is held against what chance alone makes of so many lookups.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use loadgen::report::Summary;
use serde::{Deserialize, Serialize};

use crate::admin;
use crate::binaries::Binaries;
use crate::deadline::{self, DeadlineError};
use crate::measure::{Figures, Measure};
use crate::process::{ProcessError, Program};
use crate::ring::Ring;

/// The hops that `sim hops` predicts for cold lookups of a ring.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Forecast {
    /// Mean number of nodes contacted other than the gateway, the owner included.
    pub rpcs_mean: f64,
    /// The share of lookups with each number.
    pub rpcs: Vec<HopShare>,
    /// The pointers of every member once the ring has settled.
    pub members: Vec<Settled>,
}

/// The share of lookups with one number of hops.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct HopShare {
    /// The number.
    pub hops: u64,
    /// The share, 0 to 1.
    pub share: f64,
}

/// The pointers of one member, as ids.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Settled {
    /// Its node.
    pub node: String,
    /// Its index among the virtual nodes of that node.
    pub vnode: u16,
    /// Its predecessor.
    pub predecessor: Option<String>,
    /// Its successor list.
    pub successors: Vec<String>,
    /// Its fingers.
    pub fingers: Vec<String>,
}

impl Forecast {
    /// Asks the simulator about `ring`.
    ///
    /// # Errors
    /// When there is no such program, or it says something else.
    pub fn of(binaries: &Binaries, ring: &Ring) -> Result<Self, ForecastError> {
        let names: Vec<&str> = ring.nodes().iter().map(|node| node.p2p.as_str()).collect();
        let mut sim = Program::new(&binaries.sim)
            .args(["hops", "--names"])
            .arg(names.join(","));
        for (key, value) in ring.settings() {
            if SETTINGS.contains(&key.as_str()) {
                sim = sim.args([format!("--{}", key.replace('_', "-")), value.clone()]);
            }
        }
        Ok(serde_json::from_str(&sim.capture()?)?)
    }

    /// Waits until all members of `ring` have the pointers that the prediction supposes.
    ///
    /// # Errors
    /// When they do not get them in time.
    pub fn await_settled(&self, ring: &Ring) -> Result<(), ForecastError> {
        let mut open: BTreeSet<usize> = (0..ring.nodes().len()).collect();
        let within = SETTLE_WITHIN;
        deadline::wait_until("settled fingers on every node", within, || {
            // One node a look: many share few cores, and being asked would hold them up.
            if let Some(number) = open.first().copied() {
                let node = &ring.nodes()[number];
                let status = admin::fetch(node.admin, "/status").ok();
                if status.is_some_and(|status| self.is_settled(&node.p2p, &status)) {
                    open.remove(&number);
                }
            }
            open.is_empty().then_some(())
        })?;
        Ok(())
    }

    /// The figures of a turn whose lookups were cold.
    #[must_use]
    pub fn figures(&self, summary: &Summary) -> Figures {
        let mut seen: BTreeMap<u64, f64> = BTreeMap::new();
        let cold = summary.hops.iter().filter(|way| way.way == COLD);
        for bar in cold.flat_map(|way| &way.rpcs) {
            *seen.entry(bar.hops).or_default() += bar.count as f64;
        }
        let lookups: f64 = seen.values().sum();
        let mean = seen.iter().map(|(hops, count)| *hops as f64 * count);
        let mean = mean.sum::<f64>() / lookups;
        let mut away = 0.0;
        let mut noise = 0.0;
        for expected in &self.rpcs {
            let seen = seen.remove(&expected.hops).unwrap_or(0.0) / lookups;
            away += (seen - expected.share).abs();
            noise += (expected.share * (1.0 - expected.share) / lookups).sqrt();
        }
        // Numbers that were not predicted at all.
        away += seen.values().sum::<f64>() / lookups;
        let distance = away / 2.0;
        let noise = noise / 2.0 * MEAN_OF_ABSOLUTE_NORMAL;
        let mut figures = Figures::from([
            (Measure::ForecastRpcsMean, self.rpcs_mean),
            (Measure::ForecastMeanAway, (mean - self.rpcs_mean).abs()),
            (Measure::ForecastDistance, distance * 100.0),
            (Measure::ForecastNoise, noise * 100.0),
        ]);
        figures.retain(|_, figure| figure.is_finite());
        figures
    }

    /// Whether the status page of `node` shows the pointers supposed.
    fn is_settled(&self, node: &str, status: &str) -> bool {
        let Ok(status) = serde_json::from_str::<Status>(status) else {
            return false;
        };
        let members = status.members.iter().map(Member::pointers);
        let expected = self.members.iter().filter(|member| member.node == node);
        members.eq(expected.cloned())
    }
}

/// Why a ring cannot be held against a prediction.
#[derive(Debug, thiserror::Error)]
pub enum ForecastError {
    /// The simulator failed.
    #[error("sim hops: {0}")]
    Process(#[from] ProcessError),
    /// It said something else.
    #[error("sim hops: {0}")]
    Json(#[from] serde_json::Error),
    /// The ring did not get there in time.
    #[error(transparent)]
    Late(#[from] DeadlineError),
    /// The prediction cannot be kept.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What is read in `/status`.
#[derive(Deserialize)]
struct Status {
    members: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    node: String,
    vnode: u16,
    predecessor: Option<Name>,
    successors: Vec<Name>,
    #[serde(default)]
    fingers: Vec<Name>,
}

#[derive(Deserialize)]
struct Name {
    id: String,
}

impl Member {
    fn pointers(&self) -> Settled {
        let ids = |names: &[Name]| names.iter().map(|name| name.id.clone()).collect();
        Settled {
            node: self.node.clone(),
            vnode: self.vnode,
            predecessor: self.predecessor.as_ref().map(|name| name.id.clone()),
            successors: ids(&self.successors),
            fingers: ids(&self.fingers),
        }
    }
}

/// Settings that `sim hops` has to know.
const SETTINGS: [&str; 4] = ["ring", "virtual_nodes", "finger_bits", "successors"];

/// The way of lookups that leave the arc cache aside.
const COLD: &str = "recursive";

/// A quiet ring looks a finger up every 16 stabilisations.
const SETTLE_WITHIN: Duration = Duration::from_secs(300);

/// The mean of |X| for a normal X of deviation 1: √(2/π).
const MEAN_OF_ABSOLUTE_NORMAL: f64 = 0.797_884_560_802_865_4;

#[cfg(test)]
mod tests {
    use super::*;
    use loadgen::report::{HopCount, Hops};

    fn forecast(shares: &[f64]) -> Forecast {
        let rpcs = shares.iter().zip(0..);
        let rpcs = rpcs.map(|(share, hops)| HopShare {
            hops,
            share: *share,
        });
        Forecast {
            rpcs_mean: shares
                .iter()
                .zip(0u32..)
                .map(|(share, hops)| share * f64::from(hops))
                .sum(),
            rpcs: rpcs.collect(),
            members: vec![Settled {
                node: "a:1".to_owned(),
                vnode: 0,
                predecessor: Some("0f".to_owned()),
                successors: vec!["1f".to_owned()],
                fingers: vec!["2f".to_owned()],
            }],
        }
    }

    fn summary(counts: &[u64]) -> Summary {
        let bars = counts.iter().zip(0..);
        let bars = bars.map(|(count, hops)| HopCount {
            hops,
            count: *count,
        });
        let way = |way: &str, rpcs| Hops {
            way: way.to_owned(),
            rpcs,
            ..Hops::default()
        };
        let warm = vec![HopCount { hops: 9, count: 9 }];
        Summary {
            hops: vec![way("recursive", bars.collect()), way("cached", warm)],
            ..Summary::default()
        }
    }

    #[test]
    fn distance_is_half_of_what_the_shares_differ_by() {
        let figures = forecast(&[0.5, 0.5]).figures(&summary(&[40, 50, 10]));
        assert!((figures[&Measure::ForecastDistance] - 10.0).abs() < 1e-9);
        assert!((figures[&Measure::ForecastMeanAway] - 0.2).abs() < 1e-9);
        assert_eq!(figures[&Measure::ForecastRpcsMean], 0.5);
        // Half of the sum of two deviations of 0.05, times 0.8.
        assert!((figures[&Measure::ForecastNoise] - 3.99).abs() < 0.01);
        let none = forecast(&[1.0]).figures(&Summary::default());
        assert_eq!(none.get(&Measure::ForecastDistance), None);
    }

    #[test]
    fn a_node_is_settled_when_its_pointers_are_those_supposed() {
        let status = |finger: &str| {
            let name = |id: &str| format!(r#"{{"id":"{id}","node":"b:1","vnode":0}}"#);
            format!(
                r#"{{"x":1,"members":[{{"id":"0","node":"a:1","vnode":0,"phase":"member",
                "predecessor":{},"successors":[{}],"fingers":[{}]}}]}}"#,
                name("0f"),
                name("1f"),
                name(finger)
            )
        };
        let forecast = forecast(&[1.0]);
        assert!(forecast.is_settled("a:1", &status("2f")));
        assert!(!forecast.is_settled("a:1", &status("3f")));
        assert!(!forecast.is_settled("b:1", &status("2f")));
        assert!(!forecast.is_settled("a:1", "{}"));
    }
}
