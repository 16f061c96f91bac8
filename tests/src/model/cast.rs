//! Who plays in a small ring: members numbered by their rank on the circle, and the compact forms
//! of what they say to each other. The messages themselves are the production ones; here is how
//! they are told apart and built again.

use std::time::Duration;

use proto::chord::{ChordConfig, Pace};
use proto::id::Id;
use proto::message::{JoinAnswer, Message, Neighbours};
use proto::peer::{NodeName, Peer, RingParams};

/// Most members of a ring that is explored.
pub const MEMBERS_MAX: usize = 5;

/// Longest successor list.
pub const LIST_MAX: usize = 3;

/// A member, by its place in the order of the ids.
pub type Rank = u8;

/// The members of one exploration, sorted by id.
#[derive(Debug)]
pub struct Cast {
    params: RingParams,
    peers: Vec<Peer>,
}

/// A successor list as ranks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct List {
    len: u8,
    ranks: [Rank; LIST_MAX],
}

/// An answer, as far as it makes a difference.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Said {
    /// Neighbours, to somebody who only wants to know whether the member is there.
    Here,
    /// Predecessor and successor list.
    Neighbours(Option<Rank>, List),
    /// A place behind the answering member, with its list.
    Accepted(List),
    /// The place is elsewhere.
    Moved,
    /// Not a member.
    Absent,
    /// Understood.
    Done,
}

impl Cast {
    /// `count` members with lists of `successors` entries.
    #[must_use]
    pub fn new(count: usize, successors: u8) -> Self {
        assert!(count <= MEMBERS_MAX && usize::from(successors) <= LIST_MAX);
        let params = RingParams {
            ring: "small".into(),
            successors,
            replication: 2,
            virtual_nodes_max: 1,
            value_max: 1024,
        };
        let peer = |index: usize| {
            let name = NodeName::parse(&format!("10.0.0.1:{}", 7000 + index));
            let name = name.expect("the name has a host and a port");
            Peer::derive(&params, &name, 0).expect("a node has its first virtual node")
        };
        let mut peers: Vec<_> = (0..count).map(peer).collect();
        peers.sort_by_key(Peer::id);
        Self { params, peers }
    }

    /// How many members there may be.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Length s of the lists.
    #[must_use]
    pub fn successors(&self) -> usize {
        usize::from(self.params.successors)
    }

    /// All ranks.
    pub fn ranks(&self) -> impl Iterator<Item = Rank> + use<> {
        (0u8..).take(self.peers.len())
    }

    /// The member of this rank.
    #[must_use]
    pub fn peer(&self, rank: Rank) -> &Peer {
        &self.peers[usize::from(rank)]
    }

    /// The rank of the member with this id.
    #[must_use]
    pub fn rank(&self, id: &Id) -> Rank {
        let place = self.peers.iter().position(|peer| peer.id() == *id);
        let place = place.expect("only members of the cast are spoken of");
        u8::try_from(place).expect("the cast is small")
    }

    /// The configuration of every member. Pauses of no length let each timer fire at any moment,
    /// and every member knows the names of all others, so that no lookup lacks an entrance.
    #[must_use]
    pub fn config(&self) -> ChordConfig {
        ChordConfig {
            params: self.params.clone(),
            stabilize_interval: Duration::ZERO,
            pace: Pace::Adaptive,
            finger_bits: 1,
            bootstrap: self.peers.iter().map(|peer| peer.name().clone()).collect(),
        }
    }

    /// The compact form of a list.
    #[must_use]
    pub fn list(&self, peers: &[Peer]) -> List {
        let ranks: Vec<_> = peers.iter().map(|peer| self.rank(&peer.id())).collect();
        List::of(&ranks)
    }

    /// The compact form of an answer.
    #[must_use]
    pub fn said(&self, message: &Message<'_>) -> Said {
        match message {
            Message::Neighbours(said) => {
                let before = said.predecessor.as_ref().map(|peer| self.rank(&peer.id()));
                Said::Neighbours(before, self.list(&said.successors))
            }
            Message::JoinAnswer(JoinAnswer::Accepted { successors, .. }) => {
                Said::Accepted(self.list(successors))
            }
            Message::JoinAnswer(JoinAnswer::Moved) => Said::Moved,
            Message::Failed(_) => Said::Absent,
            Message::Done => Said::Done,
            other => panic!("no answer of the ring: {other:?}"),
        }
    }

    /// The answer that `speaker` gave.
    #[must_use]
    pub fn message(&self, speaker: &Peer, said: Said) -> Message<'static> {
        match said {
            Said::Here => self.message(speaker, Said::Neighbours(None, List::default())),
            Said::Neighbours(before, list) => Message::Neighbours(Neighbours {
                member: speaker.clone(),
                predecessor: before.map(|rank| self.peer(rank).clone()),
                successors: self.peers_of(list),
            }),
            Said::Accepted(list) => Message::JoinAnswer(JoinAnswer::Accepted {
                predecessor: speaker.clone(),
                successors: self.peers_of(list),
            }),
            Said::Done => Message::Done,
            Said::Moved => Message::JoinAnswer(JoinAnswer::Moved),
            Said::Absent => Message::Failed(proto::message::Failed {
                code: proto::message::FailureCode::NotMember,
                reason: String::new(),
            }),
        }
    }

    /// The members of a list.
    #[must_use]
    pub fn peers_of(&self, list: List) -> Vec<Peer> {
        list.ranks().map(|rank| self.peer(rank).clone()).collect()
    }
}

impl List {
    /// A list of these.
    #[must_use]
    pub fn of(ranks: &[Rank]) -> Self {
        let mut list = Self::default();
        for rank in ranks {
            list.ranks[usize::from(list.len)] = *rank;
            list.len += 1;
        }
        list
    }

    /// The entries.
    pub fn ranks(self) -> impl Iterator<Item = Rank> {
        self.ranks.into_iter().take(usize::from(self.len))
    }
}
