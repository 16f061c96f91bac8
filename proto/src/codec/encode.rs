//! From a message to the bytes of its frame.
//!
//! Encoding cannot fail: what may grow with what others sent (paths, reasons) is cut to its limit,
//! what our own side must keep within its limit (values, names) is asserted.

use std::mem::MaybeUninit;

use rkyv::Serialize;
use rkyv::api::low::{LowSerializer, to_bytes_in_with_alloc};
use rkyv::rancor::Failure;
use rkyv::ser::allocator::SubAllocator;

use super::code::Code;
use super::kind;
use crate::frame::{HEADER_BYTES, Header};
use crate::limits::{
    FRAME_BODY_BYTES_MAX, PEERS_IN_MESSAGE_MAX, REASON_BYTES_MAX, SUCCESSORS_MAX, VALUE_BYTES_MAX,
};
use crate::message::{
    FindSuccessor, Found, Hello, JoinAnswer, LookupAnswer, Message, NextHopAnswer, Put, RequestId,
    Route, Value,
};
use crate::peer::Peer;
use crate::wire;

/// Appends `message` to `out` as one whole frame. Paths and lists of members to avoid are cut to
/// [`PEERS_IN_MESSAGE_MAX`], successor lists to [`SUCCESSORS_MAX`], reasons to
/// [`REASON_BYTES_MAX`].
pub fn encode(out: &mut Vec<u8>, request: RequestId, message: &Message<'_>) {
    let start = out.len();
    let header = Header {
        kind: kind::of(message),
        flags: 0,
        request,
        body_len: 0,
    };
    header.write(out);
    append_body(out, message);
    let frame = out.get_mut(start..);
    let (header, body) = frame
        .and_then(<[u8]>::split_first_chunk_mut::<HEADER_BYTES>)
        .expect("the header has just been written");
    assert!(body.len() <= FRAME_BODY_BYTES_MAX, "a body above its limit");
    let body_len = u32::try_from(body.len()).unwrap_or(u32::MAX);
    header[4..8].copy_from_slice(&body_len.to_le_bytes());
}

fn append_body(out: &mut Vec<u8>, message: &Message<'_>) {
    match message {
        Message::Ping | Message::Pong | Message::HopAck | Message::Done | Message::NotOwner => {}
        Message::Get(get) => append_key(out, get.key.as_bytes()),
        Message::Delete(delete) => append_key(out, delete.key.as_bytes()),
        Message::Put(put) => append_put(out, put),
        Message::Value(value) => append_value(out, value),
        Message::Stored(stored) => {
            let stored = wire::Stored {
                stamp: stored.version.stamp,
                node: stored.version.node,
                hosts: stored.hosts,
                route: route(stored.route),
            };
            append(out, &stored);
        }
        Message::Absent(absent) => append(out, &route(*absent)),
        Message::Failed(failed) => {
            let reason = cut(&failed.reason);
            let code = failed.code.to_byte();
            append(out, &wire::Failed { code, reason });
        }
        Message::Hello(hello) => append_hello(out, hello),
        Message::Refuse(refuse) => {
            let reason = cut(&refuse.reason);
            append(out, &wire::Refuse { reason });
        }
        Message::Lookup(lookup) => {
            let (target, mode) = (*lookup.target.as_bytes(), lookup.mode.to_byte());
            append(out, &wire::Lookup { target, mode });
        }
        Message::LookupAnswer(answer) => append_lookup_answer(out, answer),
        ring => append_ring(out, ring),
    }
}

/// The messages of the ring itself.
fn append_ring(out: &mut Vec<u8>, message: &Message<'_>) {
    match message {
        Message::FindSuccessor(find) => append_find(out, find),
        Message::Found(found) => append_found(out, found),
        Message::LookupFailed(failed) => {
            let (lookup, reason) = (failed.lookup.0, failed.reason.to_byte());
            append(out, &wire::LookupFailed { lookup, reason });
        }
        Message::NextHop(next) => {
            let (target, avoid) = (*next.target.as_bytes(), many(&next.avoid));
            append(out, &wire::NextHop { target, avoid });
        }
        Message::NextHopAnswer(answer) => append_next_hop_answer(out, answer),
        Message::GetNeighbours(get) => append(out, &wire::GetNeighbours { vnode: get.vnode }),
        Message::Neighbours(neighbours) => {
            let neighbours = wire::Neighbours {
                member: peer(&neighbours.member),
                predecessor: neighbours.predecessor.as_ref().map(peer),
                successors: successors(&neighbours.successors),
            };
            append(out, &neighbours);
        }
        Message::Notify(notify) => {
            let (vnode, candidate) = (notify.vnode, peer(&notify.candidate));
            append(out, &wire::Notify { vnode, candidate });
        }
        Message::Join(join) => {
            let (vnode, joiner) = (join.vnode, peer(&join.joiner));
            append(out, &wire::Join { vnode, joiner });
        }
        Message::JoinAnswer(answer) => append_join_answer(out, answer),
        Message::Leave(leave) => {
            let leave = wire::Leave {
                vnode: leave.vnode,
                leaver: peer(&leave.leaver),
                predecessor: leave.predecessor.as_ref().map(peer),
                successors: successors(&leave.successors),
            };
            append(out, &leave);
        }
        other => unreachable!("{} has no body of the ring", kind::name(kind::of(other))),
    }
}

fn append_key(out: &mut Vec<u8>, key: &[u8; 32]) {
    append(out, &wire::Key { key: *key });
}

fn append_put(out: &mut Vec<u8>, put: &Put<'_>) {
    assert!(
        put.value.len() <= VALUE_BYTES_MAX,
        "a value above its limit"
    );
    let put = wire::Put {
        key: *put.key.as_bytes(),
        ttl_s: put.ttl_s,
        replication: put.replication,
        value: put.value,
    };
    append(out, &put);
}

fn append_value(out: &mut Vec<u8>, value: &Value<'_>) {
    assert!(
        value.value.len() <= VALUE_BYTES_MAX,
        "a value above its limit"
    );
    let value = wire::Value {
        stamp: value.version.stamp,
        node: value.version.node,
        expiry_ms: value.expiry_ms,
        route: route(value.route),
        value: value.value,
    };
    append(out, &value);
}

fn append_hello(out: &mut Vec<u8>, hello: &Hello) {
    let hello = wire::Hello {
        role: hello.role.to_byte(),
        successors: hello.params.successors,
        replication: hello.params.replication,
        virtual_nodes_max: hello.params.virtual_nodes_max,
        value_max: hello.params.value_max,
        features: hello.features,
        name: hello.name.as_str(),
        ring: &hello.params.ring,
    };
    append(out, &hello);
}

fn append_find(out: &mut Vec<u8>, find: &FindSuccessor) {
    let find = wire::FindSuccessor {
        target: *find.target.as_bytes(),
        lookup: find.lookup.0,
        hops: find.hops,
        timeouts: find.timeouts,
        origin: peer(&find.origin),
        path: find.path.as_deref().map(many),
    };
    append(out, &find);
}

fn append_found(out: &mut Vec<u8>, found: &Found) {
    let found = wire::Found {
        lookup: found.lookup.0,
        hops: found.hops,
        timeouts: found.timeouts,
        owner: peer(&found.owner),
        predecessor: found.predecessor.as_ref().map(peer),
        path: found.path.as_deref().map(many),
    };
    append(out, &found);
}

fn append_next_hop_answer(out: &mut Vec<u8>, answer: &NextHopAnswer) {
    let answer = match answer {
        NextHopAnswer::Owner { owner, predecessor } => wire::NextHopAnswer::Owner {
            owner: peer(owner),
            predecessor: predecessor.as_ref().map(peer),
        },
        NextHopAnswer::Closer(closer) => wire::NextHopAnswer::Closer(many(closer)),
    };
    append(out, &answer);
}

fn append_join_answer(out: &mut Vec<u8>, answer: &JoinAnswer) {
    let answer = match answer {
        JoinAnswer::Accepted {
            predecessor,
            successors: list,
        } => wire::JoinAnswer::Accepted {
            predecessor: peer(predecessor),
            successors: successors(list),
        },
        JoinAnswer::Moved => wire::JoinAnswer::Moved,
    };
    append(out, &answer);
}

fn append_lookup_answer(out: &mut Vec<u8>, answer: &LookupAnswer) {
    let answer = wire::LookupAnswer {
        route: route(answer.route),
        elapsed_us: answer.elapsed_us,
        owner: peer(&answer.owner),
        predecessor: answer.predecessor.as_ref().map(peer),
        path: many(&answer.path),
    };
    append(out, &answer);
}

fn peer(peer: &Peer) -> wire::Peer<'_> {
    wire::Peer {
        id: *peer.id().as_bytes(),
        vnode: peer.vnode(),
        name: peer.name().as_str(),
    }
}

fn many(peers: &[Peer]) -> Vec<wire::Peer<'_>> {
    peers.iter().take(PEERS_IN_MESSAGE_MAX).map(peer).collect()
}

fn successors(peers: &[Peer]) -> Vec<wire::Peer<'_>> {
    peers.iter().take(SUCCESSORS_MAX).map(peer).collect()
}

fn route(route: Route) -> wire::Route {
    wire::Route {
        rpcs: route.rpcs,
        timeouts: route.timeouts,
        cached: u8::from(route.cached),
    }
}

/// The text up to its limit, cut between characters.
fn cut(reason: &str) -> &str {
    let longest = reason.len().min(REASON_BYTES_MAX);
    let mut cuts = (0..=longest).rev();
    cuts.find_map(|end| reason.get(..end)).unwrap_or_default()
}

/// Writes an rkyv body straight to the end of `out`. The scratch space on the stack holds what rkyv
/// remembers of each list entry until it writes the list; it is never initialised, so its size
/// costs nothing.
#[inline]
fn append<T>(out: &mut Vec<u8>, body: &T)
where
    T: for<'a, 'b> Serialize<LowSerializer<&'a mut Vec<u8>, SubAllocator<'b>, Failure>>,
{
    let mut scratch = [MaybeUninit::uninit(); SCRATCH_BYTES];
    let scratch = SubAllocator::new(&mut scratch);
    let written = to_bytes_in_with_alloc::<_, _, Failure>(body, out, scratch);
    assert!(written.is_ok(), "lists above their limit");
}

const SCRATCH_BYTES: usize = 32 * PEERS_IN_MESSAGE_MAX;
