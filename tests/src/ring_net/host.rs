//! A host of the simulated network: the production machines, and what the network keeps about them.
//! Hosts are numbered in the order in which they appear and never come back.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::chord::{Ring, Router};
use proto::id::Id;
use proto::message::RequestId;
use proto::peer::NodeName;

use super::life::Notice;

/// A host that runs, or what is left of one.
#[derive(Debug)]
pub(super) enum Slot {
    Up(Box<Host>),
    Gone(Gone),
}

impl Slot {
    pub(super) fn up(&self) -> Option<&Host> {
        match self {
            Self::Up(host) => Some(host),
            Self::Gone(_) => None,
        }
    }
}

/// A host that runs.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) ring: Ring,
    /// One for each core.
    pub(super) routers: Vec<Router>,
    /// Hosts that hold a link to this one, with the time at which it is up.
    pub(super) linked_by: BTreeMap<u32, Duration>,
    /// Its place among the members, when it is one.
    pub(super) place: Option<usize>,
    /// The earliest timer that is in the queue.
    pub(super) armed: Duration,
    /// How others hear of its end once it has left the ring.
    pub(super) leaving: Option<Notice>,
    /// Lookups that were asked for and wait, by ticket.
    pub(super) waiting: BTreeMap<u64, Waiting>,
    /// Their tickets by the numbers the routers gave to them.
    pub(super) asked: BTreeMap<RequestId, u64>,
    /// Whether the answer that arrives right now was correct when it was given.
    pub(super) given: Option<bool>,
    /// The ticket whose lookup begins right now.
    pub(super) beginning: Option<u64>,
}

impl Host {
    pub(super) fn new(ring: Ring, routers: Vec<Router>) -> Self {
        Self {
            ring,
            routers,
            linked_by: BTreeMap::new(),
            place: None,
            armed: Duration::MAX,
            leaving: None,
            waiting: BTreeMap::new(),
            asked: BTreeMap::new(),
            given: None,
            beginning: None,
        }
    }

    /// When the machines want time.
    pub(super) fn due(&self) -> Option<Duration> {
        let routers = self.routers.iter().filter_map(Router::poll_timeout);
        routers.chain(self.ring.poll_timeout()).min()
    }

    pub(super) fn id(&self) -> Id {
        self.ring.members()[0].me().id()
    }
}

/// What is left of a host.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) notice: Notice,
    /// Hosts that hold a link to it and have not heard of its end.
    pub(super) linked_by: BTreeMap<u32, Duration>,
}

/// A lookup that was asked for.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) target: Id,
    pub(super) began: Duration,
    pub(super) core: u8,
    /// The router's number for it, once it has left the host.
    pub(super) lookup: Option<RequestId>,
}

/// The name of host `index`, as long as names are.
pub(super) fn name(index: u32) -> NodeName {
    let [_, a, b, c] = index.to_be_bytes();
    NodeName::parse(&format!("10.{a}.{b}.{c}:7501")).expect("an address with a port is a name")
}

/// The host called `name`.
pub(super) fn index(name: &NodeName) -> u32 {
    let mut index = 0;
    for byte in name.as_str().bytes().skip_while(|byte| *byte != b'.') {
        match byte {
            b'.' => index <<= 8,
            b':' => break,
            digit => {
                let part = (index & 0xff) * 10 + u32::from(digit - b'0');
                index = index & !0xff | part;
            }
        }
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_hosts() {
        for number in [0, 1, 255, 256, 65_535, 65_536, 1_000_003] {
            assert_eq!(index(&name(number)), number);
        }
    }
}
