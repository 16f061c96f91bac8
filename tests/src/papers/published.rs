//! What the papers published, as CHORD.md has it: Stoica et al., SIGCOMM 2001 and IEEE/ACM ToN
//! 11(1) 2003. Figures to compare with; nothing is computed from them.

/// A size of the ring, the mean path and its 1st and 99th percentile (ToN Fig. 10).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PathLength {
    /// Nodes.
    pub nodes: usize,
    /// Mean.
    pub mean: f64,
    /// 1st percentile.
    pub low: u64,
    /// 99th percentile.
    pub high: u64,
}

/// ToN Fig. 10: base-2 fingers, successor lists of one.
pub const PATH_LENGTHS: [PathLength; 8] = [
    path(128, 3.39, 1, 6),
    path(256, 3.88, 1, 7),
    path(512, 4.38, 1, 7),
    path(1024, 4.88, 2, 8),
    path(2048, 5.36, 2, 9),
    path(4096, 5.85, 2, 10),
    path(8192, 6.35, 2, 10),
    path(16384, 6.87, 3, 11),
];

/// Mean path length in a ring of `nodes`: ½·log2 N − 0.13.
#[must_use]
pub fn path_length(nodes: usize) -> f64 {
    0.5 * (nodes as f64).log2() - 0.13
}

/// A row of ToN Table II: N = 1,000, s = 20, 10,000 lookups after each node failed with probability
/// `share`. No lookup failed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Failures {
    /// Probability that a node fails.
    pub share: f64,
    /// Mean path length.
    pub path: f64,
    /// Mean timeouts of a lookup.
    pub timeouts: f64,
}

/// ToN Table II.
pub const FAILURES: [Failures; 6] = [
    failures(0.0, 3.84, 0.0),
    failures(0.1, 4.03, 0.60),
    failures(0.2, 4.22, 1.17),
    failures(0.3, 4.44, 2.02),
    failures(0.4, 4.69, 3.23),
    failures(0.5, 5.09, 5.10),
];

/// A row of ToN Fig. 8 and 9: keys of a node over the mean, N = 10,000.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Balance {
    /// Virtual nodes of a node.
    pub virtual_nodes: u16,
    /// 1st percentile.
    pub low: f64,
    /// 99th percentile.
    pub high: f64,
}

/// ToN Fig. 8 and 9.
pub const BALANCES: [Balance; 5] = [
    balance(1, 0.01, 4.6),
    balance(5, 0.26, 2.3),
    balance(10, 0.41, 1.9),
    balance(20, 0.55, 1.6),
    balance(64, 0.73, 1.3),
];

/// Mean forwards with 16 successors: nodes, bits of a finger digit, mean.
pub const BASES: [(usize, u8, f64); 4] = [
    (1_000, 1, 3.9),
    (1_000, 4, 2.5),
    (10_000, 1, 5.6),
    (10_000, 4, 3.2),
];

const fn path(nodes: usize, mean: f64, low: u64, high: u64) -> PathLength {
    PathLength {
        nodes,
        mean,
        low,
        high,
    }
}

const fn failures(share: f64, path: f64, timeouts: f64) -> Failures {
    Failures {
        share,
        path,
        timeouts,
    }
}

const fn balance(virtual_nodes: u16, low: f64, high: f64) -> Balance {
    Balance {
        virtual_nodes,
        low,
        high,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_fits_what_was_published() {
        for published in PATH_LENGTHS {
            let away = path_length(published.nodes) - published.mean;
            assert!(away.abs() < 0.03, "{}: {away}", published.nodes);
        }
    }
}
