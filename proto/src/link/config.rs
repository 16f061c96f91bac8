//! What all links of a node or client share: the TLS configurations and what it says of itself.

use std::sync::Arc;

use super::error::role_name;
use crate::frame::PROTOCOL_VERSION;
use crate::identity::IdentityError;
use crate::message::Hello;
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

    /// Whether nodes with the same CA certificates would take our own certificate now: signed by one
    /// of them, within its dates, for this use.
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
