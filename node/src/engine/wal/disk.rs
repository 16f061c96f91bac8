//! What a log wants of its disk, and what the disk answers: the effects of the machines in this
//! folder. A job may be carried out in any order with others unless it waits for one that is done:
//! the machines never have two jobs under way whose order matters.
//!
//! What a disk must hold to: a job that ends well has done everything it says. A durable write or a
//! sync that ended well survives a power cut; a name does so after the folder's sync. What was
//! written without either may be lost, whole, in parts of 512 bytes, or in another order.

use thiserror::Error;

use super::buffer::Buffer;
use super::names::FileName;

/// The machine's number for a job.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct JobId(pub u64);

/// One thing to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskJob {
    /// Comes back with the answer.
    pub id: JobId,
    /// What to do.
    pub op: DiskOp,
}

/// What a disk does. Offsets and lengths are multiples of [`super::buffer::BLOCK_BYTES`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DiskOp {
    /// Make an empty file, or empty one that is there.
    Create {
        /// The file.
        file: FileName,
    },
    /// Write zeros.
    Zero {
        /// The file.
        file: FileName,
        /// Where, in bytes.
        offset: u64,
        /// How many bytes.
        bytes: u64,
    },
    /// Write the whole buffer.
    Write {
        /// The file.
        file: FileName,
        /// Where, in bytes.
        offset: u64,
        /// What; comes back with the answer.
        buffer: Buffer,
        /// Whether the job ends only when the bytes would survive a power cut.
        is_durable: bool,
    },
    /// Make everything written to the file survive a power cut.
    Sync {
        /// The file.
        file: FileName,
    },
    /// Give a file another name, replacing a file of that name.
    Rename {
        /// The old name.
        from: FileName,
        /// The new name.
        to: FileName,
    },
    /// Remove a file.
    Remove {
        /// The file.
        file: FileName,
    },
    /// Make all names in the folder survive a power cut.
    SyncFolder,
    /// Read into the whole buffer. Fewer bytes are read only at the end of the file.
    Read {
        /// The file.
        file: FileName,
        /// Where, in bytes.
        offset: u64,
        /// As long as what is to be read; comes back with the answer.
        buffer: Buffer,
    },
}

/// The end of a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskDone {
    /// The job's number.
    pub id: JobId,
    /// Bytes read, written or zeroed, 0 for other jobs; or why it failed.
    pub result: Result<u64, DiskError>,
    /// The buffer of a read or write.
    pub buffer: Option<Buffer>,
}

/// Why a job failed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{reason}")]
pub struct DiskError {
    /// What follows from it.
    pub kind: DiskErrorKind,
    /// The system's words, with what was tried.
    pub reason: String,
}

/// What follows from a failed job.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DiskErrorKind {
    /// There is no room: ENOSPC, EDQUOT, EFBIG.
    Full,
    /// Nothing happened, try again: EINTR, EAGAIN.
    Interrupted,
    /// The medium, or the way to it, is broken: EIO, EROFS and everything else.
    Broken,
}

impl DiskOp {
    /// Its name, for errors and traces.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Zero { .. } => "zero",
            Self::Write { .. } => "write",
            Self::Sync { .. } => "sync",
            Self::Rename { .. } => "rename",
            Self::Remove { .. } => "remove",
            Self::SyncFolder => "sync of the folder",
            Self::Read { .. } => "read",
        }
    }

    /// The file it concerns, the new one of a rename; none for the folder.
    #[must_use]
    pub const fn file(&self) -> Option<FileName> {
        match self {
            Self::Create { file }
            | Self::Zero { file, .. }
            | Self::Write { file, .. }
            | Self::Sync { file }
            | Self::Remove { file }
            | Self::Read { file, .. } => Some(*file),
            Self::Rename { to, .. } => Some(*to),
            Self::SyncFolder => None,
        }
    }
}
