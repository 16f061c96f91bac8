//! Whether the other side is who it should be: its certificate, once it has verified, and its
//! Hello.

use rustls::Connection;

use super::error::role_name;
use super::{LinkError, Side, server_name};
use crate::identity::{self, CertIdentity};
use crate::message::{Hello, Role};
use crate::tls::{ALPN, is_for_host};

/// Reads and checks what the verified certificate of the peer says. Its ring must be ours; who was
/// dialled must be a node, and the one that was meant.
pub(super) fn certified(
    tls: &Connection,
    side: &Side,
    ours: &Hello,
) -> Result<CertIdentity, LinkError> {
    if tls.alpn_protocol() != Some(ALPN) {
        return Err(LinkError::OtherProtocol);
    }
    let chain = tls.peer_certificates().unwrap_or_default();
    let leaf = chain.first().ok_or(LinkError::NoCertificate)?;
    let theirs = identity::read(leaf).map_err(LinkError::Identity)?;
    if *theirs.ring != *ours.params.ring {
        return Err(other_ring(ours, &theirs.ring));
    }
    let Side::Dialled(dialled) = side else {
        return Ok(theirs);
    };
    let got = theirs.name.clone();
    if theirs.role != Role::Node {
        return Err(LinkError::NotANode { got });
    }
    if let Some(dialled) = dialled
        && (*dialled != theirs.name || !is_for_host(leaf, &server_name(dialled)?))
    {
        let dialled = dialled.clone();
        return Err(LinkError::WrongNode { dialled, got });
    }
    Ok(theirs)
}

/// Checks the peer's Hello against its certificate, and against ours: the ring's name always, its
/// parameters between nodes.
pub(super) fn check(ours: &Hello, theirs: &Hello, cert: &CertIdentity) -> Result<(), LinkError> {
    if theirs.name != cert.name || theirs.role != cert.role {
        return Err(LinkError::HelloMismatch {
            said: format!("{} {}", role_name(theirs.role), theirs.name),
            certified: format!("{} {}", role_name(cert.role), cert.name),
        });
    }
    if theirs.params.ring != ours.params.ring {
        return Err(other_ring(ours, &theirs.params.ring));
    }
    if theirs.role == Role::Client || ours.role == Role::Client {
        return Ok(());
    }
    let (our, their) = (&ours.params, &theirs.params);
    let (own, other) = (our.virtual_nodes_max, their.virtual_nodes_max);
    for (what, ours, theirs) in [
        ("successors", our.successors.into(), their.successors.into()),
        (
            "replication",
            our.replication.into(),
            their.replication.into(),
        ),
        ("virtual_nodes_max", own.into(), other.into()),
        ("value_max", our.value_max, their.value_max),
    ] {
        if ours != theirs {
            return Err(LinkError::OtherParams { what, ours, theirs });
        }
    }
    Ok(())
}

fn other_ring(ours: &Hello, theirs: &str) -> LinkError {
    LinkError::OtherRing {
        ours: ours.params.ring.to_string(),
        theirs: theirs.to_owned(),
    }
}
