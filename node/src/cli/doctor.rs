//! `chordite doctor`: whether this host and a configuration are fit to run a node, one line each
//! with what to do about it. It changes nothing.

mod data;
mod host;
mod setup;

use std::path::PathBuf;

use clap::Args;
use node::exit::Exit;

use super::failure::Failure;
use super::{print, serve};

/// Check this host, and with -c a configuration: what would keep a node from running well
#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// Check this configuration too: its keys, certificates, ports and folders
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// One line of the report.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Finding {
    subject: &'static str,
    verdict: Verdict,
    detail: String,
    /// What to do about it; empty when all is well.
    advice: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// As it should be.
    Fine,
    /// A node runs, but not as well as it could.
    Warn,
    /// A node would end with this.
    Fail(Exit),
}

impl Doctor {
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let mut findings = host::examine();
        if let Some(file) = &self.config {
            match serve::load(Some(file), &serve::SettingArgs::default()) {
                Ok(config) => {
                    findings.push(Finding::fine("configuration", file.display().to_string()));
                    findings.extend(setup::examine(&config));
                }
                Err(failure) => {
                    findings.push(Finding::fail("configuration", failure, "mend it"));
                }
            }
        }
        print::text(&findings.iter().map(Finding::line).collect::<String>())?;
        Ok(exit(&findings))
    }
}

/// The exit code of the first thing that would keep a node from running.
fn exit(findings: &[Finding]) -> Exit {
    let failed = findings.iter().find_map(|finding| match finding.verdict {
        Verdict::Fail(exit) => Some(exit),
        Verdict::Fine | Verdict::Warn => None,
    });
    failed.unwrap_or(Exit::Ok)
}

impl Finding {
    fn fine(subject: &'static str, detail: impl Into<String>) -> Self {
        Self {
            subject,
            verdict: Verdict::Fine,
            detail: detail.into(),
            advice: "",
        }
    }

    fn warn(subject: &'static str, detail: impl Into<String>, advice: &'static str) -> Self {
        Self {
            subject,
            verdict: Verdict::Warn,
            detail: detail.into(),
            advice,
        }
    }

    fn fail(subject: &'static str, failure: Failure, advice: &'static str) -> Self {
        Self {
            subject,
            verdict: Verdict::Fail(failure.exit),
            detail: failure.message,
            advice,
        }
    }

    fn line(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Fine => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail(_) => "fail",
        };
        let advice = if self.advice.is_empty() { "" } else { "; " };
        format!(
            "{verdict:<4}  {:<13}  {}{advice}{}\n",
            self.subject, self.detail, self.advice
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_gives_the_exit_code() {
        let fine = Finding::fine("kernel", "Linux 6.1");
        assert_eq!(fine.line(), "ok    kernel         Linux 6.1\n");
        let warn = Finding::warn("open files", "1024", "raise it");
        assert_eq!(warn.line(), "warn  open files     1024; raise it\n");
        assert_eq!(exit(&[fine, warn.clone()]), Exit::Ok);
        let fail = Finding::fail("port", Failure::new(Exit::Network, "in use"), "");
        assert_eq!(
            exit(&[warn, fail, Finding::fail("x", Failure::usage("y"), "")]),
            Exit::Network
        );
    }
}
