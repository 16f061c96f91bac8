//! Looking on: a hook that gets every input and output of a core in words, and a rolling hash of
//! them that two runs of one seed must agree on. Words are made only when somebody listens.

use std::fmt;
use std::time::Duration;

use proto::codec::{self, frames};
use proto::message::Message;
use proto::peer::RingParams;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// One line of what happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line<'a> {
    /// When.
    pub at: Duration,
    /// To which node.
    pub node: usize,
    /// To which of its cores; none when it concerns the host.
    pub core: Option<u8>,
    /// What.
    pub text: &'a str,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at,
            node,
            core,
            text,
        } = self;
        let seconds = at.as_secs_f64();
        match core {
            Some(core) => write!(f, "{seconds:>11.6} {node}.{core} {text}"),
            None => write!(f, "{seconds:>11.6} {node}   {text}"),
        }
    }
}

/// Who looks on.
pub type Watcher = Box<dyn FnMut(&Line<'_>)>;

/// A hash of everything that went into the cores and came out of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Digest(u64);

impl Digest {
    pub(super) const fn new() -> Self {
        Self(0)
    }

    /// Takes in what happened, as a tag and bytes.
    pub(super) fn take(&mut self, tag: u64, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0.rotate_left(7) ^ tag);
    }

    /// The hash so far.
    pub(super) const fn value(self) -> u64 {
        self.0
    }
}

/// Anything in the words of its derived description.
pub(super) fn plain(thing: &impl fmt::Debug) -> String {
    format!("{thing:?}")
}

/// Frames in words, separated by semicolons.
pub(super) struct Spoken<'a>(pub(super) &'a RingParams, pub(super) &'a [u8]);

impl fmt::Display for Spoken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, frame) in frames(self.1).enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            let Ok(frame) = frame else {
                f.write_str("a frame that is not whole")?;
                continue;
            };
            let request = frame.header.request.0;
            match codec::decode(self.0, frame.header.kind, frame.body) {
                Ok(message) => write!(f, "#{request:x} {}", Shown(&message))?,
                Err(error) => write!(f, "#{request:x} {error}")?,
            }
        }
        Ok(())
    }
}

/// A message without the bytes of its value.
struct Shown<'a>(&'a Message<'a>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Message::Put(put) => write!(f, "Put {} {} B", put.key, put.value.len()),
            Message::Value(value) => {
                write!(f, "Value {:?} {} B", value.version, value.value.len())
            }
            other => write!(f, "{other:?}"),
        }
    }
}
