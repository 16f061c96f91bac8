//! The load generator and the bench harness end to end: against a live ring, with every file they
//! promise, and honest when something is wrong.

use std::fs;
use std::path::Path;

use harness::deadline::secs;
use harness::process::{Finished, Process};
use harness::ring::Ring;
use harness::{binaries, workdir};
use serde_json::Value;

#[test]
fn an_open_loop_over_the_dht_api_verifies_every_value() {
    let ring = Ring::with(3, &[]);
    let targets: Vec<String> = ring.nodes.iter().map(|node| node.api.to_string()).collect();
    let (finished, out) = run(&[
        "--target",
        &targets.join(","),
        "--rate",
        "500",
        "--arrivals",
        "poisson",
        "--puts",
        "0.5",
        "--value-size",
        "16-1024",
        "--distribution",
        "zipf",
        "--keys",
        "500",
        "--preload",
        "--warmup",
        "500ms",
        "--duration",
        "2s",
    ]);
    assert_eq!(
        finished.code,
        Some(0),
        "{}{}",
        finished.stdout,
        finished.stderr
    );
    let summary = judge(&out);
    assert_eq!(summary["protocol"], "dht");
    let intended = count(&summary, "intended");
    assert!(
        (700..=1300).contains(&intended),
        "about 1000 arrivals, not {intended}"
    );
    assert_eq!(
        count(&summary, "sent") + count(&summary, "unsent"),
        intended
    );
    assert!(
        finished.stdout.contains("p99"),
        "a table at the end: {}",
        finished.stdout
    );
}

#[test]
fn a_closed_loop_over_the_native_api_counts_hops() {
    let ring = Ring::with(5, &[]);
    let targets: Vec<String> = ring.nodes.iter().map(|node| node.p2p.to_string()).collect();
    let identity = ring.dir.join("client").display().to_string();
    let (finished, out) = run(&[
        "--native",
        &targets.join(","),
        "--identity",
        &identity,
        "--connections",
        "5",
        "--depth",
        "4",
        "--requests",
        "3000",
        "--puts",
        "0.2",
        "--lookups",
        "0.5",
        "--lookup-modes",
        "cached,recursive,iterative",
        "--keys",
        "300",
        "--preload",
        "--warmup",
        "500ms",
    ]);
    assert_eq!(
        finished.code,
        Some(0),
        "{}{}",
        finished.stdout,
        finished.stderr
    );
    let summary = judge(&out);
    let hops = summary["hops"].as_array().expect("hop counts");
    for way in ["requests", "cached", "recursive", "iterative"] {
        let found = hops.iter().find(|hops| hops["way"] == way);
        let found = found.unwrap_or_else(|| panic!("no hops of {way}: {hops:?}"));
        let mean = found["rpcs_mean"].as_f64().expect("a mean");
        assert!(
            mean > 0.3 && mean < 5.0,
            "{way}: {mean} rpcs in a ring of five"
        );
        assert_eq!(found["dead_met"], 0, "{way}");
    }
}

#[test]
fn a_generator_without_a_target_says_so() {
    let nobody = format!("127.0.0.1:{}", harness::ports::reserve(1));
    let args = [
        "run",
        "--target",
        &nobody,
        "--duration",
        "1s",
        "--warmup",
        "0s",
    ];
    let finished = Process::finish(&binaries::loadgen(), &args, secs(30));
    assert!(
        !matches!(finished.code, Some(0) | None),
        "{}",
        finished.stdout
    );
    assert!(!finished.stderr.is_empty(), "it says why");
    let finished = Process::finish(&binaries::loadgen(), &["run"], secs(30));
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
}

#[test]
fn bench_carries_out_a_scenario_and_keeps_its_result() {
    let dir = workdir::create("scenario");
    let scenario = dir.join("tiny.toml");
    fs::write(&scenario, SCENARIO).expect("the work folder is writable");
    let (scenario, out) = (scenario.display().to_string(), dir.display().to_string());
    let args = [
        "run",
        &scenario,
        "--out",
        &out,
        "--rounds",
        "2",
        "--seconds",
        "1",
    ];
    let finished = Process::finish(&binaries::bench(), &args, secs(120));
    assert_eq!(
        finished.code,
        Some(0),
        "{}{}",
        finished.stdout,
        finished.stderr
    );
    let written = folder_with(&dir, "result.json").expect("a folder with the result");
    let text = fs::read_to_string(written.join("result.json")).expect("a file");
    let result: Value = serde_json::from_str(&text).expect("JSON");
    for part in ["machine", "revision", "command", "measurements"] {
        assert!(!result[part].is_null(), "{part} is not in {text}");
    }
    let page = Process::finish(
        &binaries::bench(),
        &["report", &written.display().to_string()],
        secs(20),
    );
    assert!(
        page.code == Some(0) && page.stdout.contains("tiny"),
        "{}",
        page.stderr
    );
}

/// Runs the generator into a folder of its own.
fn run(args: &[&str]) -> (Finished, std::path::PathBuf) {
    let out = workdir::create("load");
    let folder = out.display().to_string();
    let args = [&["run", "--out", &folder][..], args].concat();
    (Process::finish(&binaries::loadgen(), &args, secs(90)), out)
}

/// The files are there and agree that nothing was wrong; gives the summary.
fn judge(out: &Path) -> Value {
    let read = |name: &str| fs::read_to_string(out.join(name)).expect(name);
    let summary: Value = serde_json::from_str(&read("summary.json")).expect("JSON");
    assert_eq!(summary["schema"], 1);
    assert!(count(&summary, "verified") > 100, "{}", summary["counts"]);
    for kind in ["wrong", "lost", "late"] {
        assert_eq!(count(&summary, kind), 0, "{kind}: {}", summary["counts"]);
    }
    assert_eq!(
        summary["errors"].as_array().map(Vec::len),
        Some(0),
        "{}",
        summary["errors"]
    );
    assert!(
        !summary["bottleneck"].is_null(),
        "it says whether it was the bottleneck"
    );
    let hlog = read("latency.hlog");
    assert!(
        hlog.contains("#[Histogram log format version 1.3]"),
        "{hlog}"
    );
    assert!(
        hlog.contains("HISTFAAA"),
        "compressed V2 histograms: {hlog}"
    );
    let hgrm = read("latency.hgrm");
    assert!(
        hgrm.contains("Percentile") && hgrm.contains("TotalCount"),
        "{hgrm}"
    );
    summary
}

fn count(summary: &Value, kind: &str) -> u64 {
    summary["counts"][kind]
        .as_u64()
        .unwrap_or_else(|| panic!("no count of {kind}"))
}

/// The folder below `dir` that has a file called `name`.
fn folder_with(dir: &Path, name: &str) -> Option<std::path::PathBuf> {
    if dir.join(name).exists() {
        return Some(dir.to_path_buf());
    }
    let below = fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path());
    below
        .filter(|path| path.is_dir())
        .find_map(|path| folder_with(&path, name))
}

const SCENARIO: &str = r#"
name = "tiny"
about = "The floor and a node, for a moment."

[[subject]]
name = "echo"
kind = "echo"

[[subject]]
name = "node"
kind = "ring"

[[load]]
name = "get"
depth = 4

[[goal]]
name = "GET over the floor"
measure = "cpu_per_request"
of = "node/get"
over = "echo/get"
at_most = 1000
"#;
