//! The layers a configuration is made of and their merging: defaults < file < environment < flags.
//!
//! Each layer is a [`config::Source`] whose values carry where they were set as their origin, so
//! that the merged value still knows its file and line. Unknown, misplaced and repeated keys are
//! found here, where the place is known.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::ini::{self, Item};
use super::keys::{self, Key, Kind, Section};
use super::nearest::nearest;

/// A setting from the command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flag {
    key: String,
    value: String,
    at: String,
}

impl Flag {
    /// A flag of its own for one key: `--api-address` for `api_address`.
    #[must_use]
    pub fn named(key: &str, value: &str) -> Self {
        let at = format!("flag --{}", key.replace('_', "-"));
        Self {
            key: key.into(),
            value: value.into(),
            at,
        }
    }

    /// `--set key=value`; `None` without an equals sign.
    #[must_use]
    pub fn set(assignment: &str) -> Option<Self> {
        let (key, value) = assignment.split_once('=')?;
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        Some(Self {
            key,
            value,
            at: "flag --set".into(),
        })
    }

    /// The key it sets.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value as given.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// A value of the merged configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Setting {
    /// The value as written, relative paths of a file joined to its folder.
    pub(super) text: String,
    /// File and line, variable or flag, or [`BY_DEFAULT`].
    pub(super) at: String,
}

impl Setting {
    /// The default of `key`.
    pub(super) fn by_default(key: &Key) -> Self {
        Self {
            text: key.default.unwrap_or_default().into(),
            at: BY_DEFAULT.into(),
        }
    }

    /// Whether nobody set it.
    pub(super) fn is_default(&self) -> bool {
        self.at == BY_DEFAULT
    }
}

/// The merged settings by key; keys without value and default are missing from it.
pub(super) type Settings = BTreeMap<&'static str, Setting>;

/// Merges all layers. A required key that no layer has is an error.
pub(super) fn merge(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: &[Flag],
) -> Result<Settings, ConfigError> {
    let mut layers = vec![default_layer()];
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
            file: path.into(),
            why: error.to_string(),
        })?;
        layers.push(file_layer(path, &text)?);
    }
    layers.push(environment_layer(environment)?);
    layers.push(flag_layer(flags)?);
    let settings = collect(layers);
    match keys::KEYS
        .iter()
        .find(|key| key.is_required() && !settings.contains_key(key.name))
    {
        Some(key) => Err(missing(key, file)),
        None => Ok(settings),
    }
}

/// The settings of one layer.
#[derive(Clone, Debug, Default)]
struct Layer(BTreeMap<&'static str, Setting>);

impl config::Source for Layer {
    fn clone_into_box(&self) -> Box<dyn config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<config::Map<String, config::Value>, config::ConfigError> {
        let value = |setting: &Setting| config::Value::new(Some(&setting.at), setting.text.clone());
        Ok(self
            .0
            .iter()
            .map(|(key, setting)| ((*key).to_owned(), value(setting)))
            .collect())
    }
}

fn collect(layers: Vec<Layer>) -> Settings {
    use config::Source as _;
    let mut builder = config::Config::builder();
    for layer in layers {
        builder = builder.add_source(layer);
    }
    let merged = builder.build().and_then(|merged| merged.collect());
    let mut merged = merged.expect("layers of plain words and texts merge");
    let take = |key: &'static Key| {
        let value = merged.remove(key.name)?;
        let at = value.origin().unwrap_or_default().to_owned();
        let text = value.into_string().expect("every layer holds texts");
        Some((key.name, Setting { text, at }))
    };
    keys::KEYS.iter().filter_map(take).collect()
}

fn default_layer() -> Layer {
    let with_default = keys::KEYS.iter().filter(|key| !key.is_required());
    Layer(
        with_default
            .map(|key| (key.name, Setting::by_default(key)))
            .collect(),
    )
}

fn file_layer(path: &Path, text: &str) -> Result<Layer, ConfigError> {
    let mut layer = Layer::default();
    let mut lines = BTreeMap::new();
    let mut section = Some(Section::Global);
    for line in ini::scan(text) {
        let at = format!("{}:{}", path.display(), line.number);
        match line.item {
            Item::Section(name) => section = enter(name, &at)?,
            Item::Unreadable(text) => {
                let text = text.chars().take(60).collect();
                return Err(ConfigError::Syntax { at, text });
            }
            Item::Setting { key, value } => {
                let Some(section) = section else { continue };
                let key = place(key, section, &at)?;
                if let Some(first_line) = lines.insert(key.name, line.number) {
                    return Err(ConfigError::Repeated {
                        at,
                        key: key.name,
                        first_line,
                    });
                }
                let text = match key.kind {
                    Kind::Path { .. } | Kind::OptionalPath { .. } => joined(path, value),
                    Kind::Paths { .. } => joined_each(path, value),
                    _ => value.to_owned(),
                };
                layer.0.insert(key.name, Setting { text, at });
            }
        }
    }
    Ok(layer)
}

/// The section called `name`; `None` for one of another module, whose settings are not ours.
fn enter(name: &str, at: &str) -> Result<Option<Section>, ConfigError> {
    if name == Section::DHT {
        return Ok(Some(Section::Dht));
    }
    if OTHER_MODULES.contains(&name) {
        return Ok(None);
    }
    let hint = if LATER_SECTIONS.contains(&name) {
        "; this version does not have that capability".to_owned()
    } else {
        let known = LATER_SECTIONS.iter().chain(OTHER_MODULES).copied();
        match nearest(name, [Section::DHT].into_iter().chain(known)) {
            Some(near) => format!("; did you mean [{near}]?"),
            None => format!("; the node's own is [{}]", Section::DHT),
        }
    };
    Err(ConfigError::UnknownSection {
        at: at.into(),
        section: name.into(),
        hint,
    })
}

/// The key called `name`, which must belong to `section`.
fn place(name: &str, section: Section, at: &str) -> Result<&'static Key, ConfigError> {
    let key = find(name, at)?;
    if key.section == section {
        return Ok(key);
    }
    Err(ConfigError::Misplaced {
        at: at.into(),
        key: key.name,
        place: key.section.place(),
    })
}

fn find(name: &str, at: &str) -> Result<&'static Key, ConfigError> {
    keys::find(name).ok_or_else(|| {
        let hint = match nearest(name, keys::KEYS.iter().map(|key| key.name)) {
            Some(near) => format!("; did you mean `{near}`?"),
            None => "; `chordite serve --help-config` lists all keys".to_owned(),
        };
        ConfigError::UnknownKey {
            at: at.into(),
            key: name.into(),
            hint,
        }
    })
}

/// Paths in a file are meant from its folder, so that a folder with a node's files can be moved. A
/// blank one stays blank.
fn joined(file: &Path, value: &str) -> String {
    let folder = file.parent().unwrap_or(Path::new(""));
    match value.trim() {
        "" => String::new(),
        path => folder.join(path).display().to_string(),
    }
}

/// As [`joined`], for each path of a list.
fn joined_each(file: &Path, list: &str) -> String {
    let paths = list.split(',').filter(|path| !path.trim().is_empty());
    let paths: Vec<String> = paths.map(|path| joined(file, path)).collect();
    paths.join(",")
}

/// Variables that begin with our prefix but name no key are passed over, because Kubernetes sets
/// `CHORDITE_PORT_…` for a service called chordite; one that looks misspelt is an error.
fn environment_layer(
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Layer, ConfigError> {
    let mut layer = Layer::default();
    for (variable, value) in environment {
        let Some(name) = variable.strip_prefix(ENVIRONMENT_PREFIX) else {
            continue;
        };
        let name = name.to_ascii_lowercase();
        let at = format!("environment variable {variable}");
        match keys::find(&name) {
            Some(key) => {
                layer.0.insert(
                    key.name,
                    Setting {
                        text: value.trim().to_owned(),
                        at,
                    },
                );
            }
            None => {
                let near = nearest(&name, keys::KEYS.iter().map(|key| key.name));
                if near.is_some() {
                    find(&name, &at)?;
                }
            }
        }
    }
    Ok(layer)
}

fn flag_layer(flags: &[Flag]) -> Result<Layer, ConfigError> {
    let mut layer = Layer::default();
    for flag in flags {
        let key = find(&flag.key, &flag.at)?;
        layer.0.insert(
            key.name,
            Setting {
                text: flag.value.clone(),
                at: flag.at.clone(),
            },
        );
    }
    Ok(layer)
}

fn missing(key: &'static Key, file: Option<&Path>) -> ConfigError {
    let at = file.map_or_else(|| PathBuf::from("configuration"), Path::to_path_buf);
    ConfigError::Missing {
        at: at.display().to_string(),
        key: key.name,
        doc: key.doc,
        place: key.section.place(),
        variable: key.variable(),
    }
}

/// What stands in front of a key in the name of its environment variable.
pub const ENVIRONMENT_PREFIX: &str = "CHORDITE_";

/// The origin of a value that nobody set.
const BY_DEFAULT: &str = "default";

/// Sections of the other VoidPhone modules, which share the file.
const OTHER_MODULES: &[&str] = &[
    "auth",
    "cm",
    "gossip",
    "nse",
    "onion",
    "onion_auth",
    "onionauth",
    "rps",
    "ui",
    "voidphone",
];

/// Sections of capabilities that come later: refused, because nobody may believe them in force.
const LATER_SECTIONS: &[&str] = &["rate_limiter", "security"];
