//! What a core wants done, collected during a turn: frames are appended to one buffer for each
//! destination, so that a turn costs one seal and one send a connection.

use proto::codec;
use proto::message::{Message, ReplyTo, RequestId};
use proto::peer::NodeName;
use std::collections::{BTreeMap, VecDeque};

use super::mail::Mail;
use super::output::Output;

/// The outputs of one turn in the order in which their destinations were first named.
#[derive(Debug)]
pub(super) struct Outbox {
    core: u8,
    queue: VecDeque<Output>,
    /// Outputs popped so far in this turn: indices below count from the turn's first output.
    popped: usize,
    links: BTreeMap<u64, usize>,
    peers: BTreeMap<NodeName, usize>,
}

impl Outbox {
    /// An empty outbox of core `core`.
    pub(super) fn new(core: u8) -> Self {
        let (links, peers) = (BTreeMap::new(), BTreeMap::new());
        Self {
            core,
            queue: VecDeque::new(),
            popped: 0,
            links,
            peers,
        }
    }

    /// Sends a message to a peer over this core's own link.
    pub(super) fn send(&mut self, to: &NodeName, request: RequestId, message: &Message<'_>) {
        let index = match self.peers.get(to) {
            Some(index) => *index,
            None => {
                let output = Output::Send {
                    to: to.clone(),
                    frames: Vec::new(),
                };
                let index = self.push(output);
                self.peers.insert(to.clone(), index);
                index
            }
        };
        codec::encode(self.frames(index), request, message);
    }

    /// Answers a request, on this core's link or through the mailbox of the core that holds it.
    pub(super) fn answer(&mut self, reply: ReplyTo, message: &Message<'_>) {
        if reply.core != self.core {
            let mut frames = Vec::new();
            codec::encode(&mut frames, reply.request, message);
            let mail = Mail::Reply {
                link: reply.link,
                frames,
            };
            return self.mail(reply.core, mail);
        }
        let index = self.reply_index(reply.link);
        codec::encode(self.frames(index), reply.request, message);
    }

    /// Passes on frames that another core encoded for one of this core's links.
    pub(super) fn relay(&mut self, link: u64, frames: &[u8]) {
        let index = self.reply_index(link);
        self.frames(index).extend_from_slice(frames);
    }

    /// Closes the link a request came from.
    pub(super) fn close(&mut self, core: u8, link: u64, reason: String) {
        if core == self.core {
            self.push(Output::Close { link, reason });
        } else {
            self.mail(core, Mail::Close { link, reason });
        }
    }

    /// Mails another core.
    pub(super) fn mail(&mut self, to: u8, mail: Mail) {
        self.push(Output::Mail { to, mail });
    }

    /// Any other output.
    pub(super) fn push(&mut self, output: Output) -> usize {
        self.queue.push_back(output);
        self.popped + self.queue.len() - 1
    }

    /// Whether nothing is to be done.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The next output. A turn ends when there is none.
    pub(super) fn pop(&mut self) -> Option<Output> {
        let Some(output) = self.queue.pop_front() else {
            self.popped = 0;
            return None;
        };
        self.popped += 1;
        match &output {
            Output::Send { to, .. } => drop(self.peers.remove(to)),
            Output::Reply { link, .. } => drop(self.links.remove(link)),
            _ => {}
        }
        Some(output)
    }

    fn reply_index(&mut self, link: u64) -> usize {
        if let Some(index) = self.links.get(&link) {
            return *index;
        }
        let index = self.push(Output::Reply {
            link,
            frames: Vec::new(),
        });
        self.links.insert(link, index);
        index
    }

    fn frames(&mut self, index: usize) -> &mut Vec<u8> {
        match &mut self.queue[index - self.popped] {
            Output::Send { frames, .. } | Output::Reply { frames, .. } => frames,
            other => unreachable!("an index of frames names {other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_for_one_destination_leave_together() {
        let mut outbox = Outbox::new(0);
        let peer = NodeName::parse("127.0.0.1:1").expect("a name");
        let reply = ReplyTo {
            core: 0,
            link: 7,
            request: RequestId(1),
        };
        outbox.send(&peer, RequestId(1), &Message::Ping);
        outbox.answer(reply, &Message::Pong);
        outbox.send(&peer, RequestId(2), &Message::Ping);
        let Some(Output::Send { frames, .. }) = outbox.pop() else {
            panic!("a send is due")
        };
        let mut one = Vec::new();
        codec::encode(&mut one, RequestId(1), &Message::Ping);
        assert_eq!(frames.len(), 2 * one.len());
        outbox.send(&peer, RequestId(3), &Message::Ping);
        assert!(matches!(outbox.pop(), Some(Output::Reply { link: 7, .. })));
        assert!(matches!(outbox.pop(), Some(Output::Send { .. })));
        assert!(outbox.pop().is_none());
    }

    #[test]
    fn answers_to_links_of_other_cores_are_mailed() {
        let mut outbox = Outbox::new(0);
        let reply = ReplyTo {
            core: 1,
            link: 7,
            request: RequestId(1),
        };
        outbox.answer(reply, &Message::Pong);
        let Some(Output::Mail {
            to: 1,
            mail: Mail::Reply { link: 7, .. },
        }) = outbox.pop()
        else {
            panic!("mail is due")
        };
    }
}
