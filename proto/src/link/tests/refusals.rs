//! Links that must not be: what each side reads for every reason.
//! Bytes are carried by hand in chunks of many sizes, and no message may get through.

use proptest::prelude::ProptestConfig;
use rustls::{ClientConfig, ServerConfig};

use super::*;
use crate::id::Id;
use crate::identity::IdentityError;
use crate::key::Key;
use crate::message::{FindSuccessor, Get};
use crate::peer::Peer;

/// `a` dials `to` and finds `b`: no chunking lets a message through, and each side's text contains
/// what is given for it.
fn refused(a: &Arc<LinkConfig>, b: &Arc<LinkConfig>, to: &str, dialler: &str, acceptor: &str) {
    for chunk in (1..=32).chain([100, 1000, 100_000]) {
        let mut pair = Pair::new(a, b, to);
        pair.dialler.write_frames(&frame(1, &Message::Ping));
        pair.acceptor.write_frames(&frame(1, &Message::Ping));
        let (first, second) = pair.run(chunk);
        let said = |error: Option<LinkError>| error.map_or_else(String::new, |e| e.to_string());
        let (first, second) = (said(first), said(second));
        assert!(first.contains(dialler), "the dialler reads: {first}");
        assert!(second.contains(acceptor), "the acceptor reads: {second}");
        assert!(
            polled(&mut pair.dialler).is_empty(),
            "a message got through"
        );
        assert!(
            polled(&mut pair.acceptor).is_empty(),
            "a message got through"
        );
    }
}

/// A config whose certificate or Hello is changed after the checks of `LinkConfig::new`.
fn with(wish: &Wish, authority: &Authority, hello: Hello) -> Arc<LinkConfig> {
    let tls = TlsSetup::new(&authority.issue(wish)).unwrap();
    let version = PROTOCOL_VERSION;
    Arc::new(LinkConfig {
        tls,
        hello,
        version,
    })
}

#[test]
fn no_client_certificate() {
    let authority = Authority::new();
    let b = config(&authority, B, Role::Node);
    let mut naked = TlsSetup::new(&authority.issue(&Wish::new(A, Role::Node))).unwrap();
    let mut client = ClientConfig::clone(&naked.client);
    client.client_auth_cert_resolver = Arc::new(NoCertificate);
    naked.client = Arc::new(client);
    let a = Arc::new(LinkConfig {
        tls: naked,
        hello: hello(A, Role::Node),
        version: PROTOCOL_VERSION,
    });
    let reason = "the peer refused us: it requires a certificate and we showed none";
    refused(&a, &b, B, reason, "the peer shows no certificate");
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[test]
fn a_certificate_of_another_authority() {
    let (ours, other) = (Authority::new(), Authority::new());
    let a = config(&ours, A, Role::Node);
    let mut pems = other.issue(&Wish::new(B, Role::Node));
    let b = LinkConfig::new(&pems, hello(B, Role::Node)).unwrap();
    let untrusted = "the peer's certificate is refused: it is not signed by a CA of this ring";
    let told = "the peer refused us: our certificate is not signed by a CA it trusts";
    refused(&a, &b, B, untrusted, told);

    // Only the acceptor distrusts: the dialler knows both authorities.
    pems.ca_certs.push(ours.pem.clone().into());
    let b = LinkConfig::new(&pems, hello(B, Role::Node)).unwrap();
    refused(&b, &a, A, told, untrusted);
    assert_eq!(b.check_own(), Ok(()));
    pems.ca_certs.remove(0);
    let b = LinkConfig::new(&pems, hello(B, Role::Node)).unwrap();
    let why = "it is not signed by a CA of this ring".to_owned();
    assert_eq!(b.check_own(), Err(IdentityError::Untrusted { why }));
}

#[test]
fn an_expired_certificate() {
    let authority = Authority::new();
    let a = config(&authority, A, Role::Node);
    let mut wish = Wish::new(B, Role::Node);
    wish.years = (2020, 2021);
    let b = with(&wish, &authority, hello(B, Role::Node));
    let expired = "the peer's certificate is refused: it has expired";
    let told = "the peer refused us: our certificate has expired";
    refused(&a, &b, B, expired, told);
    refused(&b, &a, A, told, expired);
    assert!(b.check_own().unwrap_err().to_string().contains("expired"));
}

#[test]
fn a_certificate_that_is_not_valid_yet() {
    let authority = Authority::new();
    let a = config(&authority, A, Role::Node);
    let mut wish = Wish::new(B, Role::Node);
    wish.years = (2190, 2200);
    let b = with(&wish, &authority, hello(B, Role::Node));
    refused(&a, &b, B, "check the clocks", "not valid yet");
}

#[test]
fn someone_else_where_we_dialled() {
    let authority = Authority::new();
    let a = config(&authority, A, Role::Node);
    let b = config(&authority, B, Role::Node);
    let dialled = "127.0.0.2:9999";
    let dialler = "the peer's certificate is for 127.0.0.2:7502, but 127.0.0.2:9999 was dialled";
    let acceptor = "the peer refused us: 127.0.0.2:9999 was dialled, but your certificate is for";
    refused(&a, &b, dialled, dialler, acceptor);
}

#[test]
fn a_host_that_is_not_in_the_certificate() {
    let authority = Authority::new();
    let a = config(&authority, A, Role::Node);
    let mut wish = Wish::new(B, Role::Node);
    wish.host = "127.0.0.3".into();
    let pems = authority.issue(&wish);
    let own = LinkConfig::new(&pems, hello(B, Role::Node)).unwrap_err();
    assert!(matches!(own, IdentityError::HostNotInSan { .. }));

    let good = TlsSetup::new(&authority.issue(&Wish::new(B, Role::Node))).unwrap();
    let b = with_foreign_certificate(good, &pems);
    let why = "its SAN URI is for 127.0.0.2:7502, but its other SANs are [127.0.0.3]";
    refused(&a, &b, B, why, why);
    refused(&b, &a, A, why, why);
}

/// Our checks at startup would not let such a certificate through: put it in by hand.
fn with_foreign_certificate(mut tls: TlsSetup, pems: &LinkPems) -> Arc<LinkConfig> {
    use rustls::pki_types::pem::PemObject;
    let chain = crate::identity::certificates("certificate", &pems.cert_chain).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(&pems.key).unwrap();
    let provider = tls.client.crypto_provider().clone();
    let key = rustls::sign::CertifiedKey::from_der(chain, key, &provider).unwrap();
    let key = Arc::new(rustls::sign::SingleCertAndKey::from(key));
    let mut client = ClientConfig::clone(&tls.client);
    client.client_auth_cert_resolver = key.clone();
    let mut server = ServerConfig::clone(&tls.server);
    server.cert_resolver = key;
    (tls.client, tls.server) = (Arc::new(client), Arc::new(server));
    let (hello, version) = (hello(B, Role::Node), PROTOCOL_VERSION);
    Arc::new(LinkConfig {
        tls,
        hello,
        version,
    })
}

#[test]
fn a_certificate_without_or_with_a_wrong_uri() {
    let authority = Authority::new();
    let a = config(&authority, A, Role::Node);
    for (uri, why) in [
        (None, "no SAN URI"),
        (Some("https://example.org/"), "no SAN URI"),
        (Some("chordite://test"), "no / after the ring"),
    ] {
        let mut wish = Wish::new(B, Role::Node);
        wish.uri = uri.map(str::to_owned);
        let good = TlsSetup::new(&authority.issue(&Wish::new(B, Role::Node))).unwrap();
        let b = with_foreign_certificate(good, &authority.issue(&wish));
        refused(&a, &b, B, why, why);
        refused(&b, &a, A, why, why);
    }
}

#[test]
fn a_name_or_role_in_the_hello_that_is_not_the_certificates() {
    let authority = Authority::new();
    let b = config(&authority, B, Role::Node);
    let a = with(
        &Wish::new(A, Role::Node),
        &authority,
        hello("127.0.0.1:9", Role::Node),
    );
    let said =
        "the peer says it is node 127.0.0.1:9, but its certificate is for node 127.0.0.1:7501";
    refused(&a, &b, B, "you say you are node 127.0.0.1:9", said);
    let a = with(
        &Wish::new(A, Role::Client),
        &authority,
        hello(A, Role::Node),
    );
    refused(
        &a,
        &b,
        B,
        "you say you are node",
        "but its certificate is for client",
    );
}

#[test]
fn one_s_own_certificate_for_something_else_is_found_at_startup() {
    let authority = Authority::new();
    let pems = authority.issue(&Wish::new(A, Role::Node));
    let error = |hello| LinkConfig::new(&pems, hello).unwrap_err().to_string();
    let name = error(hello(B, Role::Node));
    assert!(
        name.contains("for node 127.0.0.1:7501, but 127.0.0.2:7502 is configured"),
        "{name}"
    );
    let role = error(hello(A, Role::Client));
    assert!(
        role.contains("for role node, but client is configured"),
        "{role}"
    );
    let mut other = hello(A, Role::Node);
    other.params.ring = "other".into();
    let ring = error(other);
    assert!(
        ring.contains("for ring test, but other is configured"),
        "{ring}"
    );
}

#[test]
fn unreadable_missing_and_mismatched_files_are_found_at_startup() {
    let authority = Authority::new();
    let good = authority.issue(&Wish::new(A, Role::Node));
    let error = |change: &dyn Fn(&mut LinkPems)| {
        let mut pems = good.clone();
        change(&mut pems);
        LinkConfig::new(&pems, hello(A, Role::Node)).unwrap_err()
    };
    let other = authority.issue(&Wish::new(A, Role::Node));
    let mismatch = error(&|pems| pems.key.clone_from(&other.key));
    assert_eq!(mismatch, IdentityError::KeyMismatch);
    for (change, what) in [
        (
            &(|pems: &mut LinkPems| pems.key.clear()) as &dyn Fn(&mut LinkPems),
            "private key",
        ),
        (&|pems| pems.cert_chain = b"nothing".to_vec(), "certificate"),
        (&|pems| pems.ca_certs.clear(), "CA certificate"),
        (&|pems| pems.ca_certs = vec![Vec::new()], "CA certificate"),
    ] {
        assert_eq!(error(change), IdentityError::Missing { what });
    }
    let torn = error(&|pems| pems.cert_chain.truncate(pems.cert_chain.len() / 2));
    let text = "the certificate is not readable PEM: the END line of `CERTIFICATE` is missing";
    assert_eq!(torn.to_string(), text);
    let swapped = error(&|pems| pems.ca_certs = vec![pems.key.clone()]);
    assert!(matches!(swapped, IdentityError::Missing { .. }));
}

#[test]
fn another_ring_in_the_certificate_or_in_the_hello() {
    let authority = Authority::new();
    let a = config(&authority, A, Role::Node);
    let mut wish = Wish::new(B, Role::Node);
    wish.uri = Some("chordite://other/127.0.0.2:7502".into());
    let mut theirs = hello(B, Role::Node);
    theirs.params.ring = "other".into();
    let b = LinkConfig::new(&authority.issue(&wish), theirs.clone()).unwrap();
    let found = "the peer is of ring `other`, we are of ring `test`";
    // Both certificates are there before either side speaks: both find it themselves.
    refused(
        &a,
        &b,
        B,
        found,
        "the peer is of ring `test`, we are of ring `other`",
    );

    // A certificate of ours and a Hello of another ring.
    let b = config(&authority, B, Role::Node);
    let mut pair = Pair::new(&b, &a, A);
    let hello = frame(0, &Message::Hello(theirs));
    pair.dialler.tls.writer().write_all(&hello).unwrap();
    let (dialler, acceptor) = pair.run(5000);
    assert_eq!(acceptor.unwrap().to_string(), found);
    let told = "the peer refused us: you are of ring `other`, this is ring `test`";
    assert_eq!(dialler.unwrap().to_string(), told);
}

#[test]
fn other_ring_parameters() {
    let authority = Authority::new();
    let a = config(&authority, A, Role::Node);
    let ours = params();
    for (what, params) in [
        (
            "successors",
            RingParams {
                successors: 8,
                ..ours.clone()
            },
        ),
        (
            "replication",
            RingParams {
                replication: 2,
                ..ours.clone()
            },
        ),
        (
            "virtual_nodes_max",
            RingParams {
                virtual_nodes_max: 1,
                ..ours.clone()
            },
        ),
        (
            "value_max",
            RingParams {
                value_max: 1,
                ..ours
            },
        ),
    ] {
        let mut theirs = hello(B, Role::Node);
        theirs.params = params;
        let b = with(&Wish::new(B, Role::Node), &authority, theirs);
        refused(
            &b,
            &a,
            A,
            &format!("refused us: your {what} is"),
            &format!("ring has {what}"),
        );
    }
}

#[test]
fn another_protocol_version() {
    let authority = Authority::new();
    let a = config(&authority, A, Role::Node);
    let tls = TlsSetup::new(&authority.issue(&Wish::new(B, Role::Node))).unwrap();
    let (hello, version) = (hello(B, Role::Node), 2);
    let b = Arc::new(LinkConfig {
        tls,
        hello,
        version,
    });
    let one = "protocol version mismatch: we speak 1, the peer speaks 2";
    let two = "protocol version mismatch: we speak 2, the peer speaks 1";
    refused(&a, &b, B, one, two);
    refused(&b, &a, A, two, one);
}

#[test]
fn a_client_s_certificate_where_a_node_was_dialled() {
    let authority = Authority::new();
    let a = config(&authority, A, Role::Node);
    let b = config(&authority, B, Role::Client);
    refused(&a, &b, B, "its extended key usage", "not for this purpose");

    let mut wish = Wish::new(B, Role::Client);
    wish.server = true;
    let b = with(&wish, &authority, hello(B, Role::Client));
    refused(
        &a,
        &b,
        B,
        "its certificate is a client's",
        "your certificate is a client's",
    );
}

#[test]
fn a_client_that_sends_ring_messages() {
    let authority = Authority::new();
    let a = config(&authority, A, Role::Client);
    let b = config(&authority, B, Role::Node);
    let name = NodeName::parse(A).unwrap();
    let origin = Peer::derive(&params(), &name, 0).unwrap();
    let find = Message::FindSuccessor(FindSuccessor {
        target: Id::ZERO,
        origin,
        lookup: RequestId(1),
        hops: 0,
        timeouts: 0,
        path: None,
    });
    let get = frame(
        1,
        &Message::Get(Get {
            key: Key::from_text("k"),
        }),
    );
    for chunk in [1, 17, 100_000] {
        let mut pair = Pair::new(&a, &b, B).ready(5000);
        pair.dialler.write_frames(&get);
        pair.dialler.write_frames(&frame(2, &find));
        let (dialler, acceptor) = pair.run(chunk);
        let kind = kind::FIND_SUCCESSOR;
        assert_eq!(acceptor, Some(LinkError::Forbidden { kind }));
        let reason = "a client certificate may not send FindSuccessor; nodes only".to_owned();
        assert_eq!(dialler, Some(LinkError::Refused { reason }));
        assert_eq!(polled(&mut pair.acceptor), std::slice::from_ref(&get));
    }
}

#[test]
fn plaintext_on_either_side() {
    let authority = Authority::new();
    let b = config(&authority, B, Role::Node);
    for plaintext in [
        &b"GET / HTTP/1.1\r\n"[..],
        &frame(1, &Message::Ping),
        &[0, 36, 2, 0x8b],
    ] {
        let mut acceptor = Link::accept(&b);
        let first = plaintext[0];
        let error = acceptor.receive(plaintext);
        assert_eq!(error, Err(LinkError::Plaintext { first }));
        let mut answer = Vec::new();
        acceptor.transmit(&mut answer);
        assert_eq!(answer, PLAINTEXT_ANSWER);

        let mut dialler = Link::dial(&b, None).unwrap();
        dialler.transmit(&mut answer);
        let error = dialler.receive(plaintext);
        assert_eq!(error, Err(LinkError::Plaintext { first }));
    }
}

#[test]
fn tls_without_our_protocol() {
    let authority = Authority::new();
    let b = config(&authority, B, Role::Node);
    let tls = || TlsSetup::new(&authority.issue(&Wish::new(A, Role::Node))).unwrap();
    let changed = |change: &dyn Fn(&mut ClientConfig)| {
        let mut tls = tls();
        let mut client = ClientConfig::clone(&tls.client);
        change(&mut client);
        tls.client = Arc::new(client);
        let (hello, version) = (hello(A, Role::Node), PROTOCOL_VERSION);
        Arc::new(LinkConfig {
            tls,
            hello,
            version,
        })
    };
    let other = "the peer speaks TLS, but not the protocol chordite/1";
    let a = changed(&|client| client.alpn_protocols.clear());
    refused(&a, &b, B, other, other);
    let a = changed(&|client| client.alpn_protocols = vec![b"h2".to_vec()]);
    let told = "it does not speak the protocol chordite/1 on this port";
    refused(&a, &b, B, told, other);
}

#[test]
fn tls_1_2() {
    let authority = Authority::new();
    let b = config(&authority, B, Role::Node);
    let mut tls = TlsSetup::new(&authority.issue(&Wish::new(A, Role::Node))).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    client.alpn_protocols = tls.client.alpn_protocols.clone();
    tls.client = Arc::new(client);
    let (hello, version) = (hello(A, Role::Node), PROTOCOL_VERSION);
    let a = Arc::new(LinkConfig {
        tls,
        hello,
        version,
    });
    let told = "the peer refused us: it does not speak TLS";
    refused(&a, &b, B, told, "it does not offer TLS 1.3");
}

#[test]
fn messages_where_they_may_not_be() {
    let authority = Authority::new();
    let a = config(&authority, A, Role::Node);
    let b = config(&authority, B, Role::Node);
    let mut pair = Pair::new(&a, &b, B).ready(5000);
    let again = frame(0, &Message::Hello(a.hello.clone()));
    pair.dialler.write_frames(&again);
    let (dialler, acceptor) = pair.run(5000);
    let kind = kind::HELLO;
    assert_eq!(acceptor, Some(LinkError::Unexpected { kind }));
    assert!(
        dialler
            .unwrap()
            .to_string()
            .contains("you may not send Hello here")
    );

    // A dialler that does not wait for its Hello to be sent.
    let mut pair = Pair::new(&a, &b, B);
    let ping = frame(0, &Message::Ping);
    pair.dialler.tls.writer().write_all(&ping).unwrap();
    let (dialler, acceptor) = pair.run(5000);
    let kind = kind::PING;
    assert_eq!(acceptor, Some(LinkError::Unexpected { kind }));
    assert!(
        dialler
            .unwrap()
            .to_string()
            .contains("you may not send Ping here")
    );
}

#[test]
fn a_changed_byte_on_the_way_breaks_the_link_on_both_sides() {
    let authority = Authority::new();
    let a = config(&authority, A, Role::Node);
    let b = config(&authority, B, Role::Node);
    for at in [0, 1, 3, 5, 20, 40] {
        let mut pair = Pair::new(&a, &b, B).ready(5000);
        pair.dialler.write_frames(&frame(1, &Message::Ping));
        let mut bytes = Vec::new();
        pair.dialler.transmit(&mut bytes);
        bytes[at] ^= 0x40;
        // A changed length makes the record longer than what is there.
        bytes.resize(bytes.len() + 20_000, 0);
        let error = pair.acceptor.receive(&bytes).unwrap_err();
        assert!(matches!(error, LinkError::Tls { .. }), "{error}");
        assert_eq!(pair.acceptor.receive(&bytes), Err(error));
        let (dialler, _) = pair.run(5000);
        let dialler = dialler.unwrap().to_string();
        assert!(
            dialler.contains("the peer refused us: TLS alert"),
            "{dialler}"
        );
        assert!(polled(&mut pair.acceptor).is_empty());
    }
}

#[test]
fn a_refusal_by_hand_reaches_the_other_side_after_what_was_queued() {
    let authority = Authority::new();
    let a = config(&authority, A, Role::Node);
    let b = config(&authority, B, Role::Node);
    let mut pair = Pair::new(&a, &b, B).ready(5000);
    pair.acceptor.write_frames(&frame(1, &Message::Pong));
    pair.acceptor.refuse("you named an id that is not yours");
    let (dialler, _) = pair.run(5000);
    let reason = "you named an id that is not yours".to_owned();
    assert_eq!(dialler, Some(LinkError::Refused { reason }));
    assert_eq!(polled(&mut pair.dialler), [frame(1, &Message::Pong)]);
    assert!(pair.acceptor.failure().is_some());
}

#[test]
fn endless_handshakes_are_cut_off() {
    let authority = Authority::new();
    let b = config(&authority, B, Role::Node);
    let mut acceptor = Link::accept(&b);
    // A handshake record that announces the longest ClientHello and never ends.
    let mut received = acceptor.receive(&[0x16, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff]);
    let mut sent = 0;
    while received.is_ok() && sent <= 2 * HANDSHAKE_BYTES_MAX {
        received = acceptor.receive(&[0; 512]);
        sent += 512;
    }
    assert!(
        received.is_err() && sent <= HANDSHAKE_BYTES_MAX,
        "{sent} bytes"
    );
}

proptest::proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes: [u8; 200], len in 1usize..200) {
        let bytes = bytes[..len].to_vec();
        thread_local! {
            static CONFIG: Arc<LinkConfig> = config(&Authority::new(), B, Role::Node);
        }
        CONFIG.with(|config| {
            let tls = [&[0x16, 3, 1][..], &bytes].concat();
            for bytes in [&bytes, &tls] {
                let _ = Link::accept(config).receive(bytes);
                let _ = Link::dial(config, None).unwrap().receive(bytes);
            }
        });
    }
}
