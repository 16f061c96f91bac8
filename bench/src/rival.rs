//! Servers of other projects, for comparison: redis-server and memcached out of `PATH`, started on
//! a free port with their files in a folder of their own. They are no part of this project: where
//! one is not installed, scenarios say so and leave its turns out.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::generator::Language;
use crate::process::{Process, ProcessError, Program};

/// Which server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Brand {
    /// redis-server, asked over RESP.
    Redis,
    /// memcached with one thread, asked in its text protocol.
    Memcached,
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Rival {
    /// Which it is.
    pub brand: Brand,
    /// Its process.
    pub process: Process,
    /// Where it listens.
    pub address: String,
}

impl Brand {
    /// The program's name.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Memcached => "memcached",
        }
    }

    /// How it is asked.
    #[must_use]
    pub const fn language(self) -> Language {
        match self {
            Self::Redis => Language::Resp,
            Self::Memcached => Language::Memcached,
        }
    }

    /// What every start is given. Snapshots of redis are off, so that what is measured is what the
    /// settings say.
    fn flags(self, port: u16, folder: &Path) -> Vec<String> {
        let port = port.to_string();
        let folder = folder.display().to_string();
        let flags: &[&str] = match self {
            Self::Redis => &[
                "--bind",
                "127.0.0.1",
                "--port",
                &port,
                "--daemonize",
                "no",
                "--save",
                "",
                "--dir",
                &folder,
            ],
            // As root it wants to be told under which name it runs.
            Self::Memcached => &[
                "-l",
                "127.0.0.1",
                "-p",
                &port,
                "-U",
                "0",
                "-t",
                "1",
                "-u",
                "root",
            ],
        };
        flags.iter().map(ToString::to_string).collect()
    }
}

impl Rival {
    /// Starts a server that keeps its files in `folder`. Each setting is an option of its command
    /// line: `--key value`, or `-k value` when the key is one letter.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(
        brand: Brand,
        folder: &Path,
        settings: &BTreeMap<String, String>,
        core: Option<usize>,
    ) -> Result<Self, RivalError> {
        std::fs::create_dir_all(folder)?;
        // The port is free now, and neither program takes another's: a race ends in a refusal.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let flags = brand.flags(port.port(), folder);
        let mut program = Program::new(brand.program()).args(flags).on_core(core);
        for (key, value) in settings {
            let hyphens = if key.len() == 1 { "-" } else { "--" };
            program = program.arg(format!("{hyphens}{key}")).arg(value);
        }
        let mut process = program.spawn(folder, brand.program())?;
        process.wait_for("an open port", START_WITHIN, |_| {
            TcpStream::connect_timeout(&port, START_WITHIN).ok()
        })?;
        Ok(Self {
            brand,
            process,
            address: port.to_string(),
        })
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum RivalError {
    /// Its process failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The folder or the port.
    #[error(transparent)]
    Io(#[from] io::Error),
}

const START_WITHIN: Duration = Duration::from_secs(20);
