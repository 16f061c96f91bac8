//! The network between the hosts: how long messages take, which directions are cut, and the links
//! that were ever dialled.

use std::time::Duration;

use super::link::{Link, LinkId};
use crate::dice::Dice;

/// How messages travel from one host to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Path {
    /// Shortest time.
    pub delay_min: Duration,
    /// Usual longest time.
    pub delay_max: Duration,
    /// One of so many messages takes much longer; none when 0.
    pub slow_one_in: u64,
    /// The longest time of those.
    pub slow_max: Duration,
    /// One of so many requests of the ring arrives twice; none when 0.
    pub duplicate_one_in: u64,
}

/// The two ends of a link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Side {
    /// Who dialled.
    Dialler,
    /// Who accepted.
    Acceptor,
}

/// All hosts' paths and links.
pub(super) struct Net {
    nodes: usize,
    paths: Vec<Path>,
    /// Since when a direction is cut.
    cuts: Vec<Option<u64>>,
    /// Last sending time of what has arrived, for each direction.
    latest: Vec<u64>,
    pub(super) links: Vec<Link>,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            delay_min: Duration::from_micros(100),
            delay_max: Duration::from_micros(500),
            slow_one_in: 0,
            slow_max: Duration::from_millis(50),
            duplicate_one_in: 0,
        }
    }
}

impl Side {
    /// The other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Acceptor,
            Self::Acceptor => Self::Dialler,
        }
    }
}

impl Path {
    /// How long the next message takes, in nanoseconds, and whether that is unusual.
    pub(super) fn delay(&self, dice: &mut Dice) -> (u64, bool) {
        let (min, max) = (nanos(self.delay_min), nanos(self.delay_max));
        if self.slow_one_in > 0 && dice.one_in(self.slow_one_in) {
            let more = dice.below(nanos(self.slow_max).saturating_sub(max));
            return (max + more, true);
        }
        (min + dice.below(max.saturating_sub(min) + 1), false)
    }
}

impl Net {
    /// All paths are alike.
    pub(super) fn new(nodes: usize, path: Path) -> Self {
        Self {
            nodes,
            paths: vec![path; nodes * nodes],
            cuts: vec![None; nodes * nodes],
            latest: vec![0; nodes * nodes],
            links: Vec::new(),
        }
    }

    pub(super) fn path(&self, from: usize, to: usize) -> &Path {
        &self.paths[from * self.nodes + to]
    }

    pub(super) fn path_mut(&mut self, from: usize, to: usize) -> &mut Path {
        &mut self.paths[from * self.nodes + to]
    }

    /// Since when nothing gets from one host to the other.
    pub(super) fn cut_since(&self, from: usize, to: usize) -> Option<u64> {
        self.cuts[from * self.nodes + to]
    }

    /// Cuts a direction, or mends it; whether that changes anything.
    pub(super) fn set_cut(&mut self, from: usize, to: usize, since: Option<u64>) -> bool {
        let cut = &mut self.cuts[from * self.nodes + to];
        let changes = cut.is_some() != since.is_some();
        if changes {
            *cut = since;
        }
        changes
    }

    /// Whether either direction is cut, and has been since `since` or before.
    pub(super) fn is_cut_since(&self, a: usize, b: usize, since: u64) -> bool {
        let is_old = |cut: Option<u64>| cut.is_some_and(|cut| cut <= since);
        is_old(self.cut_since(a, b)) || is_old(self.cut_since(b, a))
    }

    /// Notes the arrival of something sent at `sent_at`; whether it has overtaken something later.
    pub(super) fn is_overtaken(&mut self, from: usize, to: usize, sent_at: u64) -> bool {
        let latest = &mut self.latest[from * self.nodes + to];
        let is_late = sent_at < *latest;
        *latest = sent_at.max(*latest);
        is_late
    }

    pub(super) fn link(&self, link: LinkId) -> &Link {
        &self.links[link.0 as usize]
    }

    pub(super) fn link_mut(&mut self, link: LinkId) -> &mut Link {
        &mut self.links[link.0 as usize]
    }

    /// The links that have an open end at a host.
    pub(super) fn links_of(&self, node: usize) -> Vec<LinkId> {
        let touches = |link: &Link| link.open_ends_at(node) > 0;
        self.select(touches)
    }

    /// The links between two hosts, whoever dialled, that have an open end.
    pub(super) fn links_between(&self, a: usize, b: usize) -> Vec<LinkId> {
        self.select(|link| link.is_between(a, b) && link.is_open())
    }

    /// The links that are meant.
    pub(super) fn select(&self, is_meant: impl Fn(&Link) -> bool) -> Vec<LinkId> {
        let links = self.links.iter().enumerate();
        let meant = links.filter(|(_, link)| is_meant(link));
        meant.map(|(number, _)| LinkId::of(number)).collect()
    }
}

/// A time in nanoseconds.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
