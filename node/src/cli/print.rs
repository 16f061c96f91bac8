//! Standard output: everything a command prints goes through here, because a reader that goes away
//! (`| head`) must end the command quietly instead of panicking in `println!`.

use std::io::{self, Write as _};

use super::failure::Failure;

/// Writes `bytes` as they are and flushes.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(|error| Failure::output(&error))
}

/// Writes `text` as it is and flushes.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    bytes(text.as_bytes())
}
