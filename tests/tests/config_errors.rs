//! What an operator can get wrong: each mistake ends `chordite serve` with one clear line that
//! names file and line, and with the exit code of DESIGN.md. Nothing starts half.

use std::fs;
use std::net::TcpListener;

use harness::certs::{Authority, Subject};
use harness::deadline::secs;
use harness::process::{Finished, Process};
use harness::serve::{Plan, Serve};
use harness::{binaries, ports, workdir};
use proto::peer::NodeName;

#[test]
fn wrong_lines_are_named_with_file_and_line() {
    for (line, words) in [
        (
            "stabilise_interval = 1s",
            &["stabilise_interval", "stabilize_interval"][..],
        ),
        ("shrads = 2", &["shrads", "shards"]),
        ("shards = many", &["shards", "many"]),
        ("shards = 0", &["shards", "0"]),
        ("stabilize_interval = soon", &["stabilize_interval", "soon"]),
        ("stabilize_interval = -1s", &["stabilize_interval", "-1s"]),
        ("memory_max = 12XB", &["memory_max", "12XB"]),
        ("value_max = 65496", &["value_max", "65496"]),
        ("io_driver = magic", &["io_driver", "magic", "epoll"]),
        ("log_level = loud", &["log_level", "loud"]),
        ("ttl_min = never", &["ttl_min", "never"]),
        ("virtual_nodes = 65", &["virtual_nodes", "65"]),
        ("write_quorum = 4", &["write_quorum", "4", "replication"]),
        ("ring = not a name", &["ring", "not a name"]),
        ("bootstrapper = nowhere", &["bootstrapper", "nowhere"]),
        ("hostkey = elsewhere.pem", &["hostkey"]),
        ("no equals sign", &["no equals sign"]),
        ("[dth]", &["dth"]),
    ] {
        let plan = written_plan().set(line);
        // A key that the plan sets as well may be named as repeated: keep only the new line.
        let key = line.split(" =").next().unwrap_or(line);
        let ini = plan.ini();
        let kept = ini
            .lines()
            .filter(|old| *old == line || !old.starts_with(&format!("{key} =")));
        let mut kept: Vec<&str> = kept.collect();
        if key == "hostkey" {
            kept.insert(0, "hostkey = key.pem");
        }
        let number = kept
            .iter()
            .position(|old| *old == line)
            .expect("the line is there")
            + 1;
        fs::write(plan.ini_path(), kept.join("\n")).expect("the work folder is writable");
        let place = format!("node.ini:{number}");
        let finished = serve(&plan);
        expect_line(&finished, 2, &[&[place.as_str()], words].concat());
    }
}

#[test]
fn a_key_set_twice_names_both_lines() {
    let plan = written_plan().set("finger_bits = 1").set("finger_bits = 2");
    fs::write(plan.ini_path(), plan.ini()).expect("the work folder is writable");
    let place = |value| {
        let line = format!("finger_bits = {value}");
        plan.ini()
            .lines()
            .position(|old| old == line)
            .expect("the line is there")
            + 1
    };
    let (first, second) = (place(1).to_string(), format!("node.ini:{}", place(2)));
    expect_line(&serve(&plan), 2, &["finger_bits", &second, &first]);
}

#[test]
fn a_missing_file_or_key_is_named() {
    let plan = written_plan();
    fs::remove_file(plan.ini_path()).expect("it was written");
    expect_line(&serve(&plan), 2, &["node.ini"]);
    let ini = plan.ini();
    let kept: Vec<_> = ini
        .lines()
        .filter(|line| !line.starts_with("hostcert"))
        .collect();
    fs::write(plan.ini_path(), kept.join("\n")).expect("the work folder is writable");
    expect_line(&serve(&plan), 2, &["node.ini", "hostcert"]);
}

#[test]
fn wrong_variables_and_flags_are_named() {
    let plan = written_plan();
    let ini = plan.ini_path().display().to_string();
    let run = |args: &[&str], name: &str, value: &str| {
        let args = [&["serve", "-c", &ini], args].concat();
        let process = Process::start_with(&binaries::chordite(), &args, |command| {
            command.env(name, value);
        });
        process.wait(secs(20))
    };
    expect_line(
        &run(&[], "CHORDITE_SHARDS", "many"),
        2,
        &["CHORDITE_SHARDS", "many"],
    );
    expect_line(
        &run(&["--set", "shards=many"], "UNRELATED", ""),
        2,
        &["shards", "many"],
    );
    expect_line(&run(&["--set", "shards"], "UNRELATED", ""), 2, &["shards"]);
    let unknown = Process::finish(
        &binaries::chordite(),
        &["serve", "--no-such-flag"],
        secs(20),
    );
    assert_eq!(unknown.code, Some(2), "{}", unknown.stderr);
}

#[test]
fn keys_and_certificates_that_cannot_be_read_are_named() {
    for (file, key) in [
        ("key.pem", "hostkey"),
        ("cert.pem", "hostcert"),
        ("ca.pem", "ca_cert"),
    ] {
        let plan = written_plan();
        let place = place_of(&plan, key);
        fs::write(plan.dir.join(file), "no PEM at all\n").expect("the work folder is writable");
        expect_line(&serve(&plan), 4, &[&place, file]);
        fs::remove_file(plan.dir.join(file)).expect("it was written");
        expect_line(&serve(&plan), 4, &[&place, file]);
        fs::create_dir(plan.dir.join(file)).expect("the work folder is writable");
        expect_line(&serve(&plan), 4, &[&place, file]);
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let plan = written_plan();
    let other = Authority::create("other").issue(&Subject::node("config", &plan.name()));
    fs::write(plan.dir.join("key.pem"), other.key).expect("the work folder is writable");
    expect_line(&serve(&plan), 4, &["node.ini:", "key", "certificate"]);
}

#[test]
fn a_certificate_that_is_not_this_nodes_is_refused() {
    let authority = Authority::create("config");
    let plan = Plan::local("config");
    let right = Subject::node("config", &plan.name());
    let elsewhere = NodeName::parse("127.0.0.1:1").expect("a name");
    let place = place_of(&plan, "hostcert");
    for (subject, word) in [
        (Subject::node("config", &elsewhere), "127.0.0.1:1"),
        (Subject::node("another", &plan.name()), "another"),
        (Subject::client("config", &plan.name()), "client"),
        (
            Subject {
                expired: true,
                ..right.clone()
            },
            "expired",
        ),
        (
            Subject {
                with_uri: false,
                ..right.clone()
            },
            "URI",
        ),
        (
            Subject {
                host: "127.0.0.2".into(),
                ..right.clone()
            },
            "127.0.0.2",
        ),
    ] {
        plan.write_with(&authority.issue(&subject));
        expect_line(&serve(&plan), 4, &[&place, word]);
    }
    let mut pems = authority.issue(&right);
    pems.ca = Authority::create("other").pem();
    plan.write_with(&pems);
    expect_line(&serve(&plan), 4, &["node.ini:", "CA"]);
}

#[test]
fn a_port_in_use_is_named() {
    for (at, key) in [(0, "api_address"), (1, "p2p_address"), (2, "admin_address")] {
        let plan = written_plan();
        let held = TcpListener::bind(("127.0.0.1", plan.ports[at])).expect("a free port");
        let place = place_of(&plan, key);
        expect_line(
            &serve(&plan),
            5,
            &[&place, &plan.ports[at].to_string(), "in use"],
        );
        drop(held);
    }
}

#[test]
fn the_reason_is_told_once_where_the_log_goes_to_standard_error() {
    let mut plan = Plan::local("config");
    plan.has_log_file = false;
    plan.write(&Authority::create("config"));
    let held = TcpListener::bind(("127.0.0.1", plan.ports[0])).expect("a free port");
    expect_line(
        &serve(&plan),
        5,
        &[&place_of(&plan, "api_address"), "in use"],
    );
    drop(held);
}

#[test]
fn two_nodes_cannot_share_a_port() {
    // Both would listen with SO_REUSEPORT, and the kernel would deal connections to either.
    let first = Serve::single("config", &[]);
    for (at, key) in [(0, "api_address"), (1, "p2p_address"), (2, "admin_address")] {
        let mut plan = Plan::local("config");
        plan.ports[at] = first.plan.ports[at];
        plan.write(&Authority::create("config"));
        let place = place_of(&plan, key);
        expect_line(
            &serve(&plan),
            5,
            &[&place, &plan.ports[at].to_string(), "in use"],
        );
    }
}

#[test]
fn an_address_that_is_not_ours_is_named() {
    for key in ["api_address", "p2p_address", "admin_address"] {
        let plan = written_plan();
        // 192.0.2.0/24 is for documentation and nobody's.
        let line = format!("{key} = 192.0.2.1:7999");
        let ini = plan.ini();
        let lines: Vec<&str> = ini
            .lines()
            .map(|old| {
                if old.starts_with(key) {
                    line.as_str()
                } else {
                    old
                }
            })
            .collect();
        fs::write(plan.ini_path(), lines.join("\n")).expect("the work folder is writable");
        expect_line(&serve(&plan), 5, &[&place_of(&plan, key), "192.0.2.1:7999"]);
    }
}

#[test]
fn a_log_file_that_cannot_be_written_is_named() {
    let plan = Plan::local("config");
    let ini = plan.ini().replace("/log.txt", "/no/such/folder/log.txt");
    plan.write(&Authority::create("config"));
    fs::write(plan.ini_path(), ini).expect("the work folder is writable");
    expect_line(
        &serve(&plan),
        2,
        &[&place_of(&plan, "log_file"), "no/such/folder"],
    );
}

#[test]
fn a_data_folder_that_cannot_be_made_is_named() {
    let plan = written_plan();
    fs::write(plan.dir.join("file"), "no folder\n").expect("the work folder is writable");
    for value in ["file", "file/data", "file/data/below"] {
        // The line belongs to [dht], in which the file ends.
        let text = format!("{}\ndata_dir = {value}\n", plan.ini().trim_end());
        let number = text.lines().count();
        fs::write(plan.ini_path(), text).expect("the work folder is writable");
        let place = format!("node.ini:{number}");
        expect_line(&serve(&plan), 3, &[&place, "data_dir", value]);
    }
}

#[test]
fn serve_check_only_checks() {
    let plan = written_plan();
    let ini = plan.ini_path().display().to_string();
    let args = ["serve", "-c", &ini, "--check"];
    let good = Process::finish(&binaries::chordite(), &args, secs(20));
    assert_eq!(good.code, Some(0), "{}", good.stderr);
    fs::write(plan.dir.join("cert.pem"), "broken").expect("the work folder is writable");
    let bad = Process::finish(&binaries::chordite(), &args, secs(20));
    expect_line(&bad, 4, &["cert.pem"]);
}

#[test]
fn a_dev_ring_whose_ports_are_taken_does_not_start_half() {
    let first = ports::reserve(9);
    let held = TcpListener::bind(("127.0.0.1", first + 1)).expect("a free port");
    let ports = [first, first + 3, first + 6].map(|port| port.to_string());
    let dir = workdir::create("half").display().to_string();
    let args = [
        "dev",
        "--nodes",
        "3",
        "--dir",
        &dir,
        "--api-port",
        &ports[0],
        "--p2p-port",
        &ports[1],
        "--admin-port",
        &ports[2],
    ];
    let finished = Process::finish(&binaries::chordite(), &args, secs(30));
    assert_eq!(
        finished.code,
        Some(5),
        "{}{}",
        finished.stdout,
        finished.stderr
    );
    assert!(
        finished.stderr.contains(&(first + 1).to_string()),
        "{}",
        finished.stderr
    );
    drop(held);
    for port in first..first + 9 {
        assert!(
            TcpListener::bind(("127.0.0.1", port)).is_ok(),
            "port {port} is still taken"
        );
    }
}

fn written_plan() -> Plan {
    let plan = Plan::local("config");
    plan.write(&Authority::create("config"));
    plan
}

fn place_of(plan: &Plan, key: &str) -> String {
    let ini = plan.ini();
    let at = ini
        .lines()
        .position(|line| line.starts_with(&format!("{key} =")));
    format!("node.ini:{}", at.expect("the plan sets it") + 1)
}

fn serve(plan: &Plan) -> Finished {
    let ini = plan.ini_path().display().to_string();
    Process::finish(&binaries::chordite(), &["serve", "-c", &ini], secs(20))
}

/// The process ended with `code` and one line that has all of `words`.
fn expect_line(finished: &Finished, code: i32, words: &[&str]) {
    let text = finished.stderr.trim_end();
    assert_eq!(finished.code, Some(code), "looking for {words:?}: {text}");
    assert_eq!(text.lines().count(), 1, "one line, not: {text}");
    let missing: Vec<_> = words.iter().filter(|word| !text.contains(**word)).collect();
    assert!(missing.is_empty(), "{missing:?} not in: {text}");
}
