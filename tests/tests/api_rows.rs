//! The rules and the behaviour table of DHT_API.md, row by row and byte by byte, against a node
//! alone and against a gateway that does not own the keys.

use harness::deadline::{millis, secs};
use harness::dht::{self, End, header};

use crate::targets::Target;

macro_rules! rows {
    ($($row:ident),* $(,)?) => {
        mod single {
            $(#[test] fn $row() { super::$row(&super::Target::single()); })*
        }
        mod gateway {
            $(#[test] fn $row() { super::$row(&super::Target::gateway()); })*
        }
    };
}

rows!(
    a_put_has_no_answer_and_a_get_behind_it_sees_it,
    a_get_is_answered_with_success_or_failure,
    messages_may_come_byte_by_byte,
    many_messages_may_come_in_one_segment,
    answers_leave_in_request_order,
    each_answer_arrives_with_one_read,
    the_largest_and_the_smallest_value_fit,
    wrong_sizes_close_without_an_answer,
    an_empty_value_is_not_stored,
    a_wrong_type_closes_as_soon_as_it_is_known,
    other_protocols_are_closed,
    what_is_valid_before_garbage_is_answered,
    a_half_close_after_a_get_still_gets_the_answer,
    a_half_close_inside_a_message_ends_the_connection,
    the_reserved_byte_is_ignored,
    ttl_and_replication_are_hints,
    a_second_put_replaces_the_value,
    a_connection_serves_many_requests,
    all_bits_of_a_key_count,
    a_bad_client_harms_nobody_else,
);

fn a_put_has_no_answer_and_a_get_behind_it_sees_it(target: &Target) {
    let (key, mut client) = (target.key("put get"), target.client());
    client.send(&dht::put(&key, b"value"));
    assert_eq!(
        client.watch(millis(300)),
        End::Silence,
        "a PUT is not answered"
    );
    client.send(&dht::get(&key));
    client.expect(&dht::success(&key, b"value"));
    // And without a pause between the two.
    for round in 0..50 {
        let value = format!("value {round}");
        client.send(&[dht::put(&key, value.as_bytes()), dht::get(&key)].concat());
        client.expect(&dht::success(&key, value.as_bytes()));
    }
}

fn a_get_is_answered_with_success_or_failure(target: &Target) {
    let (present, absent) = (target.key("present"), target.key("absent"));
    let mut client = target.client();
    client.write(&present, b"here");
    client.send(&dht::get(&absent));
    client.expect(&dht::failure(&absent));
    client.send(&dht::get(&present));
    client.expect(&dht::success(&present, b"here"));
}

fn messages_may_come_byte_by_byte(target: &Target) {
    let (key, mut client) = (target.key("bytewise"), target.client());
    client.send_bytewise(&dht::put(&key, b"in small pieces"));
    client.send_bytewise(&dht::get(&key));
    client.expect(&dht::success(&key, b"in small pieces"));
}

fn many_messages_may_come_in_one_segment(target: &Target) {
    let (one, two) = (target.key("segment one"), target.key("segment two"));
    let mut client = target.client();
    let parts = [
        dht::get(&two),
        dht::put(&one, b"1"),
        dht::get(&one),
        dht::put(&two, b"22"),
        dht::put(&one, b"111"),
        dht::get(&one),
        dht::get(&two),
    ];
    let all = parts.concat();
    // Cut inside a message too: the rest comes with the next segment.
    let (start, rest) = all.split_at(all.len() - 20);
    client.send(start);
    client.expect(&dht::failure(&two));
    client.expect(&dht::success(&one, b"1"));
    client.expect(&dht::success(&one, b"111"));
    client.send(rest);
    client.expect(&dht::success(&two, b"22"));
}

fn answers_leave_in_request_order(target: &Target) {
    let mut client = target.client();
    // Keys of any owner, so that some answers are at hand long before others.
    let keys: Vec<_> = (0..200)
        .map(|at| dht::key(&format!("order {at}")))
        .collect();
    for (at, key) in keys.iter().enumerate().filter(|(at, _)| at % 3 != 0) {
        client.write(key, format!("value {at}").as_bytes());
    }
    let requests: Vec<_> = keys.iter().map(dht::get).collect();
    client.send(&requests.concat());
    for (at, key) in keys.iter().enumerate() {
        if at % 3 == 0 {
            client.expect(&dht::failure(key));
        } else {
            client.expect(&dht::success(key, format!("value {at}").as_bytes()));
        }
    }
}

fn each_answer_arrives_with_one_read(target: &Target) {
    let mut client = target.client();
    for length in [1, 100, 1024, 16_000] {
        let key = target.key("one read");
        let value = vec![7; length];
        client.write(&key, &value);
        client.send(&dht::get(&key));
        let read = client.receive_once();
        assert!(
            read == dht::success(&key, &value),
            "{} bytes of {}",
            read.len(),
            36 + length
        );
    }
    let absent = target.key("one read absent");
    client.send(&dht::get(&absent));
    assert_eq!(client.receive_once(), dht::failure(&absent));
}

fn the_largest_and_the_smallest_value_fit(target: &Target) {
    let mut client = target.client();
    for length in [1, 2, 32_768, 65_494, 65_495] {
        let key = target.key("length");
        let value: Vec<u8> = (0..length).map(|at: u32| at.to_le_bytes()[0]).collect();
        client.send(&dht::put(&key, &value));
        client.send(&dht::get(&key));
        client.expect(&dht::success(&key, &value));
    }
}

fn wrong_sizes_close_without_an_answer(target: &Target) {
    let key = target.key("wrong size");
    let puts = [0, 1, 2, 3, 4, 5, 35, 36, 39, 40].map(|size| (size, 650));
    let gets = [0, 1, 2, 3, 4, 35, 37, 40, 65_535].map(|size| (size, 651));
    for (size, kind) in puts.into_iter().chain(gets) {
        let mut client = target.client();
        let mut message = header(size, kind).to_vec();
        message.extend_from_slice(&key);
        message.resize(usize::from(size).clamp(4, 100), b'x');
        // The node may close as soon as it has seen the header.
        let _ = client.try_send(&message);
        assert_eq!(
            client.watch(secs(5)),
            End::Closed,
            "size {size} of type {kind}"
        );
    }
    assert_eq!(target.client().read(&key), None, "nothing was stored");
}

fn an_empty_value_is_not_stored(target: &Target) {
    let (key, mut client) = (target.key("empty"), target.client());
    client.send(&dht::put(&key, b""));
    client.expect_closed();
    assert_eq!(target.client().read(&key), None);
    // It does not take away what was there either.
    let mut client = target.client();
    client.write(&key, b"kept");
    client.send(&dht::put(&key, b""));
    client.expect_closed();
    assert_eq!(target.client().read(&key).as_deref(), Some(&b"kept"[..]));
}

fn a_wrong_type_closes_as_soon_as_it_is_known(target: &Target) {
    for kind in [
        0,
        1,
        500,
        560,
        649,
        652,
        653,
        654,
        689,
        0x8A02,
        0x8B02,
        u16::MAX,
    ] {
        for size in [0, 36, 41, u16::MAX] {
            let mut client = target.client();
            client.send(&header(size, kind));
            assert_eq!(
                client.watch(secs(5)),
                End::Closed,
                "type {kind}, size {size}"
            );
        }
    }
    let key = target.key("from a client");
    for message in [dht::success(&key, b"value"), dht::failure(&key)] {
        let mut client = target.client();
        let _ = client.try_send(&message);
        client.expect_closed();
    }
}

fn other_protocols_are_closed(target: &Target) {
    let tls = [
        0x16, 0x03, 0x01, 0x00, 0xC8, 0x01, 0x00, 0x00, 0xC4, 0x03, 0x03,
    ];
    let openings: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        &tls,
        b"*1\r\n$4\r\nPING\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for opening in openings {
        let mut client = target.client();
        let _ = client.try_send(opening);
        client.expect_closed();
    }
}

fn what_is_valid_before_garbage_is_answered(target: &Target) {
    let key = target.key("then garbage");
    for garbage in [
        &b"garbage!"[..],
        &[0; 4],
        &[0xFF; 100_000],
        &header(36, 653),
    ] {
        let mut client = target.client();
        let valid = [dht::put(&key, b"valid"), dht::get(&key), dht::get(&key)].concat();
        // The node may close before all of the garbage has been sent.
        let _ = client.try_send(&[&valid, garbage].concat());
        client.expect(&dht::success(&key, b"valid"));
        client.expect(&dht::success(&key, b"valid"));
        client.expect_closed();
    }
}

fn a_half_close_after_a_get_still_gets_the_answer(target: &Target) {
    let (key, absent) = (target.key("half close"), target.key("half close absent"));
    let mut client = target.client();
    client.send(&[dht::put(&key, b"value"), dht::get(&key), dht::get(&absent)].concat());
    client.half_close();
    client.expect(&dht::success(&key, b"value"));
    client.expect(&dht::failure(&absent));
    client.expect_closed();
    let mut client = target.client();
    client.send(&dht::put(&key, b"put only"));
    client.half_close();
    client.expect_closed();
    assert_eq!(
        target.client().read(&key).as_deref(),
        Some(&b"put only"[..])
    );
}

fn a_half_close_inside_a_message_ends_the_connection(target: &Target) {
    let key = target.key("half message");
    let put = dht::put(&key, b"never whole");
    for length in [1, 3, 4, 39, 41, put.len() - 1] {
        let mut client = target.client();
        client.send(&put[..length]);
        client.half_close();
        client.expect_closed();
    }
    assert_eq!(target.client().read(&key), None);
}

fn the_reserved_byte_is_ignored(target: &Target) {
    let (key, mut client) = (target.key("reserved"), target.client());
    for reserved in [1, 0x80, 0xFF] {
        client.send(&dht::put_with(&key, 60, 1, reserved, &[reserved]));
        client.send(&dht::get(&key));
        client.expect(&dht::success(&key, &[reserved]));
    }
}

fn ttl_and_replication_are_hints(target: &Target) {
    let (key, mut client) = (target.key("hints"), target.client());
    for (ttl, replication) in [
        (0, 0),
        (0, 255),
        (60, 0),
        (u16::MAX, 255),
        (3600, 1),
        (1, 1),
    ] {
        let value = [ttl.to_be_bytes()[1], replication, 1];
        client.send(&dht::put_with(&key, ttl, replication, 0, &value));
        client.send(&dht::get(&key));
        client.expect(&dht::success(&key, &value));
    }
}

fn a_second_put_replaces_the_value(target: &Target) {
    let key = target.key("replaced");
    let (mut first, mut second) = (target.client(), target.client());
    first.write(&key, b"a first and longer value");
    second.write(&key, b"second");
    assert_eq!(first.read(&key).as_deref(), Some(&b"second"[..]));
}

fn a_connection_serves_many_requests(target: &Target) {
    let (key, mut client) = (target.key("many"), target.client());
    for round in 0..300u32 {
        client.write(&key, &round.to_be_bytes());
    }
}

fn all_bits_of_a_key_count(target: &Target) {
    let mut client = target.client();
    let key = [0x5A; 32];
    client.write(&key, b"the key itself");
    for at in 0..32 {
        let mut near = key;
        near[at] ^= 0x80 >> (at % 8);
        assert_eq!(client.read(&near), None, "byte {at} of the key counts");
    }
    assert_eq!(client.read(&key).as_deref(), Some(&b"the key itself"[..]));
}

fn a_bad_client_harms_nobody_else(target: &Target) {
    let (key, mut good) = (target.key("good"), target.client());
    good.write(&key, b"value");
    for round in 0..100u16 {
        let mut bad = target.client();
        let _ = bad.try_send(&header(round, 600 + round));
        if round % 2 == 0 {
            let _ = bad.try_send(&[0xEE; 5000]);
        }
        drop(bad);
        assert_eq!(
            good.read(&key).as_deref(),
            Some(&b"value"[..]),
            "after {round} bad clients"
        );
    }
}
