//! The data folder of a real node: what was written is there after a restart, in every way of
//! writing; a folder that is not this node's is refused; a node that reads its log says how far it
//! is and lets nobody in.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use harness::certs::Authority;
use harness::deadline::{self, secs};
use harness::dht::{self, Client, KeyBytes};
use harness::process::{Finished, Process};
use harness::serve::{Plan, Serve};
use harness::{binaries, http, ports, workdir};
use rustix::process::Signal;

#[test]
fn data_survives_kill_and_stop_with_every_driver_and_every_fsync() {
    for driver in ["auto", "epoll"] {
        for fsync in ["always", "interval", "interval(5)", "never"] {
            let settings = [
                &format!("io_driver = {driver}"),
                &format!("fsync = {fsync}"),
                "shards = 2",
            ];
            let mut node = durable(&settings);
            write(&mut node.client(), 0..50, 600);
            // What is served is written at least, and a kill leaves the page cache alone.
            for (signal, round) in [(Signal::KILL, 1), (Signal::TERM, 2)] {
                node = restart(node, signal);
                let mut client = node.client();
                expect(&mut client, 0..50 * round, 600);
                write(&mut client, 50 * round..50 * (round + 1), 600);
            }
            let status = http::get(node.plan.admin(), "/status", secs(5)).expect("a status");
            // Compaction may have written some of them a second time.
            let recovered = status.json()["recovery"]["records"].as_u64();
            assert!(recovered >= Some(100), "{driver} {fsync}: {recovered:?}");
        }
    }
}

#[test]
fn data_of_a_local_ring_is_found_by_the_next_one_in_the_folder() {
    let dir = workdir::create("data-of-dev").display().to_string();
    let first = ports::reserve(9);
    let at = |offset: u16| (first + offset).to_string();
    let (api, p2p, admin) = (at(0), at(3), at(6));
    let args = ["dev", "--nodes", "3", "--dir", &dir, "--api-port", &api];
    let args = [&args[..], &["--p2p-port", &p2p, "--admin-port", &admin]].concat();
    let clients = || {
        let ports = (first..first + 3).map(|port| format!("127.0.0.1:{port}"));
        ports.map(|address| Client::connect(address.parse().expect("an address")))
    };
    for round in 0..2 {
        let mut ring = Process::start(&binaries::chordite(), &args);
        deadline::until("dev says ready", secs(60), || {
            assert!(ring.status().is_none(), "dev ended: {}", ring.stderr());
            ring.stdout()
                .lines()
                .any(|line| line == "ready")
                .then_some(())
        });
        for mut client in clients() {
            if round == 0 {
                write(&mut client, 0..20, 100);
            } else {
                expect(&mut client, 0..20, 100);
            }
        }
        ring.signal(Signal::TERM);
        let ended = ring.wait(secs(30));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}

#[test]
fn data_of_another_node_or_format_is_refused_and_left_alone() {
    let plan = stopped(durable(&[]));
    let manifest = data(&plan).join("manifest.json");
    let own = fs::read_to_string(&manifest).expect("a manifest");
    let foreign = own.replace(plan.name().as_str(), "10.0.0.1:7501");
    let other_ring = own.replace(&format!("\"{}\"", plan.ring), "\"elsewhere\"");
    let newer = own.replace("\"format\": 1", "\"format\": 2");
    for (text, words) in [
        (&foreign, "the data of node 10.0.0.1:7501"),
        (&other_ring, "data of the ring elsewhere"),
        (&newer, "format 2, this version knows format 1 only"),
        (&"{".to_owned(), "manifest.json cannot be understood"),
    ] {
        assert_ne!(text, &own);
        fs::write(&manifest, text).expect("the folder is writable");
        expect_refusal(&serve(&plan), 3, &[&place_of(&plan, "data_dir"), words]);
        let left = fs::read_to_string(&manifest).expect("a manifest");
        assert_eq!(&left, text);
    }
    fs::remove_file(&manifest).expect("the folder is writable");
    expect_refusal(&serve(&plan), 3, &["no manifest.json"]);
    fs::write(&manifest, own).expect("the folder is writable");
    expect(&mut start(plan).client(), 0..10, 100);
}

#[test]
fn data_in_use_is_refused_to_a_second_process() {
    let node = durable(&[]);
    let mut second = Plan::local("data");
    second.settings = node.plan.settings.clone();
    second.ports[0] = ports::reserve(1);
    second.write(&Authority::create("data"));
    let pid = format!("({})", node.process.pid());
    let words = [&place_of(&second, "data_dir"), "another process", &pid];
    expect_refusal(&serve(&second), 3, &words);
    expect(&mut node.client(), 0..10, 100);
}

#[test]
fn data_where_nothing_can_be_written_is_refused() {
    // The kernel's own folders refuse files even to root.
    for (folder, words) in [("/sys/kernel", "write lock"), ("/sys/data", "create it")] {
        let plan = Plan::local("data").set(&format!("data_dir = {folder}"));
        plan.write(&Authority::create("data"));
        let place = place_of(&plan, "data_dir");
        expect_refusal(&serve(&plan), 3, &[&place, folder, words]);
    }
}

#[test]
fn data_that_is_damaged_or_too_large_is_refused_with_its_place() {
    let plan = stopped(durable(&["value_max = 4000", "memory_max = 8MiB"]));
    let mut small = plan.clone();
    for setting in &mut small.settings {
        *setting = setting.replace("8MiB", "64KiB");
    }
    let node = start(plan);
    // A recovery may take a little more memory than there is.
    write(&mut node.client(), 0..700, 3000);
    let plan = stopped(node);
    fs::write(small.ini_path(), small.ini()).expect("the folder is writable");
    let place = place_of(&small, "memory_max");
    expect_refusal(
        &serve(&small),
        2,
        &[&place, "memory_max = 65536", "shard 0"],
    );
    fs::write(plan.ini_path(), plan.ini()).expect("the folder is writable");

    let segments = fs::read_dir(data(&plan).join("wal-0/shard-000")).expect("the shard's folder");
    let segments = segments.map(|entry| entry.expect("a segment").path());
    for segment in segments {
        // In those that have not been written it hurts nobody.
        let file = fs::OpenOptions::new().write(true).open(segment);
        let file = file.expect("a segment");
        file.write_all_at(&[0xda; 64 * 1024], 4096)
            .expect("a write");
    }
    let place = place_of(&plan, "data_dir");
    expect_refusal(
        &serve(&plan),
        6,
        &[&place, "shard 0: segment ", "is damaged"],
    );
}

#[test]
fn data_that_is_being_read_keeps_clients_out_and_shows_how_far_it_is() {
    let node = durable(&["ttl_max = 30d"]);
    write(&mut node.client(), 10..1500, 64_000);
    let mut node = stopped(node).start();
    let progress = recovering(&mut node);
    assert!(
        progress.contains(" %, ") && progress.contains("MB/s"),
        "{progress}"
    );
    // Whoever is stopped while reading has nothing to finish.
    node.process.signal(Signal::TERM);
    let Serve { process, plan } = node;
    let ended = process.wait(secs(20));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);

    let node = start(plan);
    expect(&mut node.client(), 10..1500, 64_000);
    node.wait_log(&["recovered", "records=", "torn_bytes="]);
    let verbose = http::get(node.plan.admin(), "/readyz?verbose", secs(5)).expect("an answer");
    assert!(verbose.body.contains("[+] log writes"), "{}", verbose.body);
    let page = http::get(node.plan.admin(), "/metrics", secs(5)).expect("the metrics");
    for name in [
        "wal_segments",
        "wal_used_bytes",
        "recovery_records_total",
        "wal_full",
    ] {
        assert!(page.body.contains(&format!("chordite_{name} ")), "{name}");
    }
}

/// Waits until the node says that it reads its log, sees that nobody is let in meanwhile, and gives
/// the line.
fn recovering(node: &mut Serve) -> String {
    let (admin, api) = (node.plan.admin(), node.plan.api());
    let ask = || {
        let reply = http::get(admin, "/readyz", secs(2)).ok()?;
        let line = reply.body.lines().next()?.to_owned();
        assert_ne!(
            reply.status, 200,
            "it was ready before it was seen to recover"
        );
        line.starts_with("[-] recovering: shard 0 at ")
            .then_some(line)
    };
    deadline::until(
        "the node reads its log and lets nobody in",
        secs(20),
        || {
            ask()?;
            let refused = TcpStream::connect(api).err();
            // Only what happened between two such answers happened while it was reading.
            let line = ask()?;
            let refused = refused.expect("a node that reads its log lets nobody in");
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            Some(line)
        },
    )
}

/// A node with a data folder and ten values.
fn durable(settings: &[&str]) -> Serve {
    let mut plan = Plan::local("data").set("segment_bytes = 4MiB");
    let dir = format!("data_dir = {}/data", plan.dir.display());
    plan = plan.set(&dir);
    for setting in settings {
        let key = setting.split('=').next().unwrap_or_default();
        plan.settings.retain(|line| !line.starts_with(key));
        plan = plan.set(setting);
    }
    plan.write(&Authority::create("data"));
    let node = start(plan);
    write(&mut node.client(), 0..10, 100);
    node
}

fn start(plan: Plan) -> Serve {
    let mut node = plan.start();
    node.wait_ready();
    node
}

/// Ends the node with `signal` and starts it again.
fn restart(node: Serve, signal: Signal) -> Serve {
    start(ended(node, signal))
}

fn stopped(node: Serve) -> Plan {
    ended(node, Signal::TERM)
}

fn ended(node: Serve, signal: Signal) -> Plan {
    let Serve { process, plan } = node;
    process.signal(signal);
    let code = process.wait(secs(20)).code;
    assert_eq!(code, (signal == Signal::TERM).then_some(0));
    plan
}

/// Writes values of `bytes` under numbered keys, and waits until each of them is served: only what
/// is served has been acknowledged.
fn write(client: &mut Client, numbers: Range<usize>, bytes: usize) {
    for number in numbers.clone() {
        client.send(&dht::put(&key(number), &value(number, bytes)));
    }
    expect(client, numbers, bytes);
}

fn expect(client: &mut Client, numbers: Range<usize>, bytes: usize) {
    for number in numbers {
        let found = client.read(&key(number));
        assert!(found == Some(value(number, bytes)), "value {number}");
    }
}

fn key(number: usize) -> KeyBytes {
    dht::key(&format!("key {number}"))
}

fn value(number: usize, bytes: usize) -> Vec<u8> {
    format!("{number} ").into_bytes().repeat(bytes)[..bytes].to_vec()
}

fn data(plan: &Plan) -> PathBuf {
    plan.dir.join("data")
}

fn serve(plan: &Plan) -> Finished {
    let ini = plan.ini_path().display().to_string();
    Process::finish(&binaries::chordite(), &["serve", "-c", &ini], secs(20))
}

/// File and line of a setting, as errors name them.
fn place_of(plan: &Plan, key: &str) -> String {
    let ini = plan.ini();
    let line = ini.lines().position(|line| line.starts_with(key));
    let line = line.expect("the setting is in the file") + 1;
    format!("node.ini:{line}")
}

/// The process ended with `code` and one line that has all of `words`.
fn expect_refusal(finished: &Finished, code: i32, words: &[&str]) {
    let text = finished.stderr.trim_end();
    assert_eq!(finished.code, Some(code), "looking for {words:?}: {text}");
    assert_eq!(text.lines().count(), 1, "one line, not: {text}");
    let missing: Vec<_> = words.iter().filter(|word| !text.contains(**word)).collect();
    assert!(missing.is_empty(), "{missing:?} not in: {text}");
}
