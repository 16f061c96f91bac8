//! Chordite's own protocol from the client's side: requests with ids over mutual TLS, answers with
//! the way to the owner.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use proto::codec;
use proto::frame::Frame;
use proto::link::{Link, LinkConfig, LinkPems};
use proto::message::{Failed, FailureCode, Get, Lookup, Message, Put, RequestId};
use proto::peer::RingParams;

use crate::dataset::Dataset;
use crate::dialect::{Answer, Body, Dialect, Fault, SetupError};
use crate::plan::{Plan, Protocol, Target};
use crate::recorder::ErrorKind;
use crate::workload::{Kind, Request};

/// One connection to a node.
pub(crate) struct Native {
    setup: NativeSetup,
    link: Link,
    /// The ring's parameters as the node says them; known as soon as the link is ready.
    params: Option<RingParams>,
    value: Vec<u8>,
}

/// What all connections share.
#[derive(Clone)]
pub(crate) struct NativeSetup {
    data: Arc<Dataset>,
    link: Arc<LinkConfig>,
    ttl_s: u32,
    replication: u8,
}

impl Dialect for Native {
    type Setup = NativeSetup;

    const BY_ID: bool = true;

    fn prepare(plan: &Plan, data: &Arc<Dataset>) -> Result<NativeSetup, SetupError> {
        let Protocol::Native { identity } = &plan.protocol else {
            return Err(SetupError(
                "the plan is not for the native protocol".to_owned(),
            ));
        };
        Ok(NativeSetup {
            data: data.clone(),
            link: link_config(identity)?,
            ttl_s: plan.data.ttl_s.into(),
            replication: plan.data.replication,
        })
    }

    fn open(setup: &NativeSetup, target: &Target) -> Result<Self, Fault> {
        let link = Link::dial(&setup.link, target.node.as_ref());
        let link = link.map_err(|error| Fault::Link(error.to_string()))?;
        Ok(Self {
            setup: setup.clone(),
            link,
            params: None,
            value: Vec::new(),
        })
    }

    fn is_ready(&self) -> bool {
        self.params.is_some()
    }

    fn ask(&mut self, id: u64, request: &Request, _out: &mut Vec<u8>) -> bool {
        let key = self.setup.data.key(request.key);
        let message = match request.kind {
            Kind::Put => {
                self.value.clear();
                let (index, sequence) = (request.key, request.sequence);
                self.setup
                    .data
                    .value(&mut self.value, index, sequence, request.bytes);
                let (ttl_s, replication) = (self.setup.ttl_s, self.setup.replication);
                Message::Put(Put {
                    key,
                    ttl_s,
                    replication,
                    value: &self.value,
                })
            }
            Kind::Lookup(mode) => Message::Lookup(Lookup {
                target: key.position(),
                mode,
            }),
            Kind::Get | Kind::Echo => Message::Get(Get { key }),
        };
        codec::encode(self.link.outbox(), RequestId(id), &message);
        true
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> bool {
        self.link.transmit(out);
        false
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Answer<'_>) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let taken = self.link.receive(bytes);
        if self.params.is_none() {
            self.params = self.link.peer_hello().map(|hello| hello.params.clone());
        }
        if let Some(params) = &self.params {
            while let Some(frame) = self.link.poll_frame() {
                answer(params, &frame, &mut each)?;
            }
        }
        taken.map_err(|error| Fault::Link(error.to_string()))?;
        Ok(bytes.len())
    }

    fn close(&mut self) {
        self.link.close();
    }
}

fn answer(
    params: &RingParams,
    frame: &Frame<'_>,
    mut each: impl FnMut(Answer<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let id = Some(frame.header.request.0);
    let message = codec::decode(params, frame.header.kind, frame.body)
        .map_err(|error| Fault::Violation(error.to_string()))?;
    let body = match &message {
        Message::Value(value) => Body::Value {
            key: None,
            value: value.value,
            route: Some(value.route),
        },
        Message::Absent(route) => Body::Absent {
            key: None,
            route: Some(*route),
        },
        Message::Stored(stored) => Body::Stored(Some(stored.route)),
        Message::LookupAnswer(answer) => Body::Owner(answer.route),
        Message::Failed(Failed { code, reason }) => Body::Failed(kind(*code), reason),
        _ => {
            return Err(Fault::violation(
                "a message that answers no request of a client",
            ));
        }
    };
    each(Answer { id, body })
}

const fn kind(code: FailureCode) -> ErrorKind {
    match code {
        FailureCode::Invalid => ErrorKind::Invalid,
        FailureCode::Forbidden => ErrorKind::Forbidden,
        FailureCode::MemoryFull => ErrorKind::MemoryFull,
        FailureCode::Overloaded => ErrorKind::Overloaded,
        FailureCode::NoRoute => ErrorKind::NoRoute,
        FailureCode::NotMember => ErrorKind::NotMember,
        FailureCode::Unknown => ErrorKind::Unknown,
        FailureCode::StorageFull => ErrorKind::StorageFull,
        FailureCode::StorageFailed => ErrorKind::StorageFailed,
    }
}

/// Reads `key.pem`, `cert.pem` and `ca.pem`.
fn link_config(identity: &Path) -> Result<Arc<LinkConfig>, SetupError> {
    let read = |name: &str| {
        let path = identity.join(name);
        fs::read(&path).map_err(|error| SetupError(format!("{}: {error}", path.display())))
    };
    let pems = LinkPems {
        key: read("key.pem")?,
        cert_chain: read("cert.pem")?,
        ca_certs: vec![read("ca.pem")?],
    };
    let config = LinkConfig::for_client(&pems);
    config.map_err(|error| SetupError(format!("{}: {error}", identity.display())))
}
