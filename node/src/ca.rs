//! A small certificate authority for a ring: a root on P-256 and the identities below it.
//!
//! It writes the files that `hostkey`, `hostcert` and `ca_cert` name, with private keys readable by
//! their owner only, and never overwrites one. What a certificate must say is decided by
//! `proto::identity`; a ring may as well use certificates of any other authority that say the same.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use proto::message::Role;
use proto::peer::NodeName;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use thiserror::Error;

/// File of the authority's certificate, in its own folder and in that of every identity.
pub const CA_CERT_FILE: &str = "ca.pem";
/// File of the authority's private key.
pub const CA_KEY_FILE: &str = "ca-key.pem";
/// File of an identity's private key.
pub const KEY_FILE: &str = "key.pem";
/// File of an identity's certificate.
pub const CERT_FILE: &str = "cert.pem";

/// What an identity is issued for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subject {
    /// The name it advertises; for a client any `host:port` that tells it apart.
    pub name: NodeName,
    /// What it may do.
    pub role: Role,
    /// The ring it belongs to.
    pub ring: String,
    /// Days until it expires.
    pub days: u32,
}

/// Why the authority cannot do what it was asked.
#[derive(Debug, Error)]
pub enum CaError {
    /// A file to be written is there already.
    #[error("{} exists; it is not overwritten", .0.display())]
    Exists(PathBuf),
    /// A file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// The authority's own files are not what `ca init` wrote.
    #[error("{}: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// Makes a new authority in `dir`: [`CA_CERT_FILE`] and [`CA_KEY_FILE`].
pub fn init(dir: &Path) -> Result<(), CaError> {
    refuse_existing(dir, &[CA_CERT_FILE, CA_KEY_FILE])?;
    create_folder(dir)?;
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "Chordite ring CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, CA_DAYS);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    write_new(
        &dir.join(CA_KEY_FILE),
        &issuer.key().serialize_pem(),
        PRIVATE,
    )?;
    write_new(&dir.join(CA_CERT_FILE), &issuer.pem(), PUBLIC)
}

/// Issues an identity for `subject` from the authority in `dir` and writes [`KEY_FILE`],
/// [`CERT_FILE`] and [`CA_CERT_FILE`] into `out`.
pub fn issue(dir: &Path, subject: &Subject, out: &Path) -> Result<(), CaError> {
    refuse_existing(out, &[KEY_FILE, CERT_FILE])?;
    let (ca_pem, issuer) = open(dir)?;
    let key = KeyPair::generate()?;
    let cert = leaf(subject)?.signed_by(&key, &issuer)?;
    create_folder(out)?;
    write_new(&out.join(KEY_FILE), &key.serialize_pem(), PRIVATE)?;
    write_new(&out.join(CERT_FILE), &cert.pem(), PUBLIC)?;
    let ca_file = out.join(CA_CERT_FILE);
    fs::write(&ca_file, ca_pem).map_err(|error| CaError::File {
        path: ca_file,
        error,
    })
}

/// What the certificate of `subject` says.
fn leaf(subject: &Subject) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::new(vec![subject.name.host().to_owned()])?;
    params
        .distinguished_name
        .push(DnType::CommonName, subject.name.as_str());
    let uri = uri(&subject.ring, &subject.name, subject.role);
    params.subject_alt_names.push(SanType::URI(uri.try_into()?));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match subject.role {
        Role::Node => {
            vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ]
        }
        Role::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
    };
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, subject.days);
    Ok(params)
}

fn uri(ring: &str, name: &NodeName, role: Role) -> String {
    let query = match role {
        Role::Node => "",
        Role::Client => "?role=client",
    };
    format!("chordite://{ring}/{name}{query}")
}

/// The certificate of the authority in `dir` and what it takes to sign with it.
fn open(dir: &Path) -> Result<(String, Issuer<'static, KeyPair>), CaError> {
    let (cert_file, key_file) = (dir.join(CA_CERT_FILE), dir.join(CA_KEY_FILE));
    let (cert, key) = (read(&cert_file)?, read(&key_file)?);
    let unusable = |path: PathBuf, what: &'static str| {
        move |error| CaError::Unusable {
            path,
            reason: format!("{what} ({error})"),
        }
    };
    let key = KeyPair::from_pem(&key).map_err(unusable(key_file, "not a private key"))?;
    let issuer = Issuer::from_ca_cert_pem(&cert, key);
    Ok((
        cert,
        issuer.map_err(unusable(cert_file, "not a certificate"))?,
    ))
}

/// From one hour ago, because clocks of a ring may differ, until `days` from now.
fn set_validity(params: &mut CertificateParams, days: u32) {
    let now = SystemTime::now();
    params.not_before = (now - CLOCK_TOLERANCE).into();
    params.not_after = (now + Duration::from_secs(u64::from(days) * 86_400)).into();
}

fn refuse_existing(dir: &Path, names: &[&str]) -> Result<(), CaError> {
    let existing = names
        .iter()
        .map(|name| dir.join(name))
        .find(|path| path.exists());
    existing.map_or(Ok(()), |path| Err(CaError::Exists(path)))
}

fn create_folder(dir: &Path) -> Result<(), CaError> {
    fs::create_dir_all(dir).map_err(|error| CaError::File {
        path: dir.into(),
        error,
    })
}

fn read(path: &Path) -> Result<String, CaError> {
    fs::read_to_string(path).map_err(|error| CaError::File {
        path: path.into(),
        error,
    })
}

/// Writes a file that must not exist, with its mode from the start: a private key is never readable
/// by others, not even for a moment.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), CaError> {
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => CaError::Exists(path.into()),
        _ => CaError::File {
            path: path.into(),
            error,
        },
    })
}

/// Ten years: a ring's CA is replaced on purpose, never because it ran out over night.
const CA_DAYS: u32 = 3_650;
const CLOCK_TOLERANCE: Duration = Duration::from_secs(3_600);
const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use x509_parser::extensions::GeneralName;
    use x509_parser::pem::parse_x509_pem;

    fn subject(name: &str, role: Role) -> Subject {
        let name = NodeName::parse(name).unwrap();
        Subject {
            name,
            role,
            ring: "test".into(),
            days: 30,
        }
    }

    #[test]
    fn an_identity_says_host_ring_name_and_role() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, out) = (folder.path().join("ca"), folder.path().join("node"));
        init(&dir).unwrap();
        issue(&dir, &subject("[::1]:7501", Role::Client), &out).unwrap();
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(dir.join(CA_KEY_FILE)), mode(out.join(KEY_FILE))),
            (0o600, 0o600)
        );
        assert_eq!(
            read(&dir.join(CA_CERT_FILE)).unwrap(),
            read(&out.join(CA_CERT_FILE)).unwrap()
        );

        let cert = fs::read(out.join(CERT_FILE)).unwrap();
        let (_, pem) = parse_x509_pem(&cert).unwrap();
        let cert = pem.parse_x509().unwrap();
        let names = &cert
            .subject_alternative_name()
            .unwrap()
            .unwrap()
            .value
            .general_names;
        assert!(names.contains(&GeneralName::URI("chordite://test/[::1]:7501?role=client")));
        assert!(
            names
                .iter()
                .any(|name| matches!(name, GeneralName::IPAddress(ip) if ip.len() == 16))
        );
        let usage = cert.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth);

        let ca = fs::read(dir.join(CA_CERT_FILE)).unwrap();
        let (_, pem) = parse_x509_pem(&ca).unwrap();
        let ca = pem.parse_x509().unwrap();
        assert!(ca.is_ca() && cert.issuer() == ca.subject());
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        init(dir).unwrap();
        assert!(matches!(init(dir), Err(CaError::Exists(path)) if path.ends_with("ca.pem")));
        let node = subject("node.example.org:1", Role::Node);
        issue(dir, &node, &dir.join("a")).unwrap();
        assert!(matches!(
            issue(dir, &node, &dir.join("a")),
            Err(CaError::Exists(_))
        ));
    }

    #[test]
    fn a_broken_authority_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let node = subject("a:1", Role::Node);
        let error = issue(folder.path(), &node, &folder.path().join("x")).unwrap_err();
        assert!(error.to_string().contains("ca.pem"), "{error}");
        init(folder.path()).unwrap();
        fs::write(folder.path().join(CA_KEY_FILE), "junk").unwrap();
        let error = issue(folder.path(), &node, &folder.path().join("x")).unwrap_err();
        assert!(
            error.to_string().contains("ca-key.pem: not a private key"),
            "{error}"
        );
    }
}
