//! The member cache: nodes ever known, so that two rings that were one find each other again.
//!
//! Bounded; bootstrappers always stay. Whoever failed most often goes first when it is full.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::peer::NodeName;

use super::bounds::CACHED_NODES_MAX;
use super::dice::Dice;

/// The nodes one member remembers, never its own.
#[derive(Clone, Debug)]
pub(super) struct MemberCache {
    me: NodeName,
    bootstrap: Vec<NodeName>,
    nodes: BTreeMap<NodeName, Seen>,
    turn: usize,
}

#[derive(Clone, Debug)]
struct Seen {
    at: Duration,
    failures: u32,
}

impl MemberCache {
    pub(super) fn new(me: NodeName, bootstrap: &[NodeName]) -> Self {
        let mut bootstrap = bootstrap.to_vec();
        bootstrap.retain(|name| *name != me);
        Self {
            me,
            bootstrap,
            nodes: BTreeMap::new(),
            turn: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bootstrap.is_empty() && self.nodes.is_empty()
    }

    /// `node` is known to have been a member at `now`.
    pub(super) fn remember(&mut self, node: &NodeName, now: Duration) {
        if *node == self.me {
            return;
        }
        if let Some(seen) = self.nodes.get_mut(node) {
            *seen = Seen {
                at: now,
                failures: 0,
            };
            return;
        }
        if self.nodes.len() >= CACHED_NODES_MAX {
            let worst =
                |(_, seen): &(&NodeName, &Seen)| (seen.failures, std::cmp::Reverse(seen.at));
            let worst = self.nodes.iter().max_by_key(worst);
            if let Some(name) = worst.map(|(name, _)| name.clone()) {
                self.nodes.remove(&name);
            }
        }
        self.nodes.insert(
            node.clone(),
            Seen {
                at: now,
                failures: 0,
            },
        );
    }

    /// A lookup through `node` failed.
    pub(super) fn failed(&mut self, node: &NodeName) {
        if let Some(seen) = self.nodes.get_mut(node) {
            seen.failures = seen.failures.saturating_add(1);
        }
    }

    /// The next node to join through: bootstrappers in turn, with a remembered member now and then.
    pub(super) fn entrance(&mut self, dice: &mut Dice) -> Option<NodeName> {
        let turn = self.turn;
        self.turn = self.turn.wrapping_add(1);
        let rounds = self.bootstrap.len() + usize::from(!self.nodes.is_empty());
        let index = turn.checked_rem(rounds)?;
        match self.bootstrap.get(index) {
            Some(name) => Some(name.clone()),
            None => self.nodes.keys().nth(dice.below(self.nodes.len())).cloned(),
        }
    }

    /// A node to look oneself up through. Those that `is_near` does not know are the likeliest to
    /// be in another ring; when there is none, anybody helps against a ring that winds round twice.
    pub(super) fn stranger(
        &self,
        dice: &mut Dice,
        is_near: impl Fn(&NodeName) -> bool,
    ) -> Option<NodeName> {
        let known = self.bootstrap.iter();
        let known = known.chain(
            self.nodes
                .keys()
                .filter(|name| !self.bootstrap.contains(name)),
        );
        let (near, far): (Vec<_>, Vec<_>) = known.partition(|name| is_near(name));
        let from = if far.is_empty() { near } else { far };
        from.get(dice.below(from.len())).map(|name| (*name).clone())
    }

    /// Whether somebody is remembered that `is_near` does not know.
    pub(super) fn has_stranger(&self, is_near: impl Fn(&NodeName) -> bool) -> bool {
        self.bootstrap
            .iter()
            .chain(self.nodes.keys())
            .any(|name| !is_near(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(port: usize) -> NodeName {
        NodeName::parse(&format!("127.0.0.1:{port}")).unwrap()
    }

    #[test]
    fn entrances_rotate_and_never_lead_home() {
        let mut dice = Dice::new(1);
        let mut cache = MemberCache::new(name(1), &[name(1), name(2), name(3)]);
        cache.remember(&name(1), Duration::ZERO);
        let turns: Vec<_> = (0..4).filter_map(|_| cache.entrance(&mut dice)).collect();
        assert_eq!(turns, [name(2), name(3), name(2), name(3)]);
    }

    #[test]
    fn strangers_come_first() {
        let mut dice = Dice::new(1);
        let mut cache = MemberCache::new(name(1), &[]);
        assert!(cache.is_empty() && cache.stranger(&mut dice, |_| true).is_none());
        cache.remember(&name(2), Duration::ZERO);
        cache.remember(&name(3), Duration::ZERO);
        let near = |other: &NodeName| *other == name(2);
        assert_eq!(cache.stranger(&mut dice, near), Some(name(3)));
        assert!(cache.has_stranger(near) && !cache.has_stranger(|_| true));
        assert!(cache.stranger(&mut dice, |_| true).is_some());
    }

    #[test]
    fn full_cache_drops_who_failed() {
        let mut cache = MemberCache::new(name(1), &[]);
        for port in 2..CACHED_NODES_MAX + 2 {
            cache.remember(&name(port), Duration::from_secs(port as u64));
        }
        cache.failed(&name(9));
        cache.remember(&name(9999), Duration::from_secs(9999));
        assert_eq!(cache.nodes.len(), CACHED_NODES_MAX);
        assert!(!cache.nodes.contains_key(&name(9)));
    }
}
