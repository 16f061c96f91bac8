//! The folder of a measurement by simulation: a page for people, CSV and SVG beside it, and the
//! figures of the gates for programs. Named and kept as `results/` has it: `DATE-NAME-REVISION`,
//! never written twice.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use super::calendar::Moment;
use super::chapter::Chapter;
use super::table::{Cell, Table};

/// What is known of a measurement before it begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    name: String,
    about: String,
    command: String,
    started: Moment,
    commit: String,
    is_modified: bool,
    machine: String,
}

impl Report {
    /// A report that begins now. `name` also names its folder; `about` is a sentence.
    #[must_use]
    pub fn begin(name: &str, about: &str) -> Self {
        let command: Vec<String> = std::env::args_os()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        Self {
            name: name.to_owned(),
            about: about.to_owned(),
            command: without_folder(&command.join(" ")),
            started: Moment::now(),
            commit: git(&["rev-parse", "HEAD"]).unwrap_or_else(|| "unknown".to_owned()),
            is_modified: git(&["status", "--porcelain"]).is_some_and(|files| !files.is_empty()),
            machine: machine(),
        }
    }

    /// Writes page, tables, plots and gates into a new folder below `parent`, which is the
    /// `results` of the sources when left out; returns the folder.
    ///
    /// # Errors
    /// When the folder cannot be written, or something cannot be drawn.
    pub fn write(&self, parent: Option<&Path>, chapters: &[Chapter]) -> Result<PathBuf> {
        let parent = parent.map_or_else(|| source_root().join("results"), Path::to_owned);
        let folder = self
            .new_folder(&parent)
            .with_context(|| parent.display().to_string())?;
        for chapter in chapters {
            for table in &chapter.tables {
                fs::write(folder.join(format!("{}.csv", table.name())), table.csv())?;
            }
            for plot in &chapter.plots {
                fs::write(folder.join(format!("{}.svg", plot.name())), plot.svg()?)?;
            }
        }
        fs::write(folder.join("README.md"), self.page(chapters))?;
        let mut result = serde_json::to_vec_pretty(&self.figures(chapters))?;
        result.push(b'\n');
        fs::write(folder.join("result.json"), result)?;
        Ok(folder)
    }

    /// The page: where the figures come from, verdicts, then every chapter.
    #[must_use]
    pub fn page(&self, chapters: &[Chapter]) -> String {
        let mut page = format!(
            "# {}\n\n{}\n\n- command: `{}`\n- started: {}\n- revision: {}{}\n- machine: {}\n",
            self.name,
            self.about,
            self.command,
            self.started.stamp(),
            self.short(),
            if self.is_modified {
                " with uncommitted changes"
            } else {
                ""
            },
            self.machine,
        );
        let gates: usize = chapters.iter().map(|chapter| chapter.gates.len()).sum();
        let misses: usize = chapters.iter().map(Chapter::misses).sum();
        let _ = writeln!(page, "- gates: {} of {gates} met", gates - misses);
        for chapter in chapters {
            let _ = write!(page, "\n{}", section(chapter));
        }
        page
    }

    fn figures(&self, chapters: &[Chapter]) -> serde_json::Value {
        let gates = chapters.iter().flat_map(|chapter| {
            chapter.gates.iter().map(|gate| {
                json!({
                    "chapter": chapter.title,
                    "name": gate.name(),
                    "measured": gate.measured(),
                    "wanted": gate.wanted(),
                    "met": gate.is_met(),
                })
            })
        });
        json!({
            "schema": SCHEMA,
            "name": self.name,
            "about": self.about,
            "command": self.command,
            "started": self.started.stamp(),
            "revision": { "commit": self.commit, "modified": self.is_modified },
            "machine": self.machine,
            "gates": gates.collect::<Vec<_>>(),
        })
    }

    fn new_folder(&self, parent: &Path) -> io::Result<PathBuf> {
        fs::create_dir_all(parent)?;
        let plain = format!("{}-{}-{}", self.started.date(), self.name, self.short());
        let mut folder = parent.join(&plain);
        let mut number = 2;
        loop {
            match fs::create_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    folder = parent.join(format!("{plain}-{number}"));
                    number += 1;
                }
                made => return made.map(|()| folder),
            }
        }
    }

    fn short(&self) -> &str {
        self.commit.get(..7).unwrap_or(&self.commit)
    }
}

/// One chapter as Markdown; for the console too.
#[must_use]
pub fn section(chapter: &Chapter) -> String {
    let mut text = format!("## {}\n", chapter.title);
    for table in &chapter.tables {
        let _ = write!(text, "\n{}\n\n{table}", table.title());
    }
    if !chapter.gates.is_empty() {
        let _ = write!(text, "\n{}", gates(chapter));
    }
    if !chapter.notes.is_empty() {
        text.push('\n');
    }
    for note in &chapter.notes {
        let _ = writeln!(text, "{note}");
    }
    for plot in &chapter.plots {
        let _ = writeln!(text, "\n![{0}]({0}.svg)", plot.name());
    }
    text
}

fn gates(chapter: &Chapter) -> Table {
    let columns = [
        ("gate", ""),
        ("measured", ""),
        ("wanted", ""),
        ("verdict", ""),
    ];
    let mut table = Table::new("gates", "Gates.", &columns);
    for gate in &chapter.gates {
        let measured = (gate.measured() * 1e4).round() / 1e4;
        table.row([
            Cell::from(gate.name()),
            Cell::from(measured.to_string()),
            Cell::from(gate.wanted()),
            Cell::from(if gate.is_met() { "met" } else { "MISSED" }),
        ]);
    }
    table
}

/// Root of the sources this program was built from.
fn source_root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// A command line whose program is named without its folder: folders differ between machines.
fn without_folder(command: &str) -> String {
    let (program, rest) = command.split_once(' ').unwrap_or((command, ""));
    let name = program.rsplit('/').next().unwrap_or(program);
    format!("{name} {rest}").trim_end().to_owned()
}

fn git(args: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    let output = git.args(args).current_dir(source_root()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Processor, cores, kernel and memory in one line.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_once(':'));
        value.map_or_else(
            || "unknown".to_owned(),
            |(_, value)| value.trim().to_owned(),
        )
    };
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let kib = memory
        .split(' ')
        .next()
        .and_then(|kib| kib.parse::<u64>().ok());
    format!(
        "{}, {} cores, Linux {}, {} MiB",
        field(&read("/proc/cpuinfo"), "model name"),
        std::thread::available_parallelism().map_or(1, usize::from),
        read("/proc/sys/kernel/osrelease").trim(),
        kib.unwrap_or(0) / 1024,
    )
}

/// The schema of `result.json` that this build writes.
const SCHEMA: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::papers::chapter::Gate;
    use crate::papers::plot::{Axis, Plot, Series};
    use crate::workdir;

    fn chapter() -> Chapter {
        let mut chapter = Chapter::new("Hops");
        let mut table = Table::new("hops", "Hops by size.", &[("N", "")]);
        table.row([Cell::Count(128)]);
        chapter.tables.push(table);
        let plot = Plot::new("hops", "Hops", Axis::linear("N"), Axis::linear("hops"));
        chapter
            .plots
            .push(plot.with(Series::points("here", [(1.0, 1.0)])));
        chapter.gates.push(Gate::at_most("mean", 2.0, 1.0));
        chapter.note("One ring.");
        chapter
    }

    #[test]
    fn a_folder_holds_page_table_plot_and_gates_and_is_not_written_twice() {
        let work = workdir::create("report");
        let report = Report::begin("trial", "A trial.");
        let write = || report.write(Some(&work), &[chapter()]).unwrap();
        let (first, second) = (write(), write());
        assert_ne!(first, second);
        let page = fs::read_to_string(first.join("README.md")).unwrap();
        for part in [
            "# trial",
            "gates: 0 of 1 met",
            "| mean | 2        | ≤ 1    | MISSED  |",
            "![hops](hops.svg)",
        ] {
            assert!(page.contains(part), "{part} in\n{page}");
        }
        assert_eq!(
            fs::read_to_string(first.join("hops.csv")).unwrap(),
            "N\n128\n"
        );
        let result = fs::read(first.join("result.json")).unwrap();
        let result: serde_json::Value = serde_json::from_slice(&result).unwrap();
        assert_eq!(result["gates"][0]["met"], false);
    }

    #[test]
    fn programs_are_named_without_their_folder() {
        assert_eq!(
            without_folder("/a/b/sim papers --quick"),
            "sim papers --quick"
        );
        assert_eq!(without_folder("sim"), "sim");
    }
}
