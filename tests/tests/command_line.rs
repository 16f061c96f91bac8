//! The commands of `chordite` against a live ring, as an operator types them.
//! Checks exit codes and printed words of real processes; the nodes come from the harness.

use std::fs::{self, File};
use std::path::Path;

use harness::deadline::secs;
use harness::process::{Finished, Process};
use harness::ring::Ring;
use harness::serve::{Plan, Serve};
use harness::{binaries, workdir};
use serde_json::Value;

#[test]
fn put_get_and_del_over_both_apis() {
    let ring = Ring::with(3, &[]);
    let (api, p2p) = (ring.nodes[0].api.to_string(), ring.nodes[1].p2p.to_string());
    let client = ring.dir.join("client").display().to_string();

    expect(&run(&["put", "fruit", "apple", "-a", &api]), 0, &[]);
    let got = run(&["get", "fruit", "-a", &ring.nodes[2].api.to_string()]);
    expect(&got, 0, &["apple"]);
    expect(&run(&["get", "nothing there", "-a", &api]), 1, &[]);

    let native = ["-a", &p2p, "--identity", &client];
    expect(
        &run(&[&["get", "fruit"][..], &native].concat()),
        0,
        &["apple"],
    );
    let put = run(&[&["put", "fruit", "pear", "--ttl", "60"][..], &native].concat());
    expect(&put, 0, &["version", "host"]);
    expect(&run(&["get", "fruit", "-a", &api]), 0, &["pear"]);
    expect(&run(&[&["del", "fruit"][..], &native].concat()), 0, &[]);
    expect(&run(&[&["get", "fruit"][..], &native].concat()), 1, &[]);
    expect(&run(&[&["del", "fruit"][..], &native].concat()), 1, &[]);
    expect(&run(&["get", "fruit", "-a", &api]), 1, &[]);
}

#[test]
fn keys_may_be_long_or_hexadecimal() {
    let node = Serve::single("keys", &[]);
    let api = node.plan.api().to_string();
    let long = "a key that is longer than the thirty-two bytes of the wire";
    expect(&run(&["put", long, "long", "-a", &api]), 0, &[]);
    expect(&run(&["get", long, "-a", &api]), 0, &["long"]);
    let hex = "00".repeat(31) + "ff";
    expect(&run(&["put", "--hex", &hex, "bytes", "-a", &api]), 0, &[]);
    let mut key = [0; 32];
    key[31] = 0xFF;
    assert_eq!(node.client().read(&key).as_deref(), Some(&b"bytes"[..]));
    expect(&run(&["get", "--hex", "not hex", "-a", &api]), 2, &[]);
    let text = harness::dht::key("text");
    node.client().write(&text, b"padded");
    expect(&run(&["get", "text", "-a", &api]), 0, &["padded"]);
}

#[test]
fn the_shell_runs_what_it_is_told() {
    let node = Serve::single("shell", &[]);
    let api = node.plan.api().to_string();
    let input = workdir::create("shell-input").join("input");
    fs::write(&input, "put colour blue\nget colour\nget nothing\n").expect("a file");
    let shell = Process::start_with(&binaries::chordite(), &["shell", "-a", &api], |command| {
        command.stdin(File::open(&input).expect("it was written"));
    });
    let finished = shell.wait(secs(20));
    assert!(
        finished.stdout.contains("blue"),
        "{}{}",
        finished.stdout,
        finished.stderr
    );
}

#[test]
fn status_ring_and_lookup_tell_what_they_know() {
    let ring = Ring::with(5, &[]);
    let admin = ring.nodes[1].admin.to_string();
    let asked = |args: &[&str]| run(&[args, &["-a", &admin]].concat());

    expect(&asked(&["status"]), 0, &[ring.nodes[1].p2p.as_str()]);
    assert!(json(&asked(&["status", "--json"])).is_object());
    let names: Vec<&str> = ring.nodes.iter().map(|node| node.p2p.as_str()).collect();
    expect(&asked(&["ring"]), 0, &names);
    expect(
        &asked(&["ring", "--dot"]),
        0,
        &[&["digraph"][..], &names].concat(),
    );
    expect(&asked(&["ring", "--check"]), 0, &[]);
    assert_eq!(
        json(&asked(&["ring", "--json"])).as_array().map(Vec::len),
        Some(5)
    );

    let key = harness::dht::key("where");
    let owner = ring.nodes[ring.owner(&ring.all(), &key)].p2p.to_string();
    expect(&asked(&["lookup", "where"]), 0, &[&owner]);
    expect(&asked(&["lookup", "where", "--trace"]), 0, &[&owner]);
    let traced = json(&asked(&["lookup", "where", "--trace", "--json"]));
    assert_eq!(traced["owner"]["node"].as_str(), Some(owner.as_str()));
    let last = traced["path"].as_array().and_then(|path| path.last());
    assert_eq!(
        last.and_then(|hop| hop["node"].as_str()),
        Some(owner.as_str()),
        "{traced}"
    );
}

#[test]
fn a_ring_with_a_paused_node_is_not_clean() {
    let ring = Ring::with(3, &["stabilize_interval=1s"]);
    // Within its first moments of silence the others still count on it.
    ring.signal(2, rustix::process::Signal::STOP);
    let admin = ring.nodes[0].admin.to_string();
    let check = run(&["ring", "--check", "-a", &admin]);
    let members = json(&run(&["ring", "--json", "-a", &admin]));
    let still_three = members.as_array().map(Vec::len) == Some(3);
    assert!(check.code != Some(0) || !still_three, "{}", check.stdout);
    ring.signal(2, rustix::process::Signal::CONT);
}

#[test]
fn metrics_and_health_are_served() {
    let ring = Ring::with(2, &[]);
    let admin = ring.nodes[0].admin;
    let get = |path: &str| harness::http::get(admin, path, secs(5)).expect("an answer");
    assert_eq!(get("/livez").status, 200);
    let ready = get("/readyz?verbose");
    assert_eq!((ready.status, ready.body.is_empty()), (200, false));
    let metrics = get("/metrics");
    assert!(metrics.body.contains("# TYPE"), "{}", metrics.body);
    let named = |line: &str| line.starts_with('#') || line.starts_with("chordite_");
    assert!(
        metrics
            .body
            .lines()
            .all(|line| line.is_empty() || named(line)),
        "{}",
        metrics.body
    );
    assert_eq!(get("/no/such/page").status, 404);
    assert_eq!(get("/lookup/not-hex?hex=1").status, 400);
}

#[test]
fn what_cannot_be_reached_exits_with_5() {
    let nobody = format!("127.0.0.1:{}", harness::ports::reserve(1));
    for command in [
        &["get", "key"][..],
        &["put", "key", "value"],
        &["status"],
        &["ring"],
    ] {
        let finished = run(&[command, &["-a", &nobody]].concat());
        expect(&finished, 5, &[]);
        let lines = finished.stderr.trim_end().lines().count();
        assert_eq!(lines, 1, "{command:?}: {}", finished.stderr);
        assert!(
            finished.stderr.contains(&nobody),
            "{command:?}: {}",
            finished.stderr
        );
    }
}

#[test]
fn wrong_identities_exit_with_4() {
    let node = Serve::single("identity", &[]);
    let p2p = node.plan.name().to_string();
    let empty = workdir::create("no-identity").display().to_string();
    let finished = run(&["get", "key", "-a", &p2p, "--identity", &empty]);
    expect(&finished, 4, &[]);
    assert_eq!(
        finished.stderr.trim_end().lines().count(),
        1,
        "{}",
        finished.stderr
    );
}

#[test]
fn the_authority_makes_a_ring_from_nothing() {
    let dir = workdir::create("authority");
    let path = |name: &str| dir.join(name).display().to_string();
    expect(&run(&["ca", "init", &path("ca")]), 0, &[]);
    expect(&run(&["ca", "init", &path("ca")]), 2, &[]);
    let plan = Plan {
        dir: dir.join("node"),
        ..Plan::local("made")
    };
    let name = plan.name().to_string();
    let issue = ["ca", "issue", &path("ca"), "--ring", "made", "--out"];
    let (node, client) = (path("node"), path("client"));
    expect(
        &run(&[&issue[..], &[&node, "--advertise", &name]].concat()),
        0,
        &[],
    );
    let role = ["--advertise", "localhost:1", "--role", "client"];
    expect(&run(&[&issue[..], &[&client], &role].concat()), 0, &[]);
    fs::write(plan.ini_path(), plan.ini()).expect("the work folder is writable");
    for file in ["ca/ca-key.pem", "node/key.pem", "client/key.pem"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(dir.join(file))
            .expect("it was made")
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{file} is for its owner only");
    }
    let mut node = plan.start();
    node.wait_ready();
    let native = ["-a", &name, "--identity", &client];
    expect(
        &run(&[&["put", "made", "here"][..], &native].concat()),
        0,
        &[],
    );
    expect(
        &run(&[&["get", "made"][..], &native].concat()),
        0,
        &["here"],
    );
}

#[test]
fn doctor_completions_man_and_help() {
    let node = Serve::single("doctor", &[]);
    let ini = node.plan.ini_path().display().to_string();
    let doctor = run(&["doctor", "-c", &ini]);
    assert!(!doctor.stdout.is_empty(), "{}", doctor.stderr);
    assert!(
        matches!(doctor.code, Some(0..=5)),
        "{:?}: {}",
        doctor.code,
        doctor.stdout
    );
    for shell in ["bash", "zsh", "fish"] {
        expect(&run(&["completions", shell]), 0, &["chordite"]);
    }
    expect(&run(&["man"]), 0, &[".TH"]);
    expect(&run(&["--version"]), 0, &["chordite"]);
    let help = run(&["--help"]);
    let commands = [
        "serve", "dev", "ca", "get", "put", "del", "shell", "status", "ring", "lookup",
    ];
    expect(&help, 0, &commands);
    expect(
        &run(&["serve", "--help-config"]),
        0,
        &["stabilize_interval", "api_address"],
    );
    assert_eq!(run(&[]).code, Some(2), "no command is a usage error");
    assert_eq!(run(&["no-such-command"]).code, Some(2));
    assert!(Path::new(&ini).exists(), "doctor changes nothing");
}

fn run(args: &[&str]) -> Finished {
    Process::finish(&binaries::chordite(), args, secs(30))
}

fn expect(finished: &Finished, code: i32, words: &[&str]) {
    let all = format!("{}{}", finished.stdout, finished.stderr);
    assert_eq!(finished.code, Some(code), "{all}");
    let missing: Vec<_> = words
        .iter()
        .filter(|word| !finished.stdout.contains(**word))
        .collect();
    assert!(missing.is_empty(), "{missing:?} not in: {all}");
}

fn json(finished: &Finished) -> Value {
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    serde_json::from_str(&finished.stdout).expect("JSON")
}
