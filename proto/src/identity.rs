//! Who a certificate says its holder is.
//!
//! A certificate of the ring carries exactly one SAN URI, `chordite://RING/HOST:PORT` for a node
//! and `chordite://RING/HOST:PORT?role=client` for a client, and HOST once more as a SAN of type
//! DNS name or IP address, letter for letter (no wildcards). [`read`] trusts nothing: it may be
//! given any bytes. That a CA of the ring has signed them is for `tls` to check.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::message::Role;
use crate::peer::{NodeName, RingParams};

/// The SAN URI of a certificate for `name` in `ring`.
#[must_use]
pub fn uri(ring: &str, name: &NodeName, role: Role) -> String {
    match role {
        Role::Node => format!("{SCHEME}{ring}/{name}"),
        Role::Client => format!("{SCHEME}{ring}/{name}{CLIENT_QUERY}"),
    }
}

/// What a certificate says of its holder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertIdentity {
    /// The ring it is for.
    pub ring: String,
    /// The name its holder advertises.
    pub name: NodeName,
    /// What its holder may do.
    pub role: Role,
}

/// Reads the identity from a DER certificate: one SAN URI of ours, whose host is also among the
/// other SANs.
pub fn read(cert_der: &[u8]) -> Result<CertIdentity, IdentityError> {
    let facts = inspect(cert_der)?;
    let ours = |uri: &&String| uri.starts_with(SCHEME);
    let mut uris = facts.uris.iter().filter(ours);
    let identity = match (uris.next(), uris.next()) {
        (Some(uri), None) => parse_uri(uri)?,
        (Some(_), Some(_)) => return Err(IdentityError::ManyUris),
        (None, _) => return Err(IdentityError::NoUri),
    };
    if facts.hosts.iter().any(|host| same_host(host, &identity)) {
        return Ok(identity);
    }
    Err(IdentityError::HostNotInSan {
        name: identity.name,
        san: facts.hosts.join(", "),
    })
}

/// Reads the identity from the first certificate of a PEM text: the holder's own, before those of
/// intermediate authorities.
pub fn read_pem(pem: &[u8]) -> Result<CertIdentity, IdentityError> {
    let certs = certificates("certificate", pem)?;
    read(certs.first().map_or(&[][..], |cert| cert))
}

/// What an operator wants to know of a certificate (`chordite doctor`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertFacts {
    /// Distinguished name of the holder.
    pub subject: String,
    /// Distinguished name of who signed it.
    pub issuer: String,
    /// Serial number, hexadecimal with colons.
    pub serial: String,
    /// Start of validity, seconds since 1970.
    pub not_before_s: i64,
    /// End of validity, seconds since 1970.
    pub not_after_s: i64,
    /// SANs of type URI.
    pub uris: Vec<String>,
    /// SANs of type DNS name and IP address, as text.
    pub hosts: Vec<String>,
    /// Whether it may sign others.
    pub is_ca: bool,
    /// Whether its extended key usage lets its holder act as a TLS server; true without the
    /// extension.
    pub server_auth: bool,
    /// Whether its extended key usage lets its holder act as a TLS client; true without the
    /// extension.
    pub client_auth: bool,
}

/// Reads the facts of a DER certificate.
pub fn inspect(cert_der: &[u8]) -> Result<CertFacts, IdentityError> {
    let bad = |_| IdentityError::NotACertificate;
    let (_, cert) = X509Certificate::from_der(cert_der).map_err(bad)?;
    let san = cert
        .subject_alternative_name()
        .map_err(|_| IdentityError::NotACertificate)?;
    let names = san.map_or(&[][..], |san| &san.value.general_names);
    let usage = cert.extended_key_usage().ok().flatten();
    let usage = usage.map(|usage| usage.value);
    Ok(CertFacts {
        subject: cert.subject().to_string(),
        issuer: cert.issuer().to_string(),
        serial: cert.raw_serial_as_string(),
        not_before_s: cert.validity().not_before.timestamp(),
        not_after_s: cert.validity().not_after.timestamp(),
        uris: names.iter().filter_map(uri_text).collect(),
        hosts: names.iter().filter_map(host_text).collect(),
        is_ca: cert.is_ca(),
        server_auth: usage.is_none_or(|usage| usage.any || usage.server_auth),
        client_auth: usage.is_none_or(|usage| usage.any || usage.client_auth),
    })
}

/// Reads the facts of every certificate in a PEM file.
pub fn inspect_pem(pem: &[u8]) -> Result<Vec<CertFacts>, IdentityError> {
    let certs = certificates("certificate", pem)?;
    certs.iter().map(|cert| inspect(cert)).collect()
}

/// What is wrong with a certificate, a key or a set of them. Of one's own it is the operator's
/// fault; inside a `LinkError` it is about the peer's.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum IdentityError {
    /// Not an X.509 certificate.
    #[error("it is not a readable X.509 certificate")]
    NotACertificate,
    /// No SAN URI of ours.
    #[error("it has no SAN URI chordite://RING/HOST:PORT")]
    NoUri,
    /// More than one SAN URI of ours.
    #[error("it has more than one SAN URI chordite://…")]
    ManyUris,
    /// A SAN URI of ours that does not parse.
    #[error("its SAN URI `{uri}` is wrong: {why}")]
    BadUri {
        /// The URI.
        uri: String,
        /// What is wrong with it.
        why: String,
    },
    /// The host of the URI is not among the other SANs.
    #[error("its SAN URI is for {name}, but its other SANs are [{san}]")]
    HostNotInSan {
        /// The name in the URI.
        name: NodeName,
        /// DNS names and IP addresses.
        san: String,
    },
    /// The PEM text cannot be read.
    #[error("the {what} is not readable PEM: {why}")]
    Pem {
        /// `private key`, `certificate` or `CA certificate`.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The PEM text has nothing of the wanted sort.
    #[error("there is no {what} in the PEM text")]
    Missing {
        /// `private key`, `certificate` or `CA certificate`.
        what: &'static str,
    },
    /// The private key does not belong to the certificate.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// The TLS library does not take it.
    #[error("the {what} cannot be used: {why}")]
    Unusable {
        /// `private key`, `certificate` or `CA certificate`.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// One's own certificate is for something other than what is configured.
    #[error("the certificate is for {what} {certified}, but {configured} is configured")]
    NotAsConfigured {
        /// `ring`, `node` or `role`.
        what: &'static str,
        /// What the certificate says.
        certified: String,
        /// What the configuration says.
        configured: String,
    },
    /// Peers with the same CA certificates would refuse one's own certificate.
    #[error("the certificate would be refused by other nodes: {why}")]
    Untrusted {
        /// Why.
        why: String,
    },
}

/// All certificates of a PEM text, at least one.
pub(crate) fn certificates(
    what: &'static str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| IdentityError::Pem {
        what,
        why: pem_reason(&error),
    })?;
    if all.is_empty() {
        return Err(IdentityError::Missing { what });
    }
    Ok(all)
}

/// What the PEM reader found wrong, in words: its own texts show bytes as numbers.
pub(crate) fn pem_reason(error: &pem::Error) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("the END line of `{}` is missing", text(end_marker))
        }
        pem::Error::IllegalSectionStart { line } => {
            format!("the line `{}` is no proper start of a section", text(line))
        }
        pem::Error::Base64Decode(why) => format!("the base64 text is wrong ({why})"),
        other => other.to_string(),
    }
}

fn parse_uri(uri: &str) -> Result<CertIdentity, IdentityError> {
    let bad = |why: String| IdentityError::BadUri {
        uri: uri.chars().take(URI_CHARS_SHOWN).collect(),
        why,
    };
    let rest = uri.strip_prefix(SCHEME).unwrap_or(uri);
    let (rest, role) = match rest.strip_suffix(CLIENT_QUERY) {
        Some(rest) => (rest, Role::Client),
        None => (rest, Role::Node),
    };
    let Some((ring, name)) = rest.split_once('/') else {
        return Err(bad("there is no / after the ring".into()));
    };
    if !RingParams::is_ring_name(ring) {
        return Err(bad("the ring's name is not one".into()));
    }
    let name = NodeName::parse(name).map_err(|error| bad(error.to_string()))?;
    Ok(CertIdentity {
        ring: ring.to_owned(),
        name,
        role,
    })
}

fn same_host(san: &str, identity: &CertIdentity) -> bool {
    let host = identity.name.host();
    match (san.parse::<IpAddr>(), host.parse::<IpAddr>()) {
        (Ok(san), Ok(host)) => san == host,
        (Err(_), Err(_)) => san.eq_ignore_ascii_case(host),
        _ => false,
    }
}

fn uri_text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    }
}

fn host_text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(host) => Some((*host).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let ip = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            ip.ok().map(|ip| ip.to_string())
        }
        _ => None,
    }
}

const SCHEME: &str = "chordite://";
const CLIENT_QUERY: &str = "?role=client";
const URI_CHARS_SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn uris_are_read_as_they_are_written() {
        for name in ["127.0.0.1:7501", "[::1]:1", "node-1.example.org:7501"] {
            for role in [Role::Node, Role::Client] {
                let name = NodeName::parse(name).unwrap();
                let identity = parse_uri(&uri("my.ring", &name, role)).unwrap();
                let ring = "my.ring".to_owned();
                assert_eq!(identity, CertIdentity { ring, name, role });
            }
        }
    }

    #[test]
    fn wrong_uris_say_why() {
        for (uri, why) in [
            ("chordite://ring", "no / after the ring"),
            ("chordite:///host:1", "the ring's name"),
            ("chordite://a b/host:1", "the ring's name"),
            ("chordite://ring/host", "no port"),
            ("chordite://ring/host:1?role=king", "the port"),
        ] {
            let error = parse_uri(uri).unwrap_err().to_string();
            assert!(error.contains(why), "{uri}: {error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn arbitrary_bytes_are_no_certificate(bytes: Vec<u8>) {
            prop_assert!(read(&bytes).is_err());
        }
    }
}
