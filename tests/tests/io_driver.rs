//! The kernel's doors: io_uring where it is allowed, epoll where it is not, with the reason in one
//! line. A node that may lock no memory is refused a ring by the kernel; making one needs root.

use std::path::Path;

use harness::binaries;
use harness::certs::Authority;
use harness::deadline::secs;
use harness::dht;
use harness::process::Process;
use harness::serve::{Plan, Serve};

#[test]
fn a_node_that_is_refused_io_uring_says_why_and_serves_on_epoll() {
    let Some(mut node) = start_without_io_uring("auto") else {
        return;
    };
    node.wait_ready();
    let log = node.log();
    let line = log
        .lines()
        .find(|line| line.contains("epoll"))
        .expect("a line with the driver");
    assert!(
        line.contains("io_uring") && line.contains("RLIMIT_MEMLOCK"),
        "{line}"
    );
    node.client().write(&dht::key("over epoll"), b"served");
}

#[test]
fn a_node_that_insists_on_io_uring_does_not_start_without() {
    let Some(node) = start_without_io_uring("io_uring") else {
        return;
    };
    let finished = node.process.wait(secs(20));
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    let line = finished.stderr.lines().last().unwrap_or_default();
    assert!(
        line.contains("io_driver") && line.contains("RLIMIT_MEMLOCK"),
        "{line}"
    );
}

/// A node under an account that may lock no memory, or nothing where that cannot be arranged.
fn start_without_io_uring(driver: &str) -> Option<Serve> {
    let tools = [Path::new("/usr/bin/setpriv"), Path::new("/usr/bin/prlimit")];
    let missing = tools.iter().find(|tool| !tool.exists());
    let why = match missing {
        Some(tool) => Some(format!("{} is not there", tool.display())),
        None if !rustix::process::geteuid().is_root() => Some("it needs root".to_owned()),
        None => None,
    };
    if let Some(why) = why {
        assert!(
            std::env::var_os("CI").is_none(),
            "CI has to run this test: {why}"
        );
        println!("skipped: {why}");
        return None;
    }
    let mut plan = Plan::local("driver").set(&format!("io_driver = {driver}"));
    // That account may not write here: the log goes to standard error.
    plan.has_log_file = false;
    plan.write(&Authority::create("driver"));
    let chordite = binaries::chordite().display().to_string();
    let ini = plan.ini_path().display().to_string();
    let nobody = [
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "--",
    ];
    let limited = [
        "/usr/bin/prlimit",
        "--memlock=0:0",
        &chordite,
        "serve",
        "-c",
        &ini,
    ];
    let process = Process::start(tools[0], &[&nobody[..], &limited].concat());
    Some(Serve { process, plan })
}
