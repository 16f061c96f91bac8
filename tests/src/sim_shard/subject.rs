//! The shard under test with those who wait for it: what `Core` does with requests that the disk
//! keeps waiting, for one shard without a ring.

use std::collections::BTreeMap;
use std::time::Duration;

use node::engine::journal::Phase;
use node::engine::request::ClientRequest;
use node::engine::service::{Served, Written};
use node::engine::shard::{Shard, ShardConfig, TtlPolicy};
use node::engine::store::ScanCursor;
use node::engine::wal::disk::{DiskDone, DiskJob};
use node::engine::wal::log::LogReport;
use node::engine::wal::names::Lsn;
use node::engine::wal::recovery::FoundFile;
use node::engine::wal::settings::LogConfig;
use proto::key::Key;
use proto::message::{FailureCode, Message};
use proto::time::Now;
use proto::version::Version;

use crate::log_oracle::Found;

/// A shard with its log and its askers.
pub struct Subject {
    shard: Shard,
    waiting: Vec<Waiter>,
    answers: Vec<(u64, Answer)>,
}

/// Who waits for the disk.
#[derive(Clone, Copy, Debug)]
struct Waiter {
    token: u64,
    lsn: Lsn,
    awaited: Awaited,
}

#[derive(Clone, Copy, Debug)]
enum Awaited {
    Write(Written),
    Read(Key),
}

/// What a request hears.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// A write was applied.
    Stored(Version),
    /// There is no such record.
    Absent,
    /// A read found this.
    Value(Found),
    /// It did not happen.
    Refused(String),
    /// It failed, and may have happened.
    Unknown(String),
}

impl Subject {
    /// A shard that begins to recover what is in these files.
    #[must_use]
    pub fn open(config: LogConfig, files: &[FoundFile]) -> Self {
        let ttl = TtlPolicy {
            default_s: 1_000_000,
            min_s: 1,
            max_s: 1_000_000,
        };
        let shard = ShardConfig {
            memory_max: 1 << 30,
            ttl,
            replication: 1,
            node: config.node,
            seed: config.seed,
        };
        Self {
            shard: Shard::with_log(shard, config, files),
            waiting: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// Whether it serves.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.shard.is_serving()
    }

    /// Why it never will, when it is so.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        match self.shard.phase() {
            Phase::Failed(error) => Some(error.to_string()),
            Phase::Memory | Phase::Recovering(_) | Phase::Open(_) => None,
        }
    }

    /// How its log does.
    #[must_use]
    pub fn report(&self) -> Option<LogReport> {
        match self.shard.phase() {
            Phase::Open(report) => Some(report),
            Phase::Memory | Phase::Recovering(_) | Phase::Failed(_) => None,
        }
    }

    /// Asks something; the answer comes with [`Subject::poll_answers`].
    pub fn ask(&mut self, token: u64, request: &ClientRequest<'_>, now: Now) {
        let (lsn, awaited) = match self.shard.serve(request, now) {
            Served::Done(message) => {
                self.answers.push((token, answer_of(&message)));
                return self.end_waits(now);
            }
            Served::Write { lsn, answer } => (lsn, Awaited::Write(answer)),
            Served::After(lsn) => (lsn, Awaited::Read(request.key().expect("of a read"))),
        };
        let waiter = Waiter {
            token,
            lsn,
            awaited,
        };
        self.waiting.push(waiter);
        self.end_waits(now);
    }

    /// The answers so far.
    pub fn poll_answers(&mut self) -> Vec<(u64, Answer)> {
        std::mem::take(&mut self.answers)
    }

    /// The end of a job.
    pub fn handle_disk(&mut self, done: DiskDone, now: Now) {
        self.shard.handle_disk(done, now);
        self.end_waits(now);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        self.shard.handle_timeout(now);
        self.end_waits(now);
    }

    /// The next job.
    pub fn poll_job(&mut self, now: Now) -> Option<DiskJob> {
        let job = self.shard.poll_job(now);
        self.end_waits(now);
        job
    }

    /// When to call [`Subject::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.shard.poll_timeout()
    }

    /// Stops in order.
    pub fn close(&mut self) {
        self.shard.close_log();
    }

    /// Whether it has stopped.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.shard.is_log_at_rest()
    }

    /// All records.
    #[must_use]
    pub fn records(&self, now: Now) -> BTreeMap<Key, Found> {
        let mut records = BTreeMap::new();
        let mut cursor = Some(ScanCursor::default());
        while let Some(at) = cursor {
            cursor = self.shard.store().scan(at, now.wall_ms, |record| {
                let found = Found {
                    version: record.version,
                    expiry_ms: record.expiry_ms,
                    value: record.value.to_vec(),
                };
                records.insert(record.key, found);
            });
        }
        records
    }

    /// Answers those whose record is committed, or given up.
    fn end_waits(&mut self, now: Now) {
        let committed = self.shard.committed();
        self.end(now, |waiter| waiter.lsn <= committed, None);
        while let Some(dropped) = self.shard.poll_dropped() {
            let reason = dropped.refusal.to_string();
            let given_up = if dropped.may_be_written {
                Answer::Unknown(reason)
            } else {
                Answer::Refused(reason)
            };
            self.end(now, |waiter| waiter.lsn >= dropped.from, Some(&given_up));
        }
    }

    fn end(&mut self, now: Now, is_over: impl Fn(&Waiter) -> bool, given_up: Option<&Answer>) {
        let (over, waiting): (Vec<_>, Vec<_>) = self.waiting.iter().copied().partition(is_over);
        self.waiting = waiting;
        for waiter in over {
            let answer = match (waiter.awaited, given_up) {
                (Awaited::Write(_), Some(given_up)) => given_up.clone(),
                (Awaited::Write(written), None) => answer_of(&written.message()),
                (Awaited::Read(key), _) => answer_of(&self.shard.read(&key, now)),
            };
            self.answers.push((waiter.token, answer));
        }
    }
}

fn answer_of(message: &Message<'_>) -> Answer {
    match message {
        Message::Stored(stored) => Answer::Stored(stored.version),
        Message::Absent(_) => Answer::Absent,
        Message::Value(value) => Answer::Value(Found {
            version: value.version,
            expiry_ms: value.expiry_ms,
            value: value.value.to_vec(),
        }),
        Message::Failed(failed) if failed.code == FailureCode::Unknown => {
            Answer::Unknown(failed.reason.clone())
        }
        Message::Failed(failed) => Answer::Refused(failed.reason.clone()),
        other => panic!("a shard says {other:?}"),
    }
}
