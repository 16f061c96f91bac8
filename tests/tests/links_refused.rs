//! Who may not speak is told why before anything it says is read, and the node's log says it too.
//!
//! Every case has a node of its own, so that one case's line in the log cannot stand for another's.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use harness::certs::{Authority, Pems, Subject};
use harness::deadline::secs;
use harness::native::{Native, Own};
use harness::raw_tls::{Offer, RawTls};
use harness::serve::Serve;
use harness::{circle, dht};
use proto::codec;
use proto::key::Key;
use proto::message::{Hello, Message, Put, RequestId, Role};
use proto::peer::NodeName;

/// A node and the authority of its ring.
struct Rig {
    node: Serve,
    authority: Authority,
    us: NodeName,
}

impl Rig {
    fn start() -> Self {
        let authority = Authority::create("links");
        let node = Serve::signed_by(&authority, RING, &[]);
        let us = NodeName::parse("127.0.0.1:1").expect("a name");
        Self {
            node,
            authority,
            us,
        }
    }

    fn addr(&self) -> std::net::SocketAddr {
        self.node.plan.name().as_str().parse().expect("an address")
    }

    fn subject(&self) -> Subject {
        Subject::node(RING, &self.us)
    }

    fn hello(&self) -> Hello {
        let (name, params) = (self.us.clone(), circle::params(RING));
        Hello {
            role: Role::Node,
            name,
            params,
            features: 0,
        }
    }

    /// What a node or client program with these files would be told.
    fn dial(&self, pems: Pems, role: Role) -> Result<Native, String> {
        let own = Own::new(pems, RING, &self.us, role);
        Native::dial(self.addr(), &own, Some(&self.node.plan.name()))
    }

    /// What a stranger is told that shows `subject`, says `hello` and at once sends a PUT.
    fn say(&self, subject: &Subject, hello: &Hello) -> String {
        let offer = Offer::with(&self.authority.issue(subject));
        let mut raw = RawTls::connect(self.addr(), &offer).expect("TLS itself is in order");
        raw.send_hello(hello);
        raw.send(&put_frame());
        raw.reason()
    }

    /// The client was told `told`, the node has logged `logged`, and no message was read.
    fn judge(&self, reason: &str, told: &[&str], logged: &[&str]) {
        let missing: Vec<_> = told
            .iter()
            .filter(|word| !reason.contains(**word))
            .collect();
        assert!(
            missing.is_empty(),
            "{missing:?} not in what the client is told: {reason}"
        );
        self.node.wait_log(logged);
        let value = self.node.client().read(&dht::key("forbidden"));
        assert_eq!(value, None, "a message of a refused peer was read");
    }
}

#[test]
fn who_shows_no_certificate_is_refused() {
    let rig = Rig::start();
    let reason = match RawTls::connect(rig.addr(), &Offer::anonymous()) {
        Err(reason) => reason,
        Ok(mut raw) => {
            raw.send_hello(&rig.hello());
            raw.send(&put_frame());
            raw.reason()
        }
    };
    rig.judge(&reason, &["CertificateRequired"], &["shows no certificate"]);
}

#[test]
fn who_is_signed_by_another_authority_is_refused() {
    let rig = Rig::start();
    let mut pems = Authority::create("other").issue(&rig.subject());
    pems.ca = rig.authority.pem();
    let reason = rig.dial(pems, Role::Node).err().expect("a refusal");
    let told = ["refused us", "not signed by a CA it trusts"];
    rig.judge(&reason, &told, &["not signed by a CA of this ring"]);
}

#[test]
fn who_has_expired_is_refused() {
    let rig = Rig::start();
    let pems = rig.authority.issue(&Subject {
        expired: true,
        ..rig.subject()
    });
    let reason = rig.dial(pems, Role::Node).err().expect("a refusal");
    rig.judge(&reason, &["refused us", "expired"], &["has expired"]);
}

#[test]
fn whose_uri_is_not_for_its_host_is_refused() {
    let rig = Rig::start();
    let subject = Subject {
        host: "127.0.0.9".into(),
        ..rig.subject()
    };
    let reason = rig.say(&subject, &rig.hello());
    rig.judge(
        &reason,
        &["SAN", "127.0.0.1:1", "127.0.0.9"],
        &["127.0.0.9", "refused"],
    );
}

#[test]
fn who_has_no_uri_is_refused() {
    let rig = Rig::start();
    let reason = rig.say(
        &Subject {
            with_uri: false,
            ..rig.subject()
        },
        &rig.hello(),
    );
    rig.judge(&reason, &["SAN URI"], &["SAN URI"]);
}

#[test]
fn who_says_another_name_than_its_certificate_is_refused() {
    let rig = Rig::start();
    let name = NodeName::parse("127.0.0.1:2").expect("a name");
    let reason = rig.say(
        &rig.subject(),
        &Hello {
            name,
            ..rig.hello()
        },
    );
    rig.judge(
        &reason,
        &["127.0.0.1:2", "127.0.0.1:1"],
        &["127.0.0.1:2", "127.0.0.1:1"],
    );
}

#[test]
fn a_client_that_says_it_is_a_node_is_refused() {
    let rig = Rig::start();
    let reason = rig.say(&Subject::client(RING, &rig.us), &rig.hello());
    rig.judge(
        &reason,
        &["node", "client"],
        &["node", "client", "certificate"],
    );
}

#[test]
fn who_is_certified_for_another_ring_is_refused() {
    let rig = Rig::start();
    let reason = rig.say(&Subject::node("elsewhere", &rig.us), &rig.hello());
    rig.judge(&reason, &["elsewhere", RING], &["elsewhere", RING]);
}

#[test]
fn who_says_another_ring_is_refused() {
    let rig = Rig::start();
    let params = circle::params("elsewhere");
    let reason = rig.say(
        &rig.subject(),
        &Hello {
            params,
            ..rig.hello()
        },
    );
    rig.judge(&reason, &["elsewhere", RING], &["elsewhere", RING]);
}

#[test]
fn who_has_other_ring_parameters_is_refused() {
    type Change = fn(&mut Hello);
    let cases: [(&str, Change); 4] = [
        ("successors", |hello| hello.params.successors = 8),
        ("replication", |hello| hello.params.replication = 2),
        ("virtual_nodes_max", |hello| {
            hello.params.virtual_nodes_max = 32;
        }),
        ("value_max", |hello| hello.params.value_max = 1024),
    ];
    let rig = Rig::start();
    for (key, change) in cases {
        let mut hello = rig.hello();
        change(&mut hello);
        let reason = rig.say(&rig.subject(), &hello);
        assert!(
            reason.contains(key),
            "{key} not in what the client is told: {reason}"
        );
        if key == "successors" {
            rig.judge(&reason, &["8", "16"], &[key, "8", "16"]);
        }
    }
}

#[test]
fn who_speaks_another_protocol_version_is_refused() {
    let rig = Rig::start();
    let offer = Offer::with(&rig.authority.issue(&rig.subject()));
    let mut raw = RawTls::connect(rig.addr(), &offer).expect("TLS itself is in order");
    let mut frame = Vec::new();
    codec::encode(&mut frame, RequestId(0), &Message::Hello(rig.hello()));
    frame[2] = 9;
    raw.send(&frame);
    raw.send(&put_frame());
    let reason = raw.reason();
    rig.judge(&reason, &["protocol version", "9", "1"], &["version", "9"]);
}

#[test]
fn who_speaks_plaintext_is_refused() {
    let rig = Rig::start();
    let mut stream = TcpStream::connect(rig.addr()).expect("the node listens");
    stream
        .set_read_timeout(Some(secs(10)))
        .expect("a timeout above 0");
    stream
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .expect("the node reads");
    let mut told = String::new();
    // What comes is text; whether an end or a reset follows is the kernel's affair.
    let _ = stream.read_to_string(&mut told);
    rig.judge(&told, &["plaintext", "TLS"], &["plaintext"]);
}

#[test]
fn who_names_another_application_protocol_is_refused() {
    let rig = Rig::start();
    let pems = rig.authority.issue(&rig.subject());
    let offer = Offer {
        alpn: vec!["h2"],
        ..Offer::with(&pems)
    };
    let reason = RawTls::connect(rig.addr(), &offer).expect_err("no common protocol");
    assert!(reason.contains("NoApplicationProtocol"), "{reason}");
    let offer = Offer {
        alpn: Vec::new(),
        ..Offer::with(&pems)
    };
    let mut raw = RawTls::connect(rig.addr(), &offer).expect("TLS itself is in order");
    raw.send_hello(&rig.hello());
    raw.send(&put_frame());
    rig.judge(&raw.reason(), &["chordite/1"], &["chordite/1"]);
}

#[test]
fn who_speaks_an_old_tls_is_refused() {
    let rig = Rig::start();
    let offer = Offer::with(&rig.authority.issue(&rig.subject())).tls12();
    let reason = RawTls::connect(rig.addr(), &offer).expect_err("TLS 1.3 only");
    rig.judge(&reason, &["ProtocolVersion"], &["TLS 1.3"]);
}

#[test]
fn who_speaks_before_its_hello_is_refused() {
    let rig = Rig::start();
    let offer = Offer::with(&rig.authority.issue(&rig.subject()));
    let mut raw = RawTls::connect(rig.addr(), &offer).expect("TLS itself is in order");
    raw.send(&put_frame());
    rig.judge(&raw.reason(), &["Put"], &["Put"]);
}

#[test]
fn a_client_that_sends_ring_messages_is_refused() {
    let rig = Rig::start();
    let params = circle::params(RING);
    let me = proto::peer::Peer::derive(&params, &rig.us, 0).expect("index 0");
    let messages = [
        Message::GetNeighbours(proto::message::GetNeighbours { vnode: 0 }),
        Message::Notify(proto::message::Notify {
            vnode: 0,
            candidate: me.clone(),
        }),
        Message::Join(proto::message::Join {
            vnode: 0,
            joiner: me.clone(),
        }),
        Message::NextHop(proto::message::NextHop {
            target: me.id(),
            avoid: Vec::new(),
        }),
    ];
    for message in messages {
        let pems = rig.authority.issue(&Subject::client(RING, &rig.us));
        let mut client = rig
            .dial(pems, Role::Client)
            .expect("a client is welcome as such");
        client.send(&message);
        client.send_bytes(&put_frame());
        let reason = client.expect_refused();
        rig.judge(
            &reason,
            &["client certificate", "may not"],
            &["client certificate", "may not"],
        );
    }
}

#[test]
fn a_refused_peer_does_not_hold_up_others() {
    let rig = Rig::start();
    // Connections that never say a word, and half a handshake.
    let mut silent: Vec<_> = (0..50)
        .map(|_| TcpStream::connect(rig.addr()).expect("the node listens"))
        .collect();
    for stream in silent.iter_mut().skip(25) {
        stream
            .write_all(&[0x16, 0x03, 0x01])
            .expect("the node reads");
    }
    let pems = rig.authority.issue(&Subject::client(RING, &rig.us));
    let mut client = rig.dial(pems, Role::Client).expect("a client is welcome");
    let pong = client.ask(&Message::Ping, |answer| matches!(answer, Message::Pong));
    assert!(pong);
    // They are closed at the handshake's deadline.
    let mut last = silent.pop().expect("there are fifty");
    last.set_read_timeout(Some(secs(10)))
        .expect("a timeout above 0");
    let ended = last.read(&mut [0; 256]);
    assert!(!matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock));
}

fn put_frame() -> Vec<u8> {
    let key = Key::from_bytes(dht::key("forbidden"));
    let mut frame = Vec::new();
    let put = Put {
        key,
        ttl_s: 60,
        replication: 1,
        value: b"must not be stored",
    };
    codec::encode(&mut frame, RequestId(1), &Message::Put(put));
    frame
}

const RING: &str = "links";
