//! The DHT API, messages 650 to 653, from the client's side.
//!
//! A PUT has no answer. It is made to have one by a GET of the same key behind it, on the same
//! connection: its answer ends the write and shows what is stored. `Confirm::Turn` sends one such
//! GET for all PUTs of a turn.

use std::sync::Arc;

use proto::dht_api::{self, Parse};
use proto::key::Key;

use crate::dataset::Dataset;
use crate::dialect::{Answer, Body, Dialect, Fault, SetupError};
use crate::plan::{Confirm, Plan, Target};
use crate::workload::{Kind, Request};

/// One connection to a DHT API.
pub(crate) struct Dht {
    setup: DhtSetup,
    /// The last PUT, when nothing confirms it yet.
    unconfirmed: Option<Key>,
    value: Vec<u8>,
}

/// What all connections share.
#[derive(Clone)]
pub(crate) struct DhtSetup {
    data: Arc<Dataset>,
    confirm: Confirm,
    ttl_s: u16,
    replication: u8,
}

impl Dialect for Dht {
    type Setup = DhtSetup;

    const BY_ID: bool = false;

    fn prepare(plan: &Plan, data: &Arc<Dataset>) -> Result<DhtSetup, SetupError> {
        Ok(DhtSetup {
            data: data.clone(),
            confirm: plan.confirm,
            ttl_s: plan.data.ttl_s,
            replication: plan.data.replication,
        })
    }

    fn open(setup: &DhtSetup, _target: &Target) -> Result<Self, Fault> {
        Ok(Self {
            setup: setup.clone(),
            unconfirmed: None,
            value: Vec::new(),
        })
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn ask(&mut self, _id: u64, request: &Request, out: &mut Vec<u8>) -> bool {
        let key = self.setup.data.key(request.key);
        match (request.kind, self.setup.confirm) {
            (Kind::Put, Confirm::Turn) => {
                self.put(&key, request, out);
                self.unconfirmed = Some(key);
                return false;
            }
            (Kind::Put, Confirm::Each) => {
                self.put(&key, request, out);
                dht_api::encode_get(out, &key);
            }
            (Kind::Get | Kind::Lookup(_) | Kind::Echo, _) => dht_api::encode_get(out, &key),
        }
        self.unconfirmed = None;
        true
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(key) = self.unconfirmed.take() else {
            return false;
        };
        dht_api::encode_get(out, &key);
        true
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Answer<'_>) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        let mut used = 0;
        loop {
            match dht_api::parse_answer(bytes.get(used..).unwrap_or_default()) {
                Parse::NeedMore => return Ok(used),
                Parse::Message { message, consumed } => {
                    used += consumed;
                    each(Answer {
                        id: None,
                        body: message.into(),
                    })?;
                }
                Parse::Violation(violation) => return Err(Fault::Violation(violation.to_string())),
            }
        }
    }
}

impl Dht {
    fn put(&mut self, key: &Key, request: &Request, out: &mut Vec<u8>) {
        let Self { setup, value, .. } = self;
        value.clear();
        setup
            .data
            .value(value, request.key, request.sequence, request.bytes);
        dht_api::encode_put(out, key, setup.ttl_s, setup.replication, value)
            .expect("value sizes of a plan are within the limit");
    }
}

impl<'a> From<dht_api::Answer<'a>> for Body<'a> {
    fn from(answer: dht_api::Answer<'a>) -> Self {
        match answer {
            dht_api::Answer::Success { key, value } => Self::Value {
                key: Some(key),
                value,
                route: None,
            },
            dht_api::Answer::Failure { key } => Self::Absent {
                key: Some(key),
                route: None,
            },
        }
    }
}
