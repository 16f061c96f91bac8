//! The DHT API, messages 650 to 653, from the client's side.
//!
//! A PUT has no answer. It is made to have one by a GET of the same key behind it, on the same
//! connection: its answer ends the write and shows what is stored. `Confirm::Turn` sends one such
//! GET for all PUTs of a turn.

use std::sync::Arc;

use proto::key::{KEY_BYTES, Key};

use crate::dataset::Dataset;
use crate::dialect::{Answer, Body, Dialect, Fault, SetupError};
use crate::plan::{Confirm, Plan, Target};
use crate::workload::{Kind, Request};

/// One connection to a DHT API.
pub(crate) struct Dht {
    setup: DhtSetup,
    /// The last PUT, when nothing confirms it yet.
    unconfirmed: Option<Key>,
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
        Ok(Self { setup: setup.clone(), unconfirmed: None })
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
                get(&key, out);
            }
            (Kind::Get | Kind::Lookup(_) | Kind::Echo, _) => get(&key, out),
        }
        self.unconfirmed = None;
        true
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(key) = self.unconfirmed.take() else {
            return false;
        };
        get(&key, out);
        true
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Answer<'_>) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        let mut rest = bytes;
        while let Some((body, size)) = parse(rest)? {
            each(Answer { id: None, body })?;
            rest = rest.get(size..).unwrap_or_default();
        }
        Ok(bytes.len() - rest.len())
    }
}

impl Dht {
    fn put(&self, key: &Key, request: &Request, out: &mut Vec<u8>) {
        let size = (PUT_HEADER_BYTES + request.bytes as usize) as u16;
        out.extend_from_slice(&size.to_be_bytes());
        out.extend_from_slice(&PUT.to_be_bytes());
        out.extend_from_slice(&self.setup.ttl_s.to_be_bytes());
        out.extend_from_slice(&[self.setup.replication, 0]);
        out.extend_from_slice(key.as_bytes());
        self.setup.data.value(out, request.key, request.sequence, request.bytes);
    }
}

fn get(key: &Key, out: &mut Vec<u8>) {
    out.extend_from_slice(&(HEADER_BYTES as u16).to_be_bytes());
    out.extend_from_slice(&GET.to_be_bytes());
    out.extend_from_slice(key.as_bytes());
}

fn parse(bytes: &[u8]) -> Result<Option<(Body<'_>, usize)>, Fault> {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let [s0, s1, t0, t1, ..] = *header;
    let size = usize::from(u16::from_be_bytes([s0, s1]));
    let Some(whole) = bytes.get(..size.max(HEADER_BYTES)) else {
        return Ok(None);
    };
    let key = whole.get(4..).and_then(<[u8]>::first_chunk::<KEY_BYTES>).copied();
    let key = key.map(Key::from_bytes);
    let body = match (u16::from_be_bytes([t0, t1]), whole.get(HEADER_BYTES..)) {
        (SUCCESS, Some(value)) if size >= HEADER_BYTES => Body::Value { key, value, route: None },
        (FAILURE, _) if size == HEADER_BYTES => Body::Absent { key, route: None },
        _ => return Err(Fault::violation("neither SUCCESS nor FAILURE of the DHT API")),
    };
    Ok(Some((body, size)))
}

const PUT: u16 = 650;
const GET: u16 = 651;
const SUCCESS: u16 = 652;
const FAILURE: u16 = 653;
const PUT_HEADER_BYTES: usize = 40;
const HEADER_BYTES: usize = 36;
