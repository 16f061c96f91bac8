//! The folder of one shard's log: carries out the jobs of a log with blocking system calls. It
//! decides nothing: what a failure means is for whoever asked. Files are opened when they are first
//! needed, and as many of them stay open as a log has in use at a time.
//!
//! In the durable way segments are opened with O_DIRECT and O_DSYNC, or with O_DSYNC alone where
//! the file system refuses O_DIRECT. Everywhere else a durable write is a write and an fdatasync.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{Advice, OFlags, fadvise, statfs};
use rustix::io::Errno;

use super::manifest::FILE_MODE;
use crate::engine::wal::buffer::{BLOCK_BYTES, Buffer};
use crate::engine::wal::disk::{DiskDone, DiskError, DiskErrorKind, DiskJob, DiskOp};
use crate::engine::wal::names::FileName;
use crate::engine::wal::recovery::FoundFile;

/// How the files of a folder are opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// To be read.
    Read,
    /// To be written through the page cache.
    Buffered,
    /// To be written past the page cache; a write to a segment that has ended is durable.
    Durable,
}

/// A shard's folder, open for jobs.
#[derive(Debug)]
pub struct DiskFolder {
    path: PathBuf,
    access: Access,
    /// The file system has refused O_DIRECT.
    is_direct_refused: bool,
    /// The one used last is the last one.
    open: Vec<(FileName, File)>,
    /// The file removed last.
    removed: Option<File>,
    zeros: Option<Buffer>,
}

/// What lies in a folder.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listing {
    /// Segments, in the order of their names.
    pub files: Vec<FoundFile>,
    /// Names of everything else.
    pub others: Vec<String>,
}

/// An open file, and what a write to it means.
#[derive(Debug)]
pub(crate) struct OpenFile {
    /// The file; another handle of the one that the folder keeps.
    pub(crate) file: File,
    /// Where it is, for errors.
    pub(crate) path: PathBuf,
    /// Whether a write that has ended survives a power cut.
    pub(crate) is_durable: bool,
}

impl Listing {
    /// Looks into the folder at `path`.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut listing = Self::default();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let name = entry.file_name();
            let metadata = entry.metadata()?;
            match name.to_str().and_then(FileName::parse) {
                Some(name) if metadata.is_file() => listing.files.push(FoundFile {
                    name,
                    bytes: metadata.len(),
                }),
                _ => listing.others.push(name.to_string_lossy().into_owned()),
            }
        }
        listing.files.sort_by_key(|file| file.name);
        listing.others.sort();
        Ok(listing)
    }
}

impl DiskFolder {
    /// The folder at `path`, which is there.
    #[must_use]
    pub const fn new(path: PathBuf, access: Access) -> Self {
        Self {
            path,
            access,
            is_direct_refused: false,
            open: Vec::new(),
            removed: None,
            zeros: None,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file system has refused to be written past its page cache.
    #[must_use]
    pub const fn is_direct_refused(&self) -> bool {
        self.is_direct_refused
    }

    /// Carries out a job; returns when it is done.
    pub fn carry_out(&mut self, job: DiskJob) -> DiskDone {
        let DiskJob { id, op } = job;
        let (name, file) = (op.name(), op.file());
        let (result, buffer) = match op {
            DiskOp::Create { file } => (self.create(file).map(|()| 0), None),
            DiskOp::Zero {
                file,
                offset,
                bytes,
            } => (self.zero(file, offset, bytes).map(|()| bytes), None),
            DiskOp::Write {
                file,
                offset,
                buffer,
                is_durable,
            } => {
                let result = self.write(file, offset, buffer.as_bytes(), is_durable);
                (result, Some(buffer))
            }
            DiskOp::Sync { file } => (self.sync(file).map(|()| 0), None),
            DiskOp::Rename { from, to } => (self.rename(from, to).map(|()| 0), None),
            DiskOp::Remove { file } => (self.remove(file).map(|()| 0), None),
            DiskOp::SyncFolder => (sync_folder(&self.path).map(|()| 0), None),
            DiskOp::Read {
                file,
                offset,
                mut buffer,
            } => {
                let result = self.read(file, offset, buffer.as_mut_bytes());
                (result, Some(buffer))
            }
        };
        let result = result.map_err(|error| disk_error(name, &self.path_of(file), &error));
        DiskDone { id, result, buffer }
    }

    /// Another handle of `file`, for whoever reads and writes it by other means.
    pub(crate) fn hand_out(&mut self, file: FileName) -> Result<OpenFile, DiskError> {
        let opened = self.file(file, Opening::Existing);
        match opened.and_then(File::try_clone) {
            Ok(handle) => Ok(OpenFile {
                file: handle,
                path: self.path_of(Some(file)),
                is_durable: self.is_durable(file),
            }),
            Err(error) => Err(disk_error("open", &self.path_of(Some(file)), &error)),
        }
    }

    fn create(&mut self, file: FileName) -> io::Result<()> {
        self.close(file);
        self.file(file, Opening::Empty).map(drop)
    }

    fn zero(&mut self, file: FileName, offset: u64, bytes: u64) -> io::Result<()> {
        let zeros = self.zeros.take();
        let zeros = zeros.unwrap_or_else(|| Buffer::zeroed(ZEROS_BYTES));
        let written = self
            .file(file, Opening::Existing)
            .and_then(|file| write_zeros(file, zeros.as_bytes(), offset, bytes));
        self.zeros = Some(zeros);
        written
    }

    fn write(
        &mut self,
        name: FileName,
        offset: u64,
        bytes: &[u8],
        is_durable: bool,
    ) -> io::Result<u64> {
        let needs_sync = is_durable && !self.is_durable(name);
        let file = self.file(name, Opening::Existing)?;
        let written = file.write_at(bytes, offset)?;
        if needs_sync {
            file.sync_data()?;
        }
        Ok(written as u64)
    }

    fn sync(&mut self, file: FileName) -> io::Result<()> {
        self.file(file, Opening::Existing)?.sync_data()
    }

    fn rename(&mut self, from: FileName, to: FileName) -> io::Result<()> {
        // Under its new name a file may have to be opened in another way.
        self.close(from);
        self.close(to);
        fs::rename(self.path_of(Some(from)), self.path_of(Some(to)))
    }

    /// The close of a removed file's last handle gives its blocks back, which takes time. Whoever
    /// else has a handle may have none to spare: so the blocks are given back here, unless the file
    /// has another name, and one handle stays until the next removal.
    fn remove(&mut self, name: FileName) -> io::Result<()> {
        let opened = self.file(name, Opening::Existing).and_then(File::try_clone);
        self.close(name);
        fs::remove_file(self.path_of(Some(name)))?;
        self.removed = opened.ok();
        if let Some(file) = &self.removed
            && file.metadata().is_ok_and(|file| file.nlink() == 0)
        {
            // Should it be refused, the last close does it.
            let _ = file.set_len(0);
        }
        Ok(())
    }

    fn read(&mut self, name: FileName, offset: u64, bytes: &mut [u8]) -> io::Result<u64> {
        let file = self.file(name, Opening::Existing)?;
        let mut done = 0;
        // Past the page cache a read may start on a block only, and ends elsewhere only at the end
        // of the file.
        while done < bytes.len() && done % BLOCK_BYTES == 0 {
            match file.read_at(&mut bytes[done..], offset + done as u64)? {
                0 => break,
                read => done += read,
            }
        }
        Ok(done as u64)
    }

    /// Whether a write to `file` is durable when it has ended. A segment that is being made is
    /// zeroed in many writes and synchronised once.
    fn is_durable(&self, file: FileName) -> bool {
        self.access == Access::Durable && matches!(file, FileName::Segment(_))
    }

    fn file(&mut self, name: FileName, opening: Opening) -> io::Result<&File> {
        let place = self.open.iter().position(|(open, _)| *open == name);
        let entry = match place {
            Some(place) => self.open.remove(place),
            None => (name, self.open_file(name, opening)?),
        };
        if self.open.len() >= OPEN_FILES_MAX {
            self.open.remove(0);
        }
        self.open.push(entry);
        Ok(&self.open[self.open.len() - 1].1)
    }

    fn open_file(&mut self, name: FileName, opening: Opening) -> io::Result<File> {
        let mut flags = OFlags::NOFOLLOW;
        if self.is_durable(name) {
            flags |= OFlags::DSYNC;
        }
        self.open_path(&self.path_of(Some(name)), opening, flags)
    }

    fn open_path(&mut self, path: &Path, opening: Opening, flags: OFlags) -> io::Result<File> {
        if self.access == Access::Durable && !self.is_direct_refused {
            match open(path, self.access, opening, flags | OFlags::DIRECT) {
                Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => {
                    self.is_direct_refused = true;
                }
                opened => return opened,
            }
        }
        let file = open(path, self.access, opening, flags)?;
        if opening == Opening::Existing {
            // What a failed sync has left in the page cache is not on the disk: whoever reads it
            // there would count what a power cut takes. Pages that still are to be written stay. A
            // file system without a cache has nothing to forget, and may say so.
            let _ = fadvise(&file, 0, None, Advice::DontNeed);
        }
        Ok(file)
    }

    fn close(&mut self, file: FileName) {
        self.open.retain(|(open, _)| *open != file);
    }

    fn path_of(&self, file: Option<FileName>) -> PathBuf {
        let file = file.map(|file| self.path.join(file.to_string()));
        file.unwrap_or_else(|| self.path.clone())
    }
}

/// Whether a file is there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Opening {
    /// It must be there.
    Existing,
    /// It is made, or emptied.
    Empty,
}

/// Whether the file system at `path` lives in user space (FUSE). There Linux 6.18 blocks the thread
/// whose ring a direct write is put on, and ends one that the file system took in part at the wrong
/// place: such a disk is written by plain system calls.
pub(crate) fn is_in_user_space(path: &Path) -> bool {
    statfs(path).is_ok_and(|stat| stat.f_type == FUSE_SUPER_MAGIC)
}

/// Makes all names in the folder at `path` survive a power cut.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    patient(|| File::open(path))?.sync_all()
}

/// Opens something; waits for a descriptor while others, clients most likely, have them all. The
/// medium is well then, and a log that gave up would stay closed until a restart.
fn patient(mut open: impl FnMut() -> io::Result<File>) -> io::Result<File> {
    for _ in 0..OPEN_ATTEMPTS {
        match open() {
            Err(error) if is_exhausted(&error) => thread::sleep(OPEN_PAUSE),
            opened => return opened,
        }
    }
    open()
}

fn is_exhausted(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM))
}

/// The error of a job that was to do `what` with `path`.
pub(crate) fn disk_error(what: &str, path: &Path, error: &io::Error) -> DiskError {
    let kind = match Errno::from_io_error(error) {
        Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => DiskErrorKind::Full,
        Some(Errno::INTR | Errno::AGAIN) => DiskErrorKind::Interrupted,
        _ => DiskErrorKind::Broken,
    };
    let reason = format!("{what} {}: {error}", path.display());
    DiskError { kind, reason }
}

fn open(path: &Path, access: Access, opening: Opening, flags: OFlags) -> io::Result<File> {
    let is_empty = opening == Opening::Empty;
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(access != Access::Read)
        .create(is_empty)
        .truncate(is_empty)
        .mode(FILE_MODE)
        .custom_flags(flags.bits().cast_signed());
    patient(|| options.open(path))
}

fn write_zeros(file: &File, zeros: &[u8], offset: u64, bytes: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes {
        let left = usize::try_from(bytes - done).unwrap_or(usize::MAX);
        let piece = &zeros[..left.min(zeros.len())];
        match file.write_at(piece, offset + done) {
            // A write ends within a block when nothing fits behind it. Where it ends on one, the
            // next write says why.
            Ok(written) if written < piece.len().min(BLOCK_BYTES) => {
                return Err(Errno::NOSPC.into());
            }
            Ok(written) => done += (written / BLOCK_BYTES * BLOCK_BYTES) as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Files kept open: the segment written, its successors that are being made, and what is read.
const OPEN_FILES_MAX: usize = 16;

/// Zeros written at once.
const ZEROS_BYTES: usize = 1024 * 1024;

/// What `statfs` says of a file system in user space.
const FUSE_SUPER_MAGIC: rustix::fs::FsWord = 0x6573_5546;

/// How long a descriptor is waited for: a minute.
const OPEN_ATTEMPTS: u32 = 600;
const OPEN_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::wal::disk::JobId;
    use crate::engine::wal::names::SegmentNumber;
    use std::os::unix::fs::PermissionsExt as _;

    const FRESH: FileName = FileName::Fresh(SegmentNumber(1));
    const SEGMENT: FileName = FileName::Segment(SegmentNumber(1));

    fn run(folder: &mut DiskFolder, op: DiskOp) -> DiskDone {
        let id = JobId(7);
        let done = folder.carry_out(DiskJob { id, op });
        assert_eq!(done.id, id);
        done
    }

    fn write(file: FileName, offset: u64, byte: u8) -> DiskOp {
        let mut buffer = Buffer::zeroed(2 * BLOCK_BYTES);
        buffer.as_mut_bytes().fill(byte);
        DiskOp::Write {
            file,
            offset,
            buffer,
            is_durable: true,
        }
    }

    fn read(folder: &mut DiskFolder, file: FileName, bytes: usize) -> (u64, Vec<u8>) {
        let op = DiskOp::Read {
            file,
            offset: 0,
            buffer: Buffer::zeroed(bytes),
        };
        let done = run(folder, op);
        let read = done.result.unwrap();
        let buffer = done.buffer.unwrap();
        (read, buffer.as_bytes()[..read as usize].to_vec())
    }

    #[test]
    fn a_segment_is_made_written_renamed_read_and_removed_in_every_way() {
        for access in [Access::Buffered, Access::Durable] {
            let dir = tempfile::tempdir().unwrap();
            let mut folder = DiskFolder::new(dir.path().into(), access);
            let zeros = ZEROS_BYTES as u64 + 8192;
            let zero = DiskOp::Zero {
                file: FRESH,
                offset: 0,
                bytes: zeros,
            };
            let rename = DiskOp::Rename {
                from: FRESH,
                to: SEGMENT,
            };
            for (op, bytes) in [
                (DiskOp::Create { file: FRESH }, 0),
                (zero, zeros),
                (DiskOp::Sync { file: FRESH }, 0),
                (rename, 0),
                (DiskOp::SyncFolder, 0),
            ] {
                assert_eq!(run(&mut folder, op).result, Ok(bytes), "{access:?}");
            }
            let written = run(&mut folder, write(SEGMENT, 4096, 9));
            assert_eq!(written.result, Ok(8192), "{access:?}");
            assert!(written.buffer.is_some());
            let (bytes, content) = read(&mut folder, SEGMENT, 2 * ZEROS_BYTES);
            assert_eq!(bytes, ZEROS_BYTES as u64 + 8192, "ends with the file");
            let counted = content.iter().filter(|byte| **byte == 9).count();
            assert_eq!((counted, content[4095], content[4096]), (8192, 0, 9));
            let listing = Listing::read(dir.path()).unwrap();
            let found = FoundFile {
                name: SEGMENT,
                bytes,
            };
            assert_eq!((listing.files, listing.others), (vec![found], vec![]));
            let mode = fs::metadata(folder.path_of(Some(SEGMENT))).unwrap();
            assert_eq!(mode.permissions().mode() & 0o777, 0o600);
            let removed = run(&mut folder, DiskOp::Remove { file: SEGMENT });
            assert_eq!(removed.result, Ok(0));
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn removing_gives_the_blocks_back_unless_the_file_has_another_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = DiskFolder::new(dir.path().into(), Access::Durable);
        run(&mut folder, DiskOp::Create { file: SEGMENT })
            .result
            .unwrap();
        run(&mut folder, write(SEGMENT, 0, 3)).result.unwrap();
        let elsewhere = folder.hand_out(SEGMENT).unwrap().file;
        let copy = dir.path().join("copy");
        fs::hard_link(folder.path_of(Some(SEGMENT)), &copy).unwrap();
        for (file, bytes) in [(SEGMENT, 8192), (FRESH, 0)] {
            run(&mut folder, DiskOp::Remove { file }).result.unwrap();
            assert_eq!(elsewhere.metadata().unwrap().len(), bytes);
            if file == SEGMENT {
                fs::rename(&copy, folder.path_of(Some(FRESH))).unwrap();
            }
        }
    }

    #[test]
    fn making_a_file_anew_empties_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = DiskFolder::new(dir.path().into(), Access::Durable);
        for _ in 0..2 {
            run(&mut folder, DiskOp::Create { file: FRESH })
                .result
                .unwrap();
            assert_eq!(read(&mut folder, FRESH, 4096).0, 0);
            run(&mut folder, write(FRESH, 0, 1)).result.unwrap();
        }
    }

    #[test]
    fn a_file_that_ends_within_a_block_is_read_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(SEGMENT.to_string()), [5; 5000]).unwrap();
        for access in [Access::Read, Access::Buffered, Access::Durable] {
            let mut folder = DiskFolder::new(dir.path().into(), access);
            assert_eq!(read(&mut folder, SEGMENT, 16_384), (5000, vec![5; 5000]));
        }
    }

    #[test]
    fn a_file_system_without_direct_writes_is_written_without() {
        // The kernel's own files refuse O_DIRECT; this one is the name of the thread.
        let path = Path::new("/proc/thread-self/comm");
        let mut folder = DiskFolder::new("/proc/thread-self".into(), Access::Durable);
        folder
            .open_path(path, Opening::Existing, OFlags::DSYNC)
            .unwrap();
        assert!(folder.is_direct_refused());
        let dir = tempfile::tempdir().unwrap();
        folder.path = dir.path().into();
        run(&mut folder, DiskOp::Create { file: SEGMENT })
            .result
            .unwrap();
        assert_eq!(run(&mut folder, write(SEGMENT, 0, 1)).result, Ok(8192));
        let flags = rustix::fs::fcntl_getfl(&folder.open[0].1).unwrap();
        assert!(!flags.contains(OFlags::DIRECT), "{flags:?}");
    }

    #[test]
    fn durable_segments_are_opened_for_it_and_those_in_the_making_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = DiskFolder::new(dir.path().into(), Access::Durable);
        for (file, is_durable) in [(FRESH, false), (SEGMENT, true)] {
            run(&mut folder, DiskOp::Create { file }).result.unwrap();
            let open = folder.hand_out(file).unwrap();
            let flags = rustix::fs::fcntl_getfl(&open.file).unwrap();
            assert_eq!(flags.contains(OFlags::DSYNC), is_durable, "{flags:?}");
            assert_eq!(open.is_durable, is_durable);
        }
    }

    #[test]
    fn errors_say_what_was_tried_and_what_follows() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = DiskFolder::new(dir.path().into(), Access::Durable);
        let error = run(&mut folder, DiskOp::Sync { file: SEGMENT });
        let error = error.result.unwrap_err();
        assert_eq!(error.kind, DiskErrorKind::Broken);
        let path = folder.path_of(Some(SEGMENT)).display().to_string();
        assert!(error.reason.starts_with("sync "), "{error}");
        assert!(error.reason.contains(&path), "{error}");
        for (errno, kind) in [
            (Errno::NOSPC, DiskErrorKind::Full),
            (Errno::DQUOT, DiskErrorKind::Full),
            (Errno::FBIG, DiskErrorKind::Full),
            (Errno::INTR, DiskErrorKind::Interrupted),
            (Errno::AGAIN, DiskErrorKind::Interrupted),
            (Errno::IO, DiskErrorKind::Broken),
            (Errno::ROFS, DiskErrorKind::Broken),
        ] {
            let error = disk_error("write", Path::new("x"), &errno.into());
            assert_eq!(error.kind, kind, "{errno:?}");
        }
    }

    #[test]
    fn a_full_disk_is_told_from_a_broken_one() {
        let mut folder = DiskFolder::new("/dev".into(), Access::Buffered);
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        folder.open.push((SEGMENT, full));
        for op in [
            write(SEGMENT, 0, 1),
            DiskOp::Zero {
                file: SEGMENT,
                offset: 0,
                bytes: 4096,
            },
        ] {
            let error = run(&mut folder, op).result.unwrap_err();
            assert_eq!(error.kind, DiskErrorKind::Full, "{error}");
        }
    }

    #[test]
    fn more_files_than_stay_open_are_read_and_strangers_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        let many = OPEN_FILES_MAX as u64 * 2;
        for number in 0..many {
            let name = FileName::Segment(SegmentNumber(number));
            fs::write(dir.path().join(name.to_string()), number.to_le_bytes()).unwrap();
        }
        fs::create_dir(dir.path().join(FRESH.to_string())).unwrap();
        fs::write(dir.path().join("notes"), "").unwrap();
        let mut folder = DiskFolder::new(dir.path().into(), Access::Read);
        for number in (0..many).chain(0..many) {
            let name = FileName::Segment(SegmentNumber(number));
            let content = read(&mut folder, name, 4096).1;
            assert_eq!(content, number.to_le_bytes());
            assert!(folder.open.len() <= OPEN_FILES_MAX);
        }
        let listing = Listing::read(dir.path()).unwrap();
        assert_eq!(listing.files.len() as u64, many);
        assert_eq!(listing.others, [FRESH.to_string(), "notes".into()]);
    }
}
