//! File systems that a test may cut, fill and break: an ext4 image on a loop device, a tmpfs of a
//! fixed size, one inside the other. Unmounted when dropped, innermost first; what a killed test
//! program leaves is unmounted by the next one before its folders are removed.
//!
//! An image on the file of another image stands for a disk with a volatile cache: what the inner
//! one has not flushed is in the outer one's page cache, and a cut of the outer one takes it.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::deadline::{self, secs};
use crate::workdir;

/// Why file systems cannot be mounted here, if they cannot: one is mounted, cut and unmounted.
#[must_use]
pub fn obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("mounting file systems needs root".into());
    }
    let attempt = || -> Result<(), String> {
        let memory = Mount::try_tmpfs("1m")?;
        let image = memory.path().join("image");
        let file = File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(512 << 10).map_err(|error| error.to_string())?;
        run("mkfs.ext4", &["-q", "-F", &text(&image)])?;
        let disk = Mount::try_image(&image, "")?;
        disk.try_cut()
    };
    attempt().err()
}

/// Whether a test that needs mounts has to be skipped; with CI set it fails instead.
pub fn is_skipped() -> bool {
    let Some(why) = obstacle() else {
        return false;
    };
    assert!(
        env::var_os("CI").is_none(),
        "CI has to run this test: {why}"
    );
    println!("skipped: {why}");
    true
}

/// A mounted file system.
#[derive(Debug)]
pub struct Mount {
    dir: PathBuf,
}

impl Mount {
    /// A new tmpfs; `size` as mount takes it, such as `64m`.
    pub fn tmpfs(size: &str) -> Self {
        Self::try_tmpfs(size).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_tmpfs(size: &str) -> Result<Self, String> {
        let dir = workdir::create("tmpfs");
        let size = format!("size={size},mode=0755");
        run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", &text(&dir)])?;
        Ok(Self { dir })
    }

    fn try_image(image: &Path, options: &str) -> Result<Self, String> {
        let dir = workdir::create("image");
        mount_image(image, &dir, options)?;
        Ok(Self { dir })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The power goes: the file system takes no more writes and forgets what it has not written,
    /// its journal included (FS_IOC_SHUTDOWN with FS_SHUTDOWN_FLAGS_NOLOGFLUSH, `linux/fs.h`). Perl
    /// is part of every Debian and spares these tests the only unsafe call.
    pub fn cut(&self) {
        self.try_cut().unwrap_or_else(|error| panic!("{error}"));
    }

    fn try_cut(&self) -> Result<(), String> {
        let script = "open(my $dir, '<', $ARGV[0]) or die \"open: $!\\n\"; \
                      my $flag = pack('L', 2); \
                      ioctl($dir, 0x8004587D, $flag) or die \"FS_IOC_SHUTDOWN: $!\\n\";";
        run("perl", &["-e", script, &text(&self.dir)])
    }

    /// Mounts it again with other options, such as another size.
    pub fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        run("mount", &["-o", &options, &text(&self.dir)]).unwrap_or_else(|e| panic!("{e}"));
    }

    /// Sets files aside so that about `left` bytes are free; removing the file gives the rest back.
    pub fn ballast(&self, left: u64) -> PathBuf {
        let path = self.dir.join("ballast");
        let stat = rustix::fs::statvfs(&self.dir).expect("it is mounted");
        let free = stat.f_bavail * stat.f_frsize;
        let file = File::create(&path).expect("there is room for a name");
        let flags = rustix::fs::FallocateFlags::empty();
        rustix::fs::fallocate(&file, flags, 0, free.saturating_sub(left).max(1))
            .expect("room that is free can be taken");
        path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        unmount(&self.dir);
    }
}

/// An ext4 file system in a file, mounted or not.
#[derive(Debug)]
pub struct Disk {
    mount: Option<Mount>,
    image: PathBuf,
    dir: PathBuf,
    options: String,
}

impl Disk {
    /// Makes one of `bytes` in the file `image`, which is sparse, and mounts it.
    pub fn create(image: &Path, bytes: u64) -> Self {
        Self::with(image, bytes, "")
    }

    /// Like `create`, with mount options.
    pub fn with(image: &Path, bytes: u64, options: &str) -> Self {
        let file = File::create(image).expect("the folder is writable");
        file.set_len(bytes).expect("a sparse file");
        let args = ["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"];
        run("mkfs.ext4", &[&args[..], &[&text(image)]].concat())
            .unwrap_or_else(|error| panic!("{error}"));
        let mut disk = Self {
            mount: None,
            image: image.to_path_buf(),
            dir: workdir::create("disk"),
            options: options.to_owned(),
        };
        disk.mount();
        disk
    }

    /// Mounts it again where it was.
    pub fn mount(&mut self) {
        assert!(self.mount.is_none(), "it is mounted");
        mount_image(&self.image, &self.dir, &self.options).unwrap_or_else(|e| panic!("{e}"));
        self.mount = Some(Mount {
            dir: self.dir.clone(),
        });
    }

    /// Unmounts it; whoever used it has ended.
    pub fn unmount(&mut self) {
        self.mount = None;
        assert!(
            !is_mounted(&self.dir),
            "{} is still in use",
            self.dir.display()
        );
    }

    /// The mounted file system.
    #[must_use]
    pub fn mounted(&self) -> &Mount {
        self.mount.as_ref().expect("it is mounted")
    }

    /// Where it is mounted, or was.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Lets the file system meet an error of its own, as a damaged one does: mounted with
    /// `errors=remount-ro` it takes no more writes.
    pub fn fail(&self) {
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("/proc is there");
        let dir = text(&self.dir);
        let device = mounts.lines().find_map(|line| {
            let is_it = line.split(' ').nth(4) == Some(&dir);
            let rest = line.split_once(" - ")?.1;
            is_it.then(|| rest.split(' ').nth(1).map(str::to_owned))?
        });
        let device = device.expect("it is mounted");
        let name = device.rsplit('/').next().expect("a device has a name");
        fs::write(format!("/sys/fs/ext4/{name}/trigger_fs_error"), "1").expect("ext4 has it");
    }
}

/// Unmounts whatever is mounted below `dir`, the newest first: what a test program left that was
/// killed.
pub fn release(dir: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let below: Vec<&str> = points
        .filter(|point| Path::new(point).starts_with(dir))
        .collect();
    for point in below.into_iter().rev() {
        unmount(Path::new(point));
    }
}

fn mount_image(image: &Path, dir: &Path, options: &str) -> Result<(), String> {
    let options = ["loop", options].join(",");
    let options = options.trim_end_matches(',');
    run(
        "mount",
        &["-t", "ext4", "-o", options, &text(image), &text(dir)],
    )
}

/// Unmounts `dir`. A process that was just killed may hold it for a moment; after that it is
/// detached, so that it goes with its last user.
pub(crate) fn unmount(dir: &Path) {
    let dir = text(dir);
    let gone = deadline::within(secs(5), || run("umount", &[&dir]).ok());
    if gone.is_none() {
        let _ = run("umount", &["-l", &dir]);
    }
}

fn is_mounted(dir: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let dir = text(dir);
    mounts
        .lines()
        .any(|line| line.split(' ').nth(4) == Some(&dir))
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let failed = |why: &str| format!("{program} {}: {}", args.join(" "), why.trim());
    match Command::new(program).args(args).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(failed(&String::from_utf8_lossy(&output.stderr))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(failed("is not installed")),
        Err(error) => Err(failed(&error.to_string())),
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_test_program_leaves_is_unmounted() {
        if is_skipped() {
            return;
        }
        let memory = Mount::tmpfs("32m");
        let image = memory.path().join("image");
        let disk = Disk::create(&image, 16 << 20);
        let dirs = [memory.path().to_path_buf(), disk.path().to_path_buf()];
        // As if nobody had dropped them.
        std::mem::forget((memory, disk));
        assert!(dirs.iter().all(|dir| is_mounted(dir)));
        dirs.iter().for_each(|dir| release(dir));
        assert!(!dirs.iter().any(|dir| is_mounted(dir)), "{dirs:?}");
    }

    #[test]
    fn a_cut_takes_what_was_not_forced_to_the_disk_and_a_failure_ends_the_writes() {
        if is_skipped() {
            return;
        }
        let memory = Mount::tmpfs("32m");
        let image = memory.path().join("image");
        let mut disk = Disk::with(&image, 16 << 20, "errors=remount-ro");
        let (kept, lost) = (disk.path().join("kept"), disk.path().join("lost"));
        fs::write(&kept, "kept").unwrap();
        rustix::fs::syncfs(File::open(disk.path()).unwrap()).unwrap();
        fs::write(&lost, "lost").unwrap();
        disk.mounted().cut();
        disk.unmount();
        disk.mount();
        assert!(kept.exists() && !lost.exists());
        disk.fail();
        fs::write(&lost, "lost").unwrap_err();
        assert_eq!(fs::read(&kept).unwrap(), b"kept");
    }
}
