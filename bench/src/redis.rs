//! A redis-server out of `PATH`, for comparison: started on a free port with its files in a folder
//! of its own, asked over RESP. It is no part of this project: where it is not installed, scenarios
//! say so and leave its turns out.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::process::{Process, ProcessError, Program};

/// The program's name.
pub const PROGRAM: &str = "redis-server";

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Redis {
    /// Its process.
    pub process: Process,
    /// Where it listens.
    pub address: String,
}

impl Redis {
    /// Starts a server that keeps its files in `folder`; each setting is an option of its command
    /// line. Snapshots are off, so that what is measured is what the settings say.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(
        folder: &Path,
        settings: &BTreeMap<String, String>,
        core: Option<usize>,
    ) -> Result<Self, RedisError> {
        std::fs::create_dir_all(folder)?;
        // The port is free now and redis takes no other program's: a race ends in its refusal.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut program = Program::new(PROGRAM)
            .args(["--bind", "127.0.0.1", "--port", &port.port().to_string()])
            .args(["--daemonize", "no", "--save", "", "--dir"])
            .arg(folder)
            .on_core(core);
        for (key, value) in settings {
            program = program.arg(format!("--{key}")).arg(value);
        }
        let mut process = program.spawn(folder, "redis")?;
        process.wait_for("an open port", START_WITHIN, |_| {
            TcpStream::connect_timeout(&port, START_WITHIN).ok()
        })?;
        let address = port.to_string();
        Ok(Self { process, address })
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// Its process failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The folder or the port.
    #[error(transparent)]
    Io(#[from] io::Error),
}

const START_WITHIN: Duration = Duration::from_secs(20);
