//! A mutual-TLS link: the handshake, and sealing and opening frames one by one and coalesced.
//! Identities come from the node's own authority; every opened record is checked for its frames.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput};
use node::ca::{self, CA_CERT_FILE, CERT_FILE, KEY_FILE, Subject};
use proto::codec;
use proto::key::Key;
use proto::link::{Link, LinkConfig, LinkPems};
use proto::message::{Get, Hello, Message, RequestId, Role};
use proto::peer::{NodeName, RingParams};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let folder = tempfile::tempdir().unwrap();
    ca::init(&folder.path().join("ca")).unwrap();
    let a = config(folder.path(), "127.0.0.1:7501");
    let b = config(folder.path(), "127.0.0.1:7502");

    let mut group = criterion.benchmark_group("link");
    group.sample_size(20);
    group.bench_function("handshake_both_sides", |bencher| {
        bencher.iter(|| connect(&a, &b));
    });
    group.finish();
    for frames in [1, 16, 64] {
        seal_and_open(&mut criterion, &a, &b, frames);
    }
    criterion.final_summary();
}

fn seal_and_open(
    criterion: &mut Criterion,
    a: &Arc<LinkConfig>,
    b: &Arc<LinkConfig>,
    count: usize,
) {
    let (mut dialled, mut accepted) = connect(a, b);
    let mut frames = Vec::new();
    let key = Key::from_text("key");
    for _ in 0..count {
        codec::encode(&mut frames, RequestId(1), &Message::Get(Get { key }));
    }
    let mut ciphertext = Vec::new();
    let mut group = criterion.benchmark_group("link");
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function(format!("seal_{count}_gets"), |bencher| {
        let (mut sealing, _opening) = connect(a, b);
        bencher.iter(|| {
            ciphertext.clear();
            sealing.write_frames(black_box(&frames));
            sealing.transmit(&mut ciphertext);
        });
    });
    // Records open in order and once only, so each needs one sealed for it outside the clock.
    let mut seal = || {
        let mut sealed = Vec::new();
        dialled.write_frames(&frames);
        dialled.transmit(&mut sealed);
        sealed
    };
    group.bench_function(format!("open_{count}_gets"), |bencher| {
        let open = |sealed: Vec<u8>| {
            accepted.receive(&sealed).unwrap();
            let mut opened = 0;
            while accepted.poll_frame().is_some() {
                opened += 1;
            }
            assert_eq!(opened, count);
        };
        bencher.iter_batched(&mut seal, open, BatchSize::SmallInput);
    });
    group.finish();
}

/// Two ready ends of a link.
fn connect(a: &Arc<LinkConfig>, b: &Arc<LinkConfig>) -> (Link, Link) {
    let mut dialled = Link::dial(a, Some(&b.hello().name)).unwrap();
    let mut accepted = Link::accept(b);
    let mut bytes = Vec::new();
    while dialled.wants_transmit() || accepted.wants_transmit() {
        bytes.clear();
        dialled.transmit(&mut bytes);
        accepted.receive(&bytes).unwrap();
        bytes.clear();
        accepted.transmit(&mut bytes);
        dialled.receive(&bytes).unwrap();
    }
    assert!(dialled.is_ready() && accepted.is_ready());
    (dialled, accepted)
}

fn config(folder: &Path, name: &str) -> Arc<LinkConfig> {
    let name = NodeName::parse(name).unwrap();
    let own = folder.join(name.as_str());
    let subject = Subject {
        name: name.clone(),
        role: Role::Node,
        ring: "bench".to_owned(),
        expires: ca::in_days(1),
    };
    ca::issue(&folder.join("ca"), &subject, &own).unwrap();
    let read = |file: &str| std::fs::read(own.join(file)).unwrap();
    let pems = LinkPems {
        key: read(KEY_FILE),
        cert_chain: read(CERT_FILE),
        ca_certs: vec![read(CA_CERT_FILE)],
    };
    let params = RingParams {
        ring: "bench".into(),
        successors: 16,
        replication: 3,
        virtual_nodes_max: 64,
        value_max: 65_495,
    };
    let hello = Hello {
        role: Role::Node,
        name,
        params,
        features: 0,
    };
    LinkConfig::new(&pems, hello).unwrap()
}
