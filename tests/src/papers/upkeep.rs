//! Messages and bytes of a node in a quiet ring: what it costs to be a member while nothing
//! happens. The network that carries them is `ring_net`.

use std::time::Duration;

use super::chapter::{Chapter, Gate};
use super::rounds::{Progress, Scale};
use super::table::{Cell, Table};
use crate::ring_net::{Idle, Plan, idle};

/// Measures it.
#[must_use]
pub fn run(scale: Scale, progress: &Progress) -> Chapter {
    let mut chapter = Chapter::new("Messages and bytes of a node in a quiet ring");
    let mut table = Table::new(
        "upkeep",
        "Frames that a node sends in a second with everything as shipped (s = 16, base 16, \
         stabilisation every second), without what TLS and TCP add.",
        &[
            ("N", "nodes"),
            ("messages", "1/s"),
            ("bytes", "B/s"),
            ("of these for neighbours", "B/s"),
            ("for lookups of fingers and the ring", "B/s"),
        ],
    );
    let sizes = match scale {
        Scale::Full => &[32, 128, 512, 2_048][..],
        Scale::Quick => &[32, 128],
    };
    progress.begin("upkeep of a quiet ring", sizes.len());
    for members in sizes {
        let idle = idle(Plan::production(1), *members, SPAN);
        let of = |kinds: &[&str]| -> f64 {
            let kinds = kinds.iter().filter_map(|kind| idle.kinds.get(kind));
            kinds.map(|(_, bytes)| bytes).sum()
        };
        table.row([
            Cell::from(u64::from(*members)),
            Cell::Figure(idle.messages, 2),
            Cell::Figure(idle.bytes, 0),
            Cell::Figure(of(&NEIGHBOURS), 0),
            Cell::Figure(of(&LOOKUPS), 0),
        ]);
        chapter.gates.push(gate(&idle));
        progress.step();
    }
    chapter.tables.push(table);
    chapter
}

/// A round of stabilisation a second is one question with one answer, and a notification; what
/// fingers and the ring look up is little beside it.
fn gate(idle: &Idle) -> Gate {
    let name = format!("N = {}: messages of a node a second", idle.members);
    Gate::at_most(name, idle.messages, MESSAGES_MAX)
}

const NEIGHBOURS: [&str; 3] = ["GetNeighbours", "Neighbours", "Notify"];
const LOOKUPS: [&str; 3] = ["FindSuccessor", "HopAck", "Found"];
const SPAN: Duration = Duration::from_secs(300);
const MESSAGES_MAX: f64 = 4.0;
