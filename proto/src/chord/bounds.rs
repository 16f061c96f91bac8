//! Bounds and times of the Chord machine, each with its unit, and the relations between them.
//! What an operator may set is in `ChordConfig`; sizes on the wire are in `crate::limits`.

use std::time::Duration;

/// Most arcs an arc cache keeps.
pub const ARCS_MAX: usize = 4096;

/// Most peers a table of round-trip times keeps.
pub(super) const RTT_PEERS_MAX: usize = 1024;

/// Most nodes a member cache keeps beside the bootstrappers.
pub(super) const CACHED_NODES_MAX: usize = 256;

/// How often a request of the ring is sent before its receiver counts as dead.
pub(super) const ASK_TRIES_MAX: u8 = 3;

/// Wait between a broken link and the second try over a new one: long enough for every core to have
/// told of its own broken link, so that one event is not counted twice.
pub(super) const RELINK_DELAY: Duration = Duration::from_millis(50);

/// Most candidates chased in one stabilisation.
pub(super) const CHASES_MAX: u8 = 64;

/// Quiet stabilisations start this many times more often after a change and then slow down.
pub(super) const EAGERNESS: u32 = 8;

/// Deadline of a lookup that the ring itself makes.
pub(super) const RING_LOOKUP_DEADLINE: Duration = Duration::from_secs(5);

/// First and longest pause of a joiner between two attempts.
pub(super) const JOIN_PAUSE_MIN: Duration = Duration::from_millis(100);
/// See [`JOIN_PAUSE_MIN`].
pub(super) const JOIN_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Stabilise intervals between two self-lookups of a quiet member.
pub(super) const SELF_LOOKUP_INTERVALS: u32 = 10;

/// Longest wait for the neighbours of a leaver.
pub(super) const LEAVE_WAIT: Duration = Duration::from_secs(2);

/// Quiet finger cycles slow down to this many stabilise intervals a lookup.
pub(super) const FINGER_INTERVALS_MAX: u32 = 16;

/// How long a hop that did not answer is avoided.
pub(super) const SUSPICION: Duration = Duration::from_secs(3);

/// Most lookups of its own that a router has under way.
pub(super) const SEARCHES_MAX: usize = 65_536;

/// Most hops a router waits for, its own and those of others.
pub(super) const HOPS_MAX: usize = 65_536;

/// First and longest pause of an origin before it tries a failed lookup again.
pub(super) const RETRY_PAUSE_MIN: Duration = Duration::from_millis(50);
/// See [`RETRY_PAUSE_MIN`].
pub(super) const RETRY_PAUSE_MAX: Duration = Duration::from_millis(500);

/// Most peers named in one step of an iterative lookup.
pub(super) const CLOSER_MAX: usize = 4;

/// Mean gaps behind a member in which a lookup that arrives there walks back over predecessors.
pub(super) const NEAR_GAPS: u8 = 8;

const _: () = assert!(RETRY_PAUSE_MIN.as_millis() < RETRY_PAUSE_MAX.as_millis());
const _: () = assert!(JOIN_PAUSE_MIN.as_millis() < JOIN_PAUSE_MAX.as_millis());
const _: () = assert!(LEAVE_WAIT.as_millis() < RING_LOOKUP_DEADLINE.as_millis());
