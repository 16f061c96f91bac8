//! The messages of the ring itself: lookups, neighbours, joining and leaving.
//! Refuses lists above their limits and peers whose id does not follow from their name.

use super::{Body, Decoded, code};
use crate::id::Id;
use crate::limits::{PEERS_IN_MESSAGE_MAX, SUCCESSORS_MAX};
use crate::message::{
    FindSuccessor, Found, GetNeighbours, Join, JoinAnswer, Leave, LookupFailed, Message,
    Neighbours, NextHop, NextHopAnswer, Notify, RequestId,
};
use crate::wire;

impl<'a> Body<'_, 'a> {
    pub(super) fn find_successor(&self) -> Decoded<'a> {
        let find = self.root::<wire::ArchivedFindSuccessor<'_>>()?;
        Ok(Message::FindSuccessor(FindSuccessor {
            target: Id::from_bytes(find.target),
            origin: self.peer(&find.origin)?,
            lookup: RequestId(find.lookup.to_native()),
            hops: find.hops.to_native(),
            timeouts: find.timeouts.to_native(),
            path: self.path(&find.path)?,
        }))
    }

    pub(super) fn found(&self) -> Decoded<'a> {
        let found = self.root::<wire::ArchivedFound<'_>>()?;
        Ok(Message::Found(Found {
            lookup: RequestId(found.lookup.to_native()),
            owner: self.peer(&found.owner)?,
            predecessor: self.maybe(&found.predecessor)?,
            hops: found.hops.to_native(),
            timeouts: found.timeouts.to_native(),
            path: self.path(&found.path)?,
        }))
    }

    pub(super) fn lookup_failed(&self) -> Decoded<'a> {
        let failed = self.fixed::<wire::ArchivedLookupFailed>()?;
        Ok(Message::LookupFailed(LookupFailed {
            lookup: RequestId(failed.lookup.to_native()),
            reason: code(failed.reason)?,
        }))
    }

    pub(super) fn next_hop(&self) -> Decoded<'a> {
        let next = self.root::<wire::ArchivedNextHop<'_>>()?;
        Ok(Message::NextHop(NextHop {
            target: Id::from_bytes(next.target),
            avoid: self.peers(&next.avoid, PEERS_IN_MESSAGE_MAX)?,
        }))
    }

    pub(super) fn next_hop_answer(&self) -> Decoded<'a> {
        let answer = match self.root::<wire::ArchivedNextHopAnswer<'_>>()? {
            wire::ArchivedNextHopAnswer::Owner { owner, predecessor } => NextHopAnswer::Owner {
                owner: self.peer(owner)?,
                predecessor: self.maybe(predecessor)?,
            },
            wire::ArchivedNextHopAnswer::Closer(closer) => {
                NextHopAnswer::Closer(self.peers(closer, PEERS_IN_MESSAGE_MAX)?)
            }
        };
        Ok(Message::NextHopAnswer(answer))
    }

    pub(super) fn neighbours_wanted(&self) -> Decoded<'a> {
        let get = self.fixed::<wire::ArchivedGetNeighbours>()?;
        let vnode = get.vnode.to_native();
        Ok(Message::GetNeighbours(GetNeighbours { vnode }))
    }

    pub(super) fn neighbours(&self) -> Decoded<'a> {
        let neighbours = self.root::<wire::ArchivedNeighbours<'_>>()?;
        Ok(Message::Neighbours(Neighbours {
            member: self.peer(&neighbours.member)?,
            predecessor: self.maybe(&neighbours.predecessor)?,
            successors: self.peers(&neighbours.successors, SUCCESSORS_MAX)?,
        }))
    }

    pub(super) fn notify(&self) -> Decoded<'a> {
        let notify = self.root::<wire::ArchivedNotify<'_>>()?;
        Ok(Message::Notify(Notify {
            vnode: notify.vnode.to_native(),
            candidate: self.peer(&notify.candidate)?,
        }))
    }

    pub(super) fn join(&self) -> Decoded<'a> {
        let join = self.root::<wire::ArchivedJoin<'_>>()?;
        Ok(Message::Join(Join {
            vnode: join.vnode.to_native(),
            joiner: self.peer(&join.joiner)?,
        }))
    }

    pub(super) fn join_answer(&self) -> Decoded<'a> {
        let answer = match self.root::<wire::ArchivedJoinAnswer<'_>>()? {
            wire::ArchivedJoinAnswer::Accepted {
                predecessor,
                successors,
            } => JoinAnswer::Accepted {
                predecessor: self.peer(predecessor)?,
                successors: self.peers(successors, SUCCESSORS_MAX)?,
            },
            wire::ArchivedJoinAnswer::Moved => {
                self.fixed::<wire::ArchivedJoinAnswer<'_>>()?;
                JoinAnswer::Moved
            }
        };
        Ok(Message::JoinAnswer(answer))
    }

    pub(super) fn leave(&self) -> Decoded<'a> {
        let leave = self.root::<wire::ArchivedLeave<'_>>()?;
        Ok(Message::Leave(Leave {
            vnode: leave.vnode.to_native(),
            leaver: self.peer(&leave.leaver)?,
            predecessor: self.maybe(&leave.predecessor)?,
            successors: self.peers(&leave.successors, SUCCESSORS_MAX)?,
        }))
    }
}
