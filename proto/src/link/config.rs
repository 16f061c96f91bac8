//! What all links of a node or client share: the TLS configurations and what it says of itself.
//! Refuses a certificate that says another ring, name or role than the configuration.

use std::sync::Arc;

use super::error::role_name;
use crate::frame::PROTOCOL_VERSION;
use crate::identity::{self, IdentityError};
use crate::limits::VALUE_BYTES_MAX;
use crate::message::{Hello, Role};
use crate::peer::RingParams;
use crate::tls::{LinkPems, TlsSetup};

/// What all links of a node or client have in common.
#[derive(Debug)]
pub struct LinkConfig {
    pub(super) tls: TlsSetup,
    pub(super) hello: Hello,
    /// The version in the headers of Hello and Refuse, and the one expected: ours, but in tests.
    pub(super) version: u8,
}

impl LinkConfig {
    /// Builds the TLS configurations. `hello` is what this side says of itself; ring, name and role
    /// in it must be those of its certificate.
    pub fn new(pems: &LinkPems, hello: Hello) -> Result<Arc<Self>, IdentityError> {
        let tls = TlsSetup::new(pems)?;
        as_configured("ring", &tls.own.ring, &*hello.params.ring)?;
        as_configured("node", &tls.own.name, &hello.name)?;
        let role = role_name;
        as_configured("role", role(tls.own.role), role(hello.role))?;
        Ok(Arc::new(Self {
            tls,
            hello,
            version: PROTOCOL_VERSION,
        }))
    }

    /// As `new` for a client, which says of itself what its certificate says. The ring's parameters
    /// it learns from `Link::peer_hello`; those it names itself are the defaults and nobody
    /// compares them.
    pub fn for_client(pems: &LinkPems) -> Result<Arc<Self>, IdentityError> {
        let own = identity::read_pem(&pems.cert_chain)?;
        let hello = Hello {
            role: own.role,
            name: own.name,
            params: RingParams {
                ring: own.ring.into(),
                successors: 16,
                replication: 3,
                virtual_nodes_max: 64,
                value_max: VALUE_BYTES_MAX as u32,
            },
            features: 0,
        };
        as_configured("role", role_name(hello.role), role_name(Role::Client))?;
        Self::new(pems, hello)
    }

    /// Whether nodes with the same CA certificates would take our own certificate now: signed by
    /// one of them, within its dates, for this use.
    pub fn check_own(&self) -> Result<(), IdentityError> {
        self.tls.check_own()
    }

    /// What this side says of itself.
    #[must_use]
    pub const fn hello(&self) -> &Hello {
        &self.hello
    }
}

fn as_configured<T: PartialEq<U> + ToString + ?Sized, U: ToString + ?Sized>(
    what: &'static str,
    certified: &T,
    configured: &U,
) -> Result<(), IdentityError> {
    if certified == configured {
        return Ok(());
    }
    Err(IdentityError::NotAsConfigured {
        what,
        certified: certified.to_string(),
        configured: configured.to_string(),
    })
}
