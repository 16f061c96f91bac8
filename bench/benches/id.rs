//! Arithmetic on the circle: what every hop of a lookup does a few times.
//! The position of a key, one SHA-256, is what every request pays once.

use std::hint::black_box;

use criterion::Criterion;
use proto::id::{Id, IdArc};
use proto::key::Key;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let (a, b) = (Id::digest(&[b"a"]), Id::digest(&[b"b"]));
    let target = Key::from_text("target").position();
    let arc = IdArc::new(a, b);
    assert_eq!(a.plus(&a.distance_to(&b)), b);
    assert_eq!(arc.contains(&target), target.is_between(&a, &b));

    let mut group = criterion.benchmark_group("id");
    group.bench_function("distance_to", |bencher| {
        bencher.iter(|| black_box(&a).distance_to(black_box(&b)));
    });
    group.bench_function("plus_pow2", |bencher| {
        bencher.iter(|| black_box(&a).plus_pow2(black_box(200)));
    });
    group.bench_function("arc_contains", |bencher| {
        bencher.iter(|| black_box(&arc).contains(black_box(&target)));
    });
    let key = Key::from_text("a key of a client");
    group.bench_function("position_of_key", |bencher| {
        bencher.iter(|| black_box(&key).position());
    });
    group.finish();
    criterion.final_summary();
}
