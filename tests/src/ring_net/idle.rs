//! What a ring costs in which nothing happens: messages and bytes by kind for each node and second.
//! Nobody joins, leaves or looks anything up; all of it is the ring's own upkeep.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Plan, RingNet, Traffic};

/// The upkeep of one node in a second.
#[derive(Clone, PartialEq, Debug)]
pub struct Idle {
    /// Members of the ring.
    pub members: u32,
    /// Messages and bytes sent by a node in a second, by kind of message.
    pub kinds: BTreeMap<&'static str, (f64, f64)>,
    /// Messages sent by a node in a second.
    pub messages: f64,
    /// Bytes sent by a node in a second.
    pub bytes: f64,
}

/// Measures the upkeep of a quiet ring of `members` over `span`, once every pace has become slow.
#[must_use]
pub fn idle(plan: Plan, members: u32, span: Duration) -> Idle {
    let settle = plan.interval * CALM_INTERVALS;
    let mut net = RingNet::placed(plan, members);
    net.run_to(net.now() + settle);
    net.count_anew();
    net.run_to(net.now() + span);
    let share = 1.0 / (f64::from(members) * span.as_secs_f64());
    let kinds = net.traffic().upkeep();
    let sum = Traffic::sum(kinds);
    let each = |count: &super::Count| (count.messages as f64 * share, count.bytes as f64 * share);
    Idle {
        members,
        kinds: kinds
            .iter()
            .map(|(kind, count)| (*kind, each(count)))
            .collect(),
        messages: sum.messages as f64 * share,
        bytes: sum.bytes as f64 * share,
    }
}

/// Stabilise intervals after which nothing slows down any further: the fingers' pauses double four
/// times, after a full turn through the table each.
const CALM_INTERVALS: u32 = 900;
