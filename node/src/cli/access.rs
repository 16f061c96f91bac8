//! `chordite get`, `put` and `del`. A value is bytes: it is read from an argument, a file or
//! standard input, and written to standard output, without a byte added or taken away.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::{fs::File, io::IsTerminal as _};

use clap::Args;
use node::exit::Exit;
use proto::limits::VALUE_BYTES_MAX;

use super::client::{ClientArgs, NewValue};
use super::failure::Failure;
use super::key::KeyArgs;
use super::print;

/// Read a value; it goes to standard output as it is. Exit 1 when it is absent
#[derive(Args, Debug)]
pub(crate) struct Get {
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    client: ClientArgs,
}

/// Store a value
#[derive(Args, Debug)]
pub(crate) struct Put {
    #[command(flatten)]
    key: KeyArgs,
    /// The value; `-` or nothing reads standard input
    #[arg(
        value_name = "VALUE",
        conflicts_with = "file",
        allow_negative_numbers = true
    )]
    value: Option<String>,
    /// Read the value from a file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    hints: HintArgs,
    #[command(flatten)]
    client: ClientArgs,
}

/// How long and how often a value is to be kept.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct HintArgs {
    /// Lifetime in seconds; 0 takes the node's default
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) ttl: u32,
    /// Hosts that are to hold it; 0 takes the ring's. No effect yet: one host holds a value
    #[arg(long, value_name = "R", default_value_t = 0)]
    pub(crate) replication: u8,
}

/// Delete a value (native API only). Exit 1 when it is absent
#[derive(Args, Debug)]
pub(crate) struct Del {
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    client: ClientArgs,
}

impl Get {
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let key = self.key.key()?;
        let Some(got) = self.client.connect()?.get(&key)? else {
            return Ok(absent());
        };
        print::bytes(&got.value)?;
        if io::stdout().is_terminal() {
            print::text("\n")?;
        }
        if let Some(about) = got.about {
            eprintln!("{about}");
        }
        Ok(Exit::Ok)
    }
}

impl Put {
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let key = self.key.key()?;
        let value = match (&self.value, &self.file) {
            (Some(value), _) if value != "-" => value.clone().into_bytes(),
            (_, Some(file)) => read_file(file)?,
            _ => read_value(io::stdin().lock(), "standard input")?,
        };
        check_length(value.len())?;
        let HintArgs { ttl, replication } = self.hints;
        let new = NewValue {
            key: &key,
            ttl_s: ttl,
            replication,
            value: &value,
        };
        let line = self.client.connect()?.put(&new)?;
        print::text(&format!("{line}\n"))?;
        Ok(Exit::Ok)
    }
}

impl Del {
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let key = self.key.key()?;
        let Some(line) = self.client.connect()?.delete(&key)? else {
            return Ok(absent());
        };
        print::text(&format!("{line}\n"))?;
        Ok(Exit::Ok)
    }
}

/// Standard output stays empty for scripts; people read standard error.
fn absent() -> Exit {
    eprintln!("absent");
    Exit::Absent
}

fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| Failure::usage(format!("{name}: {error}")))?;
    read_value(file, &name)
}

/// All of `source`, but no more than one byte above the limit, however long it is.
fn read_value(source: impl Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut value = Vec::new();
    let read = source
        .take(VALUE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut value);
    read.map_err(|error| Failure::usage(format!("{name}: {error}")))?;
    Ok(value)
}

pub(crate) fn check_length(length: usize) -> Result<(), Failure> {
    match length {
        0 => Err(Failure::usage(
            "the value is empty; values have 1 to 65495 bytes",
        )),
        1..=VALUE_BYTES_MAX => Ok(()),
        _ => Err(Failure::usage(
            "the value is too long; values have 1 to 65495 bytes",
        )),
    }
}
