//! STYLE.md as a test: shapes of files and functions, absences, arrows between crates.
//!
//! What may be broken stands in `ALLOWED` with the number of times; an entry that is no longer
//! needed fails the test, so that the list can only shrink.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use harness::binaries::workspace_dir;

use crate::source::{self, Source};

/// `(file, rule, times)`: what is not yet as it should be.
const ALLOWED: &[(&str, &str, usize)] = &[];

#[test]
fn the_sources_follow_the_house_style() {
    let mut found: BTreeMap<(String, &str), Vec<String>> = BTreeMap::new();
    for source in source::all() {
        for (rule, check) in RULES {
            let broken = check(&source);
            if !broken.is_empty() {
                found.insert((source.path.clone(), rule), broken);
            }
        }
    }
    let mut complaints = Vec::new();
    for (file, rule, times) in ALLOWED {
        let now = found
            .remove(&((*file).to_owned(), *rule))
            .map_or(0, |broken| broken.len());
        if now != *times {
            complaints.push(format!(
                "{file}: {rule}: allowed {times} times, found {now}"
            ));
        }
    }
    for ((file, rule), broken) in &found {
        complaints.extend(broken.iter().map(|what| format!("{file}: {rule}: {what}")));
    }
    assert!(
        complaints.is_empty(),
        "{} complaints:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}

#[test]
fn long_files_are_named() {
    let long: Vec<String> = source::all()
        .iter()
        .filter(|source| source.production().len() > 400)
        .map(|source| format!("{} has {} lines", source.path, source.production().len()))
        .collect();
    // No failure: 400 lines are long, 600 are too many.
    println!("{} long files\n{}", long.len(), long.join("\n"));
}

#[test]
fn crates_depend_on_each_other_only_as_the_design_allows() {
    // The criterion benches measure pieces of both, hence the development dependencies.
    let arrows: [(&str, &[&str], &[&str]); 5] = [
        ("proto", &[], &[]),
        ("node", &["proto"], &[]),
        ("loadgen", &["proto"], &[]),
        ("bench", &["loadgen"], &["node", "proto"]),
        ("tests", &["loadgen", "node", "proto"], &[]),
    ];
    for (package, normal, development) in arrows {
        let manifest = read(&format!("{package}/Cargo.toml"));
        let found = internal(&manifest, "[dependencies]");
        assert!(
            found.iter().all(|name| normal.contains(name)),
            "{package} → {found:?}"
        );
        let found = internal(&manifest, "[dev-dependencies]");
        assert!(
            found.iter().all(|name| development.contains(name)),
            "{package} ⇢ {found:?}"
        );
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{package} takes our lints"
        );
    }
}

#[test]
fn the_map_is_short_and_names_what_exists() {
    let map = read("docs/ARCHITECTURE.md");
    assert!(map.lines().count() < 250, "{} lines", map.lines().count());
    let named = map.split('`').skip(1).step_by(2);
    let missing: Vec<_> = named
        .filter(|name| name.ends_with(".rs") || name.ends_with('/'))
        .filter(|name| !name.contains('…') && !workspace_dir().join(name).exists())
        .collect();
    assert!(
        missing.is_empty(),
        "the map names what does not exist: {missing:?}"
    );
}

type Rule = (&'static str, fn(&Source) -> Vec<String>);

const RULES: &[Rule] = &[
    ("at most 600 lines of production code", too_long),
    ("at most 700 lines with tests", far_too_long),
    ("at most 70 lines a function", long_functions),
    ("at most 100 columns", wide_lines),
    ("opens with 2 to 10 lines that say what it is", opening),
    ("no file names that name nothing", empty_names),
    ("no unfinished work", unfinished),
    ("no unwrap in production code", unwraps),
    ("no get_ in names", getters),
    ("no commented-out code", dead_comments),
    ("an exception from a lint has a reason", bare_exceptions),
    (
        "unsafe has a SAFETY note and stays in its files",
        unsafe_code,
    ),
    (
        "pure code knows no clock, file, socket, thread or chance",
        impure,
    ),
    (
        "pure code shares nothing and iterates in order",
        shared_state,
    ),
    ("tests wait in harness::deadline only", sleeping_tests),
    ("a property that fails leaves no file", persisting_tests),
];

fn too_long(source: &Source) -> Vec<String> {
    let lines = source.production().len();
    when(!source.is_test() && lines > 600, || {
        format!("{lines} lines")
    })
}

fn far_too_long(source: &Source) -> Vec<String> {
    let lines = source.lines.len();
    when(lines > 700, || format!("{lines} lines"))
}

fn long_functions(source: &Source) -> Vec<String> {
    // A test may be one long table.
    let production = source.production().len();
    let functions = source.functions().into_iter();
    let long = functions.filter(|function| function.lines > 70 && function.start <= production);
    long.map(|it| format!("line {}: `{}` has {} lines", it.start, it.name, it.lines))
        .collect()
}

fn wide_lines(source: &Source) -> Vec<String> {
    source.numbered(|line| line.chars().count() > 100)
}

fn opening(source: &Source) -> Vec<String> {
    // Byte tables and drawings between fences belong to the format, not to the opening.
    let mut fenced = false;
    let doc = source
        .lines
        .iter()
        .map_while(|line| line.strip_prefix("//!"));
    let counted = doc.filter(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fence && !fenced && !line.trim().is_empty()
    });
    let count = counted.count();
    when(!(2..=10).contains(&count), || format!("{count} lines"))
}

fn empty_names(source: &Source) -> Vec<String> {
    let names = Path::new(&source.path).components();
    let stems = names.map(|part| {
        let part = part.as_os_str().to_string_lossy().into_owned();
        part.trim_end_matches(".rs").to_owned()
    });
    stems
        .filter(|stem| EMPTY_NAMES.contains(&stem.as_str()))
        .collect()
}

fn unfinished(source: &Source) -> Vec<String> {
    let marks = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("FIX", "ME"),
        concat!("X", "XX"),
        concat!("TO", "DO"),
        concat!("db", "g!("),
    ];
    source.numbered(|line| marks.iter().any(|mark| line.contains(mark)))
}

fn unwraps(source: &Source) -> Vec<String> {
    if source.is_test() {
        return Vec::new();
    }
    source.numbered_production(|code| code.contains(".unwrap()"))
}

fn getters(source: &Source) -> Vec<String> {
    source.numbered(|line| line.contains(concat!("fn ", "get_")) && line.contains("(&self)"))
}

fn dead_comments(source: &Source) -> Vec<String> {
    let starts = [
        "// let ",
        "// use ",
        "// fn ",
        "// pub ",
        "// return ",
        "// if let ",
    ];
    source.numbered(|line| {
        let line = line.trim();
        let code_end = line.ends_with(';') || line.ends_with('{');
        code_end && starts.iter().any(|start| line.starts_with(start))
    })
}

fn bare_exceptions(source: &Source) -> Vec<String> {
    let mut broken = Vec::new();
    for (at, line) in source.lines.iter().enumerate() {
        let line = line.trim_start();
        let exception = ["allow(", "expect("].iter().any(|kind| {
            line.starts_with(&format!("#[{kind}")) || line.starts_with(&format!("#![{kind}"))
        });
        let attribute = source.lines[at..].iter().take(6).map(String::as_str);
        let text: Vec<_> = attribute
            .take_while(|line| !line.trim_start().starts_with("fn "))
            .collect();
        if exception && !text.join(" ").contains("reason =") {
            broken.push(format!("line {}", at + 1));
        }
    }
    broken
}

fn unsafe_code(source: &Source) -> Vec<String> {
    let opens = concat!("uns", "afe {");
    let mut broken = Vec::new();
    for (at, line) in source
        .lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.contains(opens))
    {
        let above = &source.lines[at.saturating_sub(6)..at];
        let noted = above.iter().any(|line| line.contains("SAFETY:"));
        if !noted || !UNSAFE_FILES.contains(&source.path.as_str()) {
            broken.push(format!("line {}: {}", at + 1, line.trim()));
        }
    }
    broken
}

fn impure(source: &Source) -> Vec<String> {
    if !source.is_pure() {
        return Vec::new();
    }
    source.numbered_production(|code| IMPURE.iter().any(|word| code.contains(word)))
}

fn shared_state(source: &Source) -> Vec<String> {
    // Planted bugs are no part of any build that is run.
    if !source.is_pure() || source.path == "proto/src/planted.rs" {
        return Vec::new();
    }
    source.numbered_production(|code| SHARED.iter().any(|word| code.contains(word)))
}

fn sleeping_tests(source: &Source) -> Vec<String> {
    let sleeps = [
        concat!("thread::", "sleep"),
        concat!("time::", "sleep"),
        concat!("sleep", "("),
    ];
    let may = source.path == "tests/src/deadline.rs";
    let first = if source.is_test() {
        0
    } else {
        source.production().len()
    };
    let lines = source.lines.iter().enumerate().skip(first);
    let sleeping = lines.filter(|(_, line)| !may && sleeps.iter().any(|word| line.contains(word)));
    sleeping
        .map(|(at, line)| format!("line {}: {}", at + 1, line.trim()))
        .collect()
}

/// A case that was found becomes a named test; a file of seeds would only dirty the clone.
fn persisting_tests(source: &Source) -> Vec<String> {
    let count = |mark: &str| source.numbered(|line| line.contains(mark)).len();
    let properties = count(concat!("prop", "test! {"));
    let configured = count(concat!("failure_", "persistence: None"));
    when(configured < properties, || {
        format!("{configured} of {properties} are configured so")
    })
}

fn when(broken: bool, what: impl FnOnce() -> String) -> Vec<String> {
    if broken { vec![what()] } else { Vec::new() }
}

fn read(path: &str) -> String {
    let path = workspace_dir().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The crates of this workspace that a section of a manifest names.
fn internal(manifest: &str, section: &str) -> Vec<&'static str> {
    let start = manifest.lines().skip_while(|line| *line != section).skip(1);
    let lines: Vec<&str> = start.take_while(|line| !line.starts_with('[')).collect();
    let named = |name: &&str| {
        lines
            .iter()
            .any(|line| line.split(['.', '=', ' ']).next() == Some(name))
    };
    ["bench", "loadgen", "node", "proto"]
        .into_iter()
        .filter(named)
        .collect()
}

/// Files that exist for the sake of an operation the compiler cannot check, and say what it gains.
const UNSAFE_FILES: &[&str] = &["node/src/engine/prefetch.rs"];

const EMPTY_NAMES: &[&str] = &[
    "base", "common", "helper", "helpers", "manager", "misc", "mod", "traits", "types", "util",
    "utils",
];

const IMPURE: &[&str] = &[
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "thread::spawn",
    "std::os::",
    "Instant",
    "SystemTime",
    "UNIX_EPOCH",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "async fn",
    "async move",
    ".await",
    "tokio",
    "monoio",
    "rand::rng",
    "OsRng",
    "getrandom",
    "RandomState",
    "println!",
    "eprintln!",
];

const SHARED: &[&str] = &[
    "static mut",
    "thread_local!",
    "OnceLock",
    "LazyLock",
    "Mutex",
    "RwLock",
    "Atomic",
    "mpsc",
    "std::collections::HashMap",
    "std::collections::HashSet",
    "Rc<RefCell",
];
