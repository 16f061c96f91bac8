//! How a worker talks to the kernel: io_uring where it works, epoll where it does not, with the
//! reason in one line. Probing uses a ring of the size the workers use, because small rings succeed
//! where the memory-lock limit refuses real ones.

use std::io;
use std::thread;
use std::time::Duration;

use io_uring::{IoUring, Probe, opcode};
use monoio::time::TimeDriver;
use monoio::{FusionRuntime, IoUringDriver, LegacyDriver, RuntimeBuilder};
use thiserror::Error;

use super::limits::RING_ENTRIES;
use crate::config::IoDriver;

/// A worker's runtime, with timers, on either driver.
pub(crate) type WorkerRuntime = FusionRuntime<TimeDriver<IoUringDriver>, TimeDriver<LegacyDriver>>;

/// What the workers use, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct DriverChoice {
    /// The driver.
    pub(crate) driver: Driver,
    /// Why this one, for the log and the status.
    pub(crate) reason: String,
}

/// A way to talk to the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Driver {
    /// io_uring with completions deferred to the worker's own waits: the cheapest way.
    Deferred,
    /// io_uring of kernels older than 6.1.
    Plain,
    /// epoll.
    Epoll,
}

/// A worker cannot have the runtime it needs.
#[derive(Debug, Error)]
pub(crate) enum DriverError {
    /// io_uring was demanded and cannot be had (the operator's to mend).
    #[error("io_driver = io_uring, but {0}")]
    Demanded(String),
    /// Not even epoll can be had (the system's fault).
    #[error("epoll cannot be had: {0}")]
    Epoll(io::Error),
}

impl Driver {
    /// The name the setting `io_driver` has for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Deferred | Self::Plain => "io_uring",
            Self::Epoll => "epoll",
        }
    }

    /// Whether operations go through a ring.
    pub(crate) const fn is_uring(self) -> bool {
        matches!(self, Self::Deferred | Self::Plain)
    }
}

/// Decides what the workers use, by trying it.
pub(crate) fn choose(setting: IoDriver) -> Result<DriverChoice, DriverError> {
    if setting == IoDriver::Epoll {
        return Ok(DriverChoice {
            driver: Driver::Epoll,
            reason: "io_driver = epoll".into(),
        });
    }
    match (probe(), setting) {
        (Ok(choice), _) => Ok(choice),
        (Err(reason), IoDriver::IoUring) => Err(DriverError::Demanded(reason)),
        (Err(reason), _) => Ok(DriverChoice {
            driver: Driver::Epoll,
            reason,
        }),
    }
}

/// Builds the runtime of the calling thread. When a ring that probing had found cannot be had any
/// more, the worker runs on epoll and says why, unless io_uring is demanded.
pub(crate) fn build(
    choice: &DriverChoice,
    setting: IoDriver,
) -> Result<(WorkerRuntime, DriverChoice), DriverError> {
    if choice.driver.is_uring() {
        let urb = uring_builder(choice.driver);
        let ring = retry_no_memory(|| {
            let builder = RuntimeBuilder::<IoUringDriver>::new();
            builder
                .with_entries(RING_ENTRIES)
                .uring_builder(urb.clone())
                .enable_timer()
                .build()
        });
        match ring {
            Ok(runtime) => return Ok((runtime.into(), choice.clone())),
            Err(error) if setting == IoDriver::IoUring => {
                return Err(DriverError::Demanded(refusal(&error)));
            }
            Err(error) => return build_epoll(refusal(&error)),
        }
    }
    build_epoll(choice.reason.clone())
}

fn build_epoll(reason: String) -> Result<(WorkerRuntime, DriverChoice), DriverError> {
    let runtime = RuntimeBuilder::<LegacyDriver>::new().enable_timer().build();
    let runtime = runtime.map_err(DriverError::Epoll)?;
    Ok((
        runtime.into(),
        DriverChoice {
            driver: Driver::Epoll,
            reason,
        },
    ))
}

fn probe() -> Result<DriverChoice, String> {
    let defer_error = match retry_no_memory(|| try_ring(Driver::Deferred)) {
        Ok(()) => {
            let reason = "io_uring with DEFER_TASKRUN and SINGLE_ISSUER works".into();
            return Ok(DriverChoice {
                driver: Driver::Deferred,
                reason,
            });
        }
        Err(error) => error,
    };
    if defer_error.raw_os_error() != Some(EINVAL) {
        return Err(refusal(&defer_error));
    }
    match retry_no_memory(|| try_ring(Driver::Plain)) {
        Ok(()) => {
            let reason = "io_uring without DEFER_TASKRUN, which needs Linux 6.1".into();
            Ok(DriverChoice {
                driver: Driver::Plain,
                reason,
            })
        }
        Err(error) => Err(refusal(&error)),
    }
}

fn try_ring(driver: Driver) -> io::Result<()> {
    let ring: IoUring = uring_builder(driver).build(RING_ENTRIES)?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    match OPERATIONS
        .iter()
        .find(|(code, _)| !probe.is_supported(*code))
    {
        None => Ok(()),
        Some((_, name)) => Err(io::Error::other(format!(
            "the kernel's io_uring lacks {name}"
        ))),
    }
}

fn uring_builder(driver: Driver) -> io_uring::Builder {
    let mut builder = IoUring::builder();
    if driver == Driver::Deferred {
        builder.setup_single_issuer().setup_defer_taskrun();
    }
    builder
}

/// Ring memory comes back only some time after a ring is closed, so a node that restarts may have
/// to wait for its predecessor's.
fn retry_no_memory<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..NO_MEMORY_RETRIES {
        match attempt() {
            Err(error) if error.raw_os_error() == Some(ENOMEM) => thread::sleep(NO_MEMORY_PAUSE),
            result => return result,
        }
    }
    attempt()
}

/// Why the kernel gives no ring, in words.
fn refusal(error: &io::Error) -> String {
    let why = match error.raw_os_error() {
        Some(EPERM | EACCES) => "a seccomp profile or kernel.io_uring_disabled forbids it",
        Some(ENOSYS) => "this kernel or container has none",
        Some(ENOMEM) => "RLIMIT_MEMLOCK (ulimit -l) leaves no memory for another ring",
        Some(EMFILE) => "the limit of open files (ulimit -n) is reached",
        _ => return format!("io_uring cannot be used: {error}"),
    };
    format!("io_uring cannot be used: {why} ({error})")
}

/// What a worker's operations need.
const OPERATIONS: [(u8, &str); 11] = [
    (opcode::Accept::CODE, "accept"),
    (opcode::AsyncCancel::CODE, "cancel"),
    (opcode::Close::CODE, "close"),
    (opcode::Connect::CODE, "connect"),
    (opcode::Fsync::CODE, "fsync"),
    (opcode::PollAdd::CODE, "poll"),
    (opcode::Read::CODE, "read"),
    (opcode::Recv::CODE, "recv"),
    (opcode::Send::CODE, "send"),
    (opcode::Timeout::CODE, "timeout"),
    (opcode::Write::CODE, "write"),
];

const NO_MEMORY_RETRIES: u32 = 20;
const NO_MEMORY_PAUSE: Duration = Duration::from_millis(25);

// Linux error numbers, which are the same on every architecture io_uring and this node run on.
const EPERM: i32 = 1;
const ENOMEM: i32 = 12;
const EACCES: i32 = 13;
const EINVAL: i32 = 22;
const EMFILE: i32 = 24;
const ENOSYS: i32 = 38;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epoll_is_taken_when_it_is_asked_for() {
        let choice = choose(IoDriver::Epoll).expect("epoll is always there");
        assert_eq!(choice.driver, Driver::Epoll);
        build(&choice, IoDriver::Epoll).expect("epoll builds");
    }

    #[test]
    fn refusals_name_their_cause() {
        let refused = refusal(&io::Error::from_raw_os_error(EPERM));
        assert!(refused.contains("seccomp"), "{refused}");
        let memory = refusal(&io::Error::from_raw_os_error(ENOMEM));
        assert!(memory.contains("RLIMIT_MEMLOCK"), "{memory}");
    }
}
