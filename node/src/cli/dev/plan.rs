//! The files of a local ring: authority, identities and one configuration a node. They are written
//! and checked before any node starts.
//!
//! ```text
//! DIR/ca/{ca.pem,ca-key.pem}                             the authority, kept when it is there
//! DIR/node-I/{node.ini,key.pem,cert.pem,ca.pem,log.txt}  written anew at every start
//! DIR/node-I/data/                                       the node's data, kept
//! DIR/client/{key.pem,cert.pem,ca.pem}                   an identity for the native API
//! ```

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use node::ca::{self, Subject};
use node::config::{Config, Flag};
use proto::message::Role;
use proto::peer::NodeName;

use super::folder::cannot_use;
use super::ports::Ports;
use crate::cli::failure::Failure;

/// A local ring that can be started.
#[derive(Debug)]
pub(super) struct Plan {
    /// The nodes by number.
    pub(super) nodes: Vec<PlannedNode>,
    settings: Vec<(String, String)>,
}

/// One node.
#[derive(Debug)]
pub(super) struct PlannedNode {
    /// Its number.
    pub(super) index: usize,
    /// Its configuration file.
    pub(super) ini: PathBuf,
    /// Its log.
    pub(super) log: PathBuf,
    /// What the configuration says.
    pub(super) config: Config,
    addresses: [String; 3],
}

impl Plan {
    /// Writes all files of a ring with a node for each of `ports`.
    pub(super) fn write(
        dir: &Path,
        ports: &[Ports],
        shards: &str,
        flags: &[Flag],
    ) -> Result<Self, Failure> {
        let (own, settings) = (settings(shards, &[]), settings(shards, flags));
        let first = address(ports[0][1]);
        let mut nodes = Vec::new();
        for (index, ports) in ports.iter().enumerate() {
            let bootstrapper = if index == 0 { "" } else { &first };
            let mut node = PlannedNode::new(dir, index, ports)?;
            // Flags are read as flags first: an error names them and no line that nobody wrote.
            node.write_ini(bootstrapper, &own)?;
            node.config = Config::load(Some(&node.ini), [], flags)?;
            node.write_ini(bootstrapper, &settings)?;
            nodes.push(node);
        }
        let plan = Self { nodes, settings };
        plan.write_identities(dir)?;
        Ok(plan)
    }

    /// Lets every configuration name all other nodes, now that they form a ring: whichever of them
    /// is started again joins through those that run. At first only node 0 can be named, because
    /// whoever names another waits for it.
    pub(super) fn name_each_other(&self) -> Result<(), Failure> {
        for node in &self.nodes {
            let others = self.nodes.iter().filter(|other| other.index != node.index);
            let others: Vec<&str> = others.map(|other| other.addresses[1].as_str()).collect();
            node.write_ini(&others.join(", "), &self.settings)?;
        }
        Ok(())
    }

    fn write_identities(&self, dir: &Path) -> Result<(), Failure> {
        let ca_dir = dir.join("ca");
        if !ca_dir.join(ca::CA_CERT_FILE).exists() {
            ca::init(&ca_dir)?;
        }
        let ring = &self.nodes[0].config.ring;
        for node in &self.nodes {
            let folder = node.ini.parent().expect("the file lies in a folder");
            issue(&ca_dir, ring, &node.config.advertise, Role::Node, folder)?;
        }
        let client = NodeName::parse(CLIENT_NAME).expect("the client's name is one");
        issue(&ca_dir, ring, &client, Role::Client, &dir.join("client"))
    }
}

impl PlannedNode {
    fn new(dir: &Path, index: usize, ports: &Ports) -> Result<Self, Failure> {
        let folder = dir.join(format!("node-{index}"));
        fs::create_dir_all(&folder).map_err(|error| cannot_use(&folder, &error))?;
        Ok(Self {
            index,
            ini: folder.join("node.ini"),
            log: folder.join("log.txt"),
            config: Config::defaults(),
            addresses: ports.map(address),
        })
    }

    fn write_ini(&self, bootstrapper: &str, settings: &[(String, String)]) -> Result<(), Failure> {
        let [api, p2p, admin] = &self.addresses;
        let mut own = vec![
            ("hostcert", ca::CERT_FILE),
            ("ca_cert", ca::CA_CERT_FILE),
            ("api_address", api),
            ("p2p_address", p2p),
            ("admin_address", admin),
            ("bootstrapper", bootstrapper),
            ("log_file", "log.txt"),
            ("data_dir", "data"),
            ("segment_bytes", SEGMENT_BYTES),
        ];
        own.retain(|(key, _)| settings.iter().all(|(set, _)| set != key));
        let given = settings
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        let mut ini = format!(
            "; Node {} of a local ring, written by `chordite dev`.\nhostkey = {}\n\n[dht]\n",
            self.index,
            ca::KEY_FILE,
        );
        for (key, value) in own.into_iter().chain(given) {
            let _ = writeln!(ini, "{key} = {value}");
        }
        fs::write(&self.ini, ini).map_err(|error| cannot_use(&self.ini, &error))
    }

    /// What is printed about the node: tests and scripts parse it.
    pub(super) fn line(&self, pid: u32) -> String {
        let [api, p2p, admin] = &self.addresses;
        format!(
            "node {} pid {pid} api {api} p2p {p2p} admin {admin}",
            self.index
        )
    }
}

/// The settings of all nodes: what `dev` chooses, and above it what was asked for; the last of
/// several flags for one key counts.
fn settings(shards: &str, flags: &[Flag]) -> Vec<(String, String)> {
    let mut settings = vec![
        ("ring".to_owned(), RING.to_owned()),
        ("shards".into(), shards.into()),
    ];
    for flag in flags {
        settings.retain(|(key, _)| key != flag.key());
        settings.push((flag.key().to_owned(), flag.value().to_owned()));
    }
    settings
}

/// Identities of an earlier start are replaced: the ports, and with them the names, may be others.
fn issue(ca: &Path, ring: &str, name: &NodeName, role: Role, out: &Path) -> Result<(), Failure> {
    for file in [ca::KEY_FILE, ca::CERT_FILE] {
        let file = out.join(file);
        if file.exists() {
            fs::remove_file(&file).map_err(|error| cannot_use(&file, &error))?;
        }
    }
    let subject = Subject {
        name: name.clone(),
        role,
        ring: ring.into(),
        expires: ca::in_days(IDENTITY_DAYS),
    };
    Ok(ca::issue(ca, &subject, out)?)
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

const RING: &str = "dev";
const CLIENT_NAME: &str = "client:1";
const IDENTITY_DAYS: u32 = 365;

/// Many nodes share a disk, and few of them hold much.
const SEGMENT_BYTES: &str = "4MiB";

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, set: &[&str]) -> Result<Plan, Failure> {
        let flags: Vec<Flag> = set.iter().map(|text| Flag::set(text).unwrap()).collect();
        Plan::write(dir, &[[1, 2, 3], [4, 5, 6], [7, 8, 9]], "2", &flags)
    }

    #[test]
    fn every_node_has_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let plan = write(dir.path(), &["successors=4", "ring=mine"]).unwrap();
        let config = &plan.nodes[2].config;
        assert_eq!(
            (config.shards, config.successors, config.ring.as_str()),
            (2, 4, "mine")
        );
        assert_eq!(
            config.bootstrapper,
            [NodeName::parse("127.0.0.1:2").unwrap()]
        );
        assert!(config.hostkey.exists() && config.hostcert.exists() && config.ca_cert[0].exists());
        assert!(plan.nodes[0].config.bootstrapper.is_empty());
        assert!(dir.path().join("client/cert.pem").exists());
        let data = fs::canonicalize(dir.path()).unwrap().join("node-2/data");
        assert_eq!(config.data_dir, Some(data));
        assert_eq!(config.segment_bytes, 4 << 20);

        plan.name_each_other().unwrap();
        let again = Config::load(Some(&plan.nodes[0].ini), [], &[]).unwrap();
        assert_eq!(again.bootstrapper.len(), 2);
        assert!(write(dir.path(), &[]).is_ok(), "a folder can be used again");
    }

    #[test]
    fn a_wrong_setting_is_an_error_before_anything_starts() {
        let dir = tempfile::tempdir().unwrap();
        let error = write(dir.path(), &["shrads=1"]).unwrap_err();
        assert_eq!(
            error.message,
            "flag --set: unknown key `shrads`; did you mean `shards`?"
        );
    }
}
