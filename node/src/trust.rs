//! The files of an identity, read and checked: private key, certificate and the ring's CAs.
//!
//! What makes them right is decided in `proto::identity` and `proto::tls`; here an error gets the
//! file it is about and the place in the configuration that named the file. All is checked before
//! anything is opened, so that nothing starts half.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::identity::{self, IdentityError};
use proto::link::{LinkConfig, LinkPems};
use proto::message::{Hello, Role};
use thiserror::Error;

use crate::ca;
use crate::config::Config;

/// Key or certificates that cannot be used: the operator's to mend.
#[derive(Debug, Error)]
pub enum TrustError {
    /// A file cannot be read.
    #[error("{at}: {key} = {}: cannot read the file: {error}", path.display())]
    Unreadable {
        /// File and line of the setting, a variable or a flag.
        at: String,
        /// The key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// A file does not hold what it must.
    #[error("{at}: {key} = {}: {error}", path.display())]
    Wrong {
        /// File and line of the setting, a variable or a flag.
        at: String,
        /// The key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: Box<IdentityError>,
    },
}

/// Where the files of an identity lie, and where that was said.
#[derive(Clone, Debug)]
pub struct IdentityFiles {
    hostkey: Named,
    hostcert: Named,
    ca_cert: Vec<Named>,
}

#[derive(Clone, Debug)]
struct Named {
    at: String,
    key: &'static str,
    path: PathBuf,
}

/// Reads and checks the identity of a node: everything that makes its links possible.
pub fn node_links(config: &Config) -> Result<Arc<LinkConfig>, TrustError> {
    let hello = Hello {
        role: Role::Node,
        name: config.advertise.clone(),
        params: config.ring_params(),
        features: 0,
    };
    IdentityFiles::of_node(config).node_links(hello)
}

impl IdentityFiles {
    /// The files that a configuration names.
    #[must_use]
    pub fn of_node(config: &Config) -> Self {
        let named = |key, path: &PathBuf| {
            let at = config.place_of(key).to_owned();
            Named {
                at,
                key,
                path: path.clone(),
            }
        };
        Self {
            hostkey: named("hostkey", &config.hostkey),
            hostcert: named("hostcert", &config.hostcert),
            ca_cert: config
                .ca_cert
                .iter()
                .map(|path| named("ca_cert", path))
                .collect(),
        }
    }

    /// The files that `chordite ca issue` wrote into `dir`, named by the flag `flag`.
    #[must_use]
    pub fn in_folder(flag: &str, dir: &Path) -> Self {
        let named = |key, file| Named {
            at: flag.to_owned(),
            key,
            path: dir.join(file),
        };
        Self {
            hostkey: named("key", ca::KEY_FILE),
            hostcert: named("certificate", ca::CERT_FILE),
            ca_cert: vec![named("CA", ca::CA_CERT_FILE)],
        }
    }

    /// Reads all files; the certificates of the CAs are looked at one file at a time, so that an
    /// error names the one it is about.
    fn read(&self) -> Result<LinkPems, TrustError> {
        let ca_certs: Result<Vec<_>, _> = self.ca_cert.iter().map(Named::read).collect();
        let pems = LinkPems {
            key: self.hostkey.read()?,
            cert_chain: self.hostcert.read()?,
            ca_certs: ca_certs?,
        };
        for (file, pem) in self.ca_cert.iter().zip(&pems.ca_certs) {
            identity::inspect_pem(pem).map_err(|error| file.wrong(error))?;
        }
        Ok(pems)
    }

    /// What a client's links are made with.
    pub fn client_links(&self) -> Result<Arc<LinkConfig>, TrustError> {
        self.checked(LinkConfig::for_client(&self.read()?))
    }

    /// What a node's links are made with.
    fn node_links(&self, hello: Hello) -> Result<Arc<LinkConfig>, TrustError> {
        self.checked(LinkConfig::new(&self.read()?, hello))
    }

    /// Checks also that other nodes would take the certificate.
    fn checked(
        &self,
        built: Result<Arc<LinkConfig>, IdentityError>,
    ) -> Result<Arc<LinkConfig>, TrustError> {
        let checked = built.and_then(|links| links.check_own().map(|()| links));
        checked.map_err(|error| self.blame(&error).wrong(error))
    }

    /// The file that an error is about.
    fn blame(&self, error: &IdentityError) -> &Named {
        match error {
            IdentityError::KeyMismatch => &self.hostkey,
            IdentityError::Pem { what, .. }
            | IdentityError::Missing { what }
            | IdentityError::Unusable { what, .. } => match *what {
                PRIVATE_KEY => &self.hostkey,
                CERTIFICATE => &self.hostcert,
                _ => self.ca_cert.first().unwrap_or(&self.hostcert),
            },
            _ => &self.hostcert,
        }
    }
}

impl Named {
    fn read(&self) -> Result<Vec<u8>, TrustError> {
        fs::read(&self.path).map_err(|error| TrustError::Unreadable {
            at: self.at.clone(),
            key: self.key,
            path: self.path.clone(),
            error,
        })
    }

    fn wrong(&self, error: IdentityError) -> TrustError {
        TrustError::Wrong {
            at: self.at.clone(),
            key: self.key,
            path: self.path.clone(),
            error: Box::new(error),
        }
    }
}

/// What `IdentityError` calls the files.
const PRIVATE_KEY: &str = "private key";
const CERTIFICATE: &str = "certificate";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::Subject;
    use proto::peer::NodeName;
    use std::time::{Duration, SystemTime};

    struct Setup {
        _folder: tempfile::TempDir,
        dir: PathBuf,
    }

    /// A folder with an authority, a node's identity in `node` and the same again in `other`.
    fn setup() -> Setup {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().to_path_buf();
        for (ca, out) in [("ca", "node"), ("ca-2", "other")] {
            ca::init(&dir.join(ca)).unwrap();
            issue(&dir, ca, out, "127.0.0.1:7501", Role::Node, "chordite");
        }
        Setup {
            _folder: folder,
            dir,
        }
    }

    fn issue(dir: &Path, ca: &str, out: &str, name: &str, role: Role, ring: &str) {
        let name = NodeName::parse(name).unwrap();
        let subject = Subject {
            name,
            role,
            ring: ring.into(),
            expires: ca::in_days(1),
        };
        ca::issue(&dir.join(ca), &subject, &dir.join(out)).unwrap();
    }

    /// Loads a configuration in which line 1 names the key, 3 the certificate and 4 the CA.
    fn check(dir: &Path, key: &str, cert: &str, ca: &str) -> Result<Arc<LinkConfig>, String> {
        let ini = dir.join("node.ini");
        let text = format!("hostkey = {key}\n[dht]\nhostcert = {cert}\nca_cert = {ca}\n");
        fs::write(&ini, text).unwrap();
        let config = Config::load(Some(&ini), [], &[]).unwrap();
        let folder = format!("{}/", dir.display());
        node_links(&config).map_err(|error| error.to_string().replace(&folder, ""))
    }

    #[test]
    fn an_issued_identity_is_accepted() {
        let setup = setup();
        let links = check(
            &setup.dir,
            "node/key.pem",
            "node/cert.pem",
            "node/ca.pem, other/ca.pem",
        );
        assert_eq!(links.unwrap().hello().name.as_str(), "127.0.0.1:7501");
    }

    /// Key, certificate and CA files, and the error they make.
    const WRONG: &[([&str; 3], &str)] = &[
        (
            ["no.pem", CERT, CA],
            "1: hostkey = no.pem: cannot read the file: No such file or directory (os error 2)",
        ),
        (
            [KEY, "no.pem", CA],
            "3: hostcert = no.pem: cannot read the file: No such file or directory (os error 2)",
        ),
        (
            [KEY, CERT, "no.pem"],
            "4: ca_cert = no.pem: cannot read the file: No such file or directory (os error 2)",
        ),
        (
            ["junk.pem", CERT, CA],
            "1: hostkey = junk.pem: there is no private key in the PEM text",
        ),
        (
            [KEY, "junk.pem", CA],
            "3: hostcert = junk.pem: there is no certificate in the PEM text",
        ),
        (
            [KEY, CERT, "node/ca.pem, junk.pem"],
            "4: ca_cert = junk.pem: there is no certificate in the PEM text",
        ),
        (
            ["other/key.pem", CERT, CA],
            "1: hostkey = other/key.pem: the private key does not belong to the certificate",
        ),
        (
            ["elsewhere/key.pem", "elsewhere/cert.pem", CA],
            "3: hostcert = elsewhere/cert.pem: the certificate is for node 127.0.0.1:7502, but \
             127.0.0.1:7501 is configured",
        ),
        (
            ["client/key.pem", "client/cert.pem", CA],
            "3: hostcert = client/cert.pem: the certificate is for role client, but node is \
             configured",
        ),
        (
            ["ring/key.pem", "ring/cert.pem", CA],
            "3: hostcert = ring/cert.pem: the certificate is for ring other, but chordite is \
             configured",
        ),
        (
            [KEY, CERT, "other/ca.pem"],
            "3: hostcert = node/cert.pem: the certificate would be refused by other nodes: it is \
             not signed by a CA of this ring",
        ),
    ];

    const KEY: &str = "node/key.pem";
    const CERT: &str = "node/cert.pem";
    const CA: &str = "node/ca.pem";

    #[test]
    fn every_wrong_file_is_one_line_with_its_place() {
        let setup = setup();
        let dir = &setup.dir;
        fs::write(dir.join("junk.pem"), "junk").unwrap();
        issue(
            dir,
            "ca",
            "elsewhere",
            "127.0.0.1:7502",
            Role::Node,
            "chordite",
        );
        issue(
            dir,
            "ca",
            "client",
            "127.0.0.1:7501",
            Role::Client,
            "chordite",
        );
        issue(dir, "ca", "ring", "127.0.0.1:7501", Role::Node, "other");
        for ([key, cert, ca], want) in WRONG {
            let found = check(dir, key, cert, ca).expect_err(want);
            assert_eq!(found, format!("node.ini:{want}"));
        }
    }

    #[test]
    fn an_expired_certificate_is_refused() {
        let setup = setup();
        let dir = &setup.dir;
        let subject = Subject {
            name: NodeName::parse("127.0.0.1:7501").unwrap(),
            role: Role::Node,
            ring: "chordite".into(),
            expires: SystemTime::now() - Duration::from_secs(90),
        };
        ca::issue(&dir.join("ca"), &subject, &dir.join("old")).unwrap();
        let error = check(dir, "old/key.pem", "old/cert.pem", "node/ca.pem").unwrap_err();
        assert!(
            error.starts_with("node.ini:3: hostcert = old/cert.pem: "),
            "{error}"
        );
        assert!(error.contains("it has expired"), "{error}");
    }
}
