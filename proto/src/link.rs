//! One mutual-TLS connection as a machine: bytes in, frames out; no socket, no clock.
//!
//! A link first does the TLS handshake, then one Hello each. The acceptor speaks only after it has
//! verified everything about the dialler, and the dialler is ready only when the acceptor's Hello
//! has arrived: in TLS 1.3 its own handshake is over before the acceptor has looked at its
//! certificate. From then on frames flow both ways.
//!
//! Drain rule: after every `receive`, take all of `poll_frame`, then write what `transmit` gives;
//! after an error too, once, so that the other side learns the reason (an alert or a Refuse), then
//! close. A socket should be shut down for writing and read to its end before it is dropped, or the
//! kernel may throw those last bytes away.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod config;
mod error;
mod hello;
mod inbox;
mod intake;

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, ServerConnection};

pub use config::LinkConfig;
pub use error::LinkError;
pub(crate) use error::tls_reason;

use crate::codec;
use crate::frame::Frame;
use crate::identity::CertIdentity;
use crate::limits::REASON_BYTES_MAX;
use crate::message::{Hello, Message, Refuse, RequestId, Role};
use crate::peer::NodeName;
pub use crate::tls::LinkPems;
use inbox::Inbox;

/// One connection; see the module's page for how it is driven.
pub struct Link {
    config: Arc<LinkConfig>,
    tls: Connection,
    side: Side,
    stage: Stage,
    /// What the peer's certificate says; known from the end of the handshake on.
    certified: Option<CertIdentity>,
    peer: Option<(PeerIdentity, Hello)>,
    inbox: Inbox,
    /// Plaintext frames that `transmit` seals, as few records as possible.
    outbox: Vec<u8>,
    /// What goes out beside TLS: the line for a peer that speaks plaintext.
    bare: &'static [u8],
    /// Ciphertext received until ready.
    handshake_bytes: usize,
    peer_closed: bool,
    we_closed: bool,
}

impl Link {
    /// Starts a link to the node `to`, or to whichever node of the ring is there.
    pub fn dial(config: &Arc<LinkConfig>, to: Option<&NodeName>) -> Result<Self, LinkError> {
        let host = match to {
            Some(name) => server_name(name)?,
            // An address is never sent as a server name, so any will do.
            None => ServerName::from(std::net::IpAddr::from([0; 4])),
        };
        let tls = ClientConnection::new(config.tls.client.clone(), host)?;
        let side = Side::Dialled(to.cloned());
        Ok(Self::new(config, Connection::Client(tls), side))
    }

    /// Starts the accepting side of a link.
    #[must_use]
    pub fn accept(config: &Arc<LinkConfig>) -> Self {
        let tls = ServerConnection::new(config.tls.server.clone());
        // It refuses only a wrong fragment size, and none is configured.
        let tls = tls.expect("a server configuration that rustls takes");
        Self::new(config, Connection::Server(tls), Side::Accepted)
    }

    fn new(config: &Arc<LinkConfig>, mut tls: Connection, side: Side) -> Self {
        // What is queued is bounded by whoever calls `write_frames`, see `outgoing_bytes`.
        tls.set_buffer_limit(None);
        Self {
            config: config.clone(),
            tls,
            side,
            stage: Stage::Handshake,
            certified: None,
            peer: None,
            inbox: Inbox::default(),
            outbox: Vec::new(),
            bare: &[],
            handshake_bytes: 0,
            peer_closed: false,
            we_closed: false,
        }
    }

    /// Takes in bytes as they come from the socket. Frames that arrived before an error stay
    /// available; after one the link only transmits its last words.
    pub fn receive(&mut self, ciphertext: &[u8]) -> Result<(), LinkError> {
        if let Stage::Failed(error) = &self.stage {
            return Err(error.clone());
        }
        let taken = self.take_in(ciphertext);
        taken.inspect_err(|error| self.fail(error.clone()))
    }

    /// The socket has ended: an error unless the peer had said that it closes the link.
    pub fn receive_end(&mut self) -> Result<(), LinkError> {
        let error = match &self.stage {
            Stage::Failed(error) => error.clone(),
            Stage::Handshake | Stage::AwaitHello => LinkError::ClosedEarly,
            Stage::Ready if self.peer_closed && self.inbox.is_between_frames() => return Ok(()),
            Stage::Ready => LinkError::BrokenOff,
        };
        self.fail(error.clone());
        Err(error)
    }

    /// The next whole frame; only after both Hellos are verified. The space of a returned frame is
    /// taken back by the next call of `receive`.
    #[inline]
    pub fn poll_frame(&mut self) -> Option<Frame<'_>> {
        self.inbox.poll_frame(self.config.version)
    }

    /// Queues whole frames; they leave with the next `transmit` once the link is ready. Dropped
    /// after an error and after `refuse` or `close`.
    #[inline]
    pub fn write_frames(&mut self, frames: &[u8]) {
        if self.is_open() {
            self.outbox.extend_from_slice(frames);
        }
    }

    /// As `write_frames`, for whoever encodes straight into the link:
    /// `codec::encode(link.outbox(), …)`.
    #[inline]
    pub fn outbox(&mut self) -> &mut Vec<u8> {
        if !self.is_open() {
            self.outbox.clear();
        }
        &mut self.outbox
    }

    /// Seals what is queued and appends all ciphertext to `out`.
    pub fn transmit(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(std::mem::take(&mut self.bare));
        if self.has_frames() {
            self.seal_outbox();
        }
        while self.tls.wants_write() {
            // Writing to memory cannot fail.
            if self.tls.write_tls(out).is_err() {
                break;
            }
        }
    }

    /// Whether `transmit` has something to give.
    #[must_use]
    pub fn wants_transmit(&self) -> bool {
        self.has_frames() || !self.bare.is_empty() || self.tls.wants_write()
    }

    /// Who is at the other end: set as soon as the link is ready.
    #[must_use]
    pub fn peer(&self) -> Option<&PeerIdentity> {
        self.peer.as_ref().map(|(identity, _)| identity)
    }

    /// What the other end said of itself: set as soon as the link is ready. A client learns the
    /// ring's parameters from it.
    #[must_use]
    pub fn peer_hello(&self) -> Option<&Hello> {
        self.peer.as_ref().map(|(_, hello)| hello)
    }

    /// Whether both Hellos are through and nothing has failed since.
    #[inline]
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Ready)
    }

    /// Whether the link has failed or was refused: transmit once more, then close the socket.
    #[must_use]
    pub const fn failure(&self) -> Option<&LinkError> {
        match &self.stage {
            Stage::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the peer has said that it sends no more.
    #[must_use]
    pub const fn peer_has_closed(&self) -> bool {
        self.peer_closed
    }

    /// Plaintext received and not yet polled: above a bound of its own, the shell stops reading.
    #[must_use]
    pub const fn incoming_bytes(&self) -> usize {
        self.inbox.len()
    }

    /// Plaintext queued and not yet transmitted: above a bound of its own, the shell queues no
    /// more.
    #[must_use]
    pub const fn outgoing_bytes(&self) -> usize {
        self.outbox.len()
    }

    /// Refuses the peer: what is queued leaves first, then a Refuse with this reason, then the end.
    pub fn refuse(&mut self, reason: &str) {
        if self.is_open() {
            let reason = reason.to_owned();
            self.fail(LinkError::RefusedByUs { reason });
        }
    }

    /// Says that this side sends no more; what is queued leaves first.
    pub fn close(&mut self) {
        if self.has_frames() {
            self.seal_outbox();
        }
        self.we_closed = true;
        self.tls.send_close_notify();
    }

    /// Whether frames are waiting that may leave now.
    const fn has_frames(&self) -> bool {
        self.is_ready() && !self.we_closed && !self.outbox.is_empty()
    }

    const fn is_open(&self) -> bool {
        !self.we_closed && !matches!(self.stage, Stage::Failed(_))
    }

    /// Ends the link for a reason and queues the last words to the peer.
    fn fail(&mut self, error: LinkError) {
        if self.has_frames() {
            self.seal_outbox();
        }
        self.outbox = Vec::new();
        if let LinkError::Plaintext { .. } = error {
            if let Side::Accepted = self.side {
                self.bare = PLAINTEXT_ANSWER;
            }
        } else if !self.tls.is_handshaking() && !self.we_closed {
            if let Some(reason) = error.refusal() {
                self.send_control(&Message::Refuse(Refuse { reason }));
            }
            self.tls.send_close_notify();
        }
        self.stage = Stage::Failed(error);
    }

    fn send_control(&mut self, message: &Message<'_>) {
        let mut frame = Vec::new();
        codec::encode(&mut frame, RequestId::default(), message);
        if let Some(version) = frame.get_mut(VERSION_OFFSET) {
            *version = self.config.version;
        }
        // Without a buffer limit writing to memory cannot fail.
        let _ = self.tls.writer().write_all(&frame);
    }

    fn seal_outbox(&mut self) {
        // Without a buffer limit writing to memory cannot fail.
        let _ = self.tls.writer().write_all(&self.outbox);
        self.outbox.clear();
        self.outbox.shrink_to(OUTBOX_BYTES_KEPT);
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("side", &self.side)
            .field("stage", &self.stage)
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}

/// Who is at the other end: what its certificate says and its Hello confirms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerIdentity {
    /// The name it advertises.
    pub name: NodeName,
    /// What it may do.
    pub role: Role,
}

/// Which side started the connection, and whom it wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Side {
    Dialled(Option<NodeName>),
    Accepted,
}

/// How far a link has come.
#[derive(Debug)]
enum Stage {
    Handshake,
    AwaitHello,
    Ready,
    Failed(LinkError),
}

fn server_name(name: &NodeName) -> Result<ServerName<'static>, LinkError> {
    ServerName::try_from(name.host().to_owned())
        .map_err(|_| LinkError::Undiallable { name: name.clone() })
}

const VERSION_OFFSET: usize = 2;
const OUTBOX_BYTES_KEPT: usize = 64 * 1024;
const PLAINTEXT_ANSWER: &[u8] =
    b"chordite: plaintext is refused, this port speaks chordite/1 over mutual TLS 1.3 only\r\n";
const _: () = assert!(PLAINTEXT_ANSWER.len() <= REASON_BYTES_MAX);

#[cfg(test)]
mod tests;
