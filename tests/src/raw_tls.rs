//! TLS by hand: a client that shows whatever certificate it likes, or none, and sends whatever
//! bytes it likes. For what `proto::link` would never do.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::codec;
use proto::message::{Hello, Message, RequestId};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme,
    SupportedProtocolVersion, version,
};

use crate::certs::Pems;
use crate::circle;

/// What the client offers in the handshake.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Key and certificate, if any.
    pub pems: Option<Pems>,
    /// The protocols it names.
    pub alpn: Vec<&'static str>,
    /// The TLS versions it speaks.
    pub versions: Vec<&'static SupportedProtocolVersion>,
}

impl Offer {
    /// What a well-behaved client with this identity offers.
    #[must_use]
    pub fn with(pems: &Pems) -> Self {
        Self {
            pems: Some(pems.clone()),
            ..Self::anonymous()
        }
    }

    /// The same without a certificate.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            pems: None,
            alpn: vec!["chordite/1"],
            versions: vec![&version::TLS13],
        }
    }

    /// TLS 1.2 and nothing newer.
    #[must_use]
    pub fn tls12(mut self) -> Self {
        self.versions = vec![&version::TLS12];
        self
    }
}

/// One connection.
#[derive(Debug)]
pub struct RawTls {
    tls: ClientConnection,
    stream: TcpStream,
    plain: Vec<u8>,
}

impl RawTls {
    /// Connects and does the client's side of the handshake; the error is what the node says.
    pub fn connect(addr: SocketAddr, offer: &Offer) -> Result<Self, String> {
        let name = ServerName::from(addr.ip());
        let tls = ClientConnection::new(Arc::new(config(offer)), name);
        let tls = tls.map_err(|error| error.to_string())?;
        let stream = TcpStream::connect(addr).map_err(|error| error.to_string())?;
        let mut raw = Self {
            tls,
            stream,
            plain: Vec::new(),
        };
        let end = Instant::now() + LIMIT;
        while raw.tls.is_handshaking() {
            raw.turn(end)?;
        }
        raw.flush()?;
        Ok(raw)
    }

    /// Sends bytes inside TLS.
    pub fn send(&mut self, bytes: &[u8]) {
        self.tls.writer().write_all(bytes).expect("a small message");
        let _ = self.flush();
    }

    /// Sends a Hello that may say anything.
    pub fn send_hello(&mut self, hello: &Hello) {
        let mut frame = Vec::new();
        codec::encode(&mut frame, RequestId(0), &Message::Hello(hello.clone()));
        self.send(&frame);
    }

    /// Why the node ends the connection: the reason of its Refuse, or its TLS alert.
    pub fn reason(&mut self) -> String {
        let end = Instant::now() + LIMIT;
        let ended = loop {
            if let Err(error) = self.turn(end) {
                break error;
            }
        };
        let params = circle::params("any");
        let refuse = codec::frames(&self.plain).flatten().find_map(|frame| {
            match codec::decode(&params, frame.header.kind, frame.body) {
                Ok(Message::Refuse(refuse)) => Some(refuse.reason),
                _ => None,
            }
        });
        refuse.unwrap_or(ended)
    }

    /// Reads once; the error says how the connection ended.
    fn turn(&mut self, end: Instant) -> Result<(), String> {
        self.flush()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("silence until the deadline".into());
        }
        self.stream
            .set_read_timeout(Some(left))
            .map_err(|error| error.to_string())?;
        let read = match self.tls.read_tls(&mut self.stream) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.to_string()),
        };
        let state = self
            .tls
            .process_new_packets()
            .map_err(|error| error.to_string())?;
        let mut plain = vec![0; state.plaintext_bytes_to_read()];
        if self.tls.reader().read_exact(&mut plain).is_ok() {
            self.plain.extend_from_slice(&plain);
        }
        if read == 0 {
            Err("closed without a reason".into())
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), String> {
        while self.tls.wants_write() {
            self.tls
                .write_tls(&mut self.stream)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

fn config(offer: &Offer) -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&offer.versions)
        .expect("versions the provider has")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)));
    let mut config = match &offer.pems {
        None => config.with_no_client_auth(),
        Some(pems) => {
            let certs = CertificateDer::pem_slice_iter(pems.cert.as_bytes());
            let certs = certs.collect::<Result<Vec<_>, _>>().expect("PEM");
            let key = PrivateKeyDer::from_pem_slice(pems.key.as_bytes()).expect("PEM");
            config
                .with_client_auth_cert(certs, key)
                .expect("a key of its certificate")
        }
    };
    config.alpn_protocols = offer
        .alpn
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    config
}

/// Takes every server for the right one: here the server's judgement is the subject.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Longest wait for anything on a connection.
const LIMIT: Duration = Duration::from_secs(10);
