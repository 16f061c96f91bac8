//! SIGINT and SIGTERM as events. tokio's handler is the one in the tree that needs no `unsafe`; it
//! runs on a thread of its own that nothing else uses.

use std::sync::mpsc::Sender;
use std::thread;

use node::exit::Exit;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::fleet::Event;
use crate::cli::failure::Failure;

/// Sends an event for each signal from now on.
pub(super) fn watch(events: Sender<Event>) -> Result<(), Failure> {
    let failed = |error| Failure::new(Exit::Bug, format!("cannot handle signals: {error}"));
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    drop(entered);
    let watch = async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if events.send(Event::Signal).is_err() {
                return;
            }
        }
    };
    let watcher = thread::Builder::new().name("signals".into());
    watcher
        .spawn(move || runtime.block_on(watch))
        .map_err(failed)?;
    Ok(())
}
