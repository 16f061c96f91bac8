//! A folder shown in another place by a file system in user space, which can be told to fail, to
//! take writes only in part, or to keep silent: a disk that breaks in a chosen way.
//!
//! Writes past the page cache of the node arrive here as they are; nothing is cached on the way.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{mem, thread};

use rustix::io::Errno;

use crate::fuse::{self, Call, Request};
use crate::{mounts, workdir};

/// The file system; unmounted when dropped.
#[derive(Debug)]
pub struct PassThrough {
    dir: PathBuf,
    shared: Arc<Shared>,
}

/// What becomes of writes to files and of forcing them to the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// They are carried out.
    None,
    /// Writes fail, and write nothing.
    Writes(Errno),
    /// Forcing files to the disk fails; writes are carried out.
    Syncs(Errno),
    /// The next writes are taken only as far as their first 512 bytes, so many times.
    Short(u32),
    /// No answer until there is another fault, or none.
    Silence,
}

#[derive(Debug)]
struct Shared {
    device: File,
    backing: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    fault: Fault,
    /// How many calls a fault has met.
    hits: u64,
    /// Requests without an answer so far.
    silent: Vec<Request>,
    /// Where a number leads; 1 is the root.
    paths: BTreeMap<u64, PathBuf>,
    last: u64,
}

/// Why there can be no file system in user space here, if so.
#[must_use]
pub fn obstacle() -> Option<String> {
    let device = OpenOptions::new().read(true).write(true).open(DEVICE);
    device.err().map(|error| format!("{DEVICE}: {error}"))
}

impl PassThrough {
    /// Shows `backing`.
    pub fn create(backing: &Path) -> Self {
        let dir = workdir::create("pass-through");
        let device = OpenOptions::new().read(true).write(true).open(DEVICE);
        let device = device.expect("asked before");
        // The program that mounts gets the device as its standard input.
        let stdin = Stdio::from(device.try_clone().expect("an open file"));
        let options = "fd=0,rootmode=40000,user_id=0,group_id=0";
        let mounted = Command::new("mount")
            .args(["-i", "-t", "fuse", "-o", options, "chordite-test"])
            .arg(&dir)
            .stdin(stdin)
            .output()
            .expect("mount can be started");
        let errors = String::from_utf8_lossy(&mounted.stderr);
        assert!(mounted.status.success(), "mount: {errors}");
        let shared = Arc::new(Shared {
            device,
            backing: backing.to_path_buf(),
            state: Mutex::new(State {
                fault: Fault::None,
                hits: 0,
                silent: Vec::new(),
                paths: BTreeMap::from([(1, PathBuf::new())]),
                last: 1,
            }),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || serving.serve());
        Self { dir, shared }
    }

    /// Where it is shown.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// From now on this happens; what was kept in silence is answered.
    pub fn set(&self, fault: Fault) {
        let silent = {
            let mut state = self.shared.state();
            state.fault = fault;
            state.hits = 0;
            mem::take(&mut state.silent)
        };
        for request in silent {
            self.shared.handle(&request);
        }
    }

    /// How many calls the fault that is set has met.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.shared.state().hits
    }
}

impl Drop for PassThrough {
    fn drop(&mut self) {
        // Whoever waits for an answer cannot even be killed.
        self.set(Fault::None);
        mounts::unmount(&self.dir);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers until the file system is gone.
    fn serve(&self) {
        let mut buffer = vec![0; fuse::WRITE_BYTES_MAX as usize + 64 * 1024];
        loop {
            let read = match (&self.device).read(&mut buffer) {
                Ok(read) => read,
                // ENOENT: the request was taken back before it was read.
                Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => continue,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            match buffer.get(..read).and_then(Request::parse) {
                Some(request) => self.handle(&request),
                None => return,
            }
        }
    }

    fn handle(&self, request: &Request) {
        let faulty = match self.meet(request) {
            Met::Silence => return,
            Met::Error(errno) => Some(errno),
            Met::Nothing => None,
            Met::Short => {
                self.answer_short(request);
                return;
            }
        };
        if request.call == Call::Silent {
            return;
        }
        let result = match faulty {
            Some(errno) => Err(errno),
            None => self
                .carry_out(request.node, &request.call)
                .map_err(|error| errno(&error)),
        };
        self.reply(request.unique, result);
    }

    fn reply(&self, unique: u64, result: Result<Vec<u8>, Errno>) {
        // The asker may be gone, and then the kernel does not take the answer.
        let _ = (&self.device).write(&fuse::answer(unique, result));
    }

    /// What the fault that is set makes of a request.
    fn meet(&self, request: &Request) -> Met {
        let mut state = self.state();
        let is_write = matches!(request.call, Call::Write { .. });
        let is_sync = matches!(request.call, Call::Sync | Call::SyncFolder);
        let met = match state.fault {
            Fault::Writes(errno) if is_write => Met::Error(errno),
            Fault::Syncs(errno) if is_sync => Met::Error(errno),
            Fault::Silence if is_write || is_sync => {
                state.silent.push(request.clone());
                Met::Silence
            }
            Fault::Short(times) if is_write && times > 0 => {
                state.fault = Fault::Short(times - 1);
                Met::Short
            }
            _ => Met::Nothing,
        };
        state.hits += u64::from(!matches!(met, Met::Nothing));
        met
    }

    fn answer_short(&self, request: &Request) {
        let Call::Write { offset, bytes } = &request.call else {
            return;
        };
        let part = bytes.get(..SHORT_BYTES).unwrap_or(bytes);
        let result = self
            .write(request.node, *offset, part)
            .map_err(|error| errno(&error));
        self.reply(request.unique, result);
    }

    fn carry_out(&self, node: u64, call: &Call) -> io::Result<Vec<u8>> {
        match call {
            Call::Init => Ok(fuse::init()),
            Call::Lookup(name) => self.entry(node, name),
            Call::Attributes => self.attributes(node),
            Call::SetAttributes { size, mode } => {
                let path = self.path(node)?;
                if let Some(size) = size {
                    open(&path)?.set_len(*size)?;
                }
                if let Some(mode) = mode {
                    fs::set_permissions(&path, Permissions::from_mode(*mode))?;
                }
                self.attributes(node)
            }
            Call::MakeFolder { name, mode } => {
                DirBuilder::new()
                    .mode(*mode)
                    .create(self.path(node)?.join(name))?;
                self.entry(node, name)
            }
            Call::Unlink(name) => self.unlink(node, name),
            Call::RemoveFolder(name) => {
                fs::remove_dir(self.path(node)?.join(name)).map(|()| vec![])
            }
            Call::Rename { from, folder, to } => self.rename(node, from, *folder, to),
            Call::Open => Ok(fuse::opened(false)),
            Call::OpenFolder => Ok(fuse::opened(true)),
            Call::Create { name, mode } => {
                let mut options = OpenOptions::new();
                options.write(true).create(true).truncate(false).mode(*mode);
                options.open(self.path(node)?.join(name))?;
                let mut body = self.entry(node, name)?;
                body.extend(fuse::opened(false));
                Ok(body)
            }
            Call::Read { offset, size } => self.read(node, *offset, *size),
            Call::ReadFolder { offset, size } => self.read_folder(node, *offset, *size),
            Call::Write { offset, bytes } => self.write(node, *offset, bytes),
            Call::Allocate { end } => {
                let file = open(&self.path(node)?)?;
                let size = file.metadata()?.len();
                file.set_len(size.max(*end)).map(|()| vec![])
            }
            Call::Sync | Call::SyncFolder => {
                File::open(self.path(node)?)?.sync_all().map(|()| vec![])
            }
            Call::Statistics => Ok(fuse::statistics(1 << 20, 1 << 19)),
            Call::Close | Call::Destroy | Call::Silent => Ok(vec![]),
            Call::Unsupported => Err(Errno::NOSYS.into()),
        }
    }

    fn path(&self, node: u64) -> io::Result<PathBuf> {
        let state = self.state();
        let path = state
            .paths
            .get(&node)
            .ok_or(io::Error::from(Errno::STALE))?;
        Ok(self.backing.join(path))
    }

    fn entry(&self, folder: u64, name: &str) -> io::Result<Vec<u8>> {
        let found = fs::symlink_metadata(self.path(folder)?.join(name))?;
        let mut state = self.state();
        let path = state
            .paths
            .get(&folder)
            .ok_or(io::Error::from(Errno::STALE))?;
        let path = path.join(name);
        let known = state.paths.iter().find(|(_, other)| **other == path);
        let node = if let Some((node, _)) = known {
            *node
        } else {
            state.last += 1;
            let node = state.last;
            state.paths.insert(node, path);
            node
        };
        Ok(fuse::entry(node, &found))
    }

    fn attributes(&self, node: u64) -> io::Result<Vec<u8>> {
        let found = fs::symlink_metadata(self.path(node)?)?;
        Ok(fuse::attributes(node, &found))
    }

    fn unlink(&self, node: u64, name: &str) -> io::Result<Vec<u8>> {
        fs::remove_file(self.path(node)?.join(name))?;
        let mut state = self.state();
        if let Some(gone) = state.paths.get(&node).map(|path| path.join(name)) {
            state.paths.retain(|_, path| *path != gone);
        }
        Ok(vec![])
    }

    fn rename(&self, node: u64, from: &str, folder: u64, to: &str) -> io::Result<Vec<u8>> {
        fs::rename(self.path(node)?.join(from), self.path(folder)?.join(to))?;
        let mut state = self.state();
        let name = |state: &State, node, name| state.paths.get(&node).map(|path| path.join(name));
        let (Some(old), Some(new)) = (name(&state, node, from), name(&state, folder, to)) else {
            return Err(Errno::STALE.into());
        };
        // What had the new name has none any more; what is below the old one moves along.
        state.paths.retain(|_, path| *path != new);
        for path in state.paths.values_mut() {
            if let Ok(rest) = path.strip_prefix(&old) {
                *path = if rest == Path::new("") {
                    new.clone()
                } else {
                    new.join(rest)
                };
            }
        }
        Ok(vec![])
    }

    fn read(&self, node: u64, offset: u64, size: u32) -> io::Result<Vec<u8>> {
        let file = File::open(self.path(node)?)?;
        let mut bytes = vec![0; size as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            match file.read_at(&mut bytes[filled..], offset + filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn read_folder(&self, node: u64, offset: u64, size: u32) -> io::Result<Vec<u8>> {
        let mut entries = fs::read_dir(self.path(node)?)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        let mut body = Vec::new();
        for (place, entry) in (1..).zip(&entries).filter(|(place, _)| *place > offset) {
            let next = fuse::folder_entry(place, &entry.file_name(), entry.path().is_dir());
            if body.len() + next.len() > size as usize {
                break;
            }
            body.extend(next);
        }
        Ok(body)
    }

    fn write(&self, node: u64, offset: u64, bytes: &[u8]) -> io::Result<Vec<u8>> {
        open(&self.path(node)?)?.write_all_at(bytes, offset)?;
        Ok(fuse::written(bytes.len()))
    }
}

enum Met {
    Nothing,
    Error(Errno),
    Short,
    Silence,
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).open(path)
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

const DEVICE: &str = "/dev/fuse";
const SHORT_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_there_and_what_fails_is_not() {
        if !rustix::process::geteuid().is_root() || obstacle().is_some() {
            println!("skipped: no file system in user space here");
            return;
        }
        let backing = workdir::create("backing");
        let shown = PassThrough::create(&backing);
        let folder = shown.path().join("folder");
        fs::create_dir(&folder).unwrap();
        let (old, new) = (folder.join("old"), folder.join("new"));
        fs::write(&old, "first").unwrap();
        File::open(&folder).unwrap().sync_all().unwrap();
        fs::rename(&old, &new).unwrap();
        assert_eq!(fs::read(&new).unwrap(), b"first");
        assert_eq!(fs::read(backing.join("folder/new")).unwrap(), b"first");
        let file = open(&new).unwrap();
        shown.set(Fault::Writes(Errno::IO));
        assert_eq!(
            file.write_at(b"SECOND", 0).unwrap_err().raw_os_error(),
            Some(Errno::IO.raw_os_error())
        );
        shown.set(Fault::Short(1));
        assert_eq!(file.write_at(&[b'x'; 1000], 0).unwrap(), SHORT_BYTES);
        assert_eq!(file.write_at(&[b'x'; 1000], 0).unwrap(), 1000);
        shown.set(Fault::Syncs(Errno::IO));
        file.sync_data().unwrap_err();
        assert_eq!(shown.hits(), 1);
        let names: Vec<_> = fs::read_dir(&folder).unwrap().flatten().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        fs::remove_file(&new).unwrap();
        fs::remove_dir(&folder).unwrap();
        assert!(!backing.join("folder").exists());
    }
}
