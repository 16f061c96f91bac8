//! The write-ahead log of one shard, as pure machines: what is written where, in which order, and
//! what a crash may have left. No file is touched here: effects leave as [`disk::DiskJob`] and come
//! back as [`disk::DiskDone`]; the shell, a tool or a simulated disk carries them out.
//!
//! A log is a row of segments, files of one size that are written in whole blocks. A *batch* is
//! what one write carries: a commit record, then the records of a turn, then zeros up to the end of
//! the block. Several batches are in flight; they are acknowledged in order. A block that may hold
//! something acknowledged is never written again.

pub mod batch;
pub mod buffer;
mod compaction;
pub mod disk;
pub mod entry;
mod flight;
pub mod header;
pub mod log;
mod maker;
#[cfg(test)]
pub(crate) mod memory_disk;
pub mod names;
pub mod reader;
pub mod recovery;
pub mod report;
pub mod settings;
mod syncs;
