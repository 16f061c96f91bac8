//! From the body of a frame to a message that cannot be wrong.
//!
//! Bytes from the peer never panic: every way out is a [`DecodeError`] that is the peer's fault.

mod ring;

use rkyv::Portable;
use rkyv::api::low::{LowValidator, access};
use rkyv::bytecheck::CheckBytes;
use rkyv::option::ArchivedOption;
use rkyv::rancor::Failure;
use rkyv::vec::ArchivedVec;

use super::code::Code;
use super::error::DecodeError;
use super::kind;
use crate::id::Id;
use crate::key::Key;
use crate::limits::{PEERS_IN_MESSAGE_MAX, REASON_BYTES_MAX, RING_NAME_BYTES_MAX, VALUE_BYTES_MAX};
use crate::message::{
    Delete, Failed, Get, Hello, Lookup, LookupAnswer, Message, Put, Refuse, Route, Stored, Value,
};
use crate::peer::{NodeName, Peer, RingParams};
use crate::version::Version;
use crate::wire;

/// Reads the body of a frame of `kind`. Ids of peers are computed under `params` and compared with
/// those in the message.
pub fn decode<'a>(
    params: &RingParams,
    kind: u8,
    body: &'a [u8],
) -> Result<Message<'a>, DecodeError> {
    let body = Body { params, kind, body };
    match kind {
        kind::GET => body.key().map(|key| Message::Get(Get { key })),
        kind::PUT => body.put(),
        kind::VALUE => body.value(),
        kind::STORED => body.stored(),
        kind::ABSENT => body.fixed().map(|absent| Message::Absent(route(absent))),
        kind::DELETE => body.key().map(|key| Message::Delete(Delete { key })),
        kind::NOT_OWNER => body.empty(Message::NotOwner),
        kind::PING => body.empty(Message::Ping),
        kind::PONG => body.empty(Message::Pong),
        kind::DONE => body.empty(Message::Done),
        kind::HOP_ACK => body.empty(Message::HopAck),
        kind::FAILED => body.failed(),
        kind::HELLO => body.hello(),
        kind::REFUSE => body.refuse(),
        kind::LOOKUP => body.lookup(),
        kind::LOOKUP_ANSWER => body.lookup_answer(),
        kind::FIND_SUCCESSOR => body.find_successor(),
        kind::FOUND => body.found(),
        kind::LOOKUP_FAILED => body.lookup_failed(),
        kind::NEXT_HOP => body.next_hop(),
        kind::NEXT_HOP_ANSWER => body.next_hop_answer(),
        kind::GET_NEIGHBOURS => body.neighbours_wanted(),
        kind::NEIGHBOURS => body.neighbours(),
        kind::NOTIFY => body.notify(),
        kind::JOIN => body.join(),
        kind::JOIN_ANSWER => body.join_answer(),
        kind::LEAVE => body.leave(),
        _ => Err(DecodeError::UnknownKind { kind }),
    }
}

/// A body and what is needed to judge it.
#[derive(Clone, Copy)]
struct Body<'p, 'a> {
    params: &'p RingParams,
    kind: u8,
    body: &'a [u8],
}

type Decoded<'a> = Result<Message<'a>, DecodeError>;

impl<'a> Body<'_, 'a> {
    /// The root of a body that has boxes or lists.
    #[inline]
    fn root<T>(&self) -> Result<&'a T, DecodeError>
    where
        T: Portable + for<'c> CheckBytes<LowValidator<'c, Failure>>,
    {
        access::<T, Failure>(self.body).map_err(|_| self.malformed())
    }

    /// The root of a body of fixed length.
    #[inline]
    fn fixed<T>(&self) -> Result<&'a T, DecodeError>
    where
        T: Portable + for<'c> CheckBytes<LowValidator<'c, Failure>>,
    {
        if self.body.len() != size_of::<T>() {
            return Err(self.malformed());
        }
        self.root()
    }

    fn malformed(&self) -> DecodeError {
        DecodeError::Malformed {
            kind: self.kind,
            len: self.body.len(),
        }
    }

    fn empty(&self, message: Message<'a>) -> Decoded<'a> {
        match self.body {
            [] => Ok(message),
            _ => Err(self.malformed()),
        }
    }

    #[inline]
    fn key(&self) -> Result<Key, DecodeError> {
        let root = self.fixed::<wire::ArchivedKey>()?;
        Ok(Key::from_bytes(root.key))
    }

    #[inline]
    fn put(&self) -> Decoded<'a> {
        let put = self.root::<wire::ArchivedPut<'_>>()?;
        Ok(Message::Put(Put {
            key: Key::from_bytes(put.key),
            ttl_s: put.ttl_s.to_native(),
            replication: put.replication,
            value: bounded_value(&put.value)?,
        }))
    }

    #[inline]
    fn value(&self) -> Decoded<'a> {
        let value = self.root::<wire::ArchivedValue<'_>>()?;
        Ok(Message::Value(Value {
            version: version(value.stamp.to_native(), value.node.to_native()),
            expiry_ms: value.expiry_ms.to_native(),
            route: route(&value.route),
            value: bounded_value(&value.value)?,
        }))
    }

    #[inline]
    fn stored(&self) -> Decoded<'a> {
        let stored = self.fixed::<wire::ArchivedStored>()?;
        Ok(Message::Stored(Stored {
            version: version(stored.stamp.to_native(), stored.node.to_native()),
            hosts: stored.hosts,
            route: route(&stored.route),
        }))
    }

    fn failed(&self) -> Decoded<'a> {
        let failed = self.root::<wire::ArchivedFailed<'_>>()?;
        Ok(Message::Failed(Failed {
            code: code(failed.code)?,
            reason: reason(&failed.reason)?,
        }))
    }

    fn refuse(&self) -> Decoded<'a> {
        let refuse = self.root::<wire::ArchivedRefuse<'_>>()?;
        let reason = reason(&refuse.reason)?;
        Ok(Message::Refuse(Refuse { reason }))
    }

    fn hello(&self) -> Decoded<'a> {
        let hello = self.root::<wire::ArchivedHello<'_>>()?;
        let ring = text("ring name", &hello.ring, RING_NAME_BYTES_MAX)?;
        if !RingParams::is_ring_name(ring) {
            let name = ring.to_owned();
            return Err(DecodeError::RingName { name });
        }
        Ok(Message::Hello(Hello {
            role: code(hello.role)?,
            name: NodeName::parse(&hello.name)?,
            params: RingParams {
                ring: ring.into(),
                successors: hello.successors,
                replication: hello.replication,
                virtual_nodes_max: hello.virtual_nodes_max.to_native(),
                value_max: hello.value_max.to_native(),
            },
            features: hello.features.to_native(),
        }))
    }

    fn lookup(&self) -> Decoded<'a> {
        let lookup = self.fixed::<wire::ArchivedLookup>()?;
        Ok(Message::Lookup(Lookup {
            target: Id::from_bytes(lookup.target),
            mode: code(lookup.mode)?,
        }))
    }

    fn lookup_answer(&self) -> Decoded<'a> {
        let answer = self.root::<wire::ArchivedLookupAnswer<'_>>()?;
        Ok(Message::LookupAnswer(LookupAnswer {
            owner: self.peer(&answer.owner)?,
            predecessor: self.maybe(&answer.predecessor)?,
            route: route(&answer.route),
            path: self.peers(&answer.path, PEERS_IN_MESSAGE_MAX)?,
            elapsed_us: answer.elapsed_us.to_native(),
        }))
    }

    /// A peer whose id follows from its address.
    fn peer(&self, wire: &wire::ArchivedPeer<'_>) -> Result<Peer, DecodeError> {
        let name = NodeName::parse(&wire.name)?;
        let vnode = wire.vnode.to_native();
        let Some(peer) = Peer::derive(self.params, &name, vnode) else {
            let cap = self.params.virtual_nodes_max;
            return Err(DecodeError::VirtualNode { name, vnode, cap });
        };
        let (claimed, derived) = (Id::from_bytes(wire.id), peer.id());
        if claimed != derived {
            return Err(DecodeError::IdMapping {
                name,
                vnode,
                claimed,
                derived,
            });
        }
        Ok(peer)
    }

    fn maybe(
        &self,
        wire: &ArchivedOption<wire::ArchivedPeer<'_>>,
    ) -> Result<Option<Peer>, DecodeError> {
        wire.as_ref().map(|peer| self.peer(peer)).transpose()
    }

    fn peers(
        &self,
        wire: &ArchivedVec<wire::ArchivedPeer<'_>>,
        max: usize,
    ) -> Result<Vec<Peer>, DecodeError> {
        if wire.len() > max {
            let got = wire.len();
            return Err(DecodeError::TooManyPeers { got, max });
        }
        wire.iter().map(|peer| self.peer(peer)).collect()
    }

    fn path(
        &self,
        wire: &ArchivedOption<ArchivedVec<wire::ArchivedPeer<'_>>>,
    ) -> Result<Option<Vec<Peer>>, DecodeError> {
        let peers = |path| self.peers(path, PEERS_IN_MESSAGE_MAX);
        wire.as_ref().map(peers).transpose()
    }
}

#[inline]
fn bounded_value(value: &[u8]) -> Result<&[u8], DecodeError> {
    match value.len() {
        1..=VALUE_BYTES_MAX => Ok(value),
        got => Err(DecodeError::ValueLength { got }),
    }
}

fn route(wire: &wire::ArchivedRoute) -> Route {
    Route {
        rpcs: wire.rpcs,
        timeouts: wire.timeouts,
        cached: wire.cached != 0,
    }
}

const fn version(stamp: u64, node: u64) -> Version {
    Version { stamp, node }
}

fn code<C: Code>(byte: u8) -> Result<C, DecodeError> {
    C::from_byte(byte).ok_or(DecodeError::Code {
        what: C::WHAT,
        got: byte,
    })
}

fn text<'t>(what: &'static str, text: &'t str, max: usize) -> Result<&'t str, DecodeError> {
    match text.len() {
        got if got > max => Err(DecodeError::TextLength { what, got, max }),
        _ => Ok(text),
    }
}

fn reason(wire: &str) -> Result<String, DecodeError> {
    text("reason", wire, REASON_BYTES_MAX).map(str::to_owned)
}
