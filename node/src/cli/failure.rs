//! How a command fails: an exit code and one line for the operator. Every error type of the library
//! becomes one here.

use std::io;
use std::process::ExitCode;

use node::ca::CaError;
use node::config::ConfigError;
use node::exit::Exit;
use node::trust::TrustError;

/// A command that could not do what it was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    /// How the process ends.
    pub(crate) exit: Exit,
    /// One line; empty when there is nobody to read it.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    /// The command line is wrong in a way that clap cannot see.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Standard output cannot be written. A reader that has seen enough (`| head`) is no error.
    pub(crate) fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Exit::Ok, ""),
            _ => Self::new(
                Exit::Storage,
                format!("cannot write to standard output: {error}"),
            ),
        }
    }

    /// Prints the line and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        if !self.message.is_empty() {
            eprintln!("chordite: {}", self.message);
        }
        self.exit.into()
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<CaError> for Failure {
    fn from(error: CaError) -> Self {
        let exit = match error {
            CaError::Exists(_) => Exit::Usage,
            _ => Exit::Certificates,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<TrustError> for Failure {
    fn from(error: TrustError) -> Self {
        Self::new(Exit::Certificates, error.to_string())
    }
}
