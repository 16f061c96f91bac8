//! Runs over the native protocol, against a gateway of a ring that exists only in this file: real
//! certificates and links, made-up routes.

use std::net::IpAddr;

use proto::codec;
use proto::identity;
use proto::link::{Link, LinkConfig, LinkPems};
use proto::message::{
    Failed, FailureCode, Hello, LookupAnswer, LookupMode, Message, RequestId, Role, Route, Stored,
    Value,
};
use proto::peer::{NodeName, Peer, RingParams};
use proto::version::Version;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};

use super::*;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    fn issue(&self, name: &NodeName, role: Role) -> LinkPems {
        let key = KeyPair::generate().unwrap();
        let host: IpAddr = name.host().parse().unwrap();
        let uri = identity::uri("test", name, role).try_into().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::IpAddress(host), SanType::URI(uri)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if role == Role::Node {
            let server = ExtendedKeyUsagePurpose::ServerAuth;
            params.extended_key_usages.push(server);
        }
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        LinkPems {
            key: key.serialize_pem().into(),
            cert_chain: cert.pem().into(),
            ca_certs: vec![self.pem.clone().into()],
        }
    }

    fn client_dir(&self) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let pems = self.issue(&NodeName::parse("127.0.0.1:1").unwrap(), Role::Client);
        fs::write(dir.path().join("key.pem"), pems.key).unwrap();
        fs::write(dir.path().join("cert.pem"), pems.cert_chain).unwrap();
        fs::write(dir.path().join("ca.pem"), &self.pem).unwrap();
        dir
    }
}

fn params() -> RingParams {
    RingParams {
        ring: "test".into(),
        successors: 8,
        replication: 2,
        virtual_nodes_max: 4,
        value_max: 65_495,
    }
}

/// Starts a gateway; every tenth request fails when `sulky`.
fn gateway(authority: &Authority, sulky: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = NodeName::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    let hello = Hello {
        role: Role::Node,
        name: name.clone(),
        params: params(),
        features: 0,
    };
    let config = LinkConfig::new(&authority.issue(&name, Role::Node), hello).unwrap();
    let store = Store::default();
    let address = name.to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, store, name) = (config.clone(), store.clone(), name.clone());
            std::thread::spawn(move || serve_link(stream, &config, &store, &name, sulky));
        }
    });
    address
}

fn serve_link(
    mut stream: TcpStream,
    config: &Arc<LinkConfig>,
    store: &Store,
    name: &NodeName,
    sulky: bool,
) {
    let mut link = Link::accept(config);
    let (mut buffer, mut number) = (vec![0; 65_536], 0u64);
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        let received = link.receive(&buffer[..read]);
        let mut answers = Vec::new();
        while let Some(frame) = link.poll_frame() {
            number += 1;
            let message = codec::decode(&params(), frame.header.kind, frame.body).unwrap();
            let mut one = Vec::new();
            if sulky && number % 10 == 0 {
                let reason = "busy with the test".to_owned();
                let failed = Failed {
                    code: FailureCode::Overloaded,
                    reason,
                };
                codec::encode(&mut one, frame.header.request, &Message::Failed(failed));
            } else {
                respond(&mut one, frame.header.request, &message, store, name);
            }
            // The last one first: answers need no order.
            answers.insert(0, one);
        }
        link.write_frames(&answers.concat());
        let mut out = Vec::new();
        link.transmit(&mut out);
        if stream.write_all(&out).is_err() || received.is_err() {
            return;
        }
    }
}

fn respond(
    out: &mut Vec<u8>,
    request: RequestId,
    message: &Message<'_>,
    store: &Store,
    name: &NodeName,
) {
    let mut store = store.lock().unwrap();
    let route = Route {
        rpcs: 1,
        timeouts: 0,
        cached: true,
    };
    let version = Version::default();
    match message {
        Message::Put(put) => {
            store.insert(put.key, put.value.to_vec());
            codec::encode(
                out,
                request,
                &Message::Stored(Stored {
                    version,
                    hosts: 2,
                    route,
                }),
            );
        }
        Message::Get(get) => match store.get(&get.key) {
            Some(value) => {
                let value = Value {
                    version,
                    expiry_ms: 0,
                    route,
                    value,
                };
                codec::encode(out, request, &Message::Value(value));
            }
            None => codec::encode(out, request, &Message::Absent(route)),
        },
        Message::Lookup(lookup) => {
            let rpcs = if lookup.mode == LookupMode::Recursive {
                3
            } else {
                1
            };
            let answer = LookupAnswer {
                owner: Peer::derive(&params(), name, 0).unwrap(),
                predecessor: None,
                route: Route {
                    rpcs,
                    timeouts: 2,
                    cached: rpcs == 1,
                },
                path: Vec::new(),
                elapsed_us: 5,
            };
            codec::encode(out, request, &Message::LookupAnswer(answer));
        }
        other => panic!("a client sent {other:?}"),
    }
}

#[test]
fn native_runs_verify_values_and_count_hops() {
    let authority = Authority::new();
    let identity = authority.client_dir();
    let summary = summary(&format!(
        "--native {} --identity {} -c 2 --depth 8 -w 0 -n 2k --keys 50 --preload --puts 0.3 \
         --lookups 0.4 --lookup-modes cached,recursive",
        gateway(&authority, false),
        identity.path().display(),
    ));
    let counts = summary.counts;
    assert_eq!(counts.completed, 2_000, "{summary:?}");
    assert_eq!(
        (counts.wrong, counts.lost, summary.errors_total()),
        (0, 0, 0)
    );
    let ways: Vec<_> = summary
        .hops
        .iter()
        .map(|hops| (&*hops.way, hops.rpcs[0].hops))
        .collect();
    assert_eq!(ways, [("requests", 1), ("cached", 1), ("recursive", 3)]);
    assert_eq!(summary.hops[2].forwards[0].hops, 2);
    assert!(summary.hops[2].dead_met > 0 && summary.hops[2].cached == 0);
}

#[test]
fn failures_are_counted_by_kind_with_their_reason() {
    let authority = Authority::new();
    let identity = authority.client_dir();
    let summary = summary(&format!(
        "--native {} --identity {} -c 1 -w 0 -n 200 --keys 5",
        gateway(&authority, true),
        identity.path().display(),
    ));
    assert_eq!(summary.error_count("overloaded"), 20);
    assert_eq!(summary.counts.completed, 180);
    assert_eq!(
        summary.errors[0].example.as_deref(),
        Some("busy with the test")
    );
}

#[test]
fn a_node_of_another_authority_is_not_reached() {
    let (theirs, ours) = (Authority::new(), Authority::new());
    let identity = ours.client_dir();
    let error = run_with_arguments(&format!(
        "--native {} --identity {} -c 1 -n 1",
        gateway(&theirs, false),
        identity.path().display(),
    ))
    .unwrap_err();
    assert!(
        matches!(&error, RunError::Unreachable(why) if why.contains("certificate")),
        "{error}"
    );
}
