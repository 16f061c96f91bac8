//! The echo protocol: frames of one size that come back as they are. It costs the generator what
//! the DHT API costs it, values and checks included, so that a bare echo server is the floor.

use std::sync::Arc;

use crate::dataset::Dataset;
use crate::dialect::{Answer, Body, Dialect, Fault, SetupError};
use crate::plan::{Plan, Protocol, Target};
use crate::workload::Request;

/// One connection to an echo server.
pub(crate) struct Echo {
    setup: EchoSetup,
}

/// What all connections share.
#[derive(Clone)]
pub(crate) struct EchoSetup {
    data: Arc<Dataset>,
    frame_bytes: usize,
}

impl Dialect for Echo {
    type Setup = EchoSetup;

    const BY_ID: bool = false;

    fn prepare(plan: &Plan, data: &Arc<Dataset>) -> Result<EchoSetup, SetupError> {
        match plan.protocol {
            Protocol::Echo { frame_bytes } => Ok(EchoSetup {
                data: data.clone(),
                frame_bytes: frame_bytes as usize,
            }),
            Protocol::Dht | Protocol::Resp | Protocol::Memcached | Protocol::Native { .. } => {
                Err(SetupError("the plan is not for an echo server".to_owned()))
            }
        }
    }

    fn open(setup: &EchoSetup, _target: &Target) -> Result<Self, Fault> {
        Ok(Self {
            setup: setup.clone(),
        })
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn ask(&mut self, _id: u64, request: &Request, out: &mut Vec<u8>) -> bool {
        self.setup
            .data
            .value(out, request.key, request.sequence, request.bytes);
        true
    }

    fn flush(&mut self, _out: &mut Vec<u8>) -> bool {
        false
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Answer<'_>) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        let mut frames = bytes.chunks_exact(self.setup.frame_bytes);
        for frame in &mut frames {
            each(Answer {
                id: None,
                body: Body::Frame(frame),
            })?;
        }
        Ok(bytes.len() - frames.remainder().len())
    }
}
