//! Addresses given on the command line: `HOST:PORT`, resolved when they are used. A host may have
//! several; whoever connects tries them in turn.

use std::net::{SocketAddr, ToSocketAddrs};

use node::exit::Exit;
use proto::peer::NodeName;

use super::failure::Failure;

/// For clap: a `HOST:PORT`.
pub(crate) fn parse(text: &str) -> Result<NodeName, String> {
    NodeName::parse(text).map_err(|error| error.to_string())
}

/// Every socket address behind `name`, at least one.
pub(crate) fn resolve(name: &NodeName) -> Result<Vec<SocketAddr>, Failure> {
    let unknown = |why: String| Failure::new(Exit::Network, format!("{name}: {why}"));
    let resolved = name.as_str().to_socket_addrs();
    let found: Vec<SocketAddr> = resolved
        .map_err(|error| unknown(error.to_string()))?
        .collect();
    if found.is_empty() {
        return Err(unknown("the host has no address".into()));
    }
    Ok(found)
}
