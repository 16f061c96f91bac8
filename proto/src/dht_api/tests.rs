//! Golden bytes and the rows of the behaviour table of DHT_API.md that the codec decides.
//! No socket and no node: bytes go into the parser and come out of the encoders.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const KEY: Key = Key::from_bytes(*b"0123456789abcdefghijklmnopqrstuv");

fn put(size: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = size.to_be_bytes().to_vec();
    bytes.extend([0x02, 0x8a, 0x0e, 0x10, 3, 0]);
    bytes.extend(KEY.as_bytes());
    bytes.extend(value);
    bytes
}

fn message(size: u16, kind: u16) -> Vec<u8> {
    let mut bytes = size.to_be_bytes().to_vec();
    bytes.extend(kind.to_be_bytes());
    bytes.extend(KEY.as_bytes());
    bytes
}

fn violation<T: std::fmt::Debug>(parsed: Parse<T>) -> Violation {
    match parsed {
        Parse::Violation(violation) => violation,
        other => panic!("no violation but {other:?}"),
    }
}

#[test]
fn put_bytes_are_the_documented_ones() {
    let mut out = Vec::new();
    encode_put(&mut out, &KEY, 3600, 3, b"value").unwrap();
    assert_eq!(out, put(45, b"value"));
    let message = Request::Put {
        key: KEY,
        ttl_s: 3600,
        replication: 3,
        value: b"value",
    };
    let consumed = 45;
    assert_eq!(parse(&out), Parse::Message { message, consumed });
}

#[test]
fn get_success_and_failure_bytes_are_the_documented_ones() {
    let mut out = Vec::new();
    encode_get(&mut out, &KEY);
    assert_eq!(out, message(36, 651));
    let get = Parse::Message {
        message: Request::Get { key: KEY },
        consumed: 36,
    };
    assert_eq!(parse(&out), get);

    let mut out = Vec::new();
    encode_success(&mut out, &KEY, b"val");
    assert_eq!(out, [&message(39, 652)[..], b"val"].concat());
    let success = Parse::Message {
        message: Answer::Success {
            key: KEY,
            value: b"val",
        },
        consumed: 39,
    };
    assert_eq!(parse_answer(&out), success);

    let mut out = Vec::new();
    encode_failure(&mut out, &KEY);
    assert_eq!(out, message(36, 653));
    let failure = Parse::Message {
        message: Answer::Failure { key: KEY },
        consumed: 36,
    };
    assert_eq!(parse_answer(&out), failure);
}

#[test]
fn an_empty_value_is_a_violation() {
    let empty = Violation::EmptyValue { kind: 650 };
    assert_eq!(violation(parse(&put(40, b""))), empty);
    assert_eq!(violation(parse(&put(40, b"")[..4])), empty);
}

#[test]
fn a_put_below_40_is_a_violation() {
    for size in 4..40 {
        let short = Violation::Size { kind: 650, size };
        assert_eq!(violation(parse(&put(size, b"x"))), short);
    }
}

#[test]
fn a_get_other_than_36_is_a_violation() {
    for size in (4..=300).filter(|size| *size != 36) {
        let wrong = Violation::Size { kind: 651, size };
        assert_eq!(violation(parse(&message(size, 651))), wrong);
    }
}

#[test]
fn sizes_below_the_header_are_violations_as_soon_as_they_are_known() {
    for size in 0..4u16 {
        let wrong = Violation::HeaderSize { size };
        assert_eq!(violation(parse(&size.to_be_bytes())), wrong);
        assert_eq!(violation(parse(&message(size, 651))), wrong);
    }
}

#[test]
fn unknown_types_are_violations_as_soon_as_they_are_known() {
    let http = b"GET / HTTP/1.1\r\n";
    let tls = [0x16, 3, 1, 2, 0, 1];
    for bytes in [&http[..], &tls[..], &message(36, 0)[..], &message(36, 649)] {
        assert_eq!(parse(&bytes[..3]), Parse::NeedMore);
        let unknown = violation(parse(&bytes[..4]));
        assert!(matches!(unknown, Violation::Type { from: "client", .. }));
    }
}

#[test]
fn answers_from_a_client_and_requests_from_a_node_are_violations() {
    for got in [652, 653] {
        let from = "client";
        let wrong = Violation::Type { got, from };
        assert_eq!(violation(parse(&message(36, got))), wrong);
    }
    for got in [650, 651] {
        let from = "node";
        let wrong = Violation::Type { got, from };
        assert_eq!(violation(parse_answer(&message(36, got))), wrong);
    }
}

#[test]
fn answers_of_wrong_size_are_violations() {
    let size = |bytes: &[u8]| violation(parse_answer(bytes));
    let empty = Violation::EmptyValue { kind: 652 };
    assert_eq!(size(&message(36, 652)), empty);
    let (kind, short) = (652, 35);
    let wrong = Violation::Size { kind, size: short };
    assert_eq!(size(&message(short, kind)), wrong);
    let (kind, long) = (653, 37);
    let wrong = Violation::Size { kind, size: long };
    assert_eq!(size(&message(long, kind)), wrong);
}

#[test]
fn a_valid_message_before_garbage_is_read_alone() {
    let mut bytes = message(36, 651);
    bytes.extend(b"\xff\xff\xff\xffgarbage");
    let Parse::Message { consumed, .. } = parse(&bytes) else {
        panic!("the valid message is not read");
    };
    assert_eq!(consumed, 36);
    violation(parse(&bytes[consumed..]));
}

#[test]
fn the_reserved_byte_is_ignored() {
    let mut bytes = put(41, b"v");
    bytes[7] = 0xff;
    assert!(matches!(parse(&bytes), Parse::Message { .. }));
}

#[test]
fn messages_arrive_in_any_number_of_segments() {
    for whole in [put(45, b"value"), message(36, 651)] {
        for len in 0..whole.len() {
            assert_eq!(parse(&whole[..len]), Parse::NeedMore, "{len} bytes");
        }
        assert!(matches!(parse(&whole), Parse::Message { .. }));
    }
}

#[test]
fn the_largest_value_fits_and_no_other() {
    let mut out = Vec::new();
    let largest = vec![1; VALUE_BYTES_MAX];
    encode_put(&mut out, &KEY, 0, 0, &largest).unwrap();
    assert_eq!(out.len(), MESSAGE_BYTES_MAX);
    assert!(matches!(parse(&out), Parse::Message { consumed, .. } if consumed == out.len()));

    let mut out = Vec::new();
    encode_success(&mut out, &KEY, &largest);
    assert!(matches!(parse_answer(&out), Parse::Message { .. }));

    let got = VALUE_BYTES_MAX + 1;
    let too_long = encode_put(&mut out, &KEY, 0, 0, &vec![1; got]);
    assert_eq!(too_long, Err(ValueLength { got }));
    let empty = encode_put(&mut out, &KEY, 0, 0, &[]);
    assert_eq!(empty, Err(ValueLength { got: 0 }));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
        let _ = parse_answer(&bytes);
    }

    #[test]
    fn likely_headers_never_panic(
        size in 0u16..100,
        kind in 649u16..655,
        rest in vec(any::<u8>(), 0..100),
    ) {
        let bytes = [&size.to_be_bytes()[..], &kind.to_be_bytes(), &rest].concat();
        let read = matches!(parse(&bytes), Parse::Message { .. });
        prop_assert!(!read || bytes.len() >= usize::from(size));
        let _ = parse_answer(&bytes);
    }

    #[test]
    fn puts_survive_the_way(
        key: [u8; 32],
        ttl_s: u16,
        replication: u8,
        value in vec(any::<u8>(), 1..500),
    ) {
        let (key, mut out) = (Key::from_bytes(key), Vec::new());
        encode_put(&mut out, &key, ttl_s, replication, &value).unwrap();
        let message = Request::Put { key, ttl_s, replication, value: &value };
        let consumed = out.len();
        prop_assert_eq!(parse(&out), Parse::Message { message, consumed });
    }
}
