//! Keys: what there is to know of one, and what follows from it. Parsing, validation, error texts
//! and the reference (`--help-config`, the man page) all read the table in `table`; nothing about
//! a key is written anywhere else.

mod table;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use proto::peer::{NodeName, RingParams};

use super::Config;
use super::error::ConfigError;
use super::layers::{ENVIRONMENT_PREFIX, Setting};
use super::value;
use crate::engine::wal::settings::SyncPolicy;

pub use table::KEYS;

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name in the file, in `--set` and, in capitals, in the environment.
    pub name: &'static str,
    /// Where it stands in the file.
    pub section: Section,
    /// The text of its default; `None` when it must be set.
    pub default: Option<&'static str>,
    /// What it means: one sentence without a full stop.
    pub doc: &'static str,
    /// What values it takes and where they go.
    pub(super) kind: Kind,
}

/// Where a key stands in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Section {
    /// Before the first section.
    Global,
    /// In `[dht]`.
    Dht,
}

impl Section {
    /// The name of the node's own section.
    pub const DHT: &str = "dht";

    /// Where in the file this is, for messages.
    #[must_use]
    pub const fn place(self) -> &'static str {
        match self {
            Self::Global => "before the first section",
            Self::Dht => "in section [dht]",
        }
    }
}

/// A word that stands for a number, and which.
type Word = (&'static str, fn() -> u64);

/// What values a key takes, and the field they go to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A whole number, or `word` for what `word_means`.
    Count {
        min: u64,
        max: u64,
        word: Option<Word>,
        set: fn(&mut Config, u64),
    },
    Duration {
        min: Duration,
        max: Duration,
        set: fn(&mut Config, Duration),
    },
    /// A size that is a multiple of `step`.
    Size {
        min: u64,
        max: u64,
        step: u64,
        set: fn(&mut Config, u64),
    },
    /// When a write counts as durable.
    Sync {
        set: fn(&mut Config, SyncPolicy),
    },
    /// One of some words; the field gets the index.
    Word {
        words: &'static [&'static str],
        set: fn(&mut Config, usize),
    },
    Address {
        set: fn(&mut Config, SocketAddr),
    },
    /// `host:port`; blank leaves it to the relations.
    Name {
        set: fn(&mut Config, NodeName),
    },
    Names {
        set: fn(&mut Config, Vec<NodeName>),
    },
    Path {
        set: fn(&mut Config, PathBuf),
    },
    /// Blank is none.
    OptionalPath {
        set: fn(&mut Config, Option<PathBuf>),
    },
    Paths {
        set: fn(&mut Config, Vec<PathBuf>),
    },
    RingName {
        set: fn(&mut Config, &str),
    },
}

/// The key called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The reference of all keys as text: one block each, for `--help-config`.
#[must_use]
pub fn reference() -> String {
    let mut text = String::new();
    for key in KEYS {
        let default = key.default_shown();
        let _ = write!(
            text,
            "{}  ({})\n    {}.\n    Allowed: {}. Default: {default}. Variable: {}\n\n",
            key.name,
            key.section.place(),
            key.doc,
            key.allowed(),
            key.variable(),
        );
    }
    text
}

impl Key {
    /// Whether some layer must set it.
    #[must_use]
    pub const fn is_required(&self) -> bool {
        self.default.is_none()
    }

    /// The environment variable that sets it.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{ENVIRONMENT_PREFIX}{}", self.name.to_ascii_uppercase())
    }

    /// The default as the reference shows it.
    #[must_use]
    pub fn default_shown(&self) -> &'static str {
        match self.default {
            None => "none, must be set",
            Some("") => "blank",
            Some(text) => text,
        }
    }

    /// What values it takes, with range and unit.
    #[must_use]
    pub fn allowed(&self) -> String {
        match self.kind {
            Kind::Count {
                min,
                max,
                word: None,
                ..
            } => format!("a whole number from {min} to {max}"),
            Kind::Count {
                min,
                max,
                word: Some((word, _)),
                ..
            } => {
                format!("`{word}` or a whole number from {min} to {max}")
            }
            Kind::Duration { min, max, .. } => {
                let (min, max) = (value::show_duration(min), value::show_duration(max));
                format!(
                    "a duration from {min} to {max} (units ms, s, m, h, d; plain numbers are \
                     seconds)"
                )
            }
            Kind::Size { min, max, step, .. } => size_allowed(min, max, step),
            Kind::Sync { .. } => value::sync_allowed(),
            Kind::Word { words, .. } => words.join(" | "),
            Kind::Address { .. } => {
                "ADDRESS:PORT, [IPv6]:PORT or HOST:PORT, port 1 to 65535".into()
            }
            Kind::Name { .. } => "HOST:PORT, port 1 to 65535, or blank".into(),
            Kind::Names { .. } => "HOST:PORT, several separated by commas, or blank".into(),
            Kind::Path { .. } => "the path of a file".into(),
            Kind::OptionalPath { .. } => "a path, or blank for none".into(),
            Kind::Paths { .. } => "the path of a file, several separated by commas".into(),
            Kind::RingName { .. } => "1 to 64 letters, digits, `-`, `_` and `.`".into(),
        }
    }

    /// Parses `setting`, checks its range and puts it into its field.
    pub(super) fn apply(&self, config: &mut Config, setting: &Setting) -> Result<(), ConfigError> {
        self.put(config, &setting.text).map_err(|why| {
            let comment = setting.text.contains(" ;") || setting.text.contains(" #");
            let hint = if comment {
                " (a comment needs a line of its own)"
            } else {
                ""
            };
            ConfigError::BadValue {
                at: setting.at.clone(),
                key: self.name,
                value: setting.text.clone(),
                why: why + hint,
                allowed: self.allowed(),
            }
        })
    }

    fn put(&self, config: &mut Config, text: &str) -> Result<(), String> {
        match self.kind {
            Kind::Count {
                word: Some((word, meaning)),
                set,
                ..
            } if text == word => {
                set(config, meaning());
            }
            Kind::Count { min, max, set, .. } => {
                let number = value::parse_count(text).ok_or("not a whole number")?;
                set(config, within(number, min, max)?);
            }
            Kind::Duration { min, max, set } => {
                let duration = value::parse_duration(text).ok_or("not a duration")?;
                set(config, within(duration, min, max)?);
            }
            Kind::Size {
                min,
                max,
                step,
                set,
            } => {
                let bytes = within(value::parse_size(text).ok_or("not a size")?, min, max)?;
                if !bytes.is_multiple_of(step) {
                    return Err("not such a multiple".into());
                }
                set(config, bytes);
            }
            Kind::Sync { set } => set(config, value::parse_sync(text)?),
            Kind::Word { words, set } => {
                let index = words.iter().position(|word| *word == text);
                set(config, index.ok_or("not one of these")?);
            }
            Kind::Address { set } => set(config, value::parse_address(text)?),
            Kind::Name { .. } if text.is_empty() => {}
            Kind::Name { set } => set(config, parse_name(text)?),
            Kind::Names { set } => set(
                config,
                items(text).map(parse_name).collect::<Result<_, _>>()?,
            ),
            Kind::Path { .. } if text.is_empty() => return Err("no path".into()),
            Kind::Path { set } => set(config, text.into()),
            Kind::OptionalPath { set } => set(config, (!text.is_empty()).then(|| text.into())),
            Kind::Paths { .. } if items(text).next().is_none() => return Err("no path".into()),
            Kind::Paths { set } => set(config, items(text).map(PathBuf::from).collect()),
            Kind::RingName { .. } if !RingParams::is_ring_name(text) => {
                return Err("not a name of a ring".into());
            }
            Kind::RingName { set } => set(config, text),
        }
        Ok(())
    }
}

fn size_allowed(min: u64, max: u64, step: u64) -> String {
    let (min, max) = (value::show_size(min), value::show_size(max));
    let multiple = match step {
        1 => String::new(),
        _ => format!(", a multiple of {}", value::show_size(step)),
    };
    format!(
        "a size from {min} to {max}{multiple} (units KiB, MiB, GiB, TiB; plain numbers are bytes)"
    )
}

fn within<T: PartialOrd + Copy>(value: T, min: T, max: T) -> Result<T, String> {
    if value < min {
        return Err("too small".into());
    }
    if value > max {
        return Err("too large".into());
    }
    Ok(value)
}

fn parse_name(text: &str) -> Result<NodeName, String> {
    NodeName::parse(text).map_err(|error| error.why.to_owned())
}

/// The parts of a list: separated by commas or blanks.
fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}
