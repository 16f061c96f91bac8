//! The sources as the tidy test reads them: lines, the production part, functions.
//!
//! The reading relies on rustfmt: a function ends at the first closing brace with its own
//! indentation, and the tests of a file follow its production code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use harness::binaries::workspace_dir;

/// One file.
pub(crate) struct Source {
    /// Its path below the workspace.
    pub(crate) path: String,
    /// Its lines.
    pub(crate) lines: Vec<String>,
    only_for_tests: bool,
}

/// One function.
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// Its first line, counted from 1.
    pub(crate) start: usize,
    /// How many lines it has.
    pub(crate) lines: usize,
}

/// Every Rust file of the workspace.
pub(crate) fn all() -> Vec<Source> {
    let mut found = Vec::new();
    for package in ["proto", "node", "loadgen", "bench", "tests"] {
        walk(&workspace_dir().join(package), &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    let for_tests: BTreeSet<String> = found.iter().flat_map(Source::test_modules).collect();
    for source in &mut found {
        source.only_for_tests = for_tests.contains(&source.path);
    }
    assert!(
        found.len() > 20,
        "the sources are where they are looked for"
    );
    found
}

fn walk(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder)
        .expect("a folder of the workspace")
        .flatten()
    {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a text file");
            let path = path
                .strip_prefix(workspace_dir())
                .expect("below the workspace");
            found.push(Source {
                path: path.display().to_string(),
                lines: text.lines().map(str::to_owned).collect(),
                only_for_tests: false,
            });
        }
    }
}

impl Source {
    /// Whether all of it is there for tests or measurements of pieces.
    pub(crate) fn is_test(&self) -> bool {
        self.only_for_tests
            || self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.contains("/benches/")
    }

    /// Whether STYLE.md 1 wants it pure.
    pub(crate) fn is_pure(&self) -> bool {
        self.path.starts_with("proto/src") || self.path.starts_with("node/src/engine")
    }

    /// The lines before the tests; none in a file that is all tests.
    pub(crate) fn production(&self) -> &[String] {
        if self.is_test() {
            return &[];
        }
        let mut pairs = self.lines.windows(2);
        let tests = pairs.position(|pair| pair[0] == "#[cfg(test)]" && pair[1].ends_with('{'));
        &self.lines[..tests.unwrap_or(self.lines.len())]
    }

    /// The files of the modules that are declared for tests only, as paths below the workspace.
    fn test_modules(&self) -> impl Iterator<Item = String> {
        let stem = self.path.trim_end_matches(".rs");
        let folder = match stem.rsplit_once('/') {
            Some((folder, "lib" | "main")) => folder,
            _ => stem,
        };
        let declared = self
            .lines
            .windows(2)
            .filter(|pair| pair[0] == "#[cfg(test)]");
        declared.filter_map(move |pair| {
            let (_, name) = pair[1].strip_suffix(';')?.rsplit_once("mod ")?;
            Some(format!("{folder}/{name}.rs"))
        })
    }

    /// The numbers of the lines that `broken` objects to.
    pub(crate) fn numbered(&self, broken: impl Fn(&str) -> bool) -> Vec<String> {
        numbered(&self.lines, |line| line, broken)
    }

    /// The same of the production part, comments left aside.
    pub(crate) fn numbered_production(&self, broken: impl Fn(&str) -> bool) -> Vec<String> {
        numbered(self.production(), code_of, broken)
    }

    /// Every function with a body.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        for (at, line) in self.lines.iter().enumerate() {
            let Some(name) = function_name(line) else {
                continue;
            };
            let indent = &line[..line.len() - line.trim_start().len()];
            let close = format!("{indent}}}");
            let bodiless = format!("{indent})");
            let ends = self.lines[at..].iter().position(|line| {
                *line == close || (line.starts_with(&bodiless) && line.ends_with(';'))
            });
            let one_line = line.ends_with('}') || line.ends_with(';');
            let lines = if one_line {
                1
            } else {
                ends.map_or(1, |end| end + 1)
            };
            found.push(Function {
                name,
                start: at + 1,
                lines,
            });
        }
        found
    }
}

fn numbered(
    lines: &[String],
    part: impl Fn(&str) -> &str,
    broken: impl Fn(&str) -> bool,
) -> Vec<String> {
    let bad = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| broken(part(line)));
    bad.map(|(at, line)| format!("line {}: {}", at + 1, line.trim()))
        .collect()
}

/// The line without its comment.
fn code_of(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

fn function_name(line: &str) -> Option<String> {
    let mut rest = code_of(line).trim_start();
    for word in [
        "pub(crate) ",
        "pub(super) ",
        "pub ",
        "const ",
        "async ",
        "unsafe ",
    ] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let name = rest.strip_prefix("fn ")?;
    Some(
        name.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect(),
    )
}
