//! The rustls configurations of a link, built from PEM: TLS 1.3 only, both sides verified against
//! the ring's CAs, ALPN `chordite/1`, no tickets and no resumption (a resumed session would reuse
//! an identity without verifying it again).
//!
//! The ring provider is given explicitly, with AES-128-GCM and X25519 first. Which host a node's
//! certificate is for is checked by `link` right after the handshake, not inside it: an alert could
//! not carry the reason to the other side.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::ring::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, InconsistentKeys,
    RootCertStore, ServerConfig, SignatureScheme,
};

use crate::identity::{self, CertIdentity, IdentityError};
use crate::message::Role;

/// The protocol both sides name in the handshake.
pub const ALPN: &[u8] = b"chordite/1";

/// The texts of a node's or client's identity, as they stand in its files.
#[derive(Clone)]
pub struct LinkPems {
    /// The private key: PKCS#8, SEC1 or PKCS#1.
    pub key: Vec<u8>,
    /// The certificate, followed by intermediate ones if there are any.
    pub cert_chain: Vec<u8>,
    /// The ring's CA certificates: one text a file, each with one or more certificates.
    pub ca_certs: Vec<Vec<u8>>,
}

/// Both configurations and what the own certificate says.
#[derive(Debug)]
pub(crate) struct TlsSetup {
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) own: CertIdentity,
    chain: Vec<CertificateDer<'static>>,
    servers: Arc<RingServerVerifier>,
    clients: Arc<RingClientVerifier>,
}

impl TlsSetup {
    /// Builds both configurations; everything wrong with the files shows here.
    pub(crate) fn new(pems: &LinkPems) -> Result<Self, IdentityError> {
        let provider = Arc::new(provider());
        let chain = identity::certificates(CERTIFICATE, &pems.cert_chain)?;
        let own = identity::read(chain.first().map_or(&[][..], |leaf| leaf))?;
        let key = Arc::new(SingleCertAndKey::from(certified_key(
            &provider, &chain, &pems.key,
        )?));
        let roots = Arc::new(roots(&pems.ca_certs)?);
        let servers = Arc::new(RingServerVerifier {
            roots: roots.clone(),
            provider: provider.clone(),
        });
        let clients = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
            .build()
            .map_err(|error| unusable(CA_CERTIFICATE, &error))?;
        let clients = Arc::new(RingClientVerifier(clients));

        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| unusable(CERTIFICATE, &error))?
            .dangerous()
            .with_custom_certificate_verifier(servers.clone())
            .with_client_cert_resolver(key.clone());
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.resumption = Resumption::disabled();

        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| unusable(CERTIFICATE, &error))?
            .with_client_cert_verifier(clients.clone())
            .with_cert_resolver(key);
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;

        Ok(Self {
            client: Arc::new(client),
            server: Arc::new(server),
            own,
            chain,
            servers,
            clients,
        })
    }

    /// Whether peers with the same CA certificates take the own certificate now.
    pub(crate) fn check_own(&self) -> Result<(), IdentityError> {
        let refused = |error: rustls::Error| IdentityError::Untrusted {
            why: crate::link::tls_reason(&error),
        };
        let Some((leaf, intermediates)) = self.chain.split_first() else {
            return Err(IdentityError::Missing { what: CERTIFICATE });
        };
        let now = UnixTime::now();
        let clients = self.clients.verify_client_cert(leaf, intermediates, now);
        clients.map_err(refused)?;
        if self.own.role == Role::Node {
            let servers = self.servers.verify_chain(leaf, intermediates, now);
            servers.map_err(refused)?;
        }
        Ok(())
    }
}

/// Whether the certificate is good for the host that was dialled, by the rules of webpki.
pub(crate) fn is_for_host(cert: &CertificateDer<'_>, host: &ServerName<'_>) -> bool {
    ParsedCertificate::try_from(cert)
        .is_ok_and(|cert| rustls::client::verify_server_name(&cert, host).is_ok())
}

/// Verifies that a server's certificate chain leads to a CA of the ring, is within its dates and
/// for servers; the name is left to the identity checks after the handshake.
#[derive(Debug)]
struct RingServerVerifier {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl RingServerVerifier {
    fn verify_chain(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(leaf)?,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )
        .map_err(stranger)
    }
}

impl ServerCertVerifier for RingServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify_chain(end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Verifies clients' and dialling nodes' certificates as webpki does.
#[derive(Debug)]
struct RingClientVerifier(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for RingClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // A ring's peers have one certificate each: there is nothing to choose by.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.0.verify_client_cert(end_entity, intermediates, now);
        verified.map_err(stranger)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// A CA of another ring that has the same name as ours shows as a bad signature. What it means is
/// that the issuer is a stranger, and so both sides are told.
fn stranger(error: rustls::Error) -> rustls::Error {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::BadSignature) => {
            CertificateError::UnknownIssuer.into()
        }
        other => other,
    }
}

/// AES-128-GCM costs half of what ChaCha20 does with AES instructions, X25519 less than the NIST
/// curves (PERFORMANCE.md).
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        ..default_provider()
    }
}

fn certified_key(
    provider: &CryptoProvider,
    chain: &[CertificateDer<'static>],
    key_pem: &[u8],
) -> Result<CertifiedKey, IdentityError> {
    use rustls::pki_types::pem::Error::NoItemsFound;
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|error| match error {
        NoItemsFound => IdentityError::Missing { what: PRIVATE_KEY },
        error => IdentityError::Pem {
            what: PRIVATE_KEY,
            why: identity::pem_reason(&error),
        },
    })?;
    match CertifiedKey::from_der(chain.to_vec(), key, provider) {
        Ok(key) => Ok(key),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(IdentityError::KeyMismatch)
        }
        Err(error) => Err(unusable(PRIVATE_KEY, &error)),
    }
}

fn roots(ca_certs: &[Vec<u8>]) -> Result<RootCertStore, IdentityError> {
    let mut roots = RootCertStore::empty();
    for pem in ca_certs {
        for cert in identity::certificates(CA_CERTIFICATE, pem)? {
            let added = roots.add(cert);
            added.map_err(|error| unusable(CA_CERTIFICATE, &error))?;
        }
    }
    if roots.is_empty() {
        return Err(IdentityError::Missing {
            what: CA_CERTIFICATE,
        });
    }
    Ok(roots)
}

fn unusable(what: &'static str, error: &dyn std::fmt::Display) -> IdentityError {
    IdentityError::Unusable {
        what,
        why: error.to_string(),
    }
}

const PRIVATE_KEY: &str = "private key";
const CERTIFICATE: &str = "certificate";
const CA_CERTIFICATE: &str = "CA certificate";
