//! A shard with its log on a disk in memory: what waits and what does not, what a restart brings
//! back, what a full or failed disk leaves.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proto::key::Key;
use proto::message::{FailureCode, Message};
use proto::time::Now;
use proto::version::Version;

use super::journal::Phase;
use super::request::ClientRequest;
use super::service::{Served, Written};
use super::shard::{Shard, ShardConfig, TtlPolicy};
use super::store::ScanCursor;
use super::wal::disk::{DiskErrorKind, DiskJob, DiskOp};
use super::wal::memory_disk::MemoryDisk;
use super::wal::names::Lsn;
use super::wal::recovery::RecoveryError;
use super::wal::settings::{LogConfig, SyncPolicy};

/// A shard, its disk, and the jobs that are not carried out yet.
struct Rig {
    shard: Shard,
    disk: MemoryDisk,
    jobs: VecDeque<DiskJob>,
    now: Now,
}

fn config() -> ShardConfig {
    ShardConfig {
        memory_max: 1 << 24,
        ttl: TtlPolicy {
            default_s: 3_600,
            min_s: 1,
            max_s: 86_400,
        },
        replication: 3,
        node: 7,
        seed: 1,
    }
}

fn log(sync: SyncPolicy) -> LogConfig {
    LogConfig {
        node: 7,
        shard: 0,
        segment_bytes: 256 * 1024,
        sync,
        space_percent: 200,
        seed: 3,
    }
}

fn key(tag: u16) -> Key {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&tag.to_be_bytes());
    Key::from_bytes(bytes)
}

impl Rig {
    /// Starts a shard on what a disk holds and lets it open its log.
    fn start(disk: MemoryDisk, config: ShardConfig, log: LogConfig, now: Now) -> Self {
        let mut rig = Self {
            shard: Shard::with_log(config, log, &disk.files()),
            disk,
            jobs: VecDeque::new(),
            now,
        };
        rig.run();
        rig
    }

    fn always() -> Self {
        let log = log(SyncPolicy::Always);
        Self::start(MemoryDisk::default(), config(), log, Now::at_ms(1_000_000))
    }

    /// The end of a turn: the jobs wait to be carried out.
    fn end_turn(&mut self) {
        self.jobs
            .extend(std::iter::from_fn(|| self.shard.poll_job(self.now)));
    }

    /// Carries out everything, the seal after the last batch included.
    fn run(&mut self) {
        loop {
            self.end_turn();
            if let Some(job) = self.jobs.pop_front() {
                let done = self.disk.carry_out(job);
                self.shard.handle_disk(done, self.now);
                continue;
            }
            let due = self.shard.poll_timeout();
            let Some(due) = due.filter(|due| *due <= self.now.mono + Duration::from_millis(100))
            else {
                return;
            };
            if due > self.now.mono {
                self.pass_ms(u64::try_from((due - self.now.mono).as_millis()).unwrap() + 1);
            }
            self.shard.handle_timeout(self.now);
        }
    }

    fn pass_ms(&mut self, ms: u64) {
        self.now.wall_ms += ms;
        self.now.mono += Duration::from_millis(ms);
    }

    /// Ends the process without a word and starts another one.
    fn restart(self, now: Now) -> Self {
        Self::start(self.disk, config(), log(SyncPolicy::Always), now)
    }

    fn put(&mut self, tag: u16, value: &[u8]) -> Served<'_> {
        let put = ClientRequest::Put {
            key: key(tag),
            ttl_s: 0,
            replication: 0,
            value,
        };
        self.shard.serve(&put, self.now)
    }

    fn get(&mut self, tag: u16) -> Served<'_> {
        self.shard
            .serve(&ClientRequest::Get { key: key(tag) }, self.now)
    }

    fn delete(&mut self, tag: u16) -> Served<'_> {
        self.shard
            .serve(&ClientRequest::Delete { key: key(tag) }, self.now)
    }

    fn held(&self, tag: u16) -> Option<&[u8]> {
        let record = self.shard.store().get(&key(tag), self.now.wall_ms);
        record.map(|record| record.value)
    }

    fn records(&self) -> BTreeMap<Key, (Version, u64, Vec<u8>)> {
        let mut records = BTreeMap::new();
        let mut cursor = Some(ScanCursor::default());
        while let Some(at) = cursor {
            cursor = self.shard.store().scan(at, self.now.wall_ms, |record| {
                let found = (record.version, record.expiry_ms, record.value.to_vec());
                records.insert(record.key, found);
            });
        }
        records
    }
}

/// The lsn a write waits for, and its answer.
fn waits(served: Served<'_>) -> (Lsn, Written) {
    match served {
        Served::Write { lsn, answer } => (lsn, answer),
        other => panic!("it waits for nothing: {other:?}"),
    }
}

fn stored(written: Written) -> Version {
    match written {
        Written::Stored(version) => version,
        Written::Absent => panic!("something was written"),
    }
}

fn failure(served: Served<'_>) -> FailureCode {
    match served {
        Served::Done(Message::Failed(failed)) => failed.code,
        other => panic!("it did not fail: {other:?}"),
    }
}

#[test]
fn a_write_counts_and_is_served_when_it_is_committed_and_not_before() {
    let mut rig = Rig::always();
    let (lsn, written) = waits(rig.put(1, b"one"));
    rig.end_turn();
    assert!(rig.shard.committed() < lsn && rig.held(1).is_none());
    assert!(matches!(rig.get(1), Served::After(after) if after == lsn));
    assert!(
        matches!(rig.get(2), Served::Done(Message::Absent(_))),
        "nobody else waits"
    );
    assert_eq!(rig.shard.writes_in_flight(), 1);
    rig.run();
    assert_eq!(
        (rig.shard.committed() >= lsn, rig.held(1)),
        (true, Some(&b"one"[..]))
    );
    let Served::Done(Message::Value(value)) = rig.get(1) else {
        panic!("it waits for nothing")
    };
    assert_eq!(value.version, stored(written));
    assert_eq!(
        (
            rig.shard.writes_in_flight(),
            rig.shard.counters().waited_reads
        ),
        (0, 1)
    );
}

#[test]
fn a_read_waits_for_the_last_write_that_was_there_when_it_came() {
    let mut rig = Rig::always();
    let (_, first) = waits(rig.put(1, b"1"));
    let (lsn, second) = waits(rig.put(1, b"2"));
    assert!(stored(first) < stored(second));
    assert!(matches!(rig.get(1), Served::After(after) if after == lsn));
    rig.end_turn();
    let (later, _) = waits(rig.put(1, b"3"));
    assert!(matches!(rig.get(1), Served::After(after) if after == later && after > lsn));
    rig.run();
    assert_eq!(rig.held(1), Some(&b"3"[..]));
}

#[test]
fn what_a_turn_writes_is_one_batch() {
    let mut rig = Rig::always();
    (0..100).for_each(|tag| drop(rig.put(tag, b"value")));
    rig.end_turn();
    let is_write = |job: &&DiskJob| matches!(job.op, DiskOp::Write { .. });
    assert_eq!(rig.jobs.iter().filter(is_write).count(), 1);
    rig.run();
    assert_eq!(rig.records().len(), 100);
}

#[test]
fn deletes_follow_the_writes_on_their_way() {
    let mut rig = Rig::always();
    assert!(matches!(rig.delete(1), Served::Done(Message::Absent(_))));
    let (put, _) = waits(rig.put(1, b"one"));
    let (first, written) = waits(rig.delete(1));
    assert!(put < first && matches!(written, Written::Stored(_)));
    assert_eq!(waits(rig.delete(1)), (first, Written::Absent));
    let (again, _) = waits(rig.put(1, b"again"));
    rig.run();
    assert_eq!(
        (rig.shard.committed() >= again, rig.held(1)),
        (true, Some(&b"again"[..]))
    );
    waits(rig.delete(1));
    assert_eq!(
        rig.held(1),
        Some(&b"again"[..]),
        "it is there until its deletion counts"
    );
    rig.run();
    assert_eq!(rig.held(1), None);
}

#[test]
fn with_a_weaker_policy_writes_count_when_they_are_written_and_outlive_the_process() {
    for sync in [
        SyncPolicy::Never,
        SyncPolicy::Interval(Duration::from_millis(50)),
    ] {
        let now = Now::at_ms(1_000_000);
        let mut rig = Rig::start(MemoryDisk::default(), config(), log(sync), now);
        waits(rig.put(1, b"one"));
        waits(rig.put(2, b"two"));
        rig.run();
        assert_eq!(
            (rig.held(1), rig.held(2)),
            (Some(&b"one"[..]), Some(&b"two"[..]))
        );
        waits(rig.delete(2));
        assert!(matches!(rig.get(2), Served::After(_)));
        rig.run();
        assert!(matches!(rig.get(2), Served::Done(Message::Absent(_))));
        rig.shard.close_log();
        rig.run();
        assert!(rig.shard.is_log_at_rest());
        let records = rig.records();
        let now = rig.now;
        assert_eq!(rig.restart(now).records(), records);
    }
}

#[test]
fn a_restart_brings_everything_back_but_what_has_expired() {
    let mut rig = Rig::always();
    for tag in 0..300 {
        let put = ClientRequest::Put {
            key: key(tag),
            ttl_s: 10 + u32::from(tag % 3) * 1_000,
            replication: 0,
            value: &tag.to_le_bytes(),
        };
        waits(rig.shard.serve(&put, rig.now));
        if tag % 7 == 0 {
            rig.run();
            waits(rig.delete(tag));
        }
    }
    rig.run();
    let (mut want, mut now) = (rig.records(), rig.now);
    now.wall_ms += 20_000;
    now.mono = Duration::from_secs(1);
    want.retain(|_, (_, expiry_ms, _)| *expiry_ms > now.wall_ms);
    assert!(want.len() > 150 && want.len() < 190, "{}", want.len());
    let rig = rig.restart(now);
    assert_eq!(rig.records(), want);
    assert_eq!(
        rig.shard.memory().records,
        want.len() as u64,
        "the expired take no memory"
    );
    let report = rig.shard.recovered().expect("it was read");
    assert!(report.bytes_read > 0, "{report:?}");
    // Compaction may have left out some of those that do not count any more.
    assert!(
        (want.len() as u64..=343).contains(&report.records),
        "{report:?}"
    );
}

#[test]
fn versions_go_on_after_a_restart_with_the_clock_set_back() {
    let mut rig = Rig::always();
    let (_, written) = waits(rig.put(1, b"one"));
    let deleted = stored(waits(rig.delete(1)).1);
    rig.run();
    assert!(deleted > stored(written));
    let mut rig = rig.restart(Now::at_ms(500));
    let (_, written) = waits(rig.put(2, b"two"));
    assert!(
        stored(written) > deleted,
        "the last stamp was that of a tombstone"
    );
}

#[test]
fn a_write_that_was_never_on_the_disk_is_gone_after_a_crash() {
    let mut rig = Rig::always();
    waits(rig.put(1, b"one"));
    rig.run();
    waits(rig.put(1, b"two"));
    rig.end_turn();
    let now = rig.now;
    let rig = rig.restart(now);
    assert_eq!(rig.held(1), Some(&b"one"[..]));
}

#[test]
fn a_full_disk_refuses_puts_takes_them_again_and_serves_reads() {
    let mut rig = Rig::always();
    waits(rig.put(1, b"one"));
    rig.run();
    rig.disk.is_full = true;
    let mut dropped = None;
    let refused = (0..2_000).find(|tag| {
        let served = rig.put(*tag, &[1; 900]);
        let is_refused = matches!(&served, Served::Done(Message::Failed(_)));
        if is_refused {
            assert_eq!(failure(served), FailureCode::StorageFull);
        }
        rig.run();
        dropped = dropped.take().or_else(|| rig.shard.poll_dropped());
        is_refused
    });
    assert!(refused.is_some() && rig.shard.counters().refused_disk_full > 0);
    assert!(
        dropped.is_none_or(|dropped| !dropped.may_be_written),
        "nothing of it was written"
    );
    assert_eq!(rig.shard.writes_in_flight(), 0);
    assert!(matches!(rig.get(1), Served::Done(Message::Value(_))));
    rig.disk.is_full = false;
    rig.pass_ms(1_500);
    rig.run();
    waits(rig.put(1, b"again"));
    rig.run();
    assert_eq!(rig.held(1), Some(&b"again"[..]));
}

#[test]
fn a_failed_disk_ends_writes_and_serves_the_old_values() {
    let mut rig = Rig::always();
    waits(rig.put(1, b"one"));
    rig.run();
    rig.disk.write_error = Some(DiskErrorKind::Broken);
    let (lsn, _) = waits(rig.put(1, b"two"));
    waits(rig.put(2, b"two"));
    rig.run();
    let dropped = rig.shard.poll_dropped().expect("they were given up");
    assert!(dropped.from <= lsn && dropped.may_be_written);
    assert!(rig.shard.committed() < lsn);
    assert!(
        matches!(rig.get(1), Served::Done(Message::Value(_))),
        "nobody waits for it"
    );
    assert_eq!((rig.held(1), rig.held(2)), (Some(&b"one"[..]), None));
    assert_eq!(failure(rig.put(3, b"x")), FailureCode::StorageFailed);
    assert_eq!(failure(rig.delete(1)), FailureCode::StorageFailed);
    let counters = rig.shard.counters();
    assert_eq!(
        (counters.dropped_writes, counters.refused_disk_failed),
        (2, 2)
    );
}

#[test]
fn what_the_cap_admitted_is_applied_and_the_rest_is_refused_before_it_is_logged() {
    let small = ShardConfig {
        memory_max: 1 << 20,
        ..config()
    };
    let log = log(SyncPolicy::Always);
    let mut rig = Rig::start(MemoryDisk::default(), small, log, Now::at_ms(1_000_000));
    let mut taken = 0;
    for tag in 0..2_000 {
        match rig.put(tag, &[7; 900]) {
            Served::Write { .. } => taken += 1,
            served => assert_eq!(failure(served), FailureCode::MemoryFull),
        }
        if tag % 64 == 0 {
            rig.run();
        }
    }
    rig.run();
    let memory = rig.shard.memory();
    assert_eq!(memory.records, taken);
    assert!(taken > 900 && memory.bytes_used <= 1 << 20, "{memory:?}");
    let records = rig.records();
    let rig = Rig::start(rig.disk, small, log, rig.now);
    assert_eq!(rig.records(), records, "a full node starts again");
    let half = ShardConfig {
        memory_max: 1 << 19,
        ..config()
    };
    let rig = Rig::start(rig.disk, half, log, rig.now);
    let Phase::Failed(RecoveryError::Memory { reason }) = rig.shard.phase() else {
        panic!("it does not fit: {:?}", rig.shard.phase())
    };
    assert!(reason.contains("may use 524288"), "{reason}");
    assert!(!rig.shard.is_serving());
}

#[test]
fn compaction_keeps_what_lives_and_brings_nothing_back() {
    let mut rig = Rig::always();
    let mut dice = 1u64;
    for round in 0..400u64 {
        for _ in 0..16 {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let tag = u16::try_from((dice >> 33) % 500).unwrap();
            if dice >> 60 == 0 {
                rig.delete(tag);
            } else {
                waits(rig.put(tag, &[round.to_le_bytes()[0]; 700]));
            }
        }
        rig.run();
    }
    let Phase::Open(report) = rig.shard.phase() else {
        panic!("it is open")
    };
    assert!(
        report.segments_freed > 3 && report.moved_bytes > 0,
        "{report:?}"
    );
    let (want, now) = (rig.records(), rig.now);
    assert_eq!(rig.restart(now).records(), want);
}

#[test]
fn nothing_is_served_while_the_log_is_read() {
    let mut rig = Rig::always();
    waits(rig.put(1, b"one"));
    rig.run();
    let mut shard = Shard::with_log(config(), log(SyncPolicy::Always), &rig.disk.files());
    assert!(matches!(shard.phase(), Phase::Recovering(_)) && !shard.is_serving());
    for request in [
        ClientRequest::Get { key: key(1) },
        ClientRequest::Delete { key: key(1) },
    ] {
        assert_eq!(
            failure(shard.serve(&request, rig.now)),
            FailureCode::NotMember
        );
    }
}
