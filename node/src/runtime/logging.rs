//! The log: text for people or JSON for machines, written by a thread of its own so that no core
//! ever waits for a disk or a terminal. Values and secrets are never logged.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal};

use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::prepare::ServeError;
use crate::config::{Config, LogFormat, LogLevel};

/// Writes out what is still queued when it is dropped.
pub(crate) struct LogGuard {
    _worker: WorkerGuard,
}

/// Starts the log that the configuration asks for. When the process has a log already, that one
/// stays.
pub(crate) fn init(config: &Config) -> Result<LogGuard, ServeError> {
    let (writer, worker, is_terminal) = match &config.log_file {
        None => {
            let (writer, worker) = tracing_appender::non_blocking(io::stderr());
            (writer, worker, io::stderr().is_terminal())
        }
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path);
            let file = file.map_err(|error| {
                let at = config.place_of("log_file").to_owned();
                ServeError::LogFile {
                    at,
                    path: path.clone(),
                    error,
                }
            })?;
            let (writer, worker) = tracing_appender::non_blocking(file);
            (writer, worker, false)
        }
    };
    // Only a process that embeds a node has a log already; its choice stands.
    let _: Result<(), TryInitError> = subscribe(config, writer, is_terminal);
    Ok(LogGuard { _worker: worker })
}

fn subscribe(config: &Config, writer: NonBlocking, has_colours: bool) -> Result<(), TryInitError> {
    let ours = level(config.log_level);
    let others = if config.log_level == LogLevel::Error {
        "error"
    } else {
        "warn"
    };
    let filter = format!("{others},chordite={ours},node={ours},proto={ours}");
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_target(false)
        .with_thread_names(true)
        .with_ansi(has_colours)
        .with_writer(writer);
    match config.log_format {
        LogFormat::Text => builder.finish().try_init(),
        LogFormat::Json => builder.json().finish().try_init(),
    }
}

const fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}
