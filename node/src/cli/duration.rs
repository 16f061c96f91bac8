//! Durations given on the command line, in the form of the configuration file: `250ms`, `10s`,
//! `1m`. Zero is refused.

use std::time::Duration;

/// For clap: `250ms`, `10s`, `1m`; a plain number is seconds. Zero is refused: nothing is done in
/// it.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let parsed = node::config::parse_duration(text).filter(|duration| !duration.is_zero());
    parsed.ok_or_else(|| "not a duration such as 250ms, 10s or 1m".into())
}
