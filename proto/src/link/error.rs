//! Why a link cannot be: one sentence for our own log, and one for the operator of the other side.
//! Made from what rustls, the codec and the checks of the Hello find; nothing is decided here.

use rustls::{AlertDescription, CertificateError, PeerIncompatible};
use thiserror::Error;

use crate::codec::{DecodeError, kind};
use crate::frame::FrameError;
use crate::identity::IdentityError;
use crate::limits::HANDSHAKE_BYTES_MAX;
use crate::message::Role;
use crate::peer::NodeName;

/// Why a link failed. The text says whose fault it is; after it nothing more is read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum LinkError {
    /// The first byte is not that of TLS.
    #[error("the peer speaks plaintext where TLS is expected (first byte {first:#04x})")]
    Plaintext {
        /// The first byte.
        first: u8,
    },
    /// The peer refused us and said why: in a TLS alert or in a Refuse.
    #[error("the peer refused us: {reason}")]
    Refused {
        /// Its reason.
        reason: String,
    },
    /// The peer shows no certificate.
    #[error("the peer shows no certificate")]
    NoCertificate,
    /// The peer's certificate does not verify.
    #[error("the peer's certificate is refused: {why}")]
    Certificate {
        /// Why.
        why: String,
    },
    /// The peer's certificate verifies but does not say who the peer is.
    #[error("the peer's certificate is refused: {0}")]
    Identity(IdentityError),
    /// Someone else is where we dialled.
    #[error("the peer's certificate is for {got}, but {dialled} was dialled")]
    WrongNode {
        /// Whom we dialled.
        dialled: NodeName,
        /// Who is there.
        got: NodeName,
    },
    /// A client's certificate where a node is expected.
    #[error("the peer {got} was dialled as a node, but its certificate is a client's")]
    NotANode {
        /// Who is there.
        got: NodeName,
    },
    /// Another ring.
    #[error("the peer is of ring `{theirs}`, we are of ring `{ours}`")]
    OtherRing {
        /// Our ring.
        ours: String,
        /// The peer's.
        theirs: String,
    },
    /// Same ring, other parameters.
    #[error("the peer's ring has {what} {theirs}, ours has {ours}: all nodes need the same")]
    OtherParams {
        /// The configuration key.
        what: &'static str,
        /// Our value.
        ours: u32,
        /// The peer's.
        theirs: u32,
    },
    /// The Hello contradicts the certificate.
    #[error("the peer says it is {said}, but its certificate is for {certified}")]
    HelloMismatch {
        /// Name and role of the Hello.
        said: String,
        /// Name and role of the certificate.
        certified: String,
    },
    /// No ALPN, or another one.
    #[error("the peer speaks TLS, but not the protocol chordite/1")]
    OtherProtocol,
    /// Bytes that are no frame of ours; another protocol version.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// A Hello or Refuse that cannot be read.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// A message before the Hellos, or a second Hello.
    #[error("the peer sent {} where it may not", kind::name(*kind))]
    Unexpected {
        /// The kind of the message.
        kind: u8,
    },
    /// A client that speaks like a node.
    #[error("the peer's client certificate may not send {}", kind::name(*kind))]
    Forbidden {
        /// The kind of the message.
        kind: u8,
    },
    /// A handshake above its limit.
    #[error("the peer sent more than {HANDSHAKE_BYTES_MAX} bytes before its Hello")]
    HandshakeTooLong,
    /// The TLS layer broke: bad record, wrong state, unsupported version.
    #[error("the peer broke the TLS protocol: {why}")]
    Tls {
        /// What the TLS library says.
        why: String,
    },
    /// The connection ended before both Hellos were through.
    #[error("the peer closed the connection before the Hello exchange was done")]
    ClosedEarly,
    /// The connection ended without a farewell or within a message.
    #[error("the connection to the peer broke off")]
    BrokenOff,
    /// The host of a node name cannot be used as a TLS server name.
    #[error("{name} cannot be dialled: its host is no TLS server name")]
    Undiallable {
        /// The name.
        name: NodeName,
    },
    /// We refused the link ourselves, see `Link::refuse`.
    #[error("we refused the peer: {reason}")]
    RefusedByUs {
        /// The reason we gave.
        reason: String,
    },
}

impl LinkError {
    /// The sentence for the operator of the other side, in a Refuse; `None` when there is nothing
    /// it does not know, or when the TLS alert says it.
    pub(super) fn refusal(&self) -> Option<String> {
        let text = match self {
            Self::Refused { .. }
            | Self::NoCertificate
            | Self::Certificate { .. }
            | Self::Tls { .. }
            | Self::Plaintext { .. }
            | Self::ClosedEarly
            | Self::BrokenOff
            | Self::Undiallable { .. } => return None,
            Self::Identity(error) => format!("your certificate is refused: {error}"),
            Self::WrongNode { dialled, got } => {
                format!("{dialled} was dialled, but your certificate is for {got}")
            }
            Self::NotANode { got } => {
                format!("{got} was dialled as a node, but your certificate is a client's")
            }
            Self::OtherRing { ours, theirs } => {
                format!("you are of ring `{theirs}`, this is ring `{ours}`")
            }
            Self::OtherParams { what, ours, theirs } => {
                format!("your {what} is {theirs}, this ring has {ours}: all nodes need the same")
            }
            Self::HelloMismatch { said, certified } => {
                format!("you say you are {said}, but your certificate is for {certified}")
            }
            Self::OtherProtocol => "only the protocol chordite/1 is spoken here".to_owned(),
            Self::Frame(FrameError::Version { ours, theirs }) => {
                format!("protocol version mismatch: you speak {theirs}, this node speaks {ours}")
            }
            Self::Frame(error) => format!("you sent bytes that are no frame: {error}"),
            Self::Decode(error) => format!("about you: {error}"),
            Self::Unexpected { kind } => format!("you may not send {} here", kind::name(*kind)),
            Self::Forbidden { kind } => {
                let name = kind::name(*kind);
                format!("a client certificate may not send {name}; nodes only")
            }
            Self::HandshakeTooLong => format!("more than {HANDSHAKE_BYTES_MAX} bytes of handshake"),
            Self::RefusedByUs { reason } => reason.clone(),
        };
        Some(text)
    }
}

/// What a TLS error means for the link.
impl From<rustls::Error> for LinkError {
    fn from(error: rustls::Error) -> Self {
        let why = tls_reason(&error);
        match error {
            rustls::Error::AlertReceived(_) => Self::Refused { reason: why },
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::InvalidCertificate(_) => Self::Certificate { why },
            rustls::Error::NoApplicationProtocol => Self::OtherProtocol,
            _ => Self::Tls { why },
        }
    }
}

/// A TLS error in words for people.
pub(crate) fn tls_reason(error: &rustls::Error) -> String {
    match error {
        rustls::Error::AlertReceived(alert) => alert_reason(*alert),
        rustls::Error::InvalidCertificate(error) => certificate_reason(error),
        rustls::Error::PeerIncompatible(
            PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => "it does not offer TLS 1.3".to_owned(),
        other => other.to_string(),
    }
}

fn alert_reason(alert: AlertDescription) -> String {
    use AlertDescription as Alert;
    let text = match alert {
        Alert::CertificateRequired => "it requires a certificate and we showed none",
        Alert::UnknownCA => "our certificate is not signed by a CA it trusts",
        Alert::CertificateExpired => "our certificate has expired or is not valid yet",
        Alert::CertificateRevoked => "our certificate is revoked",
        Alert::BadCertificate => "our certificate is not acceptable to it",
        Alert::UnsupportedCertificate => "our certificate is not for this purpose (key usage)",
        Alert::CertificateUnknown => "it could not accept our certificate",
        Alert::AccessDenied => "our certificate gives us no access",
        Alert::DecryptError => "the signature of our certificate or handshake does not verify",
        Alert::NoApplicationProtocol => "it does not speak the protocol chordite/1 on this port",
        Alert::ProtocolVersion => "it does not speak TLS 1.3",
        Alert::HandshakeFailure => "no common TLS parameters",
        Alert::UnrecognisedName => "it does not know the host name we dialled",
        other => return format!("TLS alert {other:?}"),
    };
    text.to_owned()
}

fn certificate_reason(error: &CertificateError) -> String {
    let text = match error {
        CertificateError::Expired => "it has expired",
        CertificateError::ExpiredContext { time, not_after } => {
            let since = time.as_secs().saturating_sub(not_after.as_secs());
            return format!("it has expired {} ago", duration(since));
        }
        CertificateError::NotValidYet => "it is not valid yet: check the clocks",
        CertificateError::NotValidYetContext { time, not_before } => {
            let wait = not_before.as_secs().saturating_sub(time.as_secs());
            let wait = duration(wait);
            return format!("it becomes valid only in {wait}: check the clocks");
        }
        CertificateError::UnknownIssuer => "it is not signed by a CA of this ring",
        CertificateError::Revoked => "it is revoked",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its extended key usage does not allow this side of a connection"
        }
        CertificateError::BadEncoding => "it cannot be parsed",
        other => return other.to_string(),
    };
    text.to_owned()
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Node => "node",
        Role::Client => "client",
    }
}
