//! What a core tells its operator: its members, the whole ring, whether it is ready.
//! Reads the machines of the ring and changes none of them, but for a leave that is asked for.

use std::time::Duration;

use proto::chord::{MemberSnapshot, Ring, Router};
use proto::message::{GetNeighbours, Message, Neighbours, RequestId};
use proto::peer::NodeName;
use proto::time::Now;

use super::core::Core;
use super::crawl::{Crawl, named};
use super::output::Output;
use super::request::{
    AdminAnswer, AdminRequest, MemberName, PeerStatus, RingMember, RingStatus, Ticket,
};

impl Core {
    /// An operator's request, served by core 0; other cores answer with what they know.
    pub fn handle_admin(&mut self, ticket: Ticket, request: AdminRequest, now: Now) {
        match request {
            AdminRequest::Status => {
                let answer = AdminAnswer::Status(Box::new(self.ring_status()));
                self.outbox.push(Output::Admin { ticket, answer });
            }
            AdminRequest::Ring => {
                self.crawl_tickets.push(ticket);
                if self.crawl.is_none() {
                    let members = self.own_members();
                    self.crawl = Some(Crawl::new(self.crawl_ids.clone(), members, now));
                }
            }
            AdminRequest::Leave => {
                self.leave_tickets.push(ticket);
                if let Some(ring) = &mut self.ring {
                    ring.leave(now);
                }
            }
        }
        self.settle(now);
    }

    /// Whether every virtual node of this node is a member: whether it serves.
    #[must_use]
    pub fn is_member(&self) -> bool {
        !self.view.own.is_empty() && self.view.own.iter().all(|member| member.serving)
    }

    /// The members of this node; only core 0 has them.
    #[must_use]
    pub const fn ring(&self) -> Option<&Ring> {
        self.ring.as_ref()
    }

    /// What looks owners up.
    #[must_use]
    pub const fn router(&self) -> &Router {
        &self.router
    }

    /// Asks what the crawl wants asked, and answers the operators when it is complete.
    pub(super) fn drive_crawl(&mut self, now: Now) {
        let Some(mut crawl) = self.crawl.take() else {
            return;
        };
        while let Some((request, member)) = crawl.poll_question(now) {
            let ask = GetNeighbours {
                vnode: member.vnode(),
            };
            self.outbox
                .send(member.name(), request, &Message::GetNeighbours(ask));
        }
        if !crawl.is_done() {
            self.crawl = Some(crawl);
            return;
        }
        self.crawl_ids = crawl.ids();
        let members = crawl.into_members();
        for ticket in std::mem::take(&mut self.crawl_tickets) {
            let answer = AdminAnswer::Ring(members.clone());
            self.outbox.push(Output::Admin { ticket, answer });
        }
    }

    pub(super) fn crawl_answered(
        &mut self,
        request: RequestId,
        from: &NodeName,
        message: Message<'_>,
    ) {
        let neighbours = match message {
            Message::Neighbours(neighbours) => Some(neighbours),
            _ => None,
        };
        if let Some(crawl) = &mut self.crawl {
            crawl.handle_answer(request, from, neighbours);
        }
    }

    fn ring_status(&self) -> RingStatus {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let peer = |(node, rtt, rto): (&NodeName, Duration, Duration)| PeerStatus {
            node: node.to_string(),
            rtt_us: us(rtt),
            rto_us: us(rto),
        };
        RingStatus {
            members: self
                .own_members()
                .into_iter()
                .map(|(member, _)| member)
                .collect(),
            peers: self.router.rtt().peers().map(peer).collect(),
            epoch: self.view.epoch,
        }
    }

    fn own_members(&self) -> Vec<(RingMember, Neighbours)> {
        let Some(ring) = &self.ring else {
            return Vec::new();
        };
        let shown = |pointers: MemberSnapshot| {
            let MemberSnapshot {
                me,
                phase,
                predecessor,
                successors,
                fingers,
            } = pointers;
            let neighbours = Neighbours {
                member: me,
                predecessor,
                successors,
            };
            let mut member = named(phase.as_str(), &neighbours);
            member.fingers = fingers.iter().map(MemberName::from).collect();
            (member, neighbours)
        };
        ring.snapshots().map(shown).collect()
    }
}
