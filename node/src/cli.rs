//! The command line: what commands there are and how each ends.
//!
//! Every command returns an [`Exit`] or a [`Failure`] of one line; nothing below this file ends the
//! process. Parsing of arguments is clap's, which exits with 2 on its own.

mod access;
mod address;
mod admin;
mod ca;
mod client;
mod dev;
mod doctor;
mod duration;
mod failure;
mod http;
mod key;
mod lookup;
mod pages;
mod print;
mod ring;
mod serve;
mod shell;
mod status;
mod table;
mod utc;
mod wal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use node::exit::Exit;

use failure::Failure;

/// Parses the arguments, runs the command and reports how it ended.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.run() {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}

/// Chordite, a distributed hash table: a node of a ring, and the tools around it.
#[derive(Parser, Debug)]
#[command(name = "chordite", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Serve(serve::Serve),
    Dev(dev::Dev),
    #[command(subcommand)]
    Ca(ca::Ca),
    Get(access::Get),
    Put(access::Put),
    Del(access::Del),
    Shell(shell::Shell),
    Status(status::Status),
    Ring(ring::Ring),
    Lookup(lookup::Lookup),
    #[command(subcommand)]
    Wal(wal::Wal),
    Doctor(doctor::Doctor),
    Completions(pages::Completions),
    Man(pages::Man),
}

impl Command {
    fn run(self) -> Result<Exit, Failure> {
        match self {
            Self::Serve(serve) => serve.run(),
            Self::Dev(dev) => dev.run(),
            Self::Ca(ca) => ca.run(),
            Self::Get(get) => get.run(),
            Self::Put(put) => put.run(),
            Self::Del(del) => del.run(),
            Self::Shell(shell) => shell.run(),
            Self::Status(status) => status.run(),
            Self::Ring(ring) => ring.run(),
            Self::Lookup(lookup) => lookup.run(),
            Self::Wal(wal) => wal.run(),
            Self::Doctor(doctor) => doctor.run(),
            Self::Completions(completions) => completions.run(),
            Self::Man(man) => man.run(),
        }
    }
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 absent or not clean, 2 usage or configuration, \
    3 data folder, 4 keys and certificates, 5 network, 6 storage, \
    7 a bug, or the system refused what no node can do without.";
