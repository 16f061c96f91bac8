//! Everything that can be wrong before a node starts, checked before anything of it starts:
//! certificates, the data folder, every address. What passes is handed to the workers.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proto::identity;
use proto::link::LinkConfig;
use rustix::process::{Resource, getrlimit, setrlimit};
use thiserror::Error;

use super::driver::{self, DriverChoice, DriverError};
use super::listen;
use crate::config::Config;
use crate::exit::Exit;
use crate::trust::{self, TrustError};

/// A node that may start.
pub(crate) struct Prepared {
    /// TLS of all links.
    pub(crate) link: Arc<LinkConfig>,
    /// When the first certificate of its chain expires, since 1970.
    pub(crate) certificate_expiry: Option<Duration>,
    /// What the workers use.
    pub(crate) choice: DriverChoice,
    /// Listeners of the DHT API, one a core.
    pub(crate) api: Vec<TcpListener>,
    /// Listeners for peers, one a core.
    pub(crate) p2p: Vec<TcpListener>,
    /// The listener of the admin server.
    pub(crate) admin: TcpListener,
}

/// Why a node does not start, or stopped other than asked to.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The node's key or certificates cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The data folder cannot be used.
    #[error("{at}: data_dir = {}: {error}", path.display())]
    DataDir {
        /// File and line of the setting, a variable or a flag.
        at: String,
        /// The folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The log file cannot be written.
    #[error("{at}: log_file = {}: {error}", path.display())]
    LogFile {
        /// File and line of the setting, a variable or a flag.
        at: String,
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// An address cannot be bound.
    #[error("{at}: {key} = {address}: {}", bind_reason(error))]
    Bind {
        /// File and line of the setting, a variable or a flag.
        at: String,
        /// The configuration key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// io_uring was demanded and cannot be had.
    #[error("{at}: io_driver = io_uring, but {reason}")]
    Driver {
        /// File and line of the setting, a variable or a flag.
        at: String,
        /// Why.
        reason: String,
    },
    /// The system refused something no node can do without.
    #[error("{what}: {error}")]
    System {
        /// What was asked.
        what: &'static str,
        /// The system's answer.
        error: io::Error,
    },
    /// A worker ended by itself.
    #[error("a worker thread ended unexpectedly; this is a bug")]
    WorkerLost,
}

impl ServeError {
    /// The exit code it ends the process with.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Trust(_) => Exit::Certificates,
            Self::DataDir { .. } => Exit::Data,
            Self::LogFile { .. } | Self::Driver { .. } => Exit::Usage,
            Self::Bind { .. } => Exit::Network,
            Self::System { .. } | Self::WorkerLost => Exit::Bug,
        }
    }

    /// A worker of a node configured by `config` cannot have its runtime.
    pub(crate) fn driver(config: &Config, error: DriverError) -> Self {
        match error {
            DriverError::Demanded(reason) => {
                let at = config.place_of("io_driver").to_owned();
                Self::Driver { at, reason }
            }
            DriverError::Epoll(error) => Self::System {
                what: "making an epoll instance",
                error,
            },
        }
    }
}

/// Checks everything and takes what must be taken.
pub(crate) fn prepare(config: &Config) -> Result<Prepared, ServeError> {
    let link = trust::node_links(config)?;
    let certificate_expiry = certificate_expiry(config);
    raise_file_limit();
    let choice = driver::choose(config.io_driver);
    let choice = choice.map_err(|error| ServeError::driver(config, error))?;
    let shards = usize::from(config.shards.max(1));
    let api = bind(config, "api_address", config.api_address, shards)?;
    let p2p = bind(config, "p2p_address", config.p2p_address, shards)?;
    let mut admin = bind(config, "admin_address", config.admin_address, 1)?;
    let admin = admin.pop().ok_or(ServeError::WorkerLost)?;
    // Last, because it leaves a trace: a node that does not start creates no folder.
    if let Some(path) = &config.data_dir {
        data_dir(path).map_err(|error| {
            let at = config.place_of("data_dir").to_owned();
            ServeError::DataDir {
                at,
                path: path.clone(),
                error,
            }
        })?;
    }
    Ok(Prepared {
        link,
        certificate_expiry,
        choice,
        api,
        p2p,
        admin,
    })
}

/// The end of the first certificate of the node's own chain, for the metrics. What could be wrong
/// with the file was found when the links were configured.
fn certificate_expiry(config: &Config) -> Option<Duration> {
    let facts = identity::inspect_pem(&fs::read(&config.hostcert).ok()?).ok()?;
    let end_s = facts.iter().map(|cert| cert.not_after_s).min()?;
    u64::try_from(end_s).ok().map(Duration::from_secs)
}

/// Every connection takes two descriptors, and the soft limit of 1,024 is there for programs that
/// use `select`, which none of this does.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

/// The folder must be there, or be makeable, and writable: tried with a file.
fn data_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    let probe = path.join(".chordite-probe");
    fs::write(&probe, b"")?;
    fs::remove_file(&probe)
}

fn bind(
    config: &Config,
    key: &'static str,
    address: SocketAddr,
    count: usize,
) -> Result<Vec<TcpListener>, ServeError> {
    listen::bind(address, count).map_err(|error| {
        let at = config.place_of(key).to_owned();
        ServeError::Bind {
            at,
            key,
            address,
            error,
        }
    })
}

fn bind_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is in use by another program".into(),
        io::ErrorKind::AddrNotAvailable => "this host has no such address".into(),
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege".into(),
        _ => format!("cannot listen there: {error}"),
    }
}
