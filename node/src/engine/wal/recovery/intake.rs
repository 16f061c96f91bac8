//! Reads files, or their beginnings, in order and several pieces at a time. Knows nothing of what
//! is in them; holds no more than it is told to.

use std::collections::{BTreeMap, VecDeque};

use super::FoundFile;
use super::RecoveryError;
use crate::engine::wal::buffer::{BLOCK_BYTES, Buffer};
use crate::engine::wal::disk::{DiskDone, DiskError, DiskErrorKind, DiskJob, DiskOp, JobId};

/// What is to be read, what is being read, and what has been.
#[derive(Debug)]
pub(super) struct Intake {
    files: Vec<FoundFile>,
    /// Files not begun: which, and how many bytes of it.
    waiting: VecDeque<(usize, usize)>,
    /// Files begun, in their order.
    loading: VecDeque<Loading>,
    loading_max: usize,
    /// Pieces to be read once more.
    again: VecDeque<Piece>,
    jobs: BTreeMap<JobId, Piece>,
    next_job: u64,
    buffers: Vec<Buffer>,
    memory: Vec<Vec<u8>>,
    /// Whether what cannot be read is taken for zeros.
    is_lenient: bool,
    bytes_read: u64,
    /// Blocks that could not be read: file and offset.
    unreadable: Vec<(usize, usize)>,
}

#[derive(Debug)]
struct Loading {
    index: usize,
    bytes: Vec<u8>,
    asked: usize,
    missing: usize,
}

/// A part of a file: what one job reads.
#[derive(Clone, Copy, Debug)]
struct Piece {
    index: usize,
    offset: usize,
    bytes: usize,
    attempts: u32,
}

impl Intake {
    pub(super) fn new(files: Vec<FoundFile>, is_lenient: bool) -> Self {
        Self {
            files,
            waiting: VecDeque::new(),
            loading: VecDeque::new(),
            loading_max: 0,
            again: VecDeque::new(),
            jobs: BTreeMap::new(),
            next_job: 0,
            buffers: Vec::new(),
            memory: Vec::new(),
            is_lenient,
            bytes_read: 0,
            unreadable: Vec::new(),
        }
    }

    /// Reads these many bytes of these files next, and holds at most `loading_max` of them.
    pub(super) fn start(&mut self, files: VecDeque<(usize, usize)>, loading_max: usize) {
        self.waiting = files;
        self.loading_max = loading_max;
    }

    /// Reads nothing more.
    pub(super) fn stop(&mut self) {
        self.waiting.clear();
        self.loading.clear();
        self.again.clear();
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Bytes read so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// The next block that could not be read, and that is taken for zeros.
    pub(super) fn poll_unreadable(&mut self) -> Option<(usize, usize)> {
        self.unreadable.pop()
    }

    /// The next file, when all of it is there.
    pub(super) fn poll_file(&mut self) -> Option<(usize, Vec<u8>)> {
        let is_whole = self.loading.front()?.is_whole();
        let loading = is_whole.then(|| self.loading.pop_front()).flatten()?;
        Some((loading.index, loading.bytes))
    }

    /// Takes the memory of a file back.
    pub(super) fn recycle(&mut self, bytes: Vec<u8>) {
        if self.memory.len() < self.loading_max {
            self.memory.push(bytes);
        }
    }

    pub(super) fn poll_job(&mut self) -> Option<DiskJob> {
        if self.jobs.len() >= READS_MAX {
            return None;
        }
        let piece = self.again.pop_front().or_else(|| self.next_piece())?;
        let file = self.files.get(piece.index)?.name;
        let wanted = piece.bytes.next_multiple_of(BLOCK_BYTES);
        let kept = self.buffers.pop();
        let mut buffer = kept
            .filter(|buffer| buffer.len() + buffer.room() >= wanted)
            .unwrap_or_else(|| Buffer::with_capacity(wanted));
        buffer.resize(wanted);
        let id = JobId(self.next_job);
        self.next_job += 1;
        self.jobs.insert(id, piece);
        Some(DiskJob {
            id,
            op: DiskOp::Read {
                file,
                offset: piece.offset as u64,
                buffer,
            },
        })
    }

    fn next_piece(&mut self) -> Option<Piece> {
        let is_asked = |loading: &Loading| loading.asked == loading.bytes.len();
        if self.loading.iter().all(is_asked) && self.loading.len() < self.loading_max {
            let (index, length) = self.waiting.pop_front()?;
            let mut bytes = self.memory.pop().unwrap_or_default();
            // What is left from another file is overwritten before anybody sees it.
            bytes.resize(length, 0);
            self.loading.push_back(Loading {
                index,
                bytes,
                asked: 0,
                missing: length,
            });
        }
        let mut begun = self.loading.iter_mut();
        let loading = begun.find(|loading| !is_asked(loading))?;
        let bytes = READ_BYTES.min(loading.bytes.len() - loading.asked);
        let piece = Piece {
            index: loading.index,
            offset: loading.asked,
            bytes,
            attempts: 0,
        };
        loading.asked += bytes;
        Some(piece)
    }

    /// The end of a job.
    pub(super) fn handle_disk(&mut self, done: DiskDone) -> Result<(), RecoveryError> {
        let Some(piece) = self.jobs.remove(&done.id) else {
            return Ok(());
        };
        let outcome = match (&done.result, &done.buffer) {
            (Ok(bytes), Some(buffer)) => {
                let bytes = usize::try_from(*bytes).unwrap_or(usize::MAX);
                let read = buffer.as_bytes().get(..bytes.min(piece.bytes));
                self.fill(piece, read.unwrap_or(&[]))
            }
            (Ok(_), None) => Err(broken("the buffer did not come back")),
            (Err(error), _) => Err(error.clone()),
        };
        self.buffers.extend(done.buffer);
        outcome.or_else(|error| self.fail(piece, error))
    }

    /// Takes over what was read of a piece, and asks for what is missing of it.
    fn fill(&mut self, piece: Piece, read: &[u8]) -> Result<(), DiskError> {
        self.bytes_read += read.len() as u64;
        let is_short = read.len() < piece.bytes;
        // A read starts on a block's boundary.
        let taken = if is_short {
            read.len() / BLOCK_BYTES * BLOCK_BYTES
        } else {
            read.len()
        };
        self.place(piece, read.get(..taken).unwrap_or(&[]));
        if !is_short {
            return Ok(());
        }
        if taken == 0 {
            let at = piece.offset.saturating_add(read.len());
            return Err(broken(&format!("the file ends at byte {at}")));
        }
        self.again.push_back(Piece {
            offset: piece.offset + taken,
            bytes: piece.bytes - taken,
            ..piece
        });
        Ok(())
    }

    fn fail(&mut self, piece: Piece, error: DiskError) -> Result<(), RecoveryError> {
        if error.kind == DiskErrorKind::Interrupted && piece.attempts < ATTEMPTS_MAX {
            self.again.push_back(Piece {
                attempts: piece.attempts + 1,
                ..piece
            });
            return Ok(());
        }
        if !self.is_lenient {
            let file = self.files.get(piece.index).map(|file| file.name);
            return file.map_or(Ok(()), |file| {
                Err(RecoveryError::Unreadable { file, error })
            });
        }
        if piece.bytes > BLOCK_BYTES {
            let blocks = (0..piece.bytes).step_by(BLOCK_BYTES).map(|at| Piece {
                offset: piece.offset + at,
                bytes: BLOCK_BYTES.min(piece.bytes - at),
                attempts: 0,
                ..piece
            });
            self.again.extend(blocks);
        } else {
            self.place(piece, &[0; BLOCK_BYTES][..piece.bytes]);
            self.unreadable.push((piece.index, piece.offset));
        }
        Ok(())
    }

    fn place(&mut self, piece: Piece, read: &[u8]) {
        let mut begun = self.loading.iter_mut();
        let Some(loading) = begun.find(|loading| loading.index == piece.index) else {
            return;
        };
        let end = piece.offset.saturating_add(read.len());
        if let Some(place) = loading.bytes.get_mut(piece.offset..end) {
            place.copy_from_slice(read);
            loading.missing -= read.len();
        }
    }
}

impl Loading {
    fn is_whole(&self) -> bool {
        self.asked == self.bytes.len() && self.missing == 0
    }
}

fn broken(reason: &str) -> DiskError {
    DiskError {
        kind: DiskErrorKind::Broken,
        reason: reason.to_owned(),
    }
}

/// Bytes of a read.
const READ_BYTES: usize = 1 << 20;

/// Most reads under way.
const READS_MAX: usize = 8;

/// How often a read that was interrupted is tried again.
const ATTEMPTS_MAX: u32 = 3;

const _: () = assert!(READ_BYTES.is_multiple_of(BLOCK_BYTES));
