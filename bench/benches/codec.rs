//! Messages to frames and back: Get, Put and Value with 64 bytes and 1 KiB.
//! Every message is checked to survive the way before it is timed.

use std::hint::black_box;

use criterion::Criterion;
use proto::codec;
use proto::frame::Frame;
use proto::key::Key;
use proto::message::{Get, Message, Put, RequestId, Route, Value};
use proto::peer::RingParams;
use proto::version::Version;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let key = Key::from_text("key");
    both_ways(&mut criterion, "get", &Message::Get(Get { key }));
    for bytes in [64, 1024] {
        let value = &vec![0xa5; bytes];
        let put = Message::Put(Put {
            key,
            ttl_s: 60,
            replication: 3,
            value,
        });
        both_ways(&mut criterion, &format!("put_{bytes}"), &put);
        let answer = Message::Value(Value {
            version: Version { stamp: 7, node: 9 },
            expiry_ms: 1,
            route: Route::default(),
            value,
        });
        both_ways(&mut criterion, &format!("value_{bytes}"), &answer);
    }
    criterion.final_summary();
}

fn both_ways(criterion: &mut Criterion, name: &str, message: &Message<'_>) {
    let params = RingParams {
        ring: "bench".into(),
        successors: 16,
        replication: 3,
        virtual_nodes_max: 64,
        value_max: 65_495,
    };
    let mut encoded = Vec::new();
    codec::encode(&mut encoded, RequestId(1), message);
    let frame = Frame::split(&encoded).unwrap().unwrap();
    let decode = |frame: Frame<'_>| codec::decode(&params, frame.header.kind, frame.body).is_ok();
    let decoded = codec::decode(&params, frame.header.kind, frame.body);
    assert_eq!(decoded.as_ref(), Ok(message));

    let mut group = criterion.benchmark_group("codec");
    let mut out = Vec::with_capacity(encoded.len());
    group.bench_function(format!("encode_{name}"), |bencher| {
        bencher.iter(|| {
            out.clear();
            codec::encode(&mut out, RequestId(1), black_box(message));
        });
    });
    group.bench_function(format!("decode_{name}"), |bencher| {
        bencher.iter(|| decode(Frame::split(black_box(&encoded)).unwrap().unwrap()));
    });
    group.finish();
}
