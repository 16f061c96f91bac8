//! The binary `loadgen`: reads the command line, carries the run out and shows the result.
//! Owns the exit codes and the signals; everything else is in the library.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use loadgen::cli::{Cli, Command, RunArgs};
use loadgen::report::Summary;
use loadgen::run::{Outcome, RunError, run};
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(arguments) => start(&arguments),
    }
}

fn start(arguments: &RunArgs) -> ExitCode {
    // The record names the program, not where it happens to lie on this machine.
    let words = std::iter::once("loadgen".to_owned()).chain(std::env::args().skip(1));
    let plan = match arguments.plan(words.collect()) {
        Ok(plan) => plan,
        Err(error) => return fail(EXIT_USAGE, &error),
    };
    let interrupt = Arc::new(AtomicBool::new(false));
    if let Err(error) = watch_signals(interrupt.clone()) {
        return fail(EXIT_BUG, &error.to_string());
    }
    match run(plan, &interrupt) {
        Ok(outcome) => show(arguments, &outcome),
        Err(error) => fail(exit_code(&error), &error.to_string()),
    }
}

fn show(arguments: &RunArgs, outcome: &Outcome) -> ExitCode {
    if !arguments.quiet {
        print!(
            "{}",
            loadgen::table::render(&outcome.summary, &outcome.latency)
        );
    }
    let Summary { counts, .. } = &outcome.summary;
    let failed = counts.wrong + counts.lost > 0;
    let strictly = arguments.strict && outcome.summary.errors_total() + counts.unsent > 0;
    if failed || strictly {
        ExitCode::from(EXIT_FINDINGS)
    } else {
        ExitCode::SUCCESS
    }
}

fn exit_code(error: &RunError) -> u8 {
    match error {
        RunError::Setup(_) | RunError::Output { .. } => EXIT_USAGE,
        RunError::Unreachable(_) | RunError::Preload { .. } => EXIT_NETWORK,
        RunError::Interrupted => EXIT_FINDINGS,
        RunError::Runtime(_) => EXIT_BUG,
    }
}

fn fail(code: u8, error: &str) -> ExitCode {
    eprintln!("loadgen: {error}");
    ExitCode::from(code)
}

/// The first SIGINT or SIGTERM ends the run early, with its result; the second ends the process.
fn watch_signals(interrupt: Arc<AtomicBool>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut int, mut term) = {
        let _context = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    std::thread::spawn(move || {
        runtime.block_on(async move {
            loop {
                tokio::select! {
                    _ = int.recv() => {}
                    _ = term.recv() => {}
                }
                if interrupt.swap(true, Ordering::Relaxed) {
                    std::process::exit(EXIT_FINDINGS.into());
                }
            }
        });
    });
    Ok(())
}

/// Wrong or lost values, or with `--strict` any error.
const EXIT_FINDINGS: u8 = 1;
const EXIT_USAGE: u8 = 2;
const EXIT_NETWORK: u8 = 5;
const EXIT_BUG: u8 = 7;
