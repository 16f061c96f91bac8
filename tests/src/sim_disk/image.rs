//! What a crash left on a medium: names and contents, to be read, damaged by hand, or started
//! from.
//! It carries out reads only.

use node::engine::wal::disk::{DiskDone, DiskError, DiskErrorKind, DiskJob, DiskOp};
use node::engine::wal::names::FileName;
use node::engine::wal::recovery::FoundFile;

use super::contract::describe;
use super::medium::{self, Content, FileId, Medium};

/// What a crash left: names and contents.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DiskImage(pub(super) Medium);

impl DiskImage {
    /// The files that are there.
    #[must_use]
    pub fn files(&self) -> Vec<FoundFile> {
        let names = self.0.names.keys().copied();
        let found = names.map(|name| FoundFile {
            name,
            bytes: self.0.file(name).map_or(0, |(_, content)| content.bytes()),
        });
        found.collect()
    }

    /// The bytes of a file; none when it is not there.
    #[must_use]
    pub fn content(&self, name: FileName) -> Vec<u8> {
        let Some((_, content)) = self.0.file(name) else {
            return Vec::new();
        };
        let mut bytes = vec![0; medium::at(content.bytes())];
        content.read(0, &mut bytes);
        bytes
    }

    /// Puts a file there, or in the place of one.
    pub fn insert(&mut self, name: FileName, bytes: &[u8]) {
        let next = self.0.names.values().max().map_or(0, |file| file.0 + 1);
        let file = self.0.names.get(&name).copied().unwrap_or(FileId(next));
        self.0.insert(name, file, Content::of(bytes));
    }

    /// Turns one bit of a file over.
    pub fn flip(&mut self, name: FileName, byte: u64, bit: u8) {
        if let Some(content) = self.0.content_mut(name) {
            content.flip(byte, bit);
        }
    }

    /// Reads as a disk does that does well.
    pub fn read(&self, job: DiskJob) -> DiskDone {
        let DiskOp::Read {
            file,
            offset,
            mut buffer,
        } = job.op
        else {
            panic!("{} of an image, which is only read", describe(&job.op));
        };
        let read = self
            .0
            .file(file)
            .map(|(_, content)| content.read(offset, buffer.as_mut_bytes()));
        let missing = DiskError {
            kind: DiskErrorKind::Broken,
            reason: format!("{file}: no such file"),
        };
        DiskDone {
            id: job.id,
            result: read.ok_or(missing),
            buffer: Some(buffer),
        }
    }
}
