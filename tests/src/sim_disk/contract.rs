//! What a disk may expect of those who give it jobs, checked; and jobs and effects as people read
//! them.

use std::fmt::{self, Write as _};

use node::engine::wal::buffer::BLOCK_BYTES;
use node::engine::wal::disk::{DiskError, DiskErrorKind, DiskOp};

use super::medium::{Data, Effect, FileId, Medium};

/// An effect as people read it.
pub(super) struct Shown<'a>(pub(super) &'a Effect, pub(super) &'a Medium);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |file: &FileId| {
            let mut names = self.1.names.iter().filter(|(_, named)| *named == file);
            names
                .next()
                .map_or("a nameless file".to_owned(), |(name, _)| name.to_string())
        };
        match self.0 {
            Effect::Link { name, .. } => write!(f, "create {name}"),
            Effect::Rename { from, to, .. } => write!(f, "rename {from} to {to}"),
            Effect::Unlink { name, .. } => write!(f, "remove {name}"),
            Effect::Truncate { file } => write!(f, "empty {}", name(file)),
            Effect::Data { file, offset, data } => {
                let what = if matches!(data, Data::Zeros(_)) {
                    "zero"
                } else {
                    "write"
                };
                write!(f, "{what} {} {offset}+{}", name(file), data.len())
            }
        }
    }
}

/// A job as people read it.
#[must_use]
pub fn describe(op: &DiskOp) -> String {
    let mut text = op.name().to_owned();
    match op {
        DiskOp::Rename { from, to } => write!(text, " {from} to {to}"),
        DiskOp::Zero {
            file,
            offset,
            bytes,
        } => write!(text, " {file} {offset}+{bytes}"),
        DiskOp::Write {
            file,
            offset,
            buffer,
            is_durable,
        } => {
            let durable = if *is_durable { ", durable" } else { "" };
            write!(text, " {file} {offset}+{}{durable}", buffer.len())
        }
        DiskOp::Read {
            file,
            offset,
            buffer,
        } => write!(text, " {file} {offset}+{}", buffer.len()),
        other => match other.file() {
            Some(file) => write!(text, " {file}"),
            None => Ok(()),
        },
    }
    .expect("a String takes everything");
    text
}

pub(super) fn error(kind: DiskErrorKind, op: &DiskOp, reason: &str) -> DiskError {
    let reason = format!("{}: {reason} ({kind:?})", describe(op));
    DiskError { kind, reason }
}

pub(super) fn assert_blocks(op: &DiskOp) {
    let (offset, bytes) = match op {
        DiskOp::Zero { offset, bytes, .. } => (*offset, *bytes),
        DiskOp::Write { offset, buffer, .. } | DiskOp::Read { offset, buffer, .. } => {
            (*offset, buffer.len() as u64)
        }
        _ => return,
    };
    let block = BLOCK_BYTES as u64;
    assert!(
        offset % block == 0 && bytes % block == 0 && bytes > 0,
        "{} is not made of blocks",
        describe(op)
    );
}

/// Whether the order of two jobs matters, so that they must not be under way together.
pub(super) fn conflict(a: &DiskOp, b: &DiskOp) -> bool {
    let names = |op: &DiskOp| match op {
        DiskOp::Rename { from, to } => [Some(*from), Some(*to)],
        other => [other.file(), None],
    };
    let (first, second) = (names(a), names(b));
    let is_shared = first
        .iter()
        .flatten()
        .any(|name| second.contains(&Some(*name)));
    let range = |op: &DiskOp| match op {
        DiskOp::Zero { offset, bytes, .. } => Some((*offset, offset + bytes)),
        DiskOp::Write { offset, buffer, .. } | DiskOp::Read { offset, buffer, .. } => {
            Some((*offset, offset + buffer.len() as u64))
        }
        _ => None,
    };
    let both_read = matches!((a, b), (DiskOp::Read { .. }, DiskOp::Read { .. }));
    is_shared
        && !both_read
        && match (range(a), range(b)) {
            (Some((from, to)), Some((start, end))) => from < end && start < to,
            // A sync beside writes and reads covers what ended before it: no order is lost.
            (Some(_), None) => !matches!(b, DiskOp::Sync { .. }),
            (None, Some(_)) => !matches!(a, DiskOp::Sync { .. }),
            (None, None) => !matches!((a, b), (DiskOp::Sync { .. }, DiskOp::Sync { .. })),
        }
}
