//! What can be wrong with a configuration. Each error is one line: where it was set, what is wrong,
//! what is allowed.

use std::path::PathBuf;

use thiserror::Error;

/// A configuration that cannot be used; always the operator's to mend.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot read the configuration: {why}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's reason.
        why: String,
    },
    /// A line is neither blank, a comment, a section nor a setting.
    #[error("{at}: `{text}` is neither `key = value` nor `[section]` nor a comment")]
    Syntax {
        /// File and line.
        at: String,
        /// The line, cut to 60 characters.
        text: String,
    },
    /// A section that neither this node nor another module of the same file has.
    #[error("{at}: unknown section [{section}]{hint}")]
    UnknownSection {
        /// File and line.
        at: String,
        /// Its name.
        section: String,
        /// The nearest section, or why it is not known.
        hint: String,
    },
    /// A key that does not exist.
    #[error("{at}: unknown key `{key}`{hint}")]
    UnknownKey {
        /// File and line, variable or flag.
        at: String,
        /// The key.
        key: String,
        /// The nearest key, or where to find all of them.
        hint: String,
    },
    /// A known key in the wrong place of the file.
    #[error("{at}: `{key}` belongs {place}")]
    Misplaced {
        /// File and line.
        at: String,
        /// The key.
        key: &'static str,
        /// Where it belongs.
        place: &'static str,
    },
    /// A key is set twice in the same file.
    #[error("{at}: `{key}` is set a second time; the first is on line {first_line}")]
    Repeated {
        /// File and line of the second one.
        at: String,
        /// The key.
        key: &'static str,
        /// Line of the first one.
        first_line: usize,
    },
    /// A value is not of the key's kind or range.
    #[error("{at}: {key} = {value}: {why}; allowed: {allowed}")]
    BadValue {
        /// File and line, variable or flag.
        at: String,
        /// The key.
        key: &'static str,
        /// The value as written.
        value: String,
        /// What is wrong with it.
        why: String,
        /// What would be right.
        allowed: String,
    },
    /// A key without default is not set anywhere.
    #[error("{at}: `{key}` is not set ({doc}); set it {place}, or {variable}")]
    Missing {
        /// The file, or `configuration` where there is none.
        at: String,
        /// The key.
        key: &'static str,
        /// What it is.
        doc: &'static str,
        /// Where it belongs in the file.
        place: &'static str,
        /// The environment variable that sets it.
        variable: String,
    },
    /// Two values, each in its range, do not go together.
    #[error("{at}: {key} = {value}: {why}")]
    Relation {
        /// Where the value that must change was set.
        at: String,
        /// Its key.
        key: &'static str,
        /// The value as written.
        value: String,
        /// The relation that must hold, with the other value and where it was set.
        why: String,
    },
}
