//! `chordite wal` on data folders of real nodes, and nodes that are started with another number of
//! shards: what was acknowledged is there afterwards, what is damaged is named, nothing else lost.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use harness::binaries;
use harness::certs::Authority;
use harness::deadline::{self, millis, secs};
use harness::dht::{self, Client, KeyBytes};
use harness::dice::Dice;
use harness::process::{Finished, Process};
use harness::serve::{Plan, Serve};
use rustix::process::Signal;
use serde_json::Value;

/// A node that keeps its data in the folder `data` beside its configuration.
fn plan(ring: &str, shards: u8) -> Plan {
    let plan = Plan::local(ring).set("segment_bytes = 256KiB");
    let data = format!("data_dir = {}", data(&plan).display());
    let plan = with_shards(plan.set(&data), shards);
    plan.write(&Authority::create("test"));
    plan
}

fn data(plan: &Plan) -> PathBuf {
    plan.dir.join("data")
}

/// The same node with another number of shards; its configuration is written anew.
fn with_shards(mut plan: Plan, shards: u8) -> Plan {
    plan.settings.retain(|line| !line.starts_with("shards = "));
    plan = plan.set(&format!("shards = {shards}"));
    fs::write(plan.ini_path(), plan.ini()).expect("the work folder is writable");
    plan
}

fn start(plan: &Plan) -> Serve {
    let mut node = plan.clone().start();
    node.wait_ready();
    node
}

/// Ends a node in the orderly way.
fn stop(node: Serve) {
    node.process.signal(Signal::TERM);
    let finished = node.process.wait(secs(20));
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
}

fn kill(node: Serve) {
    node.process.signal(Signal::KILL);
    node.process.wait(secs(10));
}

fn key(number: usize) -> KeyBytes {
    dht::key(&format!("key {number}"))
}

fn value(number: usize) -> Vec<u8> {
    let length = 200 + number * 37 % 1_400;
    format!("value {number} ")
        .into_bytes()
        .repeat(length / 8 + 1)[..length]
        .to_vec()
}

/// Puts these keys; all of them are acknowledged: a value is read only when it is durable.
fn fill(node: &Serve, numbers: std::ops::Range<usize>) {
    let mut client = node.client();
    let numbers: Vec<usize> = numbers.collect();
    for chunk in numbers.chunks(64) {
        let puts = chunk
            .iter()
            .flat_map(|&number| dht::put(&key(number), &value(number)));
        client.send(&puts.collect::<Vec<u8>>());
        for &number in chunk {
            let read = client.read(&key(number));
            assert_eq!(read.as_deref(), Some(&value(number)[..]), "key {number}");
        }
    }
}

/// The numbers of these keys that are not there.
fn missing(client: &mut Client, numbers: std::ops::Range<usize>) -> Vec<usize> {
    let is_missing = |&number: &usize| match client.read(&key(number)) {
        Some(found) => {
            assert_eq!(found, value(number), "key {number}");
            false
        }
        None => true,
    };
    numbers.filter(is_missing).collect()
}

fn wal(args: &[&str], plan: &Plan) -> Finished {
    let ini = plan.ini_path().display().to_string();
    let args = [&["wal"], args, &["-c", &ini]].concat();
    Process::finish(&binaries::chordite(), &args, secs(60))
}

fn wal_in(args: &[&str], dir: &Path) -> Finished {
    let dir = dir.display().to_string();
    let args = [&["wal"], args, &["--dir", &dir]].concat();
    Process::finish(&binaries::chordite(), &args, secs(60))
}

#[track_caller]
fn expect(finished: &Finished, code: i32, words: &[&str]) {
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert_eq!(finished.code, Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

/// The object that a command printed, and nothing else.
#[track_caller]
fn json(finished: &Finished, code: i32) -> Value {
    expect(finished, code, &[]);
    assert_eq!(finished.stderr, "");
    let object: Value = serde_json::from_str(&finished.stdout).expect("one object");
    assert_eq!(object["schema"], 1);
    object
}

fn list<'a>(object: &'a Value, name: &str) -> &'a Vec<Value> {
    object[name]
        .as_array()
        .unwrap_or_else(|| panic!("{name} in {object}"))
}

fn number(object: &Value, name: &str) -> u64 {
    object[name]
        .as_u64()
        .unwrap_or_else(|| panic!("{name} in {object}"))
}

/// Version and expiry of every key, by its hexadecimal digits: the newest.
fn records(plan: &Plan) -> BTreeMap<String, (String, u64)> {
    let object = json(&wal(&["inspect", "--records", "--json"], plan), 0);
    let mut records: BTreeMap<String, (String, u64)> = BTreeMap::new();
    let puts = list(&object, "records").iter();
    for record in puts.filter(|record| record["kind"] == "put") {
        let text = |name: &str| record[name].as_str().expect("a text").to_owned();
        let (version, expiry_ms) = (text("version"), number(record, "expiry_ms"));
        let newest = records.entry(text("key")).or_default();
        if version > newest.0 {
            *newest = (version, expiry_ms);
        }
    }
    records
}

/// The first segment file of a shard of the generation in use.
fn first_segment(plan: &Plan, shard: usize) -> PathBuf {
    let manifest = fs::read(data(plan).join("manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let folder = format!("wal-{}/shard-{shard:03}", number(&manifest, "generation"));
    let files = fs::read_dir(data(plan).join(folder)).expect("a folder");
    let files = files.flatten().map(|file| file.path());
    let segments = files.filter(|path| path.extension().is_some_and(|ending| ending == "wal"));
    segments.min().expect("a segment")
}

fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
    let file: File = OpenOptions::new()
        .write(true)
        .open(path)
        .expect("a segment");
    file.write_all_at(bytes, offset).expect("it can be written");
}

#[test]
fn wal_tools_tell_what_lies_in_a_folder_that_is_not_in_use() {
    let plan = plan("tools", 2);
    let node = start(&plan);
    fill(&node, 0..300);
    fill(&node, 0..10);
    let pid = node.process.pid().to_string();
    for command in ["inspect", "verify", "salvage"] {
        let refused = wal(&[command, "--json"], &plan);
        expect(&refused, 3, &["uses it", &pid]);
        assert_eq!(refused.stdout, "");
    }
    stop(node);

    let name = plan.name().to_string();
    expect(
        &wal(&["inspect"], &plan),
        0,
        &["SHARD", "LAST_LSN", &name, "tools"],
    );
    let inspected = json(&wal_in(&["inspect", "--json"], &data(&plan)), 0);
    let shards = list(&inspected, "shards");
    assert_eq!(shards.len(), 2);
    let segments: Vec<&Value> = shards
        .iter()
        .flat_map(|shard| list(shard, "segments"))
        .collect();
    let puts: u64 = segments.iter().map(|segment| number(segment, "puts")).sum();
    assert_eq!(puts, 310);
    for segment in segments {
        let parts = ["used_bytes", "padding_bytes", "damaged_bytes", "free_bytes"];
        let sum: u64 = parts.iter().map(|part| number(segment, part)).sum();
        assert_eq!(sum, number(segment, "bytes"), "{segment}");
    }

    let lines = wal(&["inspect", "--records", "--shard", "1"], &plan);
    expect(&lines, 0, &["put", "commit", "durable up to"]);
    assert!(!lines.stdout.contains("value 1"), "values are not shown");
    assert!(!lines.stdout.contains("salt"), "salts are not shown");
    let first = wal(&["inspect", "--segment", "1", "--json"], &plan);
    let first = json(&first, 0);
    assert!(
        list(&first, "shards")
            .iter()
            .all(|shard| list(shard, "segments").len() == 1)
    );
    expect(
        &wal(&["inspect", "--shard", "2"], &plan),
        2,
        &["no shard 2"],
    );
    expect(
        &wal(&["inspect", "--segment", "99"], &plan),
        2,
        &["no segment 99"],
    );
    let key = hex(&key(7));
    let (version, expiry_ms) = records(&plan)[&key].clone();
    // 16 digits, a dot, 16 digits; nobody asked for a value that never expires.
    assert!(
        version.len() == 33 && expiry_ms > 0,
        "{version} {expiry_ms}"
    );

    expect(&wal(&["verify"], &plan), 0, &["ok: a node would start"]);
    let verified = json(&wal_in(&["verify", "--json"], &data(&plan)), 0);
    assert_eq!(
        (&verified["verdict"], &verified["would_start"]),
        (&"ok".into(), &true.into())
    );
    let records = list(&verified, "shards")
        .iter()
        .map(|shard| number(shard, "records"));
    assert_eq!(records.sum::<u64>(), 310);
    expect(&wal(&["salvage"], &plan), 0, &["nothing to do"]);
}

#[test]
fn wal_tools_mend_a_damaged_log_and_lose_only_what_was_damaged() {
    let plan = plan("damaged", 2);
    let node = start(&plan);
    fill(&node, 0..400);
    stop(node);
    let file = first_segment(&plan, 1);
    overwrite(&file, 20_000, &[0xee; 700]);
    let damaged = fs::read(&file).expect("a segment");
    let name = file
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();

    expect(
        &wal(&["verify"], &plan),
        6,
        &["damaged from byte", &name, "shard 1", "salvage"],
    );
    let verified = json(&wal(&["verify", "--json"], &plan), 6);
    assert_eq!(
        (&verified["verdict"], &verified["would_start"]),
        (&"damaged".into(), &false.into())
    );
    let [damage] = &list(&list(&verified, "shards")[1], "damage")[..] else {
        panic!("{verified}");
    };
    assert!(number(damage, "from_byte") <= 20_000 && number(damage, "to_byte") >= 20_700);
    let lost_max = number(damage, "last_lsn") + 1 - number(damage, "first_lsn");
    let refused = plan.clone().start().process.wait(secs(20));
    assert_eq!(refused.code, Some(6), "{}", refused.stderr);
    assert!(refused.stderr.contains("wal salvage"), "{}", refused.stderr);

    let planned = json(&wal(&["salvage", "--dry-run", "--json"], &plan), 0);
    assert_eq!(planned["outcome"], "would_salvage");
    assert_eq!(
        fs::read(&file).expect("a segment"),
        damaged,
        "nothing is changed"
    );
    let out = plan.dir.join("out");
    let out_text = out.display().to_string();
    let copied = json(&wal(&["salvage", "--out", &out_text, "--json"], &plan), 0);
    assert_eq!(copied["written_to"].as_str(), Some(&out_text[..]));
    expect(&wal_in(&["verify"], &out), 0, &["ok"]);
    assert_eq!(
        fs::read(&file).expect("a segment"),
        damaged,
        "nothing is changed"
    );

    let salvaged = json(&wal(&["salvage", "--json"], &plan), 0);
    assert_eq!(salvaged["outcome"], "salvaged");
    assert_eq!(number(&salvaged, "records_lost"), lost_max);
    assert_eq!(salvaged["records_kept"], copied["records_kept"]);
    let kept = data(&plan).join("quarantine-0/shard-001").join(&name);
    assert_eq!(fs::read(kept).expect("the damaged file"), damaged);
    expect(&wal(&["salvage"], &plan), 0, &["nothing to do"]);
    expect(&wal(&["verify"], &plan), 0, &["ok: a node would start"]);

    let node = start(&plan);
    let gone = missing(&mut node.client(), 0..400);
    assert!(
        !gone.is_empty() && gone.len() as u64 <= lost_max,
        "{gone:?} of {lost_max}"
    );
    let kept = 400 - gone.len() as u64;
    assert_eq!(number(&salvaged, "records_kept"), kept);
    fill(&node, 0..20);
    stop(node);
    assert!(data(&plan).join("quarantine-0/SALVAGED.txt").exists());
}

#[test]
fn wal_tools_tell_a_torn_tail_from_damage() {
    let plan = plan("torn", 1);
    let node = start(&plan);
    fill(&node, 0..50);
    kill(node);
    let inspected = json(&wal(&["inspect", "--json"], &plan), 0);
    let segments = list(&list(&inspected, "shards")[0], "segments");
    let last = segments
        .iter()
        .rfind(|segment| number(segment, "puts") > 0)
        .expect("a segment");
    let end = number(last, "bytes") - number(last, "free_bytes");
    let name = last["file"].as_str().expect("a name");
    overwrite(
        &data(&plan).join("wal-0/shard-000").join(name),
        end,
        &[0xab; 1_000],
    );

    expect(
        &wal(&["verify"], &plan),
        0,
        &["torn tail", "never acknowledged"],
    );
    let verified = json(&wal(&["verify", "--json"], &plan), 0);
    assert_eq!(
        (&verified["verdict"], &verified["would_start"]),
        (&"torn_tail".into(), &true.into())
    );
    assert!(number(&list(&verified, "shards")[0], "torn_bytes") >= 1_000);
    expect(&wal(&["salvage"], &plan), 0, &["nothing to do"]);
    let node = start(&plan);
    assert_eq!(missing(&mut node.client(), 0..50), Vec::<usize>::new());
    stop(node);
    expect(
        &wal(&["verify", "--json"], &plan),
        0,
        &[r#""verdict":"ok""#],
    );
}

#[test]
fn wal_tools_refuse_what_is_not_this_nodes() {
    let plan = plan("foreign", 2);
    let node = start(&plan);
    fill(&node, 0..20);
    stop(node);
    let manifest = data(&plan).join("manifest.json");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    let name = plan.name().to_string();
    let refuse_all = |words: &str| {
        for command in ["inspect", "verify", "salvage"] {
            expect(&wal(&[command], &plan), 3, &[words]);
        }
        expect(&plan.clone().start().process.wait(secs(20)), 3, &[words]);
    };
    fs::write(&manifest, text.replace(&name, "other.example.org:1")).expect("writable");
    refuse_all("other.example.org:1");
    expect(
        &wal_in(&["inspect"], &data(&plan)),
        0,
        &["other.example.org:1"],
    );
    expect(&wal_in(&["verify"], &data(&plan)), 3, &["foreign"]);
    fs::write(&manifest, text.replace("\"format\": 1", "\"format\": 2")).expect("writable");
    refuse_all("format 2");
    fs::remove_file(&manifest).expect("it was there");
    refuse_all("manifest.json");
    fs::write(&manifest, text).expect("writable");

    let segment = first_segment(&plan, 0);
    let copy = data(&plan).join("wal-0/shard-001/00000000000000ff.wal");
    fs::copy(&segment, &copy).expect("writable");
    expect(
        &wal(&["verify"], &plan),
        3,
        &["foreign", "00000000000000ff.wal"],
    );
    expect(&wal(&["salvage"], &plan), 3, &["00000000000000ff.wal"]);
    fs::remove_file(copy).expect("it was there");
    expect(&wal(&["verify"], &plan), 0, &["ok"]);

    let empty = plan.dir.join("empty");
    fs::create_dir(&empty).expect("writable");
    expect(&wal_in(&["verify"], &empty), 3, &["manifest.json"]);
    assert_eq!(
        fs::read_dir(&empty).expect("a folder").count(),
        0,
        "no trace is left"
    );
    expect(
        &wal_in(&["verify"], &plan.dir.join("none")),
        3,
        &["manifest.json"],
    );
    let both = Process::finish(&binaries::chordite(), &["wal", "verify"], secs(10));
    expect(&both, 2, &["--dir"]);
}

#[test]
fn wal_reshard_keeps_every_key_its_version_and_its_expiry() {
    let mut plan = plan("reshard", 1);
    let node = start(&plan);
    fill(&node, 0..500);
    let mut client = node.client();
    let short = dht::key("gone soon");
    client.send(&dht::put_with(&short, 1, 1, 0, b"short"));
    assert!(client.read(&short).is_some());
    drop(client);
    stop(node);
    let before = records(&plan);
    for (generation, shards) in [(1, 3), (2, 2), (3, 5)] {
        plan = with_shards(plan, shards);
        let node = start(&plan);
        node.wait_log(&["the log is rewritten", &format!("to={shards}")]);
        assert_eq!(missing(&mut node.client(), 0..500), Vec::<usize>::new());
        let mut client = node.client();
        // The first rewrite may come before its second is over.
        deadline::until("the short one expires", secs(5), || {
            client.read(&short).is_none().then_some(())
        });
        stop(node);
        let mut after = records(&plan);
        let mut want = before.clone();
        after.remove(&hex(&short));
        want.remove(&hex(&short));
        assert_eq!(after, want, "{shards} shards");
        let inspected = json(&wal(&["inspect", "--json"], &plan), 0);
        assert_eq!(number(&inspected["manifest"], "generation"), generation);
        assert_eq!(list(&inspected, "shards").len(), usize::from(shards));
        let wals = names(&data(&plan))
            .into_iter()
            .filter(|name| name.starts_with("wal-"));
        assert_eq!(wals.collect::<Vec<_>>(), [format!("wal-{generation}")]);
    }
    let node = start(&plan);
    let mut client = node.client();
    client.write(&key(3), b"a newer value");
    stop(node);
    let old = &before[&hex(&key(3))].0;
    assert!(records(&plan)[&hex(&key(3))].0 > *old, "stamps go on");
}

#[test]
fn wal_reshard_killed_at_any_moment_loses_nothing() {
    let mut plan = plan("cut", 2);
    let node = start(&plan);
    fill(&node, 0..4_000);
    kill(node);
    let mut chance = Dice::new(11);
    let mut shards = 2;
    let mut cut_short = 0;
    for round in 0..16 {
        // A round that came to its end leaves the number of shards it was to make.
        let verified = json(&wal(&["verify", "--json"], &plan), 0);
        let is = number(&verified["manifest"], "shards");
        if is == u64::from(shards) {
            shards = if shards == 2 { 3 } else { 2 };
        }
        plan = with_shards(plan, shards);
        let next = number(&verified["manifest"], "generation") + 1;
        let fresh = data(&plan).join(format!("wal-{next}"));
        let node = plan.clone().start();
        let what = format!("generation {next} is begun in round {round}");
        deadline::until(&what, secs(20), || fresh.exists().then_some(()));
        deadline::pass(millis(chance.below(120)));
        kill(node);
        let left = names(&data(&plan));
        let generations = left.iter().filter(|name| name.starts_with("wal-")).count();
        cut_short += u32::from(generations > 1);
    }
    assert!(cut_short >= 3, "{cut_short} rounds were cut short");
    let node = start(&plan);
    assert_eq!(missing(&mut node.client(), 0..4_000), Vec::<usize>::new());
    stop(node);
}

#[test]
fn wal_reshard_without_room_leaves_all_as_it_was() {
    let plan = plan("full", 1);
    let node = start(&plan);
    fill(&node, 0..200);
    stop(node);
    // New segments would be longer than any file may be.
    let mut plan = with_shards(plan, 3);
    plan.settings
        .retain(|line| !line.starts_with("segment_bytes"));
    fs::write(plan.ini_path(), plan.ini()).expect("the work folder is writable");
    let (chordite, ini) = (binaries::chordite(), plan.ini_path());
    let (chordite, ini) = (chordite.display().to_string(), ini.display().to_string());
    let args = ["--fsize=1048576", &chordite, "serve", "-c", &ini];
    let refused = Process::finish(Path::new("prlimit"), &args, secs(30));
    expect(&refused, 6, &["re-sharding", "the disk is full"]);
    let left = names(&data(&plan));
    let generations: Vec<_> = left
        .iter()
        .filter(|name| name.starts_with("wal-"))
        .collect();
    assert_eq!(generations, ["wal-0"], "the room is given back");
    let node = start(&plan);
    assert_eq!(missing(&mut node.client(), 0..200), Vec::<usize>::new());
    stop(node);
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a folder").flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn hex(key: &KeyBytes) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}
