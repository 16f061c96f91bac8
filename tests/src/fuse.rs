//! The kernel's side of a file system in user space, by hand: requests are cut out of what
//! `/dev/fuse` gives and answers are laid out for it (`linux/fuse.h`, protocol 7.31).
//!
//! The crates that speak it bring a second door to the system, which this project does without;
//! what a pass-through needs of the protocol is small.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;

use rustix::io::Errno;

/// A request of the kernel.
#[derive(Clone, Debug)]
pub struct Request {
    /// Names it in the answer.
    pub unique: u64,
    /// The file or folder it is about.
    pub node: u64,
    /// What is asked.
    pub call: Call,
}

/// What the kernel asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Call {
    /// The first request.
    Init,
    /// The file system is gone.
    Destroy,
    /// The file `name` of a folder.
    Lookup(String),
    /// The attributes.
    Attributes,
    /// Other attributes: only a length and a mode count.
    SetAttributes {
        /// The new length.
        size: Option<u64>,
        /// The new permissions.
        mode: Option<u32>,
    },
    /// A new folder.
    MakeFolder {
        /// Its name.
        name: String,
        /// Its permissions.
        mode: u32,
    },
    /// A name goes.
    Unlink(String),
    /// An empty folder goes.
    RemoveFolder(String),
    /// A name changes.
    Rename {
        /// The old name.
        from: String,
        /// The new folder.
        folder: u64,
        /// The new name.
        to: String,
    },
    /// A file is opened.
    Open,
    /// A folder is opened.
    OpenFolder,
    /// A file is made and opened.
    Create {
        /// Its name.
        name: String,
        /// Its permissions.
        mode: u32,
    },
    /// Bytes of a file.
    Read {
        /// From here.
        offset: u64,
        /// So many.
        size: u32,
    },
    /// The entries of a folder.
    ReadFolder {
        /// Behind this many.
        offset: u64,
        /// In so many bytes.
        size: u32,
    },
    /// Bytes for a file.
    Write {
        /// To here.
        offset: u64,
        /// These.
        bytes: Vec<u8>,
    },
    /// Room for a file.
    Allocate {
        /// How long it is to be at least.
        end: u64,
    },
    /// A file is to be forced to the disk.
    Sync,
    /// A folder is to be forced to the disk.
    SyncFolder,
    /// How much room there is.
    Statistics,
    /// Something is closed: nothing to do, but an answer is wanted.
    Close,
    /// Nothing to do, and no answer.
    Silent,
    /// Not offered here.
    Unsupported,
}

impl Request {
    /// Cuts a request out of what one read gave; `None` when it is none.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let (_len, opcode) = (fields.u32()?, fields.u32()?);
        let (unique, node) = (fields.u64()?, fields.u64()?);
        fields.skip(16)?;
        Some(Self {
            unique,
            node,
            call: call(opcode, fields)?,
        })
    }
}

fn call(opcode: u32, mut body: Fields<'_>) -> Option<Call> {
    Some(match opcode {
        1 => Call::Lookup(body.name()?),
        2 | 36 | 42 => Call::Silent,
        3 => Call::Attributes,
        4 => {
            let valid = body.u32()?;
            body.skip(12)?;
            let size = body.u64()?;
            body.skip(44)?;
            let mode = body.u32()?;
            Call::SetAttributes {
                size: (valid & 1 << 3 != 0).then_some(size),
                mode: (valid & 1 != 0).then_some(mode),
            }
        }
        9 => {
            let (mode, _umask) = (body.u32()?, body.u32()?);
            let name = body.name()?;
            Call::MakeFolder { name, mode }
        }
        10 => Call::Unlink(body.name()?),
        11 => Call::RemoveFolder(body.name()?),
        12 | 45 => {
            let folder = body.u64()?;
            body.skip(if opcode == 45 { 8 } else { 0 })?;
            let (from, to) = (body.name()?, body.name()?);
            Call::Rename { from, folder, to }
        }
        14 => Call::Open,
        15 | 28 => {
            let (_handle, offset, size) = (body.u64()?, body.u64()?, body.u32()?);
            if opcode == 15 {
                Call::Read { offset, size }
            } else {
                Call::ReadFolder { offset, size }
            }
        }
        16 => {
            let (_handle, offset, _size) = (body.u64()?, body.u64()?, body.u32()?);
            body.skip(20)?;
            let bytes = body.0.to_vec();
            Call::Write { offset, bytes }
        }
        17 => Call::Statistics,
        18 | 25 | 29 => Call::Close,
        20 => Call::Sync,
        26 => Call::Init,
        27 => Call::OpenFolder,
        30 => Call::SyncFolder,
        35 => {
            let (_flags, mode) = (body.u32()?, body.u32()?);
            body.skip(8)?;
            let name = body.name()?;
            Call::Create { name, mode }
        }
        38 => Call::Destroy,
        43 => {
            let (_handle, offset, length) = (body.u64()?, body.u64()?, body.u64()?);
            let end = offset.checked_add(length)?;
            Call::Allocate { end }
        }
        _ => Call::Unsupported,
    })
}

/// The answer to the request `unique`: `body`, or an error.
#[must_use]
pub fn answer(unique: u64, result: Result<Vec<u8>, Errno>) -> Vec<u8> {
    let (error, body) = match result {
        Ok(body) => (0, body),
        Err(errno) => (-errno.raw_os_error(), Vec::new()),
    };
    let len = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    let mut bytes = len.to_ne_bytes().to_vec();
    bytes.extend(error.to_ne_bytes());
    bytes.extend(unique.to_ne_bytes());
    bytes.extend(body);
    bytes
}

/// The answer to the first request: which protocol, and how large a write may be.
#[must_use]
pub fn init() -> Vec<u8> {
    // FUSE_ASYNC_READ, FUSE_BIG_WRITES, FUSE_MAX_PAGES. With FUSE_ASYNC_DIO the kernel would make
    // an I/O error of a write that is taken in part.
    let flags: u32 = 1 | 1 << 5 | 1 << 22;
    let mut body = Vec::new();
    for word in [7, 31, 1 << 20, flags] {
        body.extend(word.to_ne_bytes());
    }
    body.extend([64u16, 48].iter().flat_map(|count| count.to_ne_bytes()));
    body.extend(WRITE_BYTES_MAX.to_ne_bytes());
    body.extend(1u32.to_ne_bytes());
    body.extend([256u16, 0].iter().flat_map(|count| count.to_ne_bytes()));
    body.resize(64, 0);
    body
}

/// A name found: the number it is known by from now on, and its attributes. Nothing is cached.
#[must_use]
pub fn entry(node: u64, found: &Metadata) -> Vec<u8> {
    let mut body = Vec::new();
    for word in [node, 0, 0, 0, 0] {
        body.extend(word.to_ne_bytes());
    }
    body.extend(attr(node, found));
    body
}

/// Attributes by themselves.
#[must_use]
pub fn attributes(node: u64, found: &Metadata) -> Vec<u8> {
    let mut body = vec![0; 16];
    body.extend(attr(node, found));
    body
}

/// A file or folder is open; every read and write comes here.
#[must_use]
pub fn opened(is_folder: bool) -> Vec<u8> {
    let mut body = vec![0; 16];
    // FOPEN_DIRECT_IO.
    body[8..12].copy_from_slice(&u32::from(!is_folder).to_ne_bytes());
    body
}

/// How much was written.
#[must_use]
pub fn written(bytes: usize) -> Vec<u8> {
    let mut body = u32::try_from(bytes).unwrap_or(0).to_ne_bytes().to_vec();
    body.resize(8, 0);
    body
}

/// Statistics: blocks of 4,096 bytes in all and free.
#[must_use]
pub fn statistics(all: u64, free: u64) -> Vec<u8> {
    let mut body = Vec::new();
    for word in [all, free, free, 1 << 20, 1 << 20] {
        body.extend(word.to_ne_bytes());
    }
    for word in [4096u32, 255, 4096] {
        body.extend(word.to_ne_bytes());
    }
    body.resize(80, 0);
    body
}

/// One entry of a folder; `place` is where the next one is asked for.
#[must_use]
pub fn folder_entry(place: u64, name: &OsStr, is_folder: bool) -> Vec<u8> {
    let kind: u32 = if is_folder { 4 } else { 8 };
    let mut body = Vec::new();
    // The number of the inode is unknown before somebody looks.
    body.extend(u64::MAX.to_ne_bytes());
    body.extend(place.to_ne_bytes());
    body.extend(u32::try_from(name.len()).unwrap_or(0).to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(name.as_bytes());
    body.resize(body.len().next_multiple_of(8), 0);
    body
}

fn attr(node: u64, found: &Metadata) -> Vec<u8> {
    let mut body = Vec::new();
    let seconds = [found.atime(), found.mtime(), found.ctime()];
    for word in [node, found.size(), found.blocks()] {
        body.extend(word.to_ne_bytes());
    }
    body.extend(seconds.iter().flat_map(|second| second.to_ne_bytes()));
    body.extend([0; 12]);
    let links = u32::try_from(found.nlink()).unwrap_or(1);
    for word in [found.mode(), links, found.uid(), found.gid(), 0, 4096, 0] {
        body.extend(word.to_ne_bytes());
    }
    body
}

/// Fields of a request in the byte order of the machine.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u32(&mut self) -> Option<u32> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_ne_bytes(*head))
    }

    fn u64(&mut self) -> Option<u64> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_ne_bytes(*head))
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.get(bytes..)?;
        Some(())
    }

    fn name(&mut self) -> Option<String> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let name = String::from_utf8(self.0.get(..end)?.to_vec()).ok()?;
        self.0 = self.0.get(end + 1..)?;
        Some(name)
    }
}

/// Largest write that the kernel hands over at once.
pub const WRITE_BYTES_MAX: u32 = 1 << 20;
