//! What lies on a simulated medium: names, and the contents they lead to, in blocks that copies
//! share until one of them changes. Knows how an effect changes it, wholly or as a crash tears it.

use std::collections::BTreeMap;
use std::sync::Arc;

use node::engine::wal::buffer::BLOCK_BYTES;
use node::engine::wal::names::FileName;

use super::crash::Fate;
use crate::dice::Dice;

/// A file, whatever it is called.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct FileId(pub(super) u64);

/// One change of a medium.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Effect {
    /// A new file has a name.
    Link { name: FileName, file: FileId },
    /// A file has another name; one that had it is gone.
    Rename {
        from: FileName,
        to: FileName,
        file: FileId,
    },
    /// A name is gone.
    Unlink { name: FileName, file: FileId },
    /// A file is empty.
    Truncate { file: FileId },
    /// A range of a file is these bytes.
    Data {
        file: FileId,
        offset: u64,
        data: Data,
    },
}

/// Bytes of an effect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Data {
    /// That many zeros.
    Zeros(u64),
    /// These.
    Bytes(Arc<[u8]>),
}

/// Names and contents.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Medium {
    pub(super) names: BTreeMap<FileName, FileId>,
    contents: BTreeMap<FileId, Content>,
}

/// The bytes of a file. A block that was never written is zero and takes no memory.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Content {
    blocks: Vec<Option<Arc<Block>>>,
    bytes: u64,
}

type Block = [u8; BLOCK_BYTES];

impl Medium {
    /// The file of that name.
    pub(super) fn file(&self, name: FileName) -> Option<(FileId, &Content)> {
        let file = *self.names.get(&name)?;
        Some((file, self.contents.get(&file)?))
    }

    /// The content of a name, to be changed.
    pub(super) fn content_mut(&mut self, name: FileName) -> Option<&mut Content> {
        self.contents.get_mut(self.names.get(&name)?)
    }

    /// Puts a file there.
    pub(super) fn insert(&mut self, name: FileName, file: FileId, content: Content) {
        self.names.insert(name, file);
        self.contents.insert(file, content);
    }

    /// Carries an effect out.
    pub(super) fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Link { name, file } => {
                self.names.insert(*name, *file);
                self.contents.entry(*file).or_default();
            }
            Effect::Rename { from, to, file } => {
                if self.names.get(from) == Some(file) {
                    self.names.remove(from);
                }
                self.names.insert(*to, *file);
                self.contents.entry(*file).or_default();
            }
            Effect::Unlink { name, file } => {
                if self.names.get(name) == Some(file) {
                    self.names.remove(name);
                }
            }
            Effect::Truncate { file } => {
                self.contents.insert(*file, Content::default());
            }
            Effect::Data { file, offset, data } => {
                let content = self.contents.entry(*file).or_default();
                match data {
                    Data::Zeros(bytes) => content.zero(*offset, *bytes),
                    Data::Bytes(bytes) => content.write(*offset, bytes),
                }
            }
        }
    }

    /// Carries out what a crash leaves of an effect.
    pub(super) fn apply_torn(&mut self, effect: &Effect, fate: Fate) {
        match (fate, effect) {
            (Fate::Lost, _) => {}
            (Fate::Torn(seed), Effect::Data { file, offset, data }) => {
                self.tear(*file, *offset, data, seed, false);
            }
            (Fate::Garbage(seed), Effect::Data { file, offset, data }) => {
                self.tear(*file, *offset, data, seed, true);
            }
            _ => self.apply(effect),
        }
    }

    /// Keeps some sectors of a write: a front part of it in one of three cases, any of them
    /// otherwise. With `has_garbage`, those that are not kept may hold noise. A file may have grown
    /// to its new length all the same.
    fn tear(&mut self, file: FileId, offset: u64, data: &Data, seed: u64, has_garbage: bool) {
        let content = self.contents.entry(file).or_default();
        let mut dice = Dice::new(seed);
        let bytes = data.len();
        let sectors = bytes.div_ceil(SECTOR_BYTES);
        let front = dice.one_in(3).then(|| dice.below(sectors.max(1)));
        for sector in 0..sectors {
            let from = sector * SECTOR_BYTES;
            let to = (from + SECTOR_BYTES).min(bytes);
            let is_kept = front.map_or_else(|| dice.one_in(2), |front| sector < front);
            if is_kept {
                match data {
                    Data::Zeros(_) => content.zero(offset + from, to - from),
                    Data::Bytes(all) => {
                        content.write(offset + from, &all[at(from)..at(to)]);
                    }
                }
            } else if has_garbage && dice.one_in(2) {
                let mut noise = [0; SECTOR_BYTES as usize];
                dice.fill(&mut noise);
                content.write(offset + from, &noise[..at(to - from)]);
            }
        }
        if dice.one_in(2) {
            content.grow(offset + bytes);
        }
    }

    /// Forgets contents that nothing leads to.
    pub(super) fn collect(&mut self, is_needed: impl Fn(FileId) -> bool) {
        let names = &self.names;
        self.contents
            .retain(|file, _| is_needed(*file) || names.values().any(|named| named == file));
    }
}

impl Effect {
    /// Whether it concerns names, and not a file's bytes.
    pub(super) const fn is_name(&self) -> bool {
        match self {
            Self::Link { .. } | Self::Rename { .. } | Self::Unlink { .. } => true,
            Self::Truncate { .. } | Self::Data { .. } => false,
        }
    }

    /// The file it concerns.
    pub(super) const fn file(&self) -> FileId {
        match self {
            Self::Link { file, .. }
            | Self::Rename { file, .. }
            | Self::Unlink { file, .. }
            | Self::Truncate { file }
            | Self::Data { file, .. } => *file,
        }
    }

    /// Whether the result depends on which of the two comes first.
    pub(super) fn interferes(&self, other: &Self) -> bool {
        if self.is_name() != other.is_name() {
            return false;
        }
        if self.is_name() {
            let shared = |name| other.names().contains(&Some(name));
            return self.file() == other.file() || self.names().into_iter().flatten().any(shared);
        }
        self.file() == other.file()
            && match (self.range(), other.range()) {
                (Some((a, b)), Some((c, d))) => a < d && c < b,
                _ => true,
            }
    }

    const fn names(&self) -> [Option<FileName>; 2] {
        match self {
            Self::Link { name, .. } | Self::Unlink { name, .. } => [Some(*name), None],
            Self::Rename { from, to, .. } => [Some(*from), Some(*to)],
            Self::Truncate { .. } | Self::Data { .. } => [None, None],
        }
    }

    fn range(&self) -> Option<(u64, u64)> {
        match self {
            Self::Data { offset, data, .. } => Some((*offset, *offset + data.len())),
            _ => None,
        }
    }
}

impl Data {
    /// How many bytes.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Zeros(bytes) => *bytes,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// The first bytes of it.
    pub(super) fn front(&self, bytes: u64) -> Self {
        match self {
            Self::Zeros(_) => Self::Zeros(bytes),
            Self::Bytes(all) => Self::Bytes(all[..at(bytes)].into()),
        }
    }
}

impl Content {
    /// A content of these bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut content = Self::default();
        content.write(0, bytes);
        content
    }

    /// Length of the file.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Fills `out` from `offset` on, and returns how many bytes there were.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> u64 {
        let end = self.bytes.min(offset + out.len() as u64);
        let mut position = offset;
        while position < end {
            let within = at(position) % BLOCK_BYTES;
            let count = (BLOCK_BYTES - within).min(at(end - position));
            let target = &mut out[at(position - offset)..][..count];
            match self.blocks.get(at(position) / BLOCK_BYTES) {
                Some(Some(block)) => target.copy_from_slice(&block[within..within + count]),
                _ => target.fill(0),
            }
            position += count as u64;
        }
        end.saturating_sub(offset)
    }

    /// Writes bytes; the file grows as it must.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.grow(offset + bytes.len() as u64);
        let mut done = 0;
        while done < bytes.len() {
            let position = at(offset) + done;
            let within = position % BLOCK_BYTES;
            let count = (BLOCK_BYTES - within).min(bytes.len() - done);
            let block = self.blocks[position / BLOCK_BYTES]
                .get_or_insert_with(|| Arc::new([0; BLOCK_BYTES]));
            Arc::make_mut(block)[within..within + count].copy_from_slice(&bytes[done..][..count]);
            done += count;
        }
    }

    /// Writes zeros.
    pub(super) fn zero(&mut self, offset: u64, bytes: u64) {
        self.grow(offset + bytes);
        let (mut position, end) = (at(offset), at(offset + bytes));
        while position < end {
            let within = position % BLOCK_BYTES;
            let count = (BLOCK_BYTES - within).min(end - position);
            let block = &mut self.blocks[position / BLOCK_BYTES];
            if count == BLOCK_BYTES {
                *block = None;
            } else if let Some(block) = block {
                Arc::make_mut(block)[within..within + count].fill(0);
            }
            position += count;
        }
    }

    /// Turns one bit over.
    pub(super) fn flip(&mut self, byte: u64, bit: u8) {
        let block =
            self.blocks[at(byte) / BLOCK_BYTES].get_or_insert_with(|| Arc::new([0; BLOCK_BYTES]));
        Arc::make_mut(block)[at(byte) % BLOCK_BYTES] ^= 1 << bit;
    }

    fn grow(&mut self, bytes: u64) {
        self.bytes = self.bytes.max(bytes);
        let blocks = at(self.bytes).div_ceil(BLOCK_BYTES);
        self.blocks.resize(blocks.max(self.blocks.len()), None);
    }
}

/// A place in memory.
pub(super) fn at(offset: u64) -> usize {
    usize::try_from(offset).expect("files of a simulation fit the memory")
}

/// What a disk writes at once, or not at all.
const SECTOR_BYTES: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_read_as_they_were_written_across_blocks() {
        let mut content = Content::default();
        content.write(4_000, &[7; 5_000]);
        content.zero(4_100, 100);
        let copy = content.clone();
        content.flip(4_000, 0);
        let mut out = vec![9; 10_000];
        assert_eq!(copy.read(0, &mut out), 9_000);
        assert_eq!((out[3_999], out[4_000], out[4_099]), (0, 7, 7));
        assert_eq!((out[4_100], out[4_199], out[4_200]), (0, 0, 7));
        assert_eq!((out[8_999], out[9_000]), (7, 9));
        assert_eq!(content.read(4_000, &mut out[..1]), 1);
        assert_eq!(out[0], 6);
        assert_eq!(content.read(9_000, &mut out), 0);
    }

    #[test]
    fn effects_interfere_where_they_touch() {
        let data = |file, offset, bytes| Effect::Data {
            file: FileId(file),
            offset,
            data: Data::Zeros(bytes),
        };
        assert!(data(1, 0, 10).interferes(&data(1, 9, 10)));
        assert!(!data(1, 0, 10).interferes(&data(1, 10, 10)));
        assert!(!data(1, 0, 10).interferes(&data(2, 0, 10)));
        let truncate = Effect::Truncate { file: FileId(1) };
        assert!(truncate.interferes(&data(1, 0, 10)));
    }
}
