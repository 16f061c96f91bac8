//! Keys given on the command line: a name, or with `--hex` the 32 bytes themselves. What a name
//! stands for is decided in `proto::key`.

use clap::Args;
use proto::key::{KEY_BYTES, Key};

use super::failure::Failure;

/// A key.
#[derive(Args, Clone, Debug)]
pub(crate) struct KeyArgs {
    /// The key: up to 32 bytes are padded with NUL, longer ones are hashed
    #[arg(value_name = "KEY")]
    text: String,
    /// KEY is the 64 hexadecimal digits of the 32 bytes
    #[arg(long)]
    hex: bool,
}

impl KeyArgs {
    /// The key these arguments name.
    pub(crate) fn key(&self) -> Result<Key, Failure> {
        if self.hex {
            parse_hex(&self.text)
        } else {
            parse_text(&self.text)
        }
    }
}

/// The key of a name. An empty one is refused: it is a forgotten argument far more often than a key
/// of 32 NUL bytes, which `--hex` can still say.
pub(crate) fn parse_text(text: &str) -> Result<Key, Failure> {
    if text.is_empty() {
        return Err(Failure::usage("the key is empty"));
    }
    Ok(Key::from_text(text))
}

fn parse_hex(text: &str) -> Result<Key, Failure> {
    let mut bytes = [0; KEY_BYTES];
    match hex::decode_to_slice(text, &mut bytes) {
        Ok(()) => Ok(Key::from_bytes(bytes)),
        Err(_) => Err(Failure::usage(format!(
            "`{text}` is not 64 hexadecimal digits"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_name_or_its_bytes() {
        let key = |text: &str, hex| {
            KeyArgs {
                text: text.into(),
                hex,
            }
            .key()
        };
        assert_eq!(key("test", false), Ok(Key::from_text("test")));
        assert_eq!(key(&"0a".repeat(32), true), Ok(Key::from_bytes([10; 32])));
        assert!(key("0a", true).is_err() && key("", false).is_err());
    }
}
