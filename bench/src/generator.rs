//! The load generator as a program: its command line, its files and what it says at the end.
//!
//! One place knows its flags. A run writes its summary and histograms into a folder of its own and
//! is judged here: a wrong value, a lost key or an unanswered request is a failure of whatever
//! asked for the run, not a figure.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use loadgen::report::{SUMMARY_FILE, Summary};

use crate::process::{ProcessError, Program};
use crate::scenario::{Confirm, Distribution};

/// One run of the generator.
#[derive(Clone, PartialEq, Debug)]
pub struct Run {
    /// Addresses to ask.
    pub targets: Vec<String>,
    /// How they are asked.
    pub language: Language,
    /// Connections in all.
    pub connections: u32,
    /// Requests under way on each.
    pub depth: u32,
    /// Threads of the generator.
    pub threads: u32,
    /// Keys in use.
    pub keys: u64,
    /// How often each is asked for.
    pub distribution: Distribution,
    /// Of arrivals, keys and the numbers that written values carry.
    pub seed: u64,
    /// Bytes of a value or of an echoed frame.
    pub value_bytes: u32,
    /// Share of writes.
    pub puts: f64,
    /// What a read after a write confirms.
    pub confirm: Confirm,
    /// Share of owner lookups and how they are carried out.
    pub lookups: Option<(f64, String)>,
    /// Requests a second of an open loop; `None`: closed loop.
    pub rate: Option<f64>,
    /// Whether every key is written first.
    pub preload: bool,
    /// Length of the measured part.
    pub length: Duration,
    /// Left out before.
    pub warmup: Duration,
    /// Core of its process.
    pub core: Option<usize>,
}

/// How targets are asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Language {
    /// Frames that come back.
    Echo,
    /// The DHT API.
    Dht,
    /// The native API, with the client identity in this folder.
    Native(PathBuf),
    /// GET and SET of redis.
    Resp,
    /// `get` and `set` of memcached.
    Memcached,
}

impl Run {
    /// Carries it out; its files go to `folder`.
    ///
    /// # Errors
    /// When the generator fails or says nothing that can be read.
    pub fn carry_out(&self, loadgen: &Path, folder: &Path) -> Result<Outcome, GeneratorError> {
        std::fs::create_dir_all(folder)?;
        let program = self.program(loadgen, folder);
        let mut process = program.spawn(folder, "loadgen")?;
        process.finish(self.length + self.warmup + SLACK)?;
        let summary = Summary::read(&folder.join(SUMMARY_FILE))?;
        let table = process.stdout();
        // The table is for the terminal, the files say the same.
        process.discard_output();
        Ok(Outcome {
            summary,
            table,
            command: program.line(),
        })
    }

    fn program(&self, loadgen: &Path, folder: &Path) -> Program {
        let mut program = Program::new(loadgen)
            .arg("run")
            .args(self.language_flags())
            .on_core(self.core);
        for (flag, value) in self.flags() {
            program = program.args([flag.to_owned(), value]);
        }
        if self.preload {
            program = program.arg("--preload");
        }
        program.arg("--out").arg(folder)
    }

    fn language_flags(&self) -> Vec<OsString> {
        let mut flags = Vec::new();
        for target in &self.targets {
            let flag = match self.language {
                Language::Native(_) => "--native",
                Language::Echo | Language::Dht | Language::Resp | Language::Memcached => "--target",
            };
            flags.extend([flag.into(), target.into()]);
        }
        match &self.language {
            Language::Echo => {
                let frame_bytes = self.value_bytes.to_string();
                flags.extend(["--protocol".into(), "echo".into()]);
                flags.extend(["--frame-bytes".into(), frame_bytes.into()]);
            }
            Language::Dht => {
                let confirm = match self.confirm {
                    Confirm::Turn => "turn",
                    Confirm::Each => "each",
                };
                flags.extend(["--confirm".into(), confirm.into()]);
            }
            Language::Resp => flags.extend(["--protocol".into(), "resp".into()]),
            Language::Memcached => flags.extend(["--protocol".into(), "memcached".into()]),
            Language::Native(identity) => {
                flags.extend(["--identity".into(), identity.into()]);
            }
        }
        flags
    }

    fn flags(&self) -> Vec<(&'static str, String)> {
        let mut flags = vec![
            ("--connections", self.connections.to_string()),
            ("--depth", self.depth.to_string()),
            ("--threads", self.threads.to_string()),
            ("--keys", self.keys.to_string()),
            ("--distribution", self.distribution.name().to_owned()),
            ("--seed", self.seed.to_string()),
            ("--value-size", self.value_bytes.to_string()),
            ("--puts", self.puts.to_string()),
            ("--duration", format!("{}ms", self.length.as_millis())),
            ("--warmup", format!("{}ms", self.warmup.as_millis())),
        ];
        if let Some((share, modes)) = &self.lookups {
            flags.push(("--lookups", share.to_string()));
            flags.push(("--lookup-modes", modes.clone()));
        }
        if let Some(rate) = self.rate {
            flags.push(("--rate", rate.to_string()));
        }
        flags
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The generator's own report.
    pub summary: Summary,
    /// The table it printed.
    pub table: String,
    /// Its command line.
    pub command: String,
}

impl Outcome {
    /// Nothing wrong, nothing lost, nothing unanswered; and something was answered at all.
    ///
    /// # Errors
    /// With the count of each fault.
    pub fn faultless(&self) -> Result<(), GeneratorError> {
        faults(&self.summary).map_or(Ok(()), |faults| Err(GeneratorError::Faults(faults)))
    }
}

/// Why a run says nothing, or something bad.
#[derive(Debug, thiserror::Error)]
pub enum GeneratorError {
    /// The process failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Its files cannot be written or read.
    #[error("the load generator's report: {0}")]
    Report(#[from] io::Error),
    /// The targets did not do what they should.
    #[error("the load generator saw {0}")]
    Faults(String),
}

fn faults(summary: &Summary) -> Option<String> {
    let counts = &summary.counts;
    let mut faults = Vec::new();
    for (count, what) in [
        (counts.wrong, "wrong values"),
        (counts.lost, "lost keys"),
        (counts.absent, "absent keys"),
    ] {
        if count > 0 {
            faults.push(format!("{count} {what}"));
        }
    }
    for error in &summary.errors {
        let example = error.example.as_ref();
        let example = example.map_or(String::new(), |example| format!(" ({example})"));
        faults.push(format!("{} × {}{example}", error.count, error.kind));
    }
    if counts.completed == 0 {
        faults.push("no answer".to_owned());
    }
    (!faults.is_empty()).then(|| faults.join(", "))
}

/// Start, preload and drain of the generator.
const SLACK: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;
    use loadgen::report::ErrorCount;

    #[test]
    fn every_fault_is_told() {
        let mut summary = Summary::default();
        assert_eq!(faults(&summary).unwrap(), "no answer");
        summary.counts.completed = 5;
        assert_eq!(faults(&summary), None);
        summary.counts.wrong = 2;
        summary.errors.push(ErrorCount {
            kind: "timeout".to_owned(),
            count: 3,
            example: Some("no answer within 5 s".to_owned()),
        });
        assert_eq!(
            faults(&summary).unwrap(),
            "2 wrong values, 3 × timeout (no answer within 5 s)"
        );
    }
}
