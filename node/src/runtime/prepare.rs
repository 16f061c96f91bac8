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

use super::data_folder::{DataFolder, DataFolderError, Owner};
use super::driver::{self, DriverChoice, DriverError};
use super::listen;
use super::worker::ShardError;
use crate::config::Config;
use crate::engine::wal::recovery::RecoveryError;
use crate::exit::Exit;
use crate::rewrite::{RewriteError, recovery_exit};
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
    /// The data folder; without one everything stays in memory.
    pub(crate) data: Option<DataFolder>,
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
        error: DataFolderError,
    },
    /// The log of a shard cannot be used.
    #[error("{at}: data_dir = {}: shard {shard}: {error}", path.display())]
    Log {
        /// File and line of the setting, a variable or a flag.
        at: String,
        /// The folder.
        path: PathBuf,
        /// The shard.
        shard: u8,
        /// Why.
        error: RecoveryError,
    },
    /// The log cannot be given another number of shards.
    #[error("{at}: data_dir = {}: re-sharding: {error}", path.display())]
    Reshard {
        /// File and line of the setting, a variable or a flag.
        at: String,
        /// The folder.
        path: PathBuf,
        /// Why.
        error: RewriteError,
    },
    /// The records of a shard do not fit into its memory.
    #[error("{at}: memory_max = {bytes}: shard {shard}: {error}")]
    Memory {
        /// File and line of the setting, a variable or a flag.
        at: String,
        /// The setting, in bytes.
        bytes: u64,
        /// The shard.
        shard: u8,
        /// Why.
        error: RecoveryError,
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
            Self::DataDir { error, .. } => error.exit(),
            Self::Reshard { error, .. } => error.exit(),
            Self::Log { error, .. } => recovery_exit(error),
            Self::LogFile { .. } | Self::Driver { .. } | Self::Memory { .. } => Exit::Usage,
            Self::Bind { .. } => Exit::Network,
            Self::System { .. } | Self::WorkerLost => Exit::Bug,
        }
    }

    /// The data folder of a node configured by `config` cannot be used.
    pub(crate) fn data(config: &Config, error: DataFolderError) -> Self {
        Self::DataDir {
            at: config.place_of("data_dir").to_owned(),
            path: config.data_dir.clone().unwrap_or_default(),
            error,
        }
    }

    /// The data folder of a node configured by `config` cannot be given as many shards.
    pub(super) fn reshard(config: &Config, error: RewriteError) -> Self {
        let RewriteError::Recovery { shard, error } = error else {
            return Self::Reshard {
                at: config.place_of("data_dir").to_owned(),
                path: config.data_dir.clone().unwrap_or_default(),
                error,
            };
        };
        let shard = u8::try_from(shard).unwrap_or(u8::MAX);
        Self::shard(config, shard, ShardError::Log(error))
    }

    /// A shard of a node configured by `config` cannot be used.
    pub(crate) fn shard(config: &Config, shard: u8, error: ShardError) -> Self {
        match error {
            ShardError::Log(error @ RecoveryError::Memory { .. }) => Self::Memory {
                at: config.place_of("memory_max").to_owned(),
                bytes: config.memory_max,
                shard,
                error,
            },
            ShardError::Log(error) => Self::Log {
                at: config.place_of("data_dir").to_owned(),
                path: config.data_dir.clone().unwrap_or_default(),
                shard,
                error,
            },
            ShardError::Io(error) => Self::data(
                config,
                DataFolderError::Io {
                    what: format!("use the log of shard {shard}"),
                    error,
                },
            ),
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
    listen::open(&admin).map_err(|error| bind_failed(config, "admin_address", error))?;
    // Last, because it leaves a trace: a node that does not start creates no folder.
    let data = config.data_dir.as_deref().map(|path| data(config, path));
    let data = data.transpose()?;
    Ok(Prepared {
        link,
        certificate_expiry,
        choice,
        api,
        p2p,
        admin,
        data,
    })
}

fn data(config: &Config, path: &Path) -> Result<DataFolder, ServeError> {
    DataFolder::open(path, &Owner::of(config)).map_err(|error| ServeError::data(config, error))
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

fn bind(
    config: &Config,
    key: &'static str,
    address: SocketAddr,
    count: usize,
) -> Result<Vec<TcpListener>, ServeError> {
    listen::bind(address, count).map_err(|error| bind_failed(config, key, error))
}

/// The address of a node configured by `config` that `key` sets cannot be listened on.
pub(super) fn bind_failed(config: &Config, key: &'static str, error: io::Error) -> ServeError {
    let address = match key {
        "api_address" => config.api_address,
        "p2p_address" => config.p2p_address,
        _ => config.admin_address,
    };
    let at = config.place_of(key).to_owned();
    ServeError::Bind {
        at,
        key,
        address,
        error,
    }
}

fn bind_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is in use by another program".into(),
        io::ErrorKind::AddrNotAvailable => "this host has no such address".into(),
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege".into(),
        _ => format!("cannot listen there: {error}"),
    }
}
