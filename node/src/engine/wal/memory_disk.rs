//! A folder in memory for tests inside the engine: jobs are carried out at once and whole, or fail
//! as the test says. What a crash may leave is the business of the simulated disk of the tests.

use std::collections::BTreeMap;

use super::disk::{DiskDone, DiskError, DiskErrorKind, DiskJob, DiskOp};
use super::names::FileName;
use super::recovery::FoundFile;

/// The files of a folder.
#[derive(Clone, Default)]
pub(crate) struct MemoryDisk {
    files: BTreeMap<FileName, Vec<u8>>,
    /// Every write of a batch or header fails so.
    pub(crate) write_error: Option<DiskErrorKind>,
    /// No more room is found for a new segment.
    pub(crate) is_full: bool,
    /// Writes carried out so far.
    pub(crate) writes: u64,
}

impl MemoryDisk {
    /// What a start finds.
    pub(crate) fn files(&self) -> Vec<FoundFile> {
        let found = |(name, bytes): (&FileName, &Vec<u8>)| FoundFile {
            name: *name,
            bytes: bytes.len() as u64,
        };
        self.files.iter().map(found).collect()
    }

    /// Carries a job out.
    pub(crate) fn carry_out(&mut self, job: DiskJob) -> DiskDone {
        let DiskJob { id, mut op } = job;
        let result = self.result(&mut op);
        let buffer = match op {
            DiskOp::Write { buffer, .. } | DiskOp::Read { buffer, .. } => Some(buffer),
            _ => None,
        };
        DiskDone { id, result, buffer }
    }

    fn result(&mut self, op: &mut DiskOp) -> Result<u64, DiskError> {
        let error = match op {
            DiskOp::Zero { .. } | DiskOp::Create { .. } if self.is_full => {
                Some(DiskErrorKind::Full)
            }
            DiskOp::Write { .. } => self.write_error,
            _ => None,
        };
        if let Some(kind) = error {
            let reason = format!("{} refused", op.name());
            return Err(DiskError { kind, reason });
        }
        Ok(match op {
            DiskOp::Create { file } => {
                self.files.insert(*file, Vec::new());
                0
            }
            DiskOp::Zero {
                file,
                offset,
                bytes,
            } => self.put(*file, *offset, &vec![0; usize::try_from(*bytes).unwrap()]),
            DiskOp::Write {
                file,
                offset,
                buffer,
                ..
            } => {
                self.writes += 1;
                self.put(*file, *offset, buffer.as_bytes())
            }
            DiskOp::Sync { .. } | DiskOp::SyncFolder => 0,
            DiskOp::Rename { from, to } => {
                let bytes = self.files.remove(from).expect("the file is there");
                self.files.insert(*to, bytes);
                0
            }
            DiskOp::Remove { file } => {
                self.files.remove(file).expect("the file is there");
                0
            }
            DiskOp::Read {
                file,
                offset,
                buffer,
            } => {
                let from = usize::try_from(*offset).unwrap();
                let bytes = self.files[file].get(from..).unwrap_or(&[]);
                let count = bytes.len().min(buffer.len());
                buffer.as_mut_bytes()[..count].copy_from_slice(&bytes[..count]);
                count as u64
            }
        })
    }

    fn put(&mut self, file: FileName, offset: u64, bytes: &[u8]) -> u64 {
        let contents = self.files.get_mut(&file).expect("the file is there");
        let from = usize::try_from(offset).unwrap();
        if contents.len() < from + bytes.len() {
            contents.resize(from + bytes.len(), 0);
        }
        contents[from..from + bytes.len()].copy_from_slice(bytes);
        bytes.len() as u64
    }
}
