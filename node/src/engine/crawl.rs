//! A crawl: every member of the ring, found by asking each for its neighbours, for `ring` and
//! `ring --check`.
//!
//! Starts from this node's own members, asks a bounded number of members at a time and ends when
//! nobody new is named. A member that does not answer in time is listed as unreachable.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::id::Id;
use proto::message::{Neighbours, RequestId, RequestIds};
use proto::peer::{NodeName, Peer};
use proto::time::Now;

use super::request::{MemberName, RingMember};

/// One crawl. Drain `poll_question` after every input; `is_done` says when the list is complete.
#[derive(Debug)]
pub(super) struct Crawl {
    ids: RequestIds,
    waiting: BTreeMap<Id, Peer>,
    asked: BTreeMap<RequestId, Question>,
    found: BTreeMap<Id, RingMember>,
}

/// A member that was asked for its neighbours.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) member: Peer,
    until: Duration,
}

impl Crawl {
    /// A crawl that starts from this node's own `members` and whom they name.
    pub(super) fn new(ids: RequestIds, members: Vec<(RingMember, Neighbours)>) -> Self {
        let (waiting, asked, found) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut crawl = Self {
            ids,
            waiting,
            asked,
            found,
        };
        for (member, neighbours) in &members {
            crawl.found.insert(neighbours.member.id(), member.clone());
        }
        for (_, neighbours) in members {
            crawl.take_names(neighbours);
        }
        crawl
    }

    /// The next question to ask, if one may be asked now.
    pub(super) fn poll_question(&mut self, now: Now) -> Option<(RequestId, Peer)> {
        if self.asked.len() >= QUESTIONS_MAX {
            return None;
        }
        let (_, member) = self.waiting.pop_first()?;
        let request = self.ids.issue();
        let question = Question {
            member: member.clone(),
            until: now.mono + PATIENCE,
        };
        self.asked.insert(request, question);
        Some((request, member))
    }

    /// A member answered, with its neighbours or not.
    pub(super) fn handle_answer(
        &mut self,
        request: RequestId,
        from: &NodeName,
        neighbours: Option<Neighbours>,
    ) {
        if self
            .asked
            .get(&request)
            .is_none_or(|question| question.member.name() != from)
        {
            return;
        }
        let Some(question) = self.asked.remove(&request) else {
            return;
        };
        match neighbours {
            Some(neighbours) if neighbours.member == question.member => {
                self.found
                    .insert(question.member.id(), named("member", &neighbours));
                self.take_names(neighbours);
            }
            _ => self.give_up(&question.member),
        }
    }

    /// A node cannot be reached.
    pub(super) fn handle_unreachable(&mut self, name: &NodeName) {
        self.end_where(|question| question.member.name() == name);
    }

    /// Gives up on members that were silent for too long.
    pub(super) fn handle_timeout(&mut self, now: Now) {
        self.end_where(|question| question.until <= now.mono);
    }

    /// When the next member is given up.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.asked.values().map(|question| question.until).min()
    }

    /// Whether everybody named has answered or was given up.
    pub(super) fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.asked.is_empty()
    }

    /// Where the next crawl's request ids go on, so that a late answer to this one meets nobody.
    pub(super) fn ids(&self) -> RequestIds {
        self.ids.clone()
    }

    /// The members found, in the order of their ids.
    pub(super) fn into_members(self) -> Vec<RingMember> {
        self.found.into_values().collect()
    }

    fn end_where(&mut self, ended: impl Fn(&Question) -> bool) {
        let found = &mut self.found;
        self.asked.retain(|_, question| {
            let over = ended(question);
            if over {
                found.insert(question.member.id(), silent(&question.member));
            }
            !over
        });
    }

    fn give_up(&mut self, member: &Peer) {
        self.found.insert(member.id(), silent(member));
    }

    fn take_names(&mut self, neighbours: Neighbours) {
        for peer in neighbours
            .successors
            .into_iter()
            .chain(neighbours.predecessor)
        {
            let known = self.found.contains_key(&peer.id())
                || self.asked.values().any(|question| question.member == peer);
            if !known && self.found.len() + self.waiting.len() < MEMBERS_MAX {
                self.waiting.insert(peer.id(), peer);
            }
        }
    }
}

/// A member as its neighbours show it.
pub(super) fn named(phase: &str, neighbours: &Neighbours) -> RingMember {
    RingMember {
        predecessor: neighbours.predecessor.as_ref().map(MemberName::from),
        successors: neighbours.successors.iter().map(MemberName::from).collect(),
        ..bare(phase, &neighbours.member)
    }
}

fn silent(member: &Peer) -> RingMember {
    bare("unreachable", member)
}

fn bare(phase: &str, member: &Peer) -> RingMember {
    RingMember {
        id: member.id().to_string(),
        node: member.name().to_string(),
        vnode: member.vnode(),
        phase: phase.to_owned(),
        predecessor: None,
        successors: Vec::new(),
        fingers: Vec::new(),
    }
}

/// Members asked at the same time.
const QUESTIONS_MAX: usize = 32;
/// Members a crawl lists at the most.
const MEMBERS_MAX: usize = 100_000;
/// How long a member may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use proto::peer::RingParams;

    fn peers(count: u16) -> Vec<Peer> {
        let params = RingParams {
            ring: "test".into(),
            successors: 2,
            replication: 1,
            virtual_nodes_max: 1,
            value_max: 100,
        };
        let name = |i| NodeName::parse(&format!("127.0.0.1:{}", 1000 + i)).expect("a name");
        let mut peers: Vec<_> = (0..count)
            .filter_map(|i| Peer::derive(&params, &name(i), 0))
            .collect();
        peers.sort_by_key(Peer::id);
        peers
    }

    fn neighbours(ring: &[Peer], index: usize) -> Neighbours {
        let at = |offset: usize| ring[(index + offset) % ring.len()].clone();
        let predecessor = Some(at(ring.len() - 1));
        Neighbours {
            member: at(0),
            predecessor,
            successors: vec![at(1), at(2)],
        }
    }

    fn crawl(ring: &[Peer]) -> Crawl {
        let own = neighbours(ring, 0);
        Crawl::new(RequestIds::new(0, 4, 0), vec![(named("member", &own), own)])
    }

    #[test]
    fn everybody_named_is_asked_once_and_listed() {
        let ring = peers(40);
        let mut crawl = crawl(&ring);
        let mut questions = 0;
        while let Some((request, member)) = crawl.poll_question(Now::at_ms(0)) {
            questions += 1;
            let index = ring
                .iter()
                .position(|peer| *peer == member)
                .expect("a member");
            let answer = neighbours(&ring, index);
            crawl.handle_answer(request, member.name(), Some(answer));
        }
        assert!(crawl.is_done());
        assert_eq!(questions, ring.len() - 1);
        assert_eq!(crawl.into_members().len(), ring.len());
    }

    #[test]
    fn the_silent_are_listed_as_unreachable() {
        let ring = peers(3);
        let mut crawl = crawl(&ring);
        while crawl.poll_question(Now::at_ms(0)).is_some() {}
        crawl.handle_unreachable(ring[1].name());
        assert!(!crawl.is_done());
        assert_eq!(crawl.poll_timeout(), Some(PATIENCE));
        crawl.handle_timeout(Now::at_ms(10_000));
        assert!(crawl.is_done());
        let phases: Vec<_> = crawl.into_members().into_iter().map(|m| m.phase).collect();
        assert_eq!(
            phases
                .iter()
                .filter(|phase| *phase == "unreachable")
                .count(),
            2
        );
    }
}
