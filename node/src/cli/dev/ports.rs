//! The ports of a local ring: counted upwards from given ones, or free ones.
//!
//! Free ports are looked for below the kernel's range for outgoing connections: a port of that
//! range could be taken by any connection while a killed node is about to start again on it.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use node::exit::Exit;

use crate::cli::failure::Failure;

/// Ports of one node: DHT API, peers, admin.
pub(super) type Ports = [u16; 3];

/// Ports for `nodes` nodes, counted upwards from `first`, where 0 stands for free ones.
pub(super) fn assign(first: Ports, nodes: u16) -> Result<Vec<Ports>, Failure> {
    let wanted = first.iter().filter(|port| **port == 0).count() * usize::from(nodes);
    let mut free = free(wanted)?.into_iter();
    let mut ports = Vec::new();
    for index in 0..nodes {
        let mut node = first;
        for port in &mut node {
            *port = match *port {
                0 => free.next().expect("as many were looked for"),
                first => first
                    .checked_add(index)
                    .ok_or_else(|| too_high(first, nodes))?,
            };
        }
        ports.push(node);
    }
    let mut all: Vec<u16> = ports.iter().flatten().copied().collect();
    all.sort_unstable();
    match all.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Failure::usage(format!(
            "port {} would be used twice by {nodes} nodes; choose --api-port, --p2p-port and \
             --admin-port further apart",
            pair[0]
        ))),
        None => Ok(ports),
    }
}

fn too_high(first: u16, nodes: u16) -> Failure {
    Failure::usage(format!(
        "{nodes} ports counted upwards from {first} go beyond 65535"
    ))
}

/// `count` different ports that nobody listens on at this moment. The search starts at a place that
/// depends on the process, so that two local rings started at once do not race for the same ports.
fn free(count: usize) -> Result<Vec<u16>, Failure> {
    let end = ephemeral_start().max(LOWEST + 1_000);
    let span = u32::from(end - LOWEST);
    let start = std::process::id().wrapping_mul(331) % span;
    let candidates =
        (0..span).map(|step| LOWEST + u16::try_from((start + step) % span).unwrap_or(0));
    // Listeners are kept until all are found, so that none is found twice.
    let listeners: Vec<(u16, TcpListener)> = candidates
        .filter_map(|port| Some((port, TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?)))
        .take(count)
        .collect();
    if listeners.len() < count {
        return Err(Failure::new(
            Exit::Network,
            format!("there are no {count} free ports"),
        ));
    }
    Ok(listeners.into_iter().map(|(port, _)| port).collect())
}

/// The first port the kernel gives to outgoing connections.
fn ephemeral_start() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = range
        .split_whitespace()
        .next()
        .and_then(|first| first.parse().ok());
    first.unwrap_or(32_768)
}

const LOWEST: u16 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_counted_upwards_or_free() {
        let ports = assign([7401, 0, 7601], 3).unwrap();
        assert_eq!([ports[2][0], ports[2][2]], [7403, 7603]);
        assert!(ports.iter().all(|node| node[1] >= LOWEST));
    }

    #[test]
    fn overlapping_or_impossible_ports_are_refused() {
        assert!(assign([7401, 7501, 7601], 100).is_ok());
        let error = assign([7401, 7501, 7601], 101).unwrap_err();
        assert!(
            error.message.starts_with("port 7501 would be used twice"),
            "{error:?}"
        );
        assert!(assign([65_535, 1, 2], 2).is_err());
    }
}
