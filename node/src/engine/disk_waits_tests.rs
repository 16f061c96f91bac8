//! Cores with logs: whose answers wait for the disk, in which order they end, and what a disk that
//! is stuck or fails makes of them.

use proto::codec;
use proto::key::Key;
use proto::message::{FailureCode, Get, Message, Put, RequestId, Role};

use super::core::{Core, LocalRead, Taker};
use super::output::Output;
use super::request::{ClientAnswer, ClientRequest, Ticket};
use super::testnet::{TestNet, name};
use super::wal::disk::{DiskErrorKind, DiskOp};
use super::wal::settings::SyncPolicy;

fn net(nodes: usize, cores: u8) -> TestNet {
    let mut net = TestNet::with_logs(nodes, cores, Some(SyncPolicy::Always));
    net.run(20_000);
    net
}

fn put(key: Key, value: &[u8]) -> ClientRequest<'_> {
    ClientRequest::Put {
        key,
        ttl_s: 0,
        replication: 0,
        value,
    }
}

fn get(key: Key) -> ClientRequest<'static> {
    ClientRequest::Get { key }
}

fn key(i: usize) -> Key {
    Key::from_text(&format!("key {i}"))
}

fn value_of(answer: &ClientAnswer) -> Option<&[u8]> {
    match answer {
        ClientAnswer::Value { value, .. } => Some(value),
        _ => None,
    }
}

fn code_of(answer: Option<ClientAnswer>) -> Option<FailureCode> {
    match answer {
        Some(ClientAnswer::Failed(failed)) => Some(failed.code),
        other => panic!("it did not fail: {other:?}"),
    }
}

#[test]
fn every_core_of_every_node_answers_for_every_key_and_does_so_after_a_restart() {
    for (nodes, cores) in [(1, 1), (1, 3), (2, 2)] {
        let mut net = net(nodes, cores);
        for i in 0..20 {
            let stored = net.ask((i % nodes, 0), &put(key(i), key(i).as_bytes()), 1_000);
            assert!(matches!(stored, ClientAnswer::Stored(_)), "{stored:?}");
        }
        let gone = net.ask((0, 0), &ClientRequest::Delete { key: key(1) }, 1_000);
        assert!(matches!(gone, ClientAnswer::Stored(_)));
        for node in 0..nodes {
            net.kill(node);
        }
        net.run(1);
        (0..nodes).for_each(|node| net.start(node));
        net.run(20_000);
        for i in 0..20 {
            let core = u8::try_from(i).expect("small") % cores;
            let answer = net.ask((i % nodes, core), &get(key(i)), 1_000);
            let key = key(i);
            let want = (i != 1).then_some(&key.as_bytes()[..]);
            assert_eq!(value_of(&answer), want, "{nodes} {cores} {i}");
        }
    }
}

#[test]
fn answers_wait_for_the_disk_on_whichever_core_the_key_lies() {
    let mut net = net(1, 3);
    net.are_disks_stuck = true;
    let puts: Vec<_> = (0..20)
        .map(|i| net.begin((0, 0), &put(key(i), b"value")))
        .collect();
    net.run(1);
    let gets: Vec<_> = (0..20).map(|i| net.begin((0, 1), &get(key(i)))).collect();
    let other = net.ask((0, 2), &get(key(99)), 100);
    assert!(
        matches!(other, ClientAnswer::Absent(_)),
        "nobody else waits"
    );
    net.run(1_000);
    for ticket in puts.iter().chain(&gets) {
        assert_eq!(net.answer(*ticket), None);
    }
    let under_way: usize = (0..3)
        .map(|core| net.core((0, core)).unwrap().operations_len())
        .sum();
    assert!(under_way >= 40, "a graceful stop waits for {under_way}");
    net.free_disks();
    for (put, get) in puts.into_iter().zip(gets) {
        assert!(matches!(net.answer(put), Some(ClientAnswer::Stored(_))));
        assert_eq!(
            value_of(&net.answer(get).expect("an answer")),
            Some(&b"value"[..])
        );
    }
    for core in 0..3 {
        assert_eq!(net.core((0, core)).unwrap().operations_len(), 0);
    }
}

#[test]
fn a_disk_that_is_stuck_costs_a_request_its_deadline_and_says_so() {
    let mut net = net(1, 2);
    net.are_disks_stuck = true;
    let tickets = (0..8).map(|i| {
        let put = net.begin((0, 0), &put(key(i), b"value"));
        (put, net.begin((0, 0), &get(key(i))))
    });
    let tickets: Vec<_> = tickets.collect();
    net.run(4_900);
    assert_eq!(net.answer(tickets[0].0), None);
    net.run(200);
    for (put, get) in tickets {
        for (ticket, code) in [(put, FailureCode::Unknown), (get, FailureCode::Overloaded)] {
            let Some(ClientAnswer::Failed(failed)) = net.answer(ticket) else {
                panic!("it did not fail")
            };
            assert_eq!(failed.code, code);
            assert!(
                failed.reason.contains("the disk does not answer"),
                "{failed:?}"
            );
        }
    }
    for core in 0..2 {
        assert_eq!(net.core((0, core)).unwrap().operations_len(), 0);
    }
    net.free_disks();
    let answer = net.ask((0, 0), &get(key(1)), 100);
    assert_eq!(
        value_of(&answer),
        Some(&b"value"[..]),
        "unknown may mean yes"
    );
}

#[test]
fn a_disk_that_fails_is_told_to_writers_and_readers_have_the_old_value() {
    let mut net = net(1, 1);
    net.ask((0, 0), &put(key(1), b"old"), 100);
    net.are_disks_stuck = true;
    let write = net.begin((0, 0), &put(key(1), b"new"));
    let read = net.begin((0, 0), &get(key(1)));
    let disk = net.disks.get_mut(&(0, 0)).expect("its disk");
    disk.write_error = Some(DiskErrorKind::Broken);
    net.free_disks();
    assert_eq!(code_of(net.answer(write)), Some(FailureCode::Unknown));
    assert_eq!(
        value_of(&net.answer(read).expect("an answer")),
        Some(&b"old"[..])
    );
    let refused = net.ask((0, 0), &put(key(2), b"new"), 100);
    assert_eq!(code_of(Some(refused)), Some(FailureCode::StorageFailed));
}

#[test]
fn a_turn_is_one_batch_and_its_middle_closes_none() {
    let mut net = net(1, 1);
    let is_write = |output: &Output| match output {
        Output::Disk(job) => matches!(job.op, DiskOp::Write { .. }),
        _ => false,
    };
    let mut writes = 0;
    net.on((0, 0), |core, now| {
        for i in 0..50 {
            let taker = core.handle_client(Ticket(1_000), &put(key(i), b"value"), now);
            assert_eq!(taker, Taker::Shard);
            assert!(core.poll_decided().is_none());
            let read = core.read_local(&key(i), now);
            assert!(matches!(read, LocalRead::Pending), "{read:?}");
        }
        let outputs: Vec<_> = std::iter::from_fn(|| core.poll_output()).collect();
        writes = outputs.iter().filter(|output| is_write(output)).count();
    });
    assert_eq!(writes, 1);
}

#[test]
fn what_waits_for_the_disk_is_bounded() {
    let mut net = net(1, 1);
    net.are_disks_stuck = true;
    let begun: Vec<_> = (0..1_001)
        .map(|i| net.begin((0, 0), &put(key(i), b"v")))
        .collect();
    assert_eq!(
        code_of(net.answer(begun[1_000])),
        Some(FailureCode::Overloaded)
    );
    let read = net.begin((0, 0), &get(key(1)));
    assert_eq!(code_of(net.answer(read)), Some(FailureCode::Overloaded));
    assert!(matches!(
        net.ask((0, 0), &get(key(2_000)), 10),
        ClientAnswer::Absent(_)
    ));
    net.free_disks();
    let stored = begun[..1_000].iter().map(|ticket| net.answer(*ticket));
    assert!(
        stored
            .into_iter()
            .all(|it| matches!(it, Some(ClientAnswer::Stored(_))))
    );
    assert_eq!(net.core((0, 0)).unwrap().operations_len(), 0);
}

#[test]
fn reads_of_a_link_that_is_gone_are_given_up_and_writes_are_not() {
    let mut net = net(1, 1);
    net.are_disks_stuck = true;
    let mut frames = Vec::new();
    let message = Put {
        key: key(5),
        ttl_s: 10,
        replication: 0,
        value: b"native",
    };
    codec::encode(&mut frames, RequestId(1), &Message::Put(message));
    let put_bytes = frames.len();
    codec::encode(
        &mut frames,
        RequestId(2),
        &Message::Get(Get { key: key(5) }),
    );
    for frame in [&frames[..put_bytes], &frames[put_bytes..]] {
        net.inject((0, 0), &name(99), Role::Client, frame);
    }
    let waiting = |net: &TestNet| net.core((0, 0)).unwrap().client_operations_len();
    assert_eq!(waiting(&net), 2);
    net.on((0, 0), |core, _| core.handle_link_closed(u64::MAX));
    assert_eq!(waiting(&net), 1);
    net.free_disks();
    let answer = net.ask((0, 0), &get(key(5)), 100);
    assert_eq!(value_of(&answer), Some(&b"native"[..]));
}

#[test]
fn a_log_that_is_closed_comes_to_rest() {
    let mut net = net(1, 2);
    let begun: Vec<_> = (0..20)
        .map(|i| net.begin((0, 0), &put(key(i), b"value")))
        .collect();
    for core in 0..2 {
        net.on((0, core), Core::close_log);
    }
    net.run(10);
    assert!(begun.into_iter().all(|it| net.answer(it).is_some()));
    for core in 0..2 {
        let core = net.core((0, core)).unwrap();
        assert!(core.is_log_at_rest() && core.committed().0 > 0);
    }
}

/// Regression: a put whose first owner was silent was reported as failed when the next owner, the
/// gateway itself, refused it; the first one may have applied it.
#[test]
fn a_refusal_after_a_silent_owner_does_not_say_that_nothing_was_changed() {
    for cores in [1, 2] {
        let mut net = net(2, cores);
        let owned = |net: &TestNet, i: usize| {
            let ring = net.core((0, 0)).and_then(Core::ring).expect("core 0");
            ring.view().owner_of(&key(i).position()).is_none()
        };
        let theirs = (0..100).find(|i| owned(&net, *i)).expect("one of many");
        net.are_disks_stuck = true;
        let asked = net.begin((0, 0), &put(key(theirs), b"x"));
        net.run(100);
        assert!(net.answer(asked).is_none(), "its owner waits for the disk");
        net.are_disks_stuck = false;
        for core in 0..cores {
            let disk = net.disks.entry((0, core)).or_default();
            disk.write_error = Some(DiskErrorKind::Broken);
            // The logs of the gateway give up on the first write.
            let mine = (0..1_000).find(|i| !owned(&net, *i) && shard(*i, cores) == core);
            net.begin((0, 0), &put(key(mine.expect("one of many")), b"y"));
            net.run(50);
        }
        net.kill(1);
        net.run(4_500);
        assert_eq!(code_of(net.answer(asked)), Some(FailureCode::Unknown));
    }
}

fn shard(i: usize, cores: u8) -> u8 {
    super::shard::shard_of(&key(i), cores).0
}
