//! What a node needs of its host: kernel, io_uring, limits, clock. Nothing of it keeps a node from
//! running but a clock at which no certificate is valid.

use std::io;
use std::time::{Duration, SystemTime};

use io_uring::IoUring;
use node::exit::Exit;
use rustix::process::{Resource, getrlimit};

use super::Finding;
use crate::cli::failure::Failure;
use crate::cli::utc;

/// All findings about the host.
pub(super) fn examine() -> Vec<Finding> {
    vec![
        kernel(),
        uring(),
        locked_memory(),
        open_files(),
        cores(),
        clock(),
    ]
}

fn kernel() -> Finding {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let detail = format!("Linux {release}");
    match version(&release) {
        Some(version) if version < KERNEL_MIN => Finding::warn(
            "kernel",
            detail,
            "before 5.11 cores use epoll; a newer one is faster",
        ),
        Some(_) => Finding::fine("kernel", detail),
        None => Finding::warn("kernel", detail, "its version is not understood"),
    }
}

/// Major and minor version of `6.18.44-something`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Probed with the ring size that the cores use, because small rings are sometimes granted where
/// larger ones are not.
fn uring() -> Finding {
    let Err(error) = IoUring::new(RING_ENTRIES) else {
        return Finding::fine("io_uring", format!("available ({RING_ENTRIES} entries)"));
    };
    let why = format!("refused: {error}");
    Finding::warn("io_uring", why, uring_advice(&error))
}

fn uring_advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(EPERM) => {
            "cores use epoll; allow it in the container's seccomp profile or in \
             /proc/sys/kernel/io_uring_disabled"
        }
        Some(ENOSYS) => "cores use epoll; the kernel or the sandbox has no io_uring",
        Some(ENOMEM) => "cores use epoll; raise the limit of locked memory (ulimit -l)",
        _ => "cores use epoll",
    }
}

fn locked_memory() -> Finding {
    let needed = RING_BYTES * processors();
    match getrlimit(Resource::Memlock).current {
        Some(bytes) if bytes < needed => Finding::warn(
            "locked memory",
            format!("{bytes} bytes, {needed} needed for one io_uring a core"),
            "raise it (ulimit -l, LimitMEMLOCK=)",
        ),
        Some(bytes) => Finding::fine("locked memory", format!("{bytes} bytes")),
        None => Finding::fine("locked memory", "unlimited"),
    }
}

fn open_files() -> Finding {
    match getrlimit(Resource::Nofile).current {
        Some(files) if files < OPEN_FILES_MIN => Finding::warn(
            "open files",
            format!("{files}, each client and each link takes one"),
            "raise it to 65536 (ulimit -n, LimitNOFILE=)",
        ),
        Some(files) => Finding::fine("open files", files.to_string()),
        None => Finding::fine("open files", "unlimited"),
    }
}

fn cores() -> Finding {
    Finding::fine("cores", processors().to_string())
}

fn processors() -> u64 {
    std::thread::available_parallelism().map_or(1, usize::from) as u64
}

/// Certificates and version stamps both need a clock that is about right.
fn clock() -> Finding {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    let detail = utc::show(now.as_secs());
    if now < CLOCK_MIN {
        let failure = Failure::new(Exit::Certificates, format!("{detail}, which is long past"));
        return Finding::fail(
            "clock",
            failure,
            "set it; no certificate is valid at that time",
        );
    }
    Finding::fine("clock", detail)
}

const KERNEL_MIN: (u32, u32) = (5, 11);
const RING_ENTRIES: u32 = 256;
/// What a ring of 256 entries was measured to take of the limit: 292 fit into 8 MiB.
const RING_BYTES: u64 = 8 * 1024 * 1024 / 292 + 1;
const OPEN_FILES_MIN: u64 = 4_096;
/// The start of 2025: this program is younger.
const CLOCK_MIN: Duration = Duration::from_secs(1_735_689_600);
const EPERM: i32 = 1;
const ENOMEM: i32 = 12;
const ENOSYS: i32 = 38;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_releases_have_a_version() {
        assert_eq!(version("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(version("5.4.0"), Some((5, 4)));
        assert_eq!(version("gnu"), None);
    }
}
