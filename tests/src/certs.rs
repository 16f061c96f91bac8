//! Certificates made here with rcgen, independently of `chordite ca`, so that each of them can be
//! wrong in one chosen way.

use std::fs;
use std::path::{Path, PathBuf};

use proto::peer::NodeName;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

/// A certificate authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// Key, certificate and the authority to trust, as PEM.
#[derive(Clone, Debug)]
pub struct Pems {
    /// The private key.
    pub key: String,
    /// The certificate.
    pub cert: String,
    /// The authority's certificate.
    pub ca: String,
}

/// What a certificate says; wrong ones change one field.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The ring in the URI.
    pub ring: String,
    /// The `host:port` in the URI.
    pub name: String,
    /// The host in the subject alternative name.
    pub host: String,
    /// Whether it is for a client.
    pub client: bool,
    /// Whether its time is over.
    pub expired: bool,
    /// Whether it carries the URI at all.
    pub with_uri: bool,
}

impl Subject {
    /// A node of `ring` called `name`.
    #[must_use]
    pub fn node(ring: &str, name: &NodeName) -> Self {
        Self {
            ring: ring.to_owned(),
            name: name.to_string(),
            host: name.host().to_owned(),
            client: false,
            expired: false,
            with_uri: true,
        }
    }

    /// A client of `ring` called `name`.
    #[must_use]
    pub fn client(ring: &str, name: &NodeName) -> Self {
        Self {
            client: true,
            ..Self::node(ring, name)
        }
    }
}

impl Authority {
    /// A new authority.
    pub fn create(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key pair");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        Self { issuer }
    }

    /// The authority that `chordite dev` or `chordite ca init` made in `dir`.
    pub fn read(dir: &Path) -> (String, String) {
        let read = |name: &str| fs::read_to_string(dir.join(name)).expect("a PEM file");
        (read("ca.pem"), read("ca-key.pem"))
    }

    /// The authority's certificate as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A key and a certificate that says `subject`.
    pub fn issue(&self, subject: &Subject) -> Pems {
        let key = KeyPair::generate().expect("a key pair");
        let cert = leaf(subject)
            .signed_by(&key, &self.issuer)
            .expect("a certificate");
        Pems {
            key: key.serialize_pem(),
            cert: cert.pem(),
            ca: self.pem(),
        }
    }
}

/// A key and a certificate that says `subject`, signed by the authority that lies in `dir`.
pub fn issue_from(dir: &Path, subject: &Subject) -> Pems {
    let (ca, ca_key) = Authority::read(dir);
    let ca_key = KeyPair::from_pem(&ca_key).expect("the authority's key");
    let issuer = rcgen::Issuer::from_ca_cert_pem(&ca, ca_key).expect("the authority");
    let key = KeyPair::generate().expect("a key pair");
    let cert = leaf(subject)
        .signed_by(&key, &issuer)
        .expect("a certificate");
    Pems {
        key: key.serialize_pem(),
        cert: cert.pem(),
        ca,
    }
}

impl Pems {
    /// The files of an identity in `dir`: `key.pem`, `cert.pem` and `ca.pem`.
    #[must_use]
    pub fn read(dir: &Path) -> Self {
        let read = |name: &str| fs::read_to_string(dir.join(name)).expect("a PEM file");
        Self {
            key: read("key.pem"),
            cert: read("cert.pem"),
            ca: read("ca.pem"),
        }
    }

    /// Writes the three files into `dir` and gives it back.
    pub fn write(&self, dir: &Path) -> PathBuf {
        fs::create_dir_all(dir).expect("a folder");
        for (name, pem) in [
            ("key.pem", &self.key),
            ("cert.pem", &self.cert),
            ("ca.pem", &self.ca),
        ] {
            fs::write(dir.join(name), pem).expect("a file");
        }
        dir.to_path_buf()
    }
}

fn leaf(subject: &Subject) -> CertificateParams {
    let mut params =
        CertificateParams::new(vec![subject.host.clone()]).expect("a host name or address");
    params
        .distinguished_name
        .push(DnType::CommonName, subject.name.as_str());
    if subject.with_uri {
        let role = if subject.client { "?role=client" } else { "" };
        let uri = format!("chordite://{}/{}{role}", subject.ring, subject.name);
        params
            .subject_alt_names
            .push(SanType::URI(uri.try_into().expect("ASCII")));
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if !subject.client {
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(if subject.expired { 2021 } else { 2040 }, 1, 1);
    params
}
