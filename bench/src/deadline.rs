//! Waiting for a condition of another process: look, pause briefly, look again, give up in time.
//! The only place that sleeps while it waits for something; a turn's length is slept elsewhere.

use std::time::{Duration, Instant};

/// Looks with `probe` until it finds something.
///
/// # Errors
/// When `within` is over before.
pub fn wait_until<T>(
    what: &str,
    within: Duration,
    mut probe: impl FnMut() -> Option<T>,
) -> Result<T, DeadlineError> {
    let end = Instant::now() + within;
    loop {
        if let Some(found) = probe() {
            return Ok(found);
        }
        if Instant::now() >= end {
            return Err(DeadlineError {
                what: what.to_owned(),
                within,
            });
        }
        std::thread::sleep(PAUSE);
    }
}

/// A condition that did not come true in time.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("waited {within:?} in vain for {what}")]
pub struct DeadlineError {
    /// What was waited for.
    pub what: String,
    /// How long.
    pub within: Duration,
}

/// Short against a start of a process, long against a look at a file.
const PAUSE: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_at_least_once_and_gives_up() {
        assert_eq!(wait_until("x", Duration::ZERO, || Some(1)), Ok(1));
        assert!(wait_until("x", Duration::ZERO, || None::<()>).is_err());
    }
}
