//! The exit codes of `chordite`, in one place. Every error that can end the program says which of
//! them it is; scripts and service managers rely on the numbers, so they never change meaning.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// The key is absent (`get`, `del`), or a check found something (`ring --check`).
    Absent = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// The data folder cannot be used.
    Data = 3,
    /// A key or certificate is missing, wrong or refused.
    Certificates = 4,
    /// An address cannot be bound or reached, or a peer does not answer.
    Network = 5,
    /// The storage failed, or is full.
    Storage = 6,
    /// A bug in Chordite, or the system refused something no node can do without.
    Bug = 7,
}

impl Exit {
    /// Every exit.
    pub const ALL: &[Self] = &[
        Self::Ok,
        Self::Absent,
        Self::Usage,
        Self::Data,
        Self::Certificates,
        Self::Network,
        Self::Storage,
        Self::Bug,
    ];

    /// The number the process exits with.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
