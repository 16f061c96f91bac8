//! Links that work: the handshake, frames both ways, bounds, certificates of every allowed shape.
//! Bytes are carried by hand between two machines, in chunks of many sizes; no socket.

use super::*;
use crate::frame::FrameError;
use crate::identity::inspect_pem;
use crate::key::Key;
use crate::limits::{FRAME_BODY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::message::{Get, Put};

#[test]
fn both_sides_learn_who_the_other_is_with_every_chunk_size() {
    let authority = Authority::new();
    let a = config(&authority, A, Role::Node);
    let b = config(&authority, B, Role::Node);
    for chunk in (1..64).chain([100, 1000, 5000, 100_000]) {
        let mut pair = Pair::new(&a, &b, B);
        pair.dialler.write_frames(&frame(1, &Message::Ping));
        pair.acceptor.write_frames(&frame(2, &Message::Ping));
        let mut pair = pair.ready(chunk);
        assert_eq!(pair.dialler.peer().unwrap().name.as_str(), B);
        assert_eq!(pair.acceptor.peer().unwrap().name.as_str(), A);
        assert_eq!(pair.acceptor.peer().unwrap().role, Role::Node);
        assert_eq!(pair.dialler.peer_hello(), Some(b.hello()));
        assert_eq!(polled(&mut pair.acceptor), [frame(1, &Message::Ping)]);
        assert_eq!(polled(&mut pair.dialler), [frame(2, &Message::Ping)]);
    }
}

#[test]
fn the_dialler_is_not_ready_before_the_acceptor_has_spoken() {
    let authority = Authority::new();
    let a = config(&authority, A, Role::Node);
    let b = config(&authority, B, Role::Node);
    let mut pair = Pair::new(&a, &b, B);
    pair.dialler.write_frames(&frame(1, &Message::Ping));
    let none = &mut None;
    carry(&mut pair.dialler, &mut pair.acceptor, 9999, none);
    carry(&mut pair.acceptor, &mut pair.dialler, 9999, none);
    assert!(!pair.dialler.tls.is_handshaking() && !pair.dialler.is_ready());
    carry(&mut pair.dialler, &mut pair.acceptor, 9999, none);
    assert!(pair.acceptor.is_ready() && !pair.dialler.is_ready());
    assert!(pair.acceptor.poll_frame().is_none(), "a frame before ready");
    assert!(pair.dialler.outgoing_bytes() > 0);
}

#[test]
fn frames_of_all_sizes_arrive_in_order_with_every_chunking() {
    let authority = Authority::new();
    let a = config(&authority, A, Role::Node);
    let b = config(&authority, B, Role::Node);
    let key = Key::from_text("k");
    let value = vec![7; VALUE_BYTES_MAX];
    let put = |len| Put {
        key,
        ttl_s: 1,
        replication: 1,
        value: &value[..len],
    };
    let sent: Vec<_> = (0..)
        .zip([1, 16_000, 16_384, VALUE_BYTES_MAX, 100, 40_000, 3])
        .map(|(request, len)| frame(request, &Message::Put(put(len))))
        .collect();
    for chunk in [1, 7, 1000, 4096, 16_384, 1_000_000] {
        let mut pair = Pair::new(&a, &b, B).ready(5000);
        for one in &sent {
            pair.dialler.write_frames(one);
        }
        assert_eq!(pair.run(chunk), (None, None));
        assert_eq!(polled(&mut pair.acceptor), sent);
        assert_eq!(pair.acceptor.incoming_bytes(), 0);
    }
}

#[test]
fn small_frames_of_one_turn_share_a_record() {
    let authority = Authority::new();
    let a = config(&authority, A, Role::Node);
    let b = config(&authority, B, Role::Node);
    let mut pair = Pair::new(&a, &b, B).ready(5000);
    let get = frame(
        0,
        &Message::Get(Get {
            key: Key::from_text("k"),
        }),
    );
    for _ in 0..100 {
        pair.dialler.write_frames(&get);
    }
    let mut bytes = Vec::new();
    pair.dialler.transmit(&mut bytes);
    let overhead = bytes.len() - 100 * get.len();
    assert!(overhead < 30, "{overhead} bytes around one record");
}

#[test]
fn a_client_may_ask_and_nodes_with_other_parameters_serve_it() {
    let authority = Authority::new();
    let client = "10.9.8.7:1";
    let wish = Wish::new(client, Role::Client);
    let mut hello = hello(client, Role::Client);
    hello.params.successors = 3;
    let a = LinkConfig::new(&authority.issue(&wish), hello).unwrap();
    let b = config(&authority, B, Role::Node);
    let mut pair = Pair::new(&a, &b, B).ready(5000);
    assert_eq!(pair.acceptor.peer().unwrap().role, Role::Client);
    assert_eq!(pair.dialler.peer_hello().unwrap().params, params());
    let get = frame(
        3,
        &Message::Get(Get {
            key: Key::from_text("k"),
        }),
    );
    pair.dialler.write_frames(&get);
    assert_eq!(pair.run(5000), (None, None));
    assert_eq!(polled(&mut pair.acceptor), [get]);
}

#[test]
fn a_client_needs_nothing_but_its_files() {
    let authority = Authority::new();
    let pems = authority.issue(&Wish::new("10.9.8.7:1", Role::Client));
    let a = LinkConfig::for_client(&pems).unwrap();
    let b = config(&authority, B, Role::Node);
    let pair = Pair::new(&a, &b, B).ready(5000);
    assert_eq!(pair.acceptor.peer().unwrap().name.as_str(), "10.9.8.7:1");
    let node = authority.issue(&Wish::new(A, Role::Node));
    let error = LinkConfig::for_client(&node).unwrap_err().to_string();
    assert_eq!(
        error,
        "the certificate is for role node, but client is configured"
    );
}

#[test]
fn intermediate_and_several_authorities_are_accepted() {
    let (old, new) = (Authority::new(), Authority::new());
    let below = new.intermediate();
    let both = vec![old.pem.clone().into_bytes(), new.pem.clone().into_bytes()];
    let mut first = old.issue(&Wish::new(A, Role::Node));
    first.ca_certs.clone_from(&both);
    let mut second = below.issue(&Wish::new(B, Role::Node));
    second.cert_chain.extend(below.pem.as_bytes());
    second.ca_certs = vec![both.concat()];
    let a = LinkConfig::new(&first, hello(A, Role::Node)).unwrap();
    let b = LinkConfig::new(&second, hello(B, Role::Node)).unwrap();
    assert_eq!((a.check_own(), b.check_own()), (Ok(()), Ok(())));
    Pair::new(&a, &b, B).ready(5000);
    Pair::new(&b, &a, A).ready(5000);
}

#[test]
fn dns_and_ipv6_names_are_dialled() {
    let authority = Authority::new();
    let a = config(&authority, "[::1]:7501", Role::Node);
    let b = config(&authority, "node-1.example.org:7502", Role::Node);
    Pair::new(&a, &b, "node-1.example.org:7502").ready(5000);
    Pair::new(&b, &a, "[::1]:7501").ready(5000);
}

#[test]
fn a_dialler_without_a_wish_takes_any_node_of_the_ring() {
    let authority = Authority::new();
    let a = config(&authority, A, Role::Node);
    let b = config(&authority, B, Role::Node);
    let pair = Pair {
        dialler: Link::dial(&a, None).unwrap(),
        acceptor: Link::accept(&b),
    };
    let pair = pair.ready(5000);
    assert_eq!(pair.dialler.peer().unwrap().name.as_str(), B);
}

#[test]
fn a_farewell_is_no_error_and_a_broken_connection_is_one() {
    let authority = Authority::new();
    let a = config(&authority, A, Role::Node);
    let b = config(&authority, B, Role::Node);
    let mut pair = Pair::new(&a, &b, B).ready(5000);
    pair.dialler.write_frames(&frame(1, &Message::Ping));
    pair.dialler.close();
    assert_eq!(pair.run(5000), (None, None));
    assert_eq!(polled(&mut pair.acceptor), [frame(1, &Message::Ping)]);
    assert!(pair.acceptor.peer_has_closed());
    assert_eq!(pair.acceptor.receive_end(), Ok(()));
    pair.dialler.write_frames(&frame(2, &Message::Ping));
    codec::encode(pair.dialler.outbox(), RequestId(3), &Message::Ping);
    assert!(!pair.dialler.wants_transmit(), "words after the farewell");

    let mut pair = Pair::new(&a, &b, B).ready(5000);
    assert_eq!(pair.acceptor.receive_end(), Err(LinkError::BrokenOff));

    let mut pair = Pair::new(&a, &b, B);
    assert_eq!(pair.dialler.receive_end(), Err(LinkError::ClosedEarly));
}

#[test]
fn a_body_above_the_limit_is_refused_before_it_is_buffered() {
    let authority = Authority::new();
    let a = config(&authority, A, Role::Node);
    let b = config(&authority, B, Role::Node);
    let mut pair = Pair::new(&a, &b, B).ready(5000);
    let mut header = frame(1, &Message::Ping);
    let got = u32::try_from(FRAME_BODY_BYTES_MAX).unwrap() + 1;
    header[4..8].copy_from_slice(&got.to_le_bytes());
    pair.dialler.write_frames(&header);
    let (dialler, acceptor) = pair.run(5000);
    let max = FRAME_BODY_BYTES_MAX;
    let too_long = LinkError::Frame(FrameError::TooLong { got, max });
    assert_eq!(acceptor, Some(too_long));
    assert!(dialler.unwrap().to_string().contains("above the limit"));
}

#[test]
fn the_facts_of_a_certificate_are_shown() {
    let authority = Authority::new();
    let pems = authority.issue(&Wish::new(A, Role::Client));
    let facts = inspect_pem(&pems.cert_chain).unwrap().remove(0);
    assert_eq!(facts.uris, ["chordite://test/127.0.0.1:7501?role=client"]);
    assert_eq!(facts.hosts, ["127.0.0.1"]);
    assert!(facts.client_auth && !facts.server_auth && !facts.is_ca);
    assert!(facts.not_before_s == 1_577_836_800 && facts.not_after_s > facts.not_before_s);
    assert!(inspect_pem(authority.pem.as_bytes()).unwrap()[0].is_ca);
}
