//! The binaries under test: built once a test program, in the profile of the test program itself,
//! and where the workspace lies.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Path of `chordite`.
pub fn chordite() -> PathBuf {
    built().join("chordite")
}

/// Path of `loadgen`.
pub fn loadgen() -> PathBuf {
    built().join("loadgen")
}

/// Path of `bench`.
pub fn bench() -> PathBuf {
    built().join("bench")
}

/// The top folder of the sources.
#[must_use]
pub fn workspace_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are a package of the workspace")
}

/// Cargo's target folder.
#[must_use]
pub fn target_dir() -> PathBuf {
    let profile = profile_dir();
    profile
        .parent()
        .expect("the profile folder is in the target folder")
        .to_path_buf()
}

/// The cargo that runs the tests.
#[must_use]
pub fn cargo() -> String {
    env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

/// `target/PROFILE`, from `target/PROFILE/deps/all-HASH`.
fn profile_dir() -> PathBuf {
    let program = env::current_exe().expect("a process knows its program");
    let deps = program.parent().expect("the test program lies in a folder");
    deps.parent()
        .expect("the test program lies in target/PROFILE/deps")
        .to_path_buf()
}

fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = profile_dir();
        let profile = match folder.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev".to_owned(),
            Some(name) => name.to_owned(),
        };
        let mut build = Command::new(cargo());
        build
            .current_dir(workspace_dir())
            .args([
                "build",
                "--quiet",
                "--workspace",
                "--bins",
                "--profile",
                &profile,
            ])
            .arg("--target-dir")
            .arg(target_dir())
            .stdin(Stdio::null());
        forget_cargo(&mut build);
        let built = build.output().expect("cargo can be started");
        let errors = String::from_utf8_lossy(&built.stderr);
        assert!(
            built.status.success(),
            "building the binaries failed:\n{errors}"
        );
        folder
    })
}

/// Takes from `command` what the outer cargo says of this package: a cargo inside would build anew
/// whatever looks at it in a build script, such as ring and all that depends on it.
pub(crate) fn forget_cargo(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let said = name.to_string_lossy().starts_with("CARGO_");
        if said && !KEPT.iter().any(|kept| name == *kept) {
            command.env_remove(name);
        }
    }
}

/// Variables that are the user's own and not about a package.
const KEPT: &[&str] = &[
    "CARGO_HOME",
    "CARGO_INCREMENTAL",
    "CARGO_NET_OFFLINE",
    "CARGO_TERM_COLOR",
];
