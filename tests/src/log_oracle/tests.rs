//! The oracle finds what it is there to find, and nothing else: each rule with what keeps it and
//! what breaks it.
//! Histories are written by hand, each with one thing that must or must not be found.

use super::*;

const NOW: Clocks = Clocks {
    wall_ms: 1_000,
    latest_ms: 1_000,
};

fn key(tag: u8) -> Key {
    Key::from_bytes([tag; 32])
}

fn version(stamp: u64) -> Version {
    Version { stamp, node: 1 }
}

fn found(value: &[u8], stamp: u64) -> Found {
    Found {
        version: Version { stamp, node: 1 },
        expiry_ms: 0,
        value: value.to_vec(),
    }
}

fn records<const N: usize>(all: [(u8, &[u8], u64); N]) -> BTreeMap<Key, Found> {
    let all = all.into_iter();
    all.map(|(tag, value, stamp)| (key(tag), found(value, stamp)))
        .collect()
}

/// Two acknowledged puts of one key and one that has no answer.
fn oracle(is_strict: bool) -> Oracle {
    let mut oracle = Oracle::new(is_strict);
    for (stamp, value) in [(1, b"a"), (2, b"b")] {
        let id = oracle.put(key(1), value, 0);
        oracle.acknowledge(id, version(stamp)).unwrap();
    }
    oracle.put(key(1), b"c", 0);
    oracle
}

#[test]
fn the_last_promised_write_counts_or_one_of_unknown_outcome_after_it() {
    let oracle = oracle(true);
    assert!(oracle.check(&records([(1, b"b", 2)]), NOW).is_ok());
    assert!(oracle.check(&records([(1, b"c", 3)]), NOW).is_ok());
    for wrong in [
        records([(1, b"a", 1)]),
        records([(1, b"x", 3)]),
        records([(1, b"b", 3)]),
        records([(1, b"b", 2), (2, b"b", 2)]),
        records([]),
    ] {
        assert!(oracle.check(&wrong, NOW).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_refused_write_is_never_seen_and_a_failed_one_may_be() {
    for (is_refused, may_be_seen) in [(true, false), (false, true)] {
        let mut oracle = Oracle::new(true);
        let id = oracle.put(key(1), b"a", 0);
        let answer = if is_refused {
            oracle.refuse(id)
        } else {
            oracle.fail(id)
        };
        assert_eq!(answer, Ok(()));
        assert_eq!(
            oracle.check(&records([(1, b"a", 1)]), NOW).is_ok(),
            may_be_seen
        );
        assert!(oracle.check(&records([]), NOW).is_ok());
        assert!(
            oracle.acknowledge(id, version(9)).is_err(),
            "answered twice"
        );
    }
}

#[test]
fn deleted_and_expired_values_do_not_come_back() {
    let mut oracle = oracle(true);
    let id = oracle.delete(key(1));
    oracle.acknowledge(id, version(4)).unwrap();
    assert!(oracle.check(&records([]), NOW).is_ok());
    assert!(oracle.check(&records([(1, b"b", 2)]), NOW).is_err());
    assert!(oracle.check(&records([(1, b"c", 3)]), NOW).is_err());
    let id = oracle.put(key(1), b"d", 900);
    oracle.acknowledge(id, version(5)).unwrap();
    let mut late = records([(1, b"d", 5)]);
    late.get_mut(&key(1)).unwrap().expiry_ms = 900;
    assert!(oracle.check(&late, NOW).is_err());
    assert!(oracle.check(&records([]), NOW).is_ok());
    let early = Clocks {
        wall_ms: 800,
        ..NOW
    };
    assert!(oracle.check(&late, early).is_ok());
    assert!(
        oracle.check(&records([]), early).is_ok(),
        "its time had come before"
    );
    let never_later = Clocks {
        wall_ms: 800,
        latest_ms: 800,
    };
    assert!(oracle.check(&records([]), never_later).is_err());
}

#[test]
fn a_value_read_is_promised() {
    let mut oracle = oracle(true);
    let c = found(b"c", 3);
    assert_eq!(oracle.read(key(1), Some(&c), NOW), Ok(()));
    assert!(oracle.check(&records([(1, b"b", 2)]), NOW).is_err());
    assert!(oracle.read(key(1), None, NOW).is_err());
    assert!(oracle.read(key(2), Some(&c), NOW).is_err());
}

#[test]
fn a_weak_promise_may_be_lost_but_only_from_the_end() {
    let mut oracle = oracle(false);
    let id = oracle.put(key(2), b"z", 0);
    oracle.acknowledge(id, version(5)).unwrap();
    for right in [
        records([]),
        records([(1, b"a", 1)]),
        records([(1, b"b", 2)]),
        records([(1, b"b", 2), (2, b"z", 5)]),
    ] {
        assert_eq!(oracle.check(&right, NOW), Ok(()), "{right:?}");
    }
    assert!(
        oracle
            .check(&records([(1, b"a", 1), (2, b"z", 5)]), NOW)
            .is_err()
    );
    assert!(oracle.check(&records([(2, b"z", 5)]), NOW).is_err());
    oracle.promise_all();
    assert!(oracle.check(&records([(1, b"b", 2)]), NOW).is_err());
}

#[test]
fn what_was_found_once_stays_and_versions_grow() {
    let mut oracle = oracle(true);
    oracle.settle(&records([(1, b"c", 3)]), NOW, true);
    assert!(oracle.check(&records([(1, b"b", 2)]), NOW).is_err());
    let id = oracle.put(key(1), b"d", 0);
    assert!(oracle.acknowledge(id, version(3)).is_err());
}

#[test]
fn an_absence_that_was_read_does_not_choose_between_unknown_writes() {
    let mut oracle = Oracle::new(true);
    let put = oracle.put(key(1), b"a", 0);
    let delete = oracle.delete(key(1));
    assert_eq!((oracle.fail(put), oracle.fail(delete)), (Ok(()), Ok(())));
    assert_eq!(oracle.read(key(1), None, NOW), Ok(()));
    assert!(oracle.check(&records([(1, b"a", 1)]), NOW).is_ok());
    assert!(oracle.check(&records([]), NOW).is_ok());
}
