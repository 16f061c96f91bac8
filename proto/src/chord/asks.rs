//! Requests of one member that wait for their answers: retransmission, and the verdict "dead".
//!
//! A request is sent again after each timeout, doubled every time, and once more when the link to
//! its receiver breaks; a receiver that stays silent, or refuses a fresh link, is dead. A link that
//! broke alone proves nothing: a process that was stopped and continued finds all of its links
//! broken.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::message::{Message, RequestId, RequestIds};
use crate::peer::{NodeName, Peer};

use super::ChordOutput;
use super::bounds::{ASK_TRIES_MAX, RELINK_DELAY};
use super::rtt::{RttBounds, RttTable};

/// What an answer is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Purpose {
    /// First step of a stabilisation.
    Head,
    /// Second step of a stabilisation.
    Candidate,
    /// Whether the old predecessor is alive.
    Predecessor,
    /// A place in the ring.
    Join,
    /// A neighbour hears of the departure.
    Leave,
}

/// A request that waits.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// The member asked.
    pub(super) to: Peer,
    /// What the answer is for.
    pub(super) purpose: Purpose,
    message: Message<'static>,
    sent: Duration,
    tries: u8,
    due: Duration,
    link: Link,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Link {
    /// Sent over whatever link there is.
    Any,
    /// The link broke; to be sent again when due.
    Broken,
    /// Sent again over a fresh link.
    Fresh,
}

/// The waiting requests of one member.
#[derive(Clone, Debug)]
pub(super) struct Asks {
    ids: RequestIds,
    open: BTreeMap<RequestId, Ask>,
    rtt: RttTable,
}

impl Asks {
    pub(super) const fn new(ids: RequestIds) -> Self {
        Self {
            ids,
            open: BTreeMap::new(),
            rtt: RttTable::new(RTT_BOUNDS),
        }
    }

    /// Puts a question to a member; the result is what to send.
    pub(super) fn open(
        &mut self,
        to: Peer,
        purpose: Purpose,
        message: Message<'static>,
        now: Duration,
    ) -> ChordOutput {
        let request = self.ids.issue();
        let ask = Ask {
            due: now + self.rtt.guess(to.name()),
            to,
            purpose,
            message,
            sent: now,
            tries: 1,
            link: Link::Any,
        };
        let output = ask.output(request);
        self.open.insert(request, ask);
        output
    }

    /// Whom `request` asked, as long as it waits.
    pub(super) fn asked(&self, request: RequestId) -> Option<&Ask> {
        self.open.get(&request)
    }

    /// An answer has come: takes the request out and measures.
    pub(super) fn close(&mut self, request: RequestId, now: Duration) -> Option<Ask> {
        let ask = self.open.remove(&request)?;
        // Karn's rule (RFC 6298, section 3): what was sent twice measures nothing, and a late
        // answer lengthens the timeout until one comes in time.
        if ask.tries > 1 {
            self.rtt.timed_out(ask.to.name());
        } else if ask.link == Link::Any {
            self.rtt
                .measured(ask.to.name(), now.saturating_sub(ask.sent), now);
        }
        Some(ask)
    }

    /// The link to `node` could not be had or broke: requests get one more try over a fresh link,
    /// those that had it are returned as dead.
    pub(super) fn break_link(&mut self, node: &NodeName, now: Duration) -> Vec<Ask> {
        let mut dead = Vec::new();
        for (request, ask) in &mut self.open {
            match ask.link {
                _ if ask.to.name() != node => {}
                Link::Any => {
                    ask.link = Link::Broken;
                    ask.due = now + RELINK_DELAY;
                }
                Link::Broken => {}
                Link::Fresh => dead.push(*request),
            }
        }
        let take = |request| self.open.remove(&request);
        dead.into_iter().filter_map(take).collect()
    }

    /// Sends again what is due and returns who stayed silent for good.
    pub(super) fn expire(&mut self, now: Duration, resend: &mut Vec<ChordOutput>) -> Vec<Ask> {
        let mut dead = Vec::new();
        for (request, ask) in &mut self.open {
            if ask.due > now {
                continue;
            }
            if ask.link == Link::Broken {
                ask.link = Link::Fresh;
            } else if ask.tries < ASK_TRIES_MAX {
                ask.tries += 1;
            } else {
                dead.push(*request);
                continue;
            }
            let patience = self.rtt.guess(ask.to.name()) * (1 << (ask.tries - 1));
            ask.due = now + patience.min(RTT_BOUNDS.max);
            resend.push(ask.output(*request));
        }
        let take = |request| self.open.remove(&request);
        dead.into_iter().filter_map(take).collect()
    }

    /// When `expire` is due.
    pub(super) fn due(&self) -> Option<Duration> {
        self.open.values().map(|ask| ask.due).min()
    }

    /// Whether somebody at `node` is being asked.
    pub(super) fn is_asking(&self, node: &NodeName) -> bool {
        self.open.values().any(|ask| ask.to.name() == node)
    }

    /// Every request that waits, the oldest first.
    pub(super) fn questions(&self) -> impl Iterator<Item = (RequestId, Purpose, &Peer)> {
        let open = self.open.iter();
        open.map(|(request, ask)| (*request, ask.purpose, &ask.to))
    }

    /// Whether anything waits for an answer of this purpose.
    pub(super) fn has(&self, purpose: Purpose) -> bool {
        self.open.values().any(|ask| ask.purpose == purpose)
    }

    /// Drops every question: its answer is no longer of interest.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }

    /// What was measured.
    pub(super) const fn rtt(&self) -> &RttTable {
        &self.rtt
    }
}

impl Ask {
    fn output(&self, request: RequestId) -> ChordOutput {
        ChordOutput::Ask {
            to: self.to.name().clone(),
            request,
            message: self.message.clone(),
        }
    }
}

/// Suspecting a member costs far more than waiting a moment longer, so these are generous.
const RTT_BOUNDS: RttBounds = RttBounds {
    initial: Duration::from_secs(1),
    min: Duration::from_millis(200),
    max: Duration::from_secs(4),
};
