//! A request on a key of this shard, answered, or the point of the log it has to wait for: the one
//! place where a put, get or delete meets the store. What the replicas have to confirm before the
//! answer leaves will be attached here too.

use proto::key::Key;
use proto::message::{Failed, FailureCode, Message, Route, Stored, Value};
use proto::time::Now;
use proto::version::Version;

use super::journal::WriteError;
use super::request::ClientRequest;
use super::shard::{Applied, Deletion, Shard};
use super::store::{Probe, PutError};
use super::wal::log::AppendError;
use super::wal::names::Lsn;

/// What a shard says to a request.
#[derive(Debug)]
pub enum Served<'a> {
    /// The answer.
    Done(Message<'a>),
    /// The answer to a write, true when `lsn` is committed. If it is dropped instead, the write
    /// has failed.
    Write {
        /// What has to be committed.
        lsn: Lsn,
        /// The answer.
        answer: Written,
    },
    /// A read waits until this is committed, or dropped: then [`Shard::read`] has the answer.
    After(Lsn),
}

/// The answer to a write that waits for the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Written {
    /// It was applied and has this version.
    Stored(Version),
    /// A delete found nothing.
    Absent,
}

impl Shard {
    /// Carries out a request on one of this shard's keys. A value is borrowed from the store. There
    /// is no replication yet: the hint of a put has no effect, and the one host that has a write is
    /// this one.
    pub fn serve(&mut self, request: &ClientRequest<'_>, now: Now) -> Served<'_> {
        match *request {
            ClientRequest::Put {
                key,
                ttl_s,
                replication,
                value,
            } => match self.put(key, ttl_s, replication, value, now) {
                Ok(applied) => taken(&applied),
                Err(error) => Served::Done(refused(&error)),
            },
            ClientRequest::Get { key } => self.serve_read(&key, now),
            ClientRequest::Delete { key } => match self.delete(&key, now) {
                Ok(Deletion::Taken(applied)) => taken(&applied),
                Ok(Deletion::Absent) => Served::Done(Written::Absent.message()),
                Ok(Deletion::AbsentAfter(lsn)) => Served::Write {
                    lsn,
                    answer: Written::Absent,
                },
                Err(error) => Served::Done(refused(&error)),
            },
            ClientRequest::Lookup { .. } => Served::Done(Message::Failed(Failed {
                code: FailureCode::Invalid,
                reason: "a lookup concerns the ring, not a shard".to_owned(),
            })),
        }
    }

    /// The answer to a read that waits for nothing, or has waited.
    pub fn read(&mut self, key: &Key, now: Now) -> Message<'_> {
        let probe = self.store.probe(key);
        self.read_prepared(probe, key, now)
    }

    fn serve_read(&mut self, key: &Key, now: Now) -> Served<'_> {
        if !self.is_serving() {
            return Served::Done(refused(&WriteError::NotOpen));
        }
        let probe = self.store.probe(key);
        if let Some(last) = self.pending.last(probe.hash(), key) {
            self.counters.waited_reads += 1;
            return Served::After(last.lsn);
        }
        Served::Done(self.read_prepared(probe, key, now))
    }

    fn read_prepared(&mut self, probe: Probe, key: &Key, now: Now) -> Message<'_> {
        match self.get_prepared(probe, key, now) {
            Some(record) => Message::Value(Value {
                version: record.version,
                expiry_ms: record.expiry_ms,
                route: Route::default(),
                value: record.value,
            }),
            None => Message::Absent(Route::default()),
        }
    }
}

impl Written {
    /// The answer.
    #[must_use]
    pub fn message(self) -> Message<'static> {
        let route = Route::default();
        match self {
            Self::Stored(version) => Message::Stored(Stored {
                version,
                hosts: 1,
                route,
            }),
            Self::Absent => Message::Absent(route),
        }
    }
}

fn taken(applied: &Applied) -> Served<'static> {
    let answer = Written::Stored(applied.version);
    match applied.waits_for {
        Some(lsn) => Served::Write { lsn, answer },
        None => Served::Done(answer.message()),
    }
}

fn refused(error: &WriteError) -> Message<'static> {
    let code = match error {
        WriteError::Store(PutError::Full { .. }) => FailureCode::MemoryFull,
        WriteError::Store(PutError::TooLong { .. }) => FailureCode::Invalid,
        WriteError::Log(error) => refusal_code(error),
        WriteError::NotOpen => FailureCode::NotMember,
    };
    Message::Failed(Failed {
        code,
        reason: error.to_string(),
    })
}

/// What a client hears of a write that the log did not take.
pub(super) const fn refusal_code(error: &AppendError) -> FailureCode {
    match error {
        AppendError::Full { .. } => FailureCode::StorageFull,
        AppendError::Poisoned { .. } => FailureCode::StorageFailed,
        AppendError::Busy => FailureCode::Overloaded,
    }
}
