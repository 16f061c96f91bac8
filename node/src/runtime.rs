//! The shell around the engine: threads, sockets, clocks and the log. It decides nothing about the
//! ring or the data; it hands inputs to one `engine::Core` a worker thread and carries out what
//! they want done.
//!
//! Start: everything is checked and bound first (`prepare`), then the workers start, then the admin
//! server on the calling thread; the cores read their logs, and when all have, the sockets open and
//! the ring is joined (`rise`). Stop: what clients have asked is answered, the ring is left, the
//! logs are written out, links and tasks end, and only then do the runtimes go.

mod admin;
mod api;
mod api_queue;
mod api_session;
mod clock;
mod control;
pub mod data_folder;
mod deadlines;
mod dial;
mod disk;
pub mod disk_folder;
mod driver;
mod limits;
mod link_end;
mod link_session;
mod links;
mod listen;
mod log_gate;
mod logging;
pub mod mailbox;
pub mod manifest;
mod metrics;
mod node;
mod node_status;
mod notify;
mod operators;
mod prepare;
mod readiness;
mod receive_buffer;
mod reshard;
mod rise;
mod send_queue;
mod shell;
mod slots;
mod socket;
mod spin;
mod stop;
mod tasks;
mod ticket;
mod worker;

pub use prepare::ServeError;

use crate::config::Config;

/// Runs a node until SIGTERM or SIGINT. Everything is checked before anything starts; an error is
/// one line for the operator and says which exit code it deserves.
pub fn serve(config: Config) -> Result<(), ServeError> {
    let _log = logging::init(&config)?;
    // Standard error gets the error from whoever called; a log file would miss it.
    let has_log_file = config.log_file.is_some();
    let result = stop::run_until_stopped(config);
    if let (Err(error), true) = (&result, has_log_file) {
        tracing::error!("{error}");
    }
    result
}
