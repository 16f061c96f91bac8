//! Everything that can be wrong before a node starts, checked before anything of it starts:
//! certificates, the data folder, every address. What passes is handed to the workers.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::identity::IdentityError;
use proto::link::{LinkConfig, LinkPems};
use proto::message::{Hello, Role};
use thiserror::Error;

use super::driver::{self, DriverChoice, DriverError};
use super::listen;
use crate::config::Config;
use crate::exit::Exit;

/// A node that may start.
pub(crate) struct Prepared {
    /// TLS of all links.
    pub(crate) link: Arc<LinkConfig>,
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
    /// A file of the node's identity cannot be read.
    #[error("{key} = {}: cannot read it: {error}", path.display())]
    Unreadable {
        /// The configuration key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The node's identity is wrong.
    #[error("{} (hostcert = {}, hostkey = {})", error, hostcert.display(), hostkey.display())]
    Identity {
        /// The certificate.
        hostcert: PathBuf,
        /// The key.
        hostkey: PathBuf,
        /// What is wrong.
        error: IdentityError,
    },
    /// The data folder cannot be used.
    #[error("data_dir = {}: {error}", path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The log file cannot be written.
    #[error("log_file = {}: {error}", path.display())]
    LogFile {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// An address cannot be bound.
    #[error("{key} = {address}: {}", bind_reason(error))]
    Bind {
        /// The configuration key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// io_uring was demanded and cannot be had.
    #[error(transparent)]
    Driver(#[from] DriverError),
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
            Self::Unreadable { .. } | Self::Identity { .. } => Exit::Certificates,
            Self::DataDir { .. } => Exit::Data,
            Self::LogFile { .. } | Self::Driver(_) => Exit::Usage,
            Self::Bind { .. } => Exit::Network,
            Self::System { .. } | Self::WorkerLost => Exit::Bug,
        }
    }
}

/// Checks everything and takes what must be taken.
pub(crate) fn prepare(config: &Config) -> Result<Prepared, ServeError> {
    let link = identity(config)?;
    if let Some(path) = &config.data_dir {
        data_dir(path).map_err(|error| ServeError::DataDir { path: path.clone(), error })?;
    }
    let choice = driver::choose(config.io_driver)?;
    let shards = usize::from(config.shards.max(1));
    let api = bind("api_address", config.api_address, shards)?;
    let p2p = bind("p2p_address", config.p2p_address, shards)?;
    let mut admin = bind("admin_address", config.admin_address, 1)?;
    let admin = admin.pop().ok_or(ServeError::WorkerLost)?;
    Ok(Prepared { link, choice, api, p2p, admin })
}

fn identity(config: &Config) -> Result<Arc<LinkConfig>, ServeError> {
    let ca_certs = config.ca_cert.iter().map(|path| read("ca_cert", path));
    let pems = LinkPems {
        key: read("hostkey", &config.hostkey)?,
        cert_chain: read("hostcert", &config.hostcert)?,
        ca_certs: ca_certs.collect::<Result<_, _>>()?,
    };
    let hello = Hello {
        role: Role::Node,
        name: config.advertise.clone(),
        params: config.ring_params(),
        features: 0,
    };
    let built = LinkConfig::new(&pems, hello)
        .and_then(|link| link.check_own().map(|()| link));
    built.map_err(|error| ServeError::Identity {
        hostcert: config.hostcert.clone(),
        hostkey: config.hostkey.clone(),
        error,
    })
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, ServeError> {
    fs::read(path).map_err(|error| ServeError::Unreadable { key, path: path.to_owned(), error })
}

/// The folder must be there, or be makeable, and writable: tried with a file.
fn data_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    let probe = path.join(".chordite-probe");
    fs::write(&probe, b"")?;
    fs::remove_file(&probe)
}

fn bind(
    key: &'static str,
    address: SocketAddr,
    count: usize,
) -> Result<Vec<TcpListener>, ServeError> {
    listen::bind(address, count).map_err(|error| ServeError::Bind { key, address, error })
}

fn bind_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is in use by another program".into(),
        io::ErrorKind::AddrNotAvailable => "this host has no such address".into(),
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege".into(),
        _ => format!("cannot listen there: {error}"),
    }
}
