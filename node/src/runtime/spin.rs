//! Spinning before sleeping (`busy_poll_us`): a sleeper costs whoever wakes it 15 µs and everybody
//! else the latency. While there is work, and for a while after, this task keeps the event loop
//! from sleeping by reading zero bytes from a file: an operation that completes at once, so that
//! every pass also reaps completions. A task that woke itself would starve all others instead.

use std::rc::Rc;
use std::time::Duration;

use monoio::fs::File;

use super::shell::Shell;

/// Spins for `patience` after the last turn that had something to do, until the worker ends.
pub(crate) async fn run(shell: Rc<Shell>, patience: Duration) {
    let file = match std::fs::File::open(NOTHING).and_then(File::from_std) {
        Ok(file) => file,
        Err(error) => return tracing::warn!(%error, file = NOTHING, "busy polling is off"),
    };
    while !shell.ending.is_open() {
        shell.busy.notified().await;
        let mut turns = shell.turns();
        let mut idle_since = shell.read_clock();
        while shell.read_clock().saturating_sub(idle_since) < patience && !shell.ending.is_open() {
            let (result, _) = file.read_at(Vec::new(), 0).await;
            if result.is_err() {
                return;
            }
            if shell.turns() != turns {
                turns = shell.turns();
                idle_since = shell.read_clock();
            }
        }
    }
    let _ = file.close().await;
}

/// A file of which zero bytes can always be read.
const NOTHING: &str = "/dev/null";
