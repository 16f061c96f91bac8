//! Frames from peers and native clients: which core they concern and which part of it.
//!
//! Kinds are told apart by the frame header alone, so that a frame for another core is passed on
//! without being parsed. What breaks the rules closes the link with the reason.

use proto::chord::Misbehaviour;
use proto::codec::{self, kind};
use proto::frame::{Frame, Header};
use proto::message::{Failed, FailureCode, Message, ReplyTo, RequestId, Role};
use proto::peer::NodeName;
use proto::time::Now;
use thiserror::Error;

use super::core::{Core, TAG_CRAWL, TAG_OPERATION, TAG_RING, TAG_ROUTER};
use super::mail::Mail;
use super::operation::Origin;
use super::request::ClientRequest;

/// What a peer did that its messages may not do (the peer's fault).
#[derive(Debug, Error)]
pub enum BrokenRule {
    /// The frame is cut off.
    #[error("the frame is not whole")]
    Torn,
    /// The frame's body is none of its kind.
    #[error(transparent)]
    Decode(#[from] codec::DecodeError),
    /// The message says what its speaker may not say.
    #[error(transparent)]
    Misbehaviour(#[from] Misbehaviour),
}

impl Core {
    /// A whole frame from a link that this core accepted; `from` and `role` are those of the
    /// certificate. The engine relies on the link to have checked the role.
    pub fn handle_frame(&mut self, link: u64, from: &NodeName, role: Role, frame: &[u8], now: Now) {
        self.counters.frames_in += 1;
        self.take_frame(self.config.core, link, from, role, frame, now);
        self.settle(now);
    }

    /// A whole frame from the link that this core dialled to `from`. An answer that breaks the
    /// rules, such as a member named by an id that is not its own, counts as none: the shell closes
    /// the link.
    pub fn handle_answer(
        &mut self,
        from: &NodeName,
        frame: &[u8],
        now: Now,
    ) -> Result<(), BrokenRule> {
        self.counters.frames_in += 1;
        let Ok(Some(frame)) = Frame::split(frame) else {
            return Err(BrokenRule::Torn);
        };
        let request = frame.header.request;
        let broken = match codec::decode(&self.config.params, frame.header.kind, frame.body) {
            Ok(message) => self.take_answer(request, from, message, now).err(),
            Err(error) => Some(BrokenRule::Decode(error)),
        };
        self.settle(now);
        broken.map_or(Ok(()), |broken| {
            self.counters.misbehaviours += 1;
            Err(broken)
        })
    }

    fn take_answer(
        &mut self,
        request: RequestId,
        from: &NodeName,
        message: Message<'_>,
        now: Now,
    ) -> Result<(), BrokenRule> {
        match request.tag() {
            TAG_OPERATION => self.owner_answered(request, from, &message, now),
            TAG_ROUTER => self.router.handle_answer(request, from, &message, now)?,
            TAG_RING => {
                if let Some(ring) = &mut self.ring {
                    ring.handle_answer(request, from, &message, now)?;
                }
            }
            TAG_CRAWL => self.crawl_answered(request, from, message),
            _ => self.counters.stray_answers += 1,
        }
        Ok(())
    }

    /// A frame for this core, or for another one of this node, from a link of core `core`.
    pub(super) fn take_frame(
        &mut self,
        core: u8,
        link: u64,
        from: &NodeName,
        role: Role,
        frame: &[u8],
        now: Now,
    ) {
        let Ok(Some(Frame {
            header,
            body,
            bytes,
        })) = Frame::split(frame)
        else {
            return self.misbehaved(core, link, BrokenRule::Torn.to_string());
        };
        let reply = ReplyTo {
            core,
            link,
            request: header.request,
        };
        if let Some(home) = self.home(&header) {
            let (from, frame) = (from.clone(), bytes.to_vec());
            return self.outbox.mail(
                home,
                Mail::Frame {
                    reply,
                    from,
                    role,
                    frame,
                },
            );
        }
        match codec::decode(&self.config.params, header.kind, body) {
            Ok(message) => self.take_message(reply, from, role, message, now),
            Err(error) => self.misbehaved(core, link, error.to_string()),
        }
    }

    /// The core a frame concerns when it is not this one: the ring lives on core 0, the end of a
    /// lookup belongs to the core that began it.
    fn home(&self, header: &Header) -> Option<u8> {
        let home = match header.kind {
            kind::GET_NEIGHBOURS | kind::NOTIFY | kind::JOIN | kind::LEAVE => 0,
            kind::FOUND | kind::LOOKUP_FAILED => header.request.core(),
            _ => return None,
        };
        (home != self.config.core && home < self.config.cores).then_some(home)
    }

    fn take_message(
        &mut self,
        reply: ReplyTo,
        from: &NodeName,
        role: Role,
        message: Message<'_>,
        now: Now,
    ) {
        let outcome = match message {
            Message::Ping => {
                self.outbox.answer(reply, &Message::Pong);
                Ok(())
            }
            Message::Put(_) | Message::Get(_) | Message::Delete(_) | Message::Lookup(_) => {
                self.take_request(reply, role, &message, now);
                Ok(())
            }
            Message::FindSuccessor(find) => {
                self.counters.lookups_relayed += 1;
                self.router.handle_find(reply, from, find, now);
                Ok(())
            }
            Message::NextHop(step) => {
                self.router.handle_next_hop(reply, &step, now);
                Ok(())
            }
            Message::Found(found) => self.router.handle_found(from, found, now),
            Message::LookupFailed(failed) => {
                self.router.handle_lookup_failed(&failed, now);
                Ok(())
            }
            message => self.take_ring_message(reply, from, &message, now),
        };
        if let Err(misbehaviour) = outcome {
            self.misbehaved(reply.core, reply.link, misbehaviour.to_string());
        }
    }

    /// A request on a key: from a client it is served as a gateway, from a node only as the owner.
    fn take_request(&mut self, reply: ReplyTo, role: Role, message: &Message<'_>, now: Now) {
        let Some(request) = ClientRequest::of(message) else {
            return;
        };
        if role == Role::Client {
            self.begin(Origin::Client(reply), &request, now);
            return;
        }
        self.counters.owner_requests += 1;
        match request.key() {
            Some(key) if self.owns(&key) => {
                self.serve(Origin::Gateway(reply), self.fresh(now), &request, now);
            }
            Some(_) => self.outbox.answer(reply, &Message::NotOwner),
            None => {
                let reason = "a Lookup is a client's request; nodes send FindSuccessor".to_owned();
                let failed = Failed {
                    code: FailureCode::Forbidden,
                    reason,
                };
                self.outbox.answer(reply, &Message::Failed(failed));
            }
        }
    }

    pub(super) fn misbehaved(&mut self, core: u8, link: u64, reason: String) {
        self.counters.misbehaviours += 1;
        self.outbox.close(core, link, reason);
    }
}
