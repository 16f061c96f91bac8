//! Golden bytes, round trips and hostile bytes for every message.
//! The golden bytes are those of `golden.txt`; hostile ones are cut or changed from good ones.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::frame::{HEADER_BYTES, Header};
use crate::id::Id;
use crate::key::Key;
use crate::limits::{PEERS_IN_MESSAGE_MAX, REASON_BYTES_MAX, VALUE_BYTES_MAX};
use crate::message::*;
use crate::peer::{NodeName, Peer, RingParams};
use crate::version::Version;

fn params() -> RingParams {
    RingParams {
        ring: "golden".into(),
        successors: 16,
        replication: 3,
        virtual_nodes_max: 64,
        value_max: 65_495,
    }
}

fn peer(port: u16, vnode: u16) -> Peer {
    let name = NodeName::parse(&format!("10.0.0.1:{port}")).unwrap();
    Peer::derive(&params(), &name, vnode).unwrap()
}

fn hello() -> Hello {
    Hello {
        role: Role::Client,
        name: NodeName::parse("node-1.example.org:7501").unwrap(),
        params: params(),
        features: 0x0102_0304_0506_0708,
    }
}

const ROUTE: Route = Route {
    rpcs: 3,
    timeouts: 1,
    cached: true,
};

const VERSION: Version = Version {
    stamp: 0x1122_3344_5566_7788,
    node: 0x99aa_bbcc_ddee_ff00,
};

fn ring_samples() -> Vec<Message<'static>> {
    let (a, b, c) = (peer(7501, 0), peer(7502, 1), peer(7503, 63));
    let target = Id::from_bytes([0x5a; 32]);
    let lookup = RequestId(0xc0ff_ee00_0000_0001);
    vec![
        Message::FindSuccessor(FindSuccessor {
            target,
            origin: a.clone(),
            lookup,
            hops: 2,
            timeouts: 1,
            path: Some(vec![b.clone(), c.clone()]),
        }),
        Message::HopAck,
        Message::Found(Found {
            lookup,
            owner: b.clone(),
            predecessor: Some(a.clone()),
            hops: 4,
            timeouts: 0,
            path: None,
        }),
        Message::LookupFailed(LookupFailed {
            lookup,
            reason: LookupFailure::NoRoute,
        }),
        Message::NextHop(NextHop {
            target,
            avoid: vec![c.clone()],
        }),
        Message::NextHopAnswer(NextHopAnswer::Owner {
            owner: b.clone(),
            predecessor: None,
        }),
        Message::NextHopAnswer(NextHopAnswer::Closer(vec![a.clone(), b.clone()])),
        Message::GetNeighbours(GetNeighbours { vnode: 7 }),
        Message::Neighbours(Neighbours {
            member: a.clone(),
            predecessor: Some(c.clone()),
            successors: vec![b.clone(), c.clone()],
        }),
        Message::Notify(Notify {
            vnode: 0,
            candidate: b.clone(),
        }),
        Message::Join(Join {
            vnode: 1,
            joiner: c.clone(),
        }),
        Message::JoinAnswer(JoinAnswer::Accepted {
            predecessor: a.clone(),
            successors: vec![b.clone()],
        }),
        Message::JoinAnswer(JoinAnswer::Moved),
        Message::Leave(Leave {
            vnode: 0,
            leaver: a,
            predecessor: None,
            successors: vec![b, c],
        }),
    ]
}

fn samples() -> Vec<Message<'static>> {
    let key = Key::from_text("golden");
    let mut samples = vec![
        Message::Hello(hello()),
        Message::Refuse(Refuse {
            reason: "wrong ring: ours is a, yours is b".into(),
        }),
        Message::Ping,
        Message::Pong,
    ];
    samples.extend(ring_samples());
    samples.extend([
        Message::Done,
        Message::Put(Put {
            key,
            ttl_s: 3600,
            replication: 3,
            value: b"a value",
        }),
        Message::Get(Get { key }),
        Message::Delete(Delete { key }),
        Message::Stored(Stored {
            version: VERSION,
            hosts: 3,
            route: ROUTE,
        }),
        Message::Value(Value {
            version: VERSION,
            expiry_ms: 1_800_000_000_000,
            route: ROUTE,
            value: b"another value",
        }),
        Message::Absent(ROUTE),
        Message::NotOwner,
        Message::Failed(Failed {
            code: FailureCode::MemoryFull,
            reason: "memory_max is reached".into(),
        }),
        Message::Failed(Failed {
            code: FailureCode::StorageFull,
            reason: "no room".into(),
        }),
        Message::Failed(Failed {
            code: FailureCode::StorageFailed,
            reason: "no disk".into(),
        }),
        Message::Lookup(Lookup {
            target: key.position(),
            mode: LookupMode::Traced,
        }),
        Message::LookupAnswer(LookupAnswer {
            owner: peer(7501, 0),
            predecessor: Some(peer(7502, 1)),
            route: ROUTE,
            path: vec![peer(7503, 63), peer(7501, 0)],
            elapsed_us: 1234,
        }),
    ]);
    samples
}

fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out, RequestId(0x0807_0605_0403_0201), message);
    out
}

fn decoded(frame: &[u8]) -> Result<Message<'_>, DecodeError> {
    let frame = Frame::split(frame).unwrap().unwrap();
    decode(&params(), frame.header.kind, frame.body)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of every message are a promise to other versions of this program: when this test
/// fails, the change needs new kinds (or a new protocol version), not new golden bytes.
#[test]
fn golden_bytes_are_kept() {
    let line = |message: &Message<'_>| {
        let frame = encoded(message);
        let (header, body) = frame.split_at(HEADER_BYTES);
        let name = kind::name(kind::of(message));
        format!("{name} {} {}\n", hex(header), hex(body))
    };
    let lines: String = samples().iter().map(line).collect();
    assert_eq!(lines, include_str!("golden.txt"), "now:\n{lines}");
}

#[test]
fn every_message_survives_the_way() {
    for message in samples() {
        assert_eq!(decoded(&encoded(&message)).as_ref(), Ok(&message));
    }
}

#[test]
fn every_truncation_is_refused() {
    for message in samples() {
        let frame = encoded(&message);
        for len in 0..frame.len() {
            assert_eq!(Frame::split(&frame[..len]), Ok(None));
        }
        let body = &frame[HEADER_BYTES..];
        for len in 0..body.len() {
            let short = decode(&params(), kind::of(&message), &body[..len]);
            assert!(short.is_err(), "{message:?} cut to {len} bytes");
        }
    }
}

#[test]
fn no_single_changed_byte_panics() {
    for message in samples() {
        let frame = encoded(&message);
        for at in 0..frame.len() {
            for change in [1, 0x80, 0xff] {
                let mut frame = frame.clone();
                frame[at] ^= change;
                if let Ok(Some(frame)) = Frame::split(&frame) {
                    let _ = decode(&params(), frame.header.kind, frame.body);
                }
            }
        }
    }
}

#[test]
fn an_id_that_does_not_follow_from_the_address_is_refused() {
    let member = peer(7501, 0);
    let mut frame = encoded(&Message::Notify(Notify {
        vnode: 0,
        candidate: member.clone(),
    }));
    let id = member.id();
    let at = frame.windows(32).position(|bytes| bytes == id.as_bytes());
    frame[at.unwrap()] ^= 1;
    let error = decoded(&frame).unwrap_err();
    assert!(matches!(&error, DecodeError::IdMapping { derived, .. } if *derived == id));
    assert!(error.to_string().contains("10.0.0.1:7501/0"), "{error}");
}

#[test]
fn a_virtual_node_above_the_cap_is_refused() {
    let mut wide = params();
    wide.virtual_nodes_max = 65;
    let name = NodeName::parse("10.0.0.1:7501").unwrap();
    let candidate = Peer::derive(&wide, &name, 64).unwrap();
    let frame = encoded(&Message::Notify(Notify {
        vnode: 0,
        candidate,
    }));
    let error = decoded(&frame).unwrap_err();
    assert!(matches!(
        error,
        DecodeError::VirtualNode {
            vnode: 64,
            cap: 64,
            ..
        }
    ));
}

#[test]
fn values_are_borrowed_from_the_frame_and_bounded() {
    let key = Key::from_text("k");
    let put = |value| {
        encoded(&Message::Put(Put {
            key,
            ttl_s: 0,
            replication: 0,
            value,
        }))
    };
    let largest = vec![7; VALUE_BYTES_MAX];
    let frame = put(&largest);
    let Ok(Message::Put(decoded_put)) = decoded(&frame) else {
        panic!("the largest value is refused");
    };
    assert!(frame.as_ptr_range().contains(&decoded_put.value.as_ptr()));
    let empty = DecodeError::ValueLength { got: 0 };
    assert_eq!(decoded(&put(&[])), Err(empty));
}

#[test]
fn lists_and_reasons_are_cut_to_their_limits_by_the_sender_and_bounded_by_the_receiver() {
    let many = vec![peer(7501, 0); PEERS_IN_MESSAGE_MAX + 9];
    let frame = encoded(&Message::NextHopAnswer(NextHopAnswer::Closer(many.clone())));
    let Ok(Message::NextHopAnswer(NextHopAnswer::Closer(cut))) = decoded(&frame) else {
        panic!("a cut list is refused");
    };
    assert_eq!(cut, many[..PEERS_IN_MESSAGE_MAX]);

    let reason = "ü".repeat(REASON_BYTES_MAX);
    let frame = encoded(&Message::Refuse(Refuse { reason }));
    let Ok(Message::Refuse(refuse)) = decoded(&frame) else {
        panic!("a cut reason is refused");
    };
    assert_eq!(refuse.reason, "ü".repeat(REASON_BYTES_MAX / 2));

    let closer = Message::NextHopAnswer(NextHopAnswer::Closer(many[..70].to_vec()));
    let mut frame = encoded(&closer);
    frame[3] = kind::NEXT_HOP;
    assert!(decoded(&frame).is_err());
}

#[test]
fn clients_may_send_only_their_five_requests() {
    let ok = |kind: &u8| allowed(Role::Client, *kind);
    let kinds: Vec<u8> = (0..=255).filter(ok).collect();
    let want = [kind::PING, kind::PUT, kind::GET, kind::DELETE, kind::LOOKUP];
    assert_eq!(kinds, want);
    assert!((0..=255).all(|kind| allowed(Role::Node, kind)));
}

#[test]
fn kinds_are_distinct_and_clear_of_those_kept_for_replication() {
    let mut kinds: Vec<u8> = samples().iter().map(kind::of).collect();
    kinds.dedup();
    let count = kinds.len();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!((count, kinds.len()), (27, 27));
    assert!(kinds.iter().all(|kind| !(64..=95).contains(kind)));
    for kind in 0..=255 {
        let known = kind::name(kind) != kind::name(0);
        assert_eq!(known, kinds.contains(&kind), "kind {kind}");
        let unknown = Err(DecodeError::UnknownKind { kind });
        assert_eq!(
            decode(&params(), kind, &[]) == unknown,
            !known,
            "kind {kind}"
        );
    }
}

#[test]
fn a_buffer_of_frames_is_split() {
    let mut buffer = Vec::new();
    for (request, message) in (0..).zip(samples()) {
        encode(&mut buffer, RequestId(request), &message);
    }
    let whole: Vec<_> = frames(&buffer).map(Result::unwrap).collect();
    assert_eq!(whole.len(), samples().len());
    assert!((0..).zip(&whole).all(|(i, f)| f.header.request.0 == i));
    assert_eq!(frames(&buffer[..buffer.len() - 1]).count(), whole.len() - 1);
    assert!(frames(b"GET / HTTP/1.1").next().unwrap().is_err());
}

prop_compose! {
    fn any_peer()(port in 1u16.., vnode in 0u16..64) -> Peer {
        peer(port, vnode)
    }
}

prop_compose! {
    fn any_route()(rpcs: u8, timeouts: u8, cached: bool) -> Route {
        Route { rpcs, timeouts, cached }
    }
}

fn any_peers() -> impl Strategy<Value = Vec<Peer>> {
    vec(any_peer(), 0..20)
}

/// The messages that carry peers, with every combination of present and absent parts.
fn any_ring_message() -> impl Strategy<Value = Message<'static>> {
    let parts = (
        (any_peer(), proptest::option::of(any_peer()), any_peers()),
        (
            proptest::option::of(any_peers()),
            any::<[u8; 32]>(),
            any::<u64>(),
            any::<(u16, u16)>(),
        ),
        any_route(),
        0..10,
    );
    parts.prop_map(
        |((a, b, list), (path, id, number, (hops, timeouts)), route, which)| {
            let (target, lookup, vnode) = (Id::from_bytes(id), RequestId(number), hops);
            match which {
                0 => Message::FindSuccessor(FindSuccessor {
                    target,
                    origin: a,
                    lookup,
                    hops,
                    timeouts,
                    path,
                }),
                1 => Message::Found(Found {
                    lookup,
                    owner: a,
                    predecessor: b,
                    hops,
                    timeouts,
                    path,
                }),
                2 => Message::NextHop(NextHop {
                    target,
                    avoid: list,
                }),
                3 => Message::NextHopAnswer(NextHopAnswer::Owner {
                    owner: a,
                    predecessor: b,
                }),
                4 => Message::NextHopAnswer(NextHopAnswer::Closer(list)),
                5 => Message::Neighbours(Neighbours {
                    member: a,
                    predecessor: b,
                    successors: list,
                }),
                6 => Message::Join(Join { vnode, joiner: a }),
                7 => Message::JoinAnswer(JoinAnswer::Accepted {
                    predecessor: a,
                    successors: list,
                }),
                8 => Message::Leave(Leave {
                    vnode,
                    leaver: a,
                    predecessor: b,
                    successors: list,
                }),
                _ => Message::LookupAnswer(LookupAnswer {
                    owner: a,
                    predecessor: b,
                    route,
                    path: list,
                    elapsed_us: number,
                }),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn ring_messages_survive_the_way(message in any_ring_message()) {
        let frame = encoded(&message);
        prop_assert_eq!(decoded(&frame), Ok(message));
    }

    #[test]
    fn data_messages_survive_the_way(
        key: [u8; 32],
        (stamp, node, expiry_ms) in any::<(u64, u64, u64)>(),
        (ttl_s, replication, hosts) in any::<(u32, u8, u8)>(),
        route in any_route(),
        value in vec(any::<u8>(), 1..2000),
    ) {
        let (key, version, value) = (Key::from_bytes(key), Version { stamp, node }, &value[..]);
        for message in [
            Message::Put(Put { key, ttl_s, replication, value }),
            Message::Get(Get { key }),
            Message::Delete(Delete { key }),
            Message::Stored(Stored { version, hosts, route }),
            Message::Value(Value { version, expiry_ms, route, value }),
            Message::Absent(route),
        ] {
            let frame = encoded(&message);
            prop_assert_eq!(decoded(&frame), Ok(message));
        }
    }

    #[test]
    fn arbitrary_bodies_never_panic(kind: u8, body in vec(any::<u8>(), 0..400)) {
        let _ = decode(&params(), kind, &body);
    }

    /// Small numbers make offsets and lengths that point somewhere: nastier than noise.
    #[test]
    fn bodies_of_small_numbers_never_panic(
        kind in 0u8..64,
        body in vec(prop_oneof![Just(0u8), Just(1), Just(0xff), 0u8..100], 0..300),
    ) {
        let _ = decode(&params(), kind, &body);
    }

    #[test]
    fn headers_of_any_frame_name_its_length(message in any_ring_message()) {
        let frame = encoded(&message);
        let header = Header::parse(&frame).unwrap().unwrap();
        prop_assert_eq!(header.frame_len(), frame.len());
        prop_assert_eq!(header.kind, kind::of(&message));
    }
}
