//! What a seed is about: the nodes, their clients and the faults that may happen to them. Each seed
//! switches about half of the kinds of faults off, because a fault that is always there hides what
//! another one shows (Groce et al., "Swarm testing", ISSTA 2012).

use std::time::Duration;

use node::engine::shard::TtlPolicy;
use node::engine::wal::settings::{SEGMENT_BYTES_MIN, SyncPolicy};

use super::drive::DiskMood;
use super::net::Path;
use super::setup::{LogSetup, Setup};
use crate::dice::Dice;

/// What a seed is about.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// Which kind of seed it is.
    pub profile: Profile,
    /// The nodes.
    pub setup: Setup,
    /// How long faults happen.
    pub safety: Duration,
    /// What clients do.
    pub load: Load,
    /// The faults that are on, and the mean time between two of a kind.
    pub faults: Vec<(Act, Duration)>,
    /// Whether the ring is only changed as the proof of its invariant assumes: then the invariant
    /// holds after every change.
    pub is_calm: bool,
}

/// A kind of seed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Profile {
    /// One or two nodes with small logs that are written all the time and lose their power often.
    Log,
    /// Many nodes that join, leave, crash and lose sight of each other.
    Ring,
    /// A ring whose members only join, leave and crash, one at a time.
    Calm,
    /// A little of everything.
    Mixed,
}

/// What clients do.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Keys they use.
    pub keys: usize,
    /// Mean time between two requests.
    pub pause: Duration,
    /// Of so many requests this many are puts, deletes and lookups; the others are reads.
    pub of: u64,
    /// See [`Load::of`].
    pub puts: u64,
    /// See [`Load::of`].
    pub deletes: u64,
    /// See [`Load::of`].
    pub lookups: u64,
    /// Longest value.
    pub bytes_max: u64,
    /// One of so many puts has a lifetime of a few seconds.
    pub short_one_in: u64,
    /// Requests come in bursts of up to so many.
    pub burst_max: u64,
}

/// A kind of thing that is done to the world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Act {
    /// Kill a process.
    Kill,
    /// Cut the power of a host.
    CutPower,
    /// Cut the power of a host whose log is at rest and turn a bit of its disk over.
    FlipBit,
    /// Replace a host's disks by empty ones.
    Wipe,
    /// Have a node leave.
    Leave,
    /// Stop a process for a while.
    Pause,
    /// Let cores wait for the CPU, and mail between them, for a while.
    Stall,
    /// Cut a set of hosts off from the others, in one or both directions.
    Partition,
    /// Break the links between two hosts.
    BreakLinks,
    /// Have a host refuse new connections for a while.
    RefuseDials,
    /// Make the ways between two hosts slow, or repeat requests, for a while.
    SlowPath,
    /// Set a wall clock.
    SetClock,
    /// Let disks fail for a while.
    DiskErrors,
    /// Let writes be short for a while.
    ShortWrites,
    /// Let operations be interrupted for a while.
    Interrupts,
    /// Let a disk be full for a while.
    FillDisk,
    /// Let reads have wrong bits for a while.
    FlippedReads,
    /// Let a disk be slow for a while.
    SlowDisk,
    /// Let a disk do nothing for a while.
    StickDisk,
}

impl Swarm {
    /// What this seed is about.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x5a17_0f5e_ed00);
        let profile = match dice.below(10) {
            0..=3 => Profile::Log,
            4..=6 => Profile::Ring,
            7 => Profile::Calm,
            _ => Profile::Mixed,
        };
        let setup = setup(seed, profile, &mut dice);
        let faults = faults(profile, &setup, &mut dice);
        let safety = Duration::from_millis(12_000 + dice.below(16_000));
        Self {
            load: load(profile, &mut dice),
            setup,
            safety,
            faults,
            is_calm: profile == Profile::Calm,
            profile,
        }
    }

    /// Whether an answer promises to survive a power cut.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        let sync = self.setup.log.map(|log| log.sync);
        sync == Some(SyncPolicy::Always)
    }
}

fn setup(seed: u64, profile: Profile, dice: &mut Dice) -> Setup {
    let nodes = match profile {
        Profile::Log => 1 + dice.index(2),
        Profile::Ring => 3 + dice.index(5),
        Profile::Calm => 5 + dice.index(4),
        Profile::Mixed => 2 + dice.index(4),
    };
    let is_log = profile == Profile::Log;
    let mut setup = Setup::new(seed, nodes);
    let one_core_in = if is_log { 4 } else { 2 };
    setup.cores = if dice.below(one_core_in) > 0 {
        1
    } else {
        u8::try_from(2 + dice.below(3)).expect("few cores")
    };
    let successors = u8::try_from(2 + dice.below(3)).expect("few successors");
    // One member less than there are is still enough for the proof.
    setup.params.successors = if profile == Profile::Calm {
        successors.min(3)
    } else {
        successors
    };
    let many = !is_log && profile != Profile::Calm && dice.one_in(4);
    setup.virtual_nodes = if many { 2 } else { 1 };
    setup.stabilize_interval = Duration::from_millis([250, 500, 1_000][dice.index(3)]);
    setup.finger_bits = [1, 2, 4][dice.index(3)];
    let sync = match dice.below(8) {
        0 => SyncPolicy::Interval(Duration::from_millis(25)),
        1 => SyncPolicy::Never,
        _ => SyncPolicy::Always,
    };
    let factor = if dice.one_in(4) { 2 } else { 1 };
    setup.log = Some(LogSetup {
        sync,
        segment_bytes: SEGMENT_BYTES_MIN * factor,
        space_percent: [150, 200, 400][dice.index(3)],
    });
    setup.ttl = TtlPolicy {
        default_s: 600,
        min_s: 1,
        max_s: 86_400,
    };
    setup.memory_max = if dice.one_in(6) { 1 << 19 } else { 1 << 24 };
    setup.request_deadline = Duration::from_millis(2_000 + 1_000 * dice.below(4));
    if dice.one_in(8) {
        setup.operations_max = 8;
    }
    setup.path = path(profile, dice);
    setup.disk = DiskMood {
        latency_max: Duration::from_micros(200 + dice.below(4_000)),
        ..DiskMood::default()
    };
    setup
}

fn path(profile: Profile, dice: &mut Dice) -> Path {
    let is_rough = profile != Profile::Calm && dice.one_in(2);
    Path {
        delay_max: Duration::from_micros(200 + dice.below(5_000)),
        slow_one_in: if is_rough { 50 + dice.below(200) } else { 0 },
        duplicate_one_in: if is_rough { 20 + dice.below(100) } else { 0 },
        ..Path::default()
    }
}

fn load(profile: Profile, dice: &mut Dice) -> Load {
    let is_log = profile == Profile::Log;
    let keys = if is_log {
        4 + dice.index(24)
    } else {
        8 + dice.index(32)
    };
    let pause_ms = if is_log {
        8 + dice.below(40)
    } else {
        30 + dice.below(120)
    };
    Load {
        keys,
        pause: Duration::from_millis(pause_ms),
        of: 20,
        puts: 8 + dice.below(6),
        deletes: 1 + dice.below(3),
        lookups: u64::from(!is_log),
        bytes_max: if is_log {
            [300, 3_000, 4_096][dice.index(3)]
        } else {
            400
        },
        short_one_in: [1_000, 3, 8][dice.index(3)],
        burst_max: [1, 4, 12][dice.index(3)],
    }
}

/// The kinds that are on, each with the mean time between two.
fn faults(profile: Profile, setup: &Setup, dice: &mut Dice) -> Vec<(Act, Duration)> {
    let mut faults = Vec::new();
    for (act, mean_ms) in kinds(profile) {
        let needs_peers = matches!(
            act,
            Act::Partition | Act::BreakLinks | Act::RefuseDials | Act::SlowPath
        );
        if *mean_ms == 0 || (needs_peers && setup.nodes < 2) || dice.one_in(2) {
            continue;
        }
        let mean_ms = mean_ms / 2 + dice.below(*mean_ms);
        faults.push((*act, Duration::from_millis(mean_ms)));
    }
    faults
}

/// Every kind that a profile may have on, with the usual time between two in milliseconds.
const fn kinds(profile: Profile) -> &'static [(Act, u64)] {
    match profile {
        Profile::Log => &[
            (Act::Kill, 4_000),
            (Act::CutPower, 1_500),
            (Act::FlipBit, 4_000),
            (Act::Wipe, 30_000),
            (Act::Leave, 12_000),
            (Act::Pause, 8_000),
            (Act::Stall, 5_000),
            (Act::BreakLinks, 4_000),
            (Act::Partition, 8_000),
            (Act::SlowPath, 8_000),
            (Act::SetClock, 4_000),
            (Act::DiskErrors, 5_000),
            (Act::ShortWrites, 4_000),
            (Act::Interrupts, 4_000),
            (Act::FillDisk, 5_000),
            (Act::FlippedReads, 5_000),
            (Act::SlowDisk, 4_000),
            (Act::StickDisk, 5_000),
        ],
        Profile::Ring => &[
            (Act::Kill, 5_000),
            (Act::CutPower, 6_000),
            (Act::Wipe, 15_000),
            (Act::Leave, 6_000),
            (Act::Pause, 5_000),
            (Act::Stall, 4_000),
            (Act::Partition, 5_000),
            (Act::BreakLinks, 1_500),
            (Act::RefuseDials, 4_000),
            (Act::SlowPath, 3_000),
            (Act::SetClock, 3_000),
            (Act::SlowDisk, 8_000),
        ],
        Profile::Calm => &[
            (Act::Kill, 7_000),
            (Act::Leave, 9_000),
            (Act::SetClock, 6_000),
            (Act::SlowDisk, 6_000),
        ],
        Profile::Mixed => &[
            (Act::Kill, 5_000),
            (Act::CutPower, 4_000),
            (Act::FlipBit, 8_000),
            (Act::Wipe, 15_000),
            (Act::Leave, 8_000),
            (Act::Pause, 6_000),
            (Act::Stall, 4_000),
            (Act::Partition, 6_000),
            (Act::BreakLinks, 2_000),
            (Act::RefuseDials, 5_000),
            (Act::SlowPath, 4_000),
            (Act::SetClock, 3_000),
            (Act::DiskErrors, 10_000),
            (Act::ShortWrites, 8_000),
            (Act::Interrupts, 8_000),
            (Act::FillDisk, 8_000),
            (Act::FlippedReads, 8_000),
            (Act::SlowDisk, 5_000),
            (Act::StickDisk, 6_000),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_is_about_the_same_and_every_kind_comes_up() {
        let shown = |seed| format!("{:?}", Swarm::new(seed));
        assert_eq!(shown(5), shown(5));
        let acts = |profile: Profile| {
            let swarms = (0..400).map(Swarm::new);
            let mut acts: Vec<Act> = swarms
                .filter(|swarm| swarm.profile == profile)
                .flat_map(|swarm| swarm.faults)
                .map(|(act, _)| act)
                .collect();
            acts.sort_unstable();
            acts.dedup();
            acts.len()
        };
        for profile in [Profile::Log, Profile::Ring, Profile::Calm, Profile::Mixed] {
            assert_eq!(acts(profile), kinds(profile).len(), "{profile:?}");
        }
    }
}
