//! The data folder that a command works on: found by the configuration or named itself, locked, and
//! whose it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use node::config::Config;
use node::rewrite::generation::Generation;
use node::runtime::data_folder::{DataFolder, Owner};
use node::runtime::manifest::Manifest;
use proto::peer::{NodeName, Peer, RingParams};
use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::serve;

/// Which folder.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(super) struct FolderArgs {
    /// The configuration of the node: its `data_dir`, which must be this node's
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder itself, whoever's it is
    #[arg(long, value_name = "DATA_DIR")]
    dir: Option<PathBuf>,
}

/// A data folder that nobody else uses.
pub(super) struct LockedFolder {
    folder: DataFolder,
    node: u64,
    config: Option<Config>,
}

/// Whose folder it is, for every report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct FolderFacts {
    pub(super) data_dir: String,
    pub(super) manifest: Manifest,
}

impl FolderArgs {
    /// Locks the folder and reads its manifest.
    pub(super) fn open(&self) -> Result<LockedFolder, Failure> {
        let config = match &self.config {
            Some(file) => Some(serve::load(Some(file), &serve::SettingArgs::default())?),
            None => None,
        };
        let (path, owner) = match (&self.dir, &config) {
            (Some(dir), _) => (dir.clone(), None),
            (None, Some(config)) => (data_dir(config)?, Some(owner(config))),
            (None, None) => return Err(Failure::usage("name the folder: -c FILE or --dir DIR")),
        };
        let failed = |reason: String, exit| {
            Failure::new(exit, format!("data folder {}: {reason}", path.display()))
        };
        let folder = DataFolder::take(&path, owner.as_ref())
            .map_err(|error| failed(error.to_string(), error.exit()))?;
        let node = node_of(folder.manifest())?;
        Ok(LockedFolder {
            folder,
            node,
            config,
        })
    }
}

impl LockedFolder {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What it says of itself.
    pub(super) const fn manifest(&self) -> &Manifest {
        self.folder.manifest()
    }

    /// The generation that counts.
    pub(super) fn generation(&self) -> Generation {
        Generation::in_use(self.path(), self.manifest())
    }

    /// The high bits of the node's id.
    pub(super) const fn node(&self) -> u64 {
        self.node
    }

    /// The configuration it was found by.
    pub(super) const fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }

    pub(super) fn facts(&self) -> FolderFacts {
        FolderFacts {
            data_dir: self.path().display().to_string(),
            manifest: self.manifest().clone(),
        }
    }
}

impl FolderFacts {
    /// For people.
    pub(super) fn render(&self) -> String {
        let Manifest {
            format,
            node,
            ring,
            shards,
            generation,
        } = &self.manifest;
        let facts = [
            ("data_dir", self.data_dir.clone()),
            ("node", node.clone()),
            ("ring", ring.clone()),
            ("format", format.to_string()),
            ("generation", generation.to_string()),
            ("shards", shards.to_string()),
        ];
        let lines = facts.map(|(name, value)| format!("{name:<10}  {value}\n"));
        lines.concat()
    }
}

fn data_dir(config: &Config) -> Result<PathBuf, Failure> {
    config.data_dir.clone().ok_or_else(|| {
        let place = config.place_of("data_dir");
        Failure::usage(format!(
            "{place}: data_dir is not set: the node keeps nothing on disk"
        ))
    })
}

fn owner(config: &Config) -> Owner {
    Owner {
        node: config.advertise.as_str().to_owned(),
        ring: config.ring.clone(),
        shards: config.shards,
    }
}

/// The high bits of the id of the node that the manifest names.
fn node_of(manifest: &Manifest) -> Result<u64, Failure> {
    let bad = || {
        let exit = node::exit::Exit::Data;
        Failure::new(exit, "manifest.json names no node: it is not HOST:PORT")
    };
    let name = NodeName::parse(&manifest.node).map_err(|_| bad())?;
    // Of a ring's parameters only its name takes part in an id.
    let params = RingParams {
        ring: Arc::from(manifest.ring.as_str()),
        successors: 1,
        replication: 1,
        virtual_nodes_max: 1,
        value_max: 1,
    };
    let peer = Peer::derive(&params, &name, 0).ok_or_else(bad)?;
    Ok(peer.id().high())
}
