//! What a connection needs to know of the protocol it speaks: how to ask, and what an answer means.
//!
//! A dialect is one side of one connection, bytes in and bytes out; it knows no socket and no
//! clock.

use std::sync::Arc;

use proto::key::Key;
use proto::message::Route;
use thiserror::Error;

use crate::dataset::Dataset;
use crate::plan::{Plan, Target};
use crate::recorder::ErrorKind;
use crate::workload::Request;

/// One protocol, from the asking side.
pub(crate) trait Dialect: Sized + 'static {
    /// What all connections of a run share.
    type Setup: Clone + Send + 'static;

    /// Whether answers carry the ids of their requests.
    const BY_ID: bool;

    /// Prepares a run.
    fn prepare(plan: &Plan, data: &Arc<Dataset>) -> Result<Self::Setup, SetupError>;

    /// Begins a connection to `target`.
    fn open(setup: &Self::Setup, target: &Target) -> Result<Self, Fault>;

    /// Whether requests may be sent.
    fn is_ready(&self) -> bool;

    /// Appends a request to `out`, or keeps it for [`Dialect::flush`]. Returns whether it gets an
    /// answer of its own.
    fn ask(&mut self, id: u64, request: &Request, out: &mut Vec<u8>) -> bool;

    /// Appends what is left to send, right before a write. Returns whether the last request gets an
    /// answer of its own now.
    fn flush(&mut self, out: &mut Vec<u8>) -> bool;

    /// Takes bytes as they came and calls `each` for every whole answer; returns how many bytes
    /// were consumed. The rest is handed in again, with more behind it.
    fn receive(
        &mut self,
        bytes: &[u8],
        each: impl FnMut(Answer<'_>) -> Result<(), Fault>,
    ) -> Result<usize, Fault>;

    /// Says goodbye, where the protocol has a way to.
    fn close(&mut self) {}
}

/// One answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    /// The id of the request, when the protocol has ids.
    pub(crate) id: Option<u64>,
    /// What it says.
    pub(crate) body: Body<'a>,
}

/// What an answer says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body<'a> {
    /// A value was read.
    Value {
        /// The key the answer names, when it names one.
        key: Option<Key>,
        /// The value.
        value: &'a [u8],
        /// How the owner was reached, when that is told.
        route: Option<Route>,
    },
    /// There is no value.
    Absent {
        /// The key the answer names, when it names one.
        key: Option<Key>,
        /// How the owner was reached, when that is told.
        route: Option<Route>,
    },
    /// A write was applied; how the owner was reached, when that is told.
    Stored(Option<Route>),
    /// A lookup found the owner.
    Owner(Route),
    /// An echo frame came back.
    Frame(&'a [u8]),
    /// The request could not be served; why, in words.
    Failed(ErrorKind, &'a str),
}

/// Why a connection cannot go on.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum Fault {
    /// The target closed the connection.
    #[error("the target closed the connection")]
    Closed,
    /// The system reported an error.
    #[error("{0}")]
    Io(String),
    /// The target broke the rules of the protocol.
    #[error("protocol violation: {0}")]
    Violation(String),
    /// The link could not be set up, or was refused.
    #[error("{0}")]
    Link(String),
}

impl Fault {
    /// A violation, in words.
    pub(crate) fn violation(what: &str) -> Self {
        Self::Violation(what.to_owned())
    }
}

/// Why a run cannot be prepared: a mistake of whoever started it.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{0}")]
pub struct SetupError(pub String);
