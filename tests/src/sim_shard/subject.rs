//! The log of a shard at work on a simulated disk.
//! First version: log and recovery beside a store, until the shard joins them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use node::engine::record::Record;
use node::engine::store::{Store, StoreLimits};
use node::engine::wal::disk::{DiskDone, DiskJob};
use node::engine::wal::entry::Entry;
use node::engine::wal::log::{AppendError, Log};
use node::engine::wal::names::Lsn;
use node::engine::wal::recovery::{FoundFile, Recovery, RecoveryConfig, RecoveryError};
use node::engine::wal::settings::LogConfig;
use proto::key::Key;
use proto::time::Now;
use proto::version::{Version, VersionClock};

use crate::log_oracle::Found;

/// A shard with its log.
pub struct Subject {
    config: LogConfig,
    state: State,
    store: Store,
    clock: VersionClock,
    waiting: VecDeque<(Lsn, u64, Key, Version)>,
    answers: Vec<(u64, Answer)>,
    reads: Vec<(u64, Key)>,
}

enum State {
    Recovering(Box<Recovery>),
    Open(Box<Log>),
    Refused(RecoveryError),
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
    pub fn open(config: LogConfig, files: &[FoundFile]) -> Self {
        let recovery = RecoveryConfig {
            node: config.node,
            shard: config.shard,
            is_salvage: false,
        };
        Self {
            config,
            state: State::Recovering(Box::new(Recovery::new(recovery, files))),
            store: Store::new(
                StoreLimits {
                    memory_max: 1 << 30,
                },
                1,
            ),
            clock: VersionClock::new(config.node),
            waiting: VecDeque::new(),
            answers: Vec::new(),
            reads: Vec::new(),
        }
    }

    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    pub fn refusal(&self) -> Option<&RecoveryError> {
        match &self.state {
            State::Refused(error) => Some(error),
            _ => None,
        }
    }

    pub fn put(&mut self, token: u64, key: Key, value: &[u8], ttl_s: u32, now: Now) {
        let expiry_ms = now.wall_ms + u64::from(ttl_s) * 1000;
        let version = self.clock.next(now.wall_ms);
        let record = Record {
            key,
            version,
            expiry_ms,
            value,
        };
        self.append(token, key, version, &Entry::Put(record));
    }

    pub fn delete(&mut self, token: u64, key: Key, now: Now) {
        let is_under_way = self.waiting.iter().any(|waiting| waiting.2 == key);
        if !is_under_way && self.store.get(&key, now.wall_ms).is_none() {
            self.answers.push((token, Answer::Absent));
            return;
        }
        let version = self.clock.next(now.wall_ms);
        self.append(token, key, version, &Entry::Delete { key, version });
    }

    pub fn get(&mut self, token: u64, key: Key, now: Now) {
        if self.waiting.iter().any(|waiting| waiting.2 == key) {
            self.reads.push((token, key));
            return;
        }
        let found = self.store.get(&key, now.wall_ms).map(|record| Found {
            version: record.version,
            expiry_ms: record.expiry_ms,
            value: record.value.to_vec(),
        });
        self.answers
            .push((token, found.map_or(Answer::Absent, Answer::Value)));
    }

    fn append(&mut self, token: u64, key: Key, version: Version, entry: &Entry<'_>) {
        let State::Open(log) = &mut self.state else {
            panic!("not open");
        };
        match log.append(entry, version.stamp) {
            Ok(lsn) => self.waiting.push_back((lsn, token, key, version)),
            Err(
                error @ (AppendError::Full { .. }
                | AppendError::Poisoned { .. }
                | AppendError::Busy),
            ) => {
                self.answers
                    .push((token, Answer::Refused(error.to_string())));
            }
        }
    }

    pub fn poll_answers(&mut self) -> Vec<(u64, Answer)> {
        std::mem::take(&mut self.answers)
    }

    pub fn handle_disk(&mut self, done: DiskDone, now: Now) {
        match &mut self.state {
            State::Refused(_) => {}
            State::Open(log) => {
                log.handle_disk(done, now);
                self.drain(now);
            }
            State::Recovering(recovery) => {
                let (store, clock) = (&mut self.store, &mut self.clock);
                recovery.handle_disk(done, |entry| {
                    apply(store, clock, entry, now);
                    Ok(())
                });
                self.end_recovery(now);
            }
        }
    }

    fn end_recovery(&mut self, now: Now) {
        let State::Recovering(recovery) = &mut self.state else {
            return;
        };
        match recovery.poll_outcome() {
            None => {}
            Some(Ok(start)) => {
                let stamp = start.stamp;
                self.clock.observe(Version { stamp, node: 0 });
                self.state = State::Open(Box::new(Log::new(self.config, start, now)));
            }
            Some(Err(error)) => self.state = State::Refused(error),
        }
    }

    pub fn handle_timeout(&mut self, now: Now) {
        if let State::Open(log) = &mut self.state {
            log.handle_timeout(now);
            self.drain(now);
        }
    }

    fn drain(&mut self, now: Now) {
        let State::Open(log) = &mut self.state else {
            return;
        };
        while let Some(batch) = log.poll_committed() {
            for placed in batch.entries() {
                let (lsn, token, _, version) = self.waiting.pop_front().expect("one a record");
                assert_eq!(lsn, placed.lsn);
                apply(&mut self.store, &mut self.clock, &placed.entry, now);
                self.answers.push((token, Answer::Stored(version)));
            }
            log.recycle(batch);
        }
        if let Some(dropped) = log.poll_dropped() {
            while self
                .waiting
                .back()
                .is_some_and(|waiting| waiting.0 >= dropped.from)
            {
                let (_, token, ..) = self.waiting.pop_back().expect("just seen");
                let reason = dropped.refusal.to_string();
                self.answers.push((
                    token,
                    if dropped.may_be_written {
                        Answer::Unknown(reason)
                    } else {
                        Answer::Refused(reason)
                    },
                ));
            }
        }
        for (token, key) in std::mem::take(&mut self.reads) {
            self.get(token, key, now);
        }
        let State::Open(log) = &mut self.state else {
            return;
        };
        let mut live = 0;
        let mut cursor = Some(Default::default());
        while let Some(at) = cursor {
            cursor = self.store.scan(at, now.wall_ms, |record| {
                live += Entry::Put(*record).padded_bytes() as u64;
            });
        }
        let (store, waiting) = (&self.store, &self.waiting);
        log.compact(live, now, |record| {
            let current = store.get(&record.key, now.wall_ms);
            current.is_some_and(|it| it.version == record.version)
                && !waiting.iter().any(|waiting| waiting.2 == record.key)
        });
    }

    pub fn poll_job(&mut self, now: Now) -> Option<DiskJob> {
        self.end_recovery(now);
        match &mut self.state {
            State::Recovering(recovery) => recovery.poll_job(),
            State::Open(_) => {
                self.drain(now);
                let State::Open(log) = &mut self.state else {
                    unreachable!()
                };
                log.poll_job(now)
            }
            State::Refused(_) => None,
        }
    }

    pub fn poll_timeout(&self) -> Option<Duration> {
        match &self.state {
            State::Open(log) => log.poll_timeout(),
            _ => None,
        }
    }

    pub fn close(&mut self) {
        if let State::Open(log) = &mut self.state {
            log.close();
        }
    }

    pub fn is_at_rest(&self) -> bool {
        match &self.state {
            State::Open(log) => log.is_at_rest(),
            _ => true,
        }
    }

    pub fn write_refusal(&self) -> Option<String> {
        match &self.state {
            State::Open(log) => log.refusal().map(|refusal| refusal.to_string()),
            _ => None,
        }
    }

    /// All records.
    pub fn records(&self, now: Now) -> BTreeMap<Key, Found> {
        let mut records = BTreeMap::new();
        let mut cursor = Some(Default::default());
        while let Some(at) = cursor {
            cursor = self.store.scan(at, now.wall_ms, |record| {
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
}

fn apply(store: &mut Store, clock: &mut VersionClock, entry: &Entry<'_>, now: Now) {
    match entry {
        Entry::Put(record) => {
            clock.observe(record.version);
            store.put(record, now).expect("there is room");
        }
        Entry::Delete { key, version } => {
            clock.observe(*version);
            store.remove(key, now.wall_ms);
        }
        Entry::Commit(_) => {}
    }
}
