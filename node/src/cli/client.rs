//! A client of a ring for the command line: over the DHT API, or with an identity over the native
//! API. Blocking, one request at a time, every request with a deadline.

mod api;
mod native;
mod socket;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use node::exit::Exit;
use proto::key::Key;
use proto::message::{Failed, FailureCode, Route, Stored};
use proto::peer::NodeName;
use proto::version::Version;

use super::failure::Failure;
use super::{address, duration, utc};
use api::ApiClient;
use native::NativeClient;

/// Which node to talk to, and how.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClientArgs {
    /// The node: its DHT API address, or with --identity its name [default: 127.0.0.1:7401, with
    /// --identity 127.0.0.1:7501]
    #[arg(short = 'a', long = "address", value_name = "HOST:PORT", value_parser = address::parse)]
    address: Option<NodeName>,
    /// Use the native API with the client identity in this folder (key.pem, cert.pem, ca.pem)
    #[arg(long, value_name = "DIR")]
    identity: Option<PathBuf>,
    /// Give up after this time (500ms, 10s, 1m)
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    timeout: Duration,
}

/// A connection to a node.
#[derive(Debug)]
pub(crate) enum Client {
    /// Over the DHT API.
    Api(ApiClient),
    /// Over the native API.
    Native(Box<NativeClient>),
}

/// What to store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewValue<'a> {
    /// Its key.
    pub(crate) key: &'a Key,
    /// Lifetime in seconds; 0 takes the node's default.
    pub(crate) ttl_s: u32,
    /// Replicas wanted; 0 takes the ring's. Without effect until there is replication.
    pub(crate) replication: u8,
    /// 1 to 65,495 bytes.
    pub(crate) value: &'a [u8],
}

/// A value that was read.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) value: Vec<u8>,
    /// What only the native API tells.
    pub(crate) about: Option<About>,
}

/// What the native API tells of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    version: Version,
    expiry_ms: u64,
    route: Route,
}

impl ClientArgs {
    /// The limit of each request.
    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Connects.
    pub(crate) fn connect(&self) -> Result<Client, Failure> {
        let default = if self.identity.is_some() {
            DEFAULT_PEER
        } else {
            DEFAULT_API
        };
        let default = || NodeName::parse(default).expect("the default names a node");
        let name = self.address.clone().unwrap_or_else(default);
        match &self.identity {
            None => Ok(Client::Api(ApiClient::connect(&name, self.timeout)?)),
            Some(dir) => {
                let client = NativeClient::connect(&name, dir, self.timeout)?;
                Ok(Client::Native(Box::new(client)))
            }
        }
    }
}

impl Client {
    /// Reads a key; `None` when it is absent.
    pub(crate) fn get(&mut self, key: &Key) -> Result<Option<Got>, Failure> {
        match self {
            Self::Api(api) => api.get(key),
            Self::Native(native) => native.get(key),
        }
    }

    /// Stores a value and gives the line that says so.
    pub(crate) fn put(&mut self, new: &NewValue<'_>) -> Result<String, Failure> {
        match self {
            Self::Api(api) => api.put(new),
            Self::Native(native) => native.put(new).map(|stored| stored_line("stored", &stored)),
        }
    }

    /// Deletes a key and gives the line that says so; `None` when it is absent.
    pub(crate) fn delete(&mut self, key: &Key) -> Result<Option<String>, Failure> {
        match self {
            Self::Api(_) => Err(Failure::usage("the DHT API cannot delete: give --identity")),
            Self::Native(native) => {
                let deleted = native.delete(key)?;
                Ok(deleted.map(|stored| stored_line("deleted", &stored)))
            }
        }
    }
}

/// For people, on one line.
impl std::fmt::Display for About {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let version = shown_version(&self.version);
        write!(f, "version {version}, {}", shown_route(&self.route))?;
        if self.expiry_ms > 0 {
            write!(f, ", expires {}", utc::show(self.expiry_ms / 1_000))?;
        }
        Ok(())
    }
}

fn stored_line(what: &str, stored: &Stored) -> String {
    let version = shown_version(&stored.version);
    let hosts = if stored.hosts == 1 { "host" } else { "hosts" };
    format!(
        "{what}: version {version} on {} {hosts}, {}",
        stored.hosts,
        shown_route(&stored.route)
    )
}

fn shown_version(version: &Version) -> String {
    format!("{:016x}.{:016x}", version.stamp, version.node)
}

fn shown_route(route: &Route) -> String {
    let cached = if route.cached {
        ", owner from the arc cache"
    } else {
        ""
    };
    format!("{} rpcs, {} timeouts{cached}", route.rpcs, route.timeouts)
}

/// The failure that a node answered.
fn refused(failed: &Failed) -> Failure {
    let exit = match failed.code {
        FailureCode::Invalid => Exit::Usage,
        FailureCode::Forbidden => Exit::Certificates,
        FailureCode::MemoryFull | FailureCode::StorageFull | FailureCode::StorageFailed => {
            Exit::Storage
        }
        FailureCode::Overloaded
        | FailureCode::NoRoute
        | FailureCode::NotMember
        | FailureCode::Unknown => Exit::Network,
    };
    Failure::new(exit, format!("the node says: {}", failed.reason))
}

const DEFAULT_API: &str = "127.0.0.1:7401";
const DEFAULT_PEER: &str = "127.0.0.1:7501";
