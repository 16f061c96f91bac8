//! What a node needs of its configuration beyond valid keys: certificates, free ports, names that
//! resolve, folders that can be written.

use std::net::{SocketAddr, TcpListener};
use std::time::SystemTime;
use std::{fs, io};

use node::config::Config;
use node::exit::Exit;
use node::trust;
use proto::identity;
use proto::peer::NodeName;

use super::{Finding, data};
use crate::cli::address;
use crate::cli::failure::Failure;

/// All findings about a configuration.
pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = vec![certificates(config)];
    findings.extend(expiry(config));
    findings.extend([
        port(config, "api_address", config.api_address),
        port(config, "p2p_address", config.p2p_address),
        port(config, "admin_address", config.admin_address),
    ]);
    findings.push(exposure(config));
    findings.extend(config.bootstrapper.iter().map(name));
    findings.push(name(&config.advertise));
    match config.data_dir.as_deref() {
        Some(dir) => findings.extend(data::examine(config, dir)),
        None => findings.push(Finding::warn(
            "data_dir",
            "blank: nothing survives a restart",
            "name a folder of this user",
        )),
    }
    findings
}

fn certificates(config: &Config) -> Finding {
    match trust::node_links(config) {
        Ok(_) => Finding::fine("certificates", format!("good for {}", config.advertise)),
        Err(error) => Finding::fail(
            "certificates",
            error.into(),
            "`chordite ca issue` writes a matching set of files",
        ),
    }
}

/// Days until the first of the node's certificates expires, when they can be read.
fn expiry(config: &Config) -> Option<Finding> {
    let facts = identity::inspect_pem(&fs::read(&config.hostcert).ok()?).ok()?;
    let end_s = facts.iter().map(|cert| cert.not_after_s).min()?;
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()?;
    let days = (end_s - i64::try_from(now.as_secs()).ok()?) / 86_400;
    let detail = format!("the certificate is valid for {days} more days");
    Some(if days < DAYS_MIN {
        Finding::warn("expiry", detail, "issue a new one in time")
    } else {
        Finding::fine("expiry", detail)
    })
}

fn port(config: &Config, key: &'static str, address: SocketAddr) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::fine(key, format!("{address} is free")),
        Err(error) => {
            let message = format!("{}: {key} = {address}: {error}", config.place_of(key));
            let advice = match error.kind() {
                io::ErrorKind::AddrInUse => "another program, or this node itself, listens there",
                io::ErrorKind::AddrNotAvailable => "this host has no such address",
                io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege",
                _ => "",
            };
            Finding::fail(key, Failure::new(Exit::Network, message), advice)
        }
    }
}

/// The DHT API and the admin server let everybody in who reaches them.
fn exposure(config: &Config) -> Finding {
    let open = [
        ("api_address", config.api_address),
        ("admin_address", config.admin_address),
    ];
    let open = open
        .into_iter()
        .filter(|(_, address)| !address.ip().is_loopback());
    let open: Vec<String> = open
        .map(|(key, address)| format!("{key} = {address}"))
        .collect();
    if open.is_empty() {
        return Finding::fine("exposure", "DHT API and admin server are on loopback");
    }
    let advice = "they have no authentication: keep strangers out with a firewall";
    Finding::warn("exposure", open.join(", "), advice)
}

fn name(name: &NodeName) -> Finding {
    match address::resolve(name) {
        Ok(addresses) => Finding::fine("name", format!("{name} is {}", addresses[0])),
        Err(failure) => Finding::fail("name", failure, "mend DNS or /etc/hosts"),
    }
}

const DAYS_MIN: i64 = 30;

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_taken_port_is_a_failure_with_its_place() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let finding = port(&Config::defaults(), "api_address", address);
        assert_eq!(finding.verdict, Verdict::Fail(Exit::Network));
        assert!(
            finding
                .detail
                .starts_with("default: api_address = 127.0.0.1:"),
            "{finding:?}"
        );
    }

    #[test]
    fn an_open_api_is_a_warning() {
        let mut config = Config::defaults();
        assert_eq!(exposure(&config).verdict, Verdict::Fine);
        config.api_address = "0.0.0.0:7401".parse().unwrap();
        assert_eq!(exposure(&config).verdict, Verdict::Warn);
    }
}
