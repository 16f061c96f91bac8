//! What hops the cold lookups of a given ring take, exactly: positions between the same two members
//! are looked up in the same way, so one lookup from every host for every arc says it all, weighted
//! by the lengths of the arcs. Every host is an origin as often as any other, positions are
//! uniform.

use proto::message::LookupMode;

use super::StillRing;

/// The distribution of hops.
#[derive(Clone, PartialEq, Debug)]
pub struct Forecast {
    /// The share of lookups by the number of nodes contacted other than the origin, the owner
    /// included.
    pub shares: Vec<f64>,
}

impl Forecast {
    /// Of cold lookups in `ring`.
    ///
    /// # Panics
    /// When a lookup fails: in a ring in which nobody died none does.
    #[must_use]
    pub fn of(ring: &mut StillRing) -> Self {
        let mut shares = Vec::new();
        let members = ring.members.len();
        let hosts = ring.len();
        for at in 0..members {
            let before = ring.members[(at + members - 1) % members].id();
            let arc = before.distance_to(&ring.members[at].id()).high() as f64 / CIRCLE;
            let arc = if members == 1 { 1.0 } else { arc };
            let inside = before.plus_pow2(0);
            for origin in 0..hosts {
                let walked = ring.lookup(origin, inside, LookupMode::Recursive);
                assert!(walked.result.is_ok(), "{:?}", walked.result);
                let rpcs = usize::try_from(walked.rpcs()).expect("a small number");
                if rpcs >= shares.len() {
                    shares.resize(rpcs + 1, 0.0);
                }
                shares[rpcs] += arc / hosts as f64;
            }
        }
        Self { shares }
    }

    /// The mean.
    #[must_use]
    pub fn mean(&self) -> f64 {
        let weighted = self.shares.iter().zip(0u32..);
        weighted.map(|(share, rpcs)| share * f64::from(rpcs)).sum()
    }
}

/// 2^64: the circle in units of the bits looked at.
const CIRCLE: f64 = 18_446_744_073_709_551_616.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;
    use crate::still_ring::histogram::Histogram;
    use crate::still_ring::{Setup, any_id};

    #[test]
    fn it_is_what_many_lookups_come_to() {
        let setup = Setup {
            virtual_nodes: 3,
            ..Setup::of_nodes("forecast", 4, 4)
        };
        let mut ring = StillRing::of_size(setup, 24);
        let forecast = Forecast::of(&mut ring);
        assert!((forecast.shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let (mut seen, mut dice) = (Histogram::default(), Dice::new(1));
        for _ in 0..40_000 {
            let (origin, target) = (ring.any_host(&mut dice), any_id(&mut dice));
            seen.add(ring.lookup(origin, target, LookupMode::Recursive).rpcs());
        }
        for (rpcs, share) in seen.shares() {
            let expected = forecast.shares[usize::try_from(rpcs).unwrap()];
            assert!(
                (share - expected).abs() < 0.01,
                "{rpcs}: {share} {expected}"
            );
        }
        assert!((seen.mean() - forecast.mean()).abs() < 0.02);
    }

    #[test]
    fn a_node_alone_contacts_nobody() {
        let mut ring = StillRing::of_size(Setup::of_nodes("alone", 4, 4), 1);
        assert_eq!(Forecast::of(&mut ring).shares, [1.0]);
    }
}
