//! The command line of the benchmark harness: parses arguments, prints pages, tells errors once.
//! Every command is one call into the library.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use bench::disk::{self, DiskWork};
use bench::minimal_client::{self, Work};
use bench::result::ResultFile;
use bench::run::{self, RunOptions};
use bench::{echo, process, report, smoke};
use clap::{Parser, Subcommand};

/// Starts real nodes, puts them under load and keeps what it measures.
#[derive(Parser)]
#[command(name = "bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A ring of five nodes under load, everything checked, in under a minute
    Smoke {
        /// Parent of the folder that is written [default: target/bench]
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Carry out a scenario in alternating rounds and write a result
    Run {
        /// A scenario of bench/scenarios, or the path of a .toml file
        #[arg(default_value = "default")]
        scenario: String,
        /// Parent of the folder that is written [default: results]
        #[arg(long)]
        out: Option<PathBuf>,
        /// Rounds instead of the scenario's own
        #[arg(long)]
        rounds: Option<u32>,
        /// Seconds of a turn instead of the scenario's own
        #[arg(long)]
        seconds: Option<f64>,
    },
    /// Print a stored result as Markdown
    Report {
        /// Its folder
        folder: PathBuf,
    },
    /// Print two stored results side by side
    Compare {
        /// Folder of the first
        a: PathBuf,
        /// Folder of the second
        b: PathBuf,
    },
    #[command(flatten)]
    Part(Part),
}

/// The programs that bench itself starts; a person may as well.
#[derive(Subcommand)]
enum Part {
    /// The floor: an echo server on monoio
    Echo {
        /// Port; 0 lets the kernel choose
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// The disk's own limit: writes batches durably, a few in flight, and does nothing else
    Disk {
        /// Folder of its segments
        #[arg(long)]
        folder: PathBuf,
        /// Records of a batch
        #[arg(long, default_value_t = 16)]
        batch_records: u32,
        /// Bytes of a record
        #[arg(long, default_value_t = 256)]
        record_bytes: u32,
        /// Batches in flight
        #[arg(long, default_value_t = 4)]
        in_flight: u32,
        /// For how long
        #[arg(long, default_value_t = 3.0)]
        seconds: f64,
    },
    /// A minimal closed-loop client of the echo server
    MinimalClient {
        /// Address of the echo server
        #[arg(long)]
        target: SocketAddr,
        /// Connections
        #[arg(long, default_value_t = 50)]
        connections: u32,
        /// Frames under way on each connection
        #[arg(long, default_value_t = 1)]
        depth: u32,
        /// Bytes of a frame
        #[arg(long, default_value_t = 64)]
        frame_bytes: u32,
        /// For how long
        #[arg(long, default_value_t = 3.0)]
        seconds: f64,
    },
    /// Bind a child to the life of its parent, then become it
    #[command(hide = true, name = process::GUARD)]
    Guard {
        parent: u32,
        core: String,
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    match carry_out(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

fn carry_out(command: Command) -> Result<()> {
    match command {
        Command::Smoke { out } => {
            let folder = smoke::run(out.as_deref(), own_command())?;
            println!("\nall values right; files are in {}", folder.display());
        }
        Command::Run {
            scenario,
            out,
            rounds,
            seconds,
        } => {
            let options = RunOptions {
                out,
                rounds,
                seconds,
                command: own_command(),
            };
            let (result, folder) = run::scenario(&scenario, &options)?;
            print!("{}", report::page(&result));
            let (missed, judged) = (result.misses(), result.judged());
            if judged > 0 {
                println!("\n{missed} of {judged} goals missed");
            }
            println!("\nwritten to {}", folder.display());
        }
        Command::Report { folder } => print!("{}", report::page(&ResultFile::read(&folder)?)),
        Command::Compare { a, b } => {
            let (a, b) = (ResultFile::read(&a)?, ResultFile::read(&b)?);
            print!("{}", report::comparison(&a, &b));
        }
        Command::Part(part) => play(part)?,
    }
    Ok(())
}

fn play(part: Part) -> Result<()> {
    match part {
        Part::Echo { port } => {
            echo::serve((Ipv4Addr::LOCALHOST, port).into()).context("the echo server")?;
        }
        Part::Disk {
            folder,
            batch_records,
            record_bytes,
            in_flight,
            seconds,
        } => {
            let outcome = disk::run(&DiskWork {
                folder,
                batch_records,
                record_bytes,
                in_flight,
                length: Duration::from_secs_f64(seconds),
            });
            let outcome = outcome.context("the disk program")?;
            println!("{}", serde_json::to_string(&outcome)?);
        }
        Part::MinimalClient {
            target,
            connections,
            depth,
            frame_bytes,
            seconds,
        } => {
            let outcome = minimal_client::run(Work {
                target,
                connections,
                depth,
                frame_bytes,
                length: Duration::from_secs_f64(seconds),
            });
            println!("{}", serde_json::to_string(&outcome?)?);
        }
        Part::Guard {
            parent,
            core,
            program,
            args,
        } => {
            let error = process::guard(parent, core.parse().ok(), &program, &args);
            return Err(error).with_context(|| program.display().to_string());
        }
    }
    Ok(())
}

/// An error and its causes, each said once: some errors quote their cause themselves.
fn told(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |said, cause| {
        let cause = cause.to_string();
        match said.as_str() {
            "" => cause,
            text if text.contains(&cause) => said,
            text => format!("{text}: {cause}"),
        }
    })
}

/// The command line as a person would repeat it.
fn own_command() -> String {
    let words = std::env::args().skip(1);
    std::iter::once("bench".to_owned())
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}
