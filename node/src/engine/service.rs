//! A request on a key of this shard, answered: the one place where a put, get or delete meets the
//! store. What the log and the replicas have to confirm before the answer leaves is attached here.

use proto::message::{Failed, FailureCode, Message, Route, Stored, Value};
use proto::time::Now;

use super::request::ClientRequest;
use super::shard::Shard;
use super::store::PutError;

impl Shard {
    /// Carries out a request on one of this shard's keys. The value of the answer is borrowed from
    /// the store. There is no replication yet: the hint of a put has no effect, and the one host
    /// that has a write is this one.
    pub(super) fn serve(&mut self, request: &ClientRequest<'_>, now: Now) -> Message<'_> {
        let route = Route::default();
        match *request {
            ClientRequest::Put {
                key,
                ttl_s,
                replication,
                value,
            } => match self.put(key, ttl_s, replication, value, now) {
                Ok(applied) => Message::Stored(Stored {
                    version: applied.version,
                    hosts: 1,
                    route,
                }),
                Err(error) => refused(&error),
            },
            ClientRequest::Get { key } => match self.get(&key, now) {
                Some(record) => Message::Value(Value {
                    version: record.version,
                    expiry_ms: record.expiry_ms,
                    route,
                    value: record.value,
                }),
                None => Message::Absent(route),
            },
            ClientRequest::Delete { key } => match self.delete(&key, now) {
                Some(applied) => Message::Stored(Stored {
                    version: applied.version,
                    hosts: 1,
                    route,
                }),
                None => Message::Absent(route),
            },
            ClientRequest::Lookup { .. } => Message::Failed(Failed {
                code: FailureCode::Invalid,
                reason: "a lookup concerns the ring, not a shard".to_owned(),
            }),
        }
    }
}

fn refused(error: &PutError) -> Message<'static> {
    let code = match error {
        PutError::Full { .. } => FailureCode::MemoryFull,
        _ => FailureCode::Invalid,
    };
    Message::Failed(Failed {
        code,
        reason: error.to_string(),
    })
}
