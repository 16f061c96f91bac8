//! Whole runs against small servers in threads of the test: an echo server, a DHT API server that
//! can be told to misbehave, and (`node`) one that speaks the native protocol.

mod node;
mod resp;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use proto::dht_api::{self, Parse, Request};
use proto::key::Key;

use super::*;
use crate::cli::{Cli, Command};
use clap::Parser;

type Store = Arc<Mutex<HashMap<Key, Vec<u8>>>>;

/// Answers one request: the key, what is stored, and where the answer goes; false closes.
type Answer = fn(number: u64, key: &Key, value: Option<&Vec<u8>>, out: &mut Vec<u8>) -> bool;

fn serve(each: impl Fn(TcpStream) + Send + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let each = each.clone();
            std::thread::spawn(move || each(stream));
        }
    });
    address
}

fn echo_server() -> String {
    serve(|mut stream| {
        let mut buffer = vec![0; 65_536];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..read]).is_err() {
                return;
            }
        }
    })
}

fn dht_server(answer: Answer) -> String {
    let store = Store::default();
    let number = Arc::new(AtomicU64::new(0));
    serve(move |stream| serve_dht(stream, &store, &number, answer))
}

fn serve_dht(mut stream: TcpStream, store: &Store, number: &AtomicU64, answer: Answer) {
    let (mut input, mut buffer) = (Vec::new(), vec![0; 65_536]);
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        input.extend_from_slice(&buffer[..read]);
        let mut used = 0;
        let mut out = Vec::new();
        while let Parse::Message { message, consumed } = dht_api::parse(&input[used..]) {
            used += consumed;
            let mut store = store.lock().unwrap();
            match message {
                Request::Put { key, value, .. } => drop(store.insert(key, value.to_vec())),
                Request::Get { key } => {
                    let number = number.fetch_add(1, Ordering::Relaxed);
                    if !answer(number, &key, store.get(&key), &mut out) {
                        return;
                    }
                }
            }
        }
        input.drain(..used);
        if stream.write_all(&out).is_err() {
            return;
        }
    }
}

fn honest(_number: u64, key: &Key, value: Option<&Vec<u8>>, out: &mut Vec<u8>) -> bool {
    match value {
        Some(value) => dht_api::encode_success(out, key, value),
        None => dht_api::encode_failure(out, key),
    }
    true
}

fn run_with_arguments(arguments: &str) -> Result<Outcome, RunError> {
    let words = ["loadgen", "run", "-q"]
        .into_iter()
        .chain(arguments.split_whitespace());
    let Command::Run(arguments) = Cli::try_parse_from(words).unwrap().command;
    run(arguments.plan(Vec::new()).unwrap(), &Arc::default())
}

fn summary(arguments: &str) -> Summary {
    run_with_arguments(arguments).unwrap().summary
}

#[test]
fn a_closed_loop_on_an_echo_server_counts_every_frame() {
    let target = echo_server();
    for depth in [1, 16] {
        let summary = summary(&format!(
            "-t {target} --protocol echo -c 3 --depth {depth} -w 0 -n 5k --frame-bytes 100"
        ));
        assert_eq!(summary.counts.completed, 5_000);
        assert_eq!(summary.counts.verified, 5_000);
        assert_eq!((summary.counts.wrong, summary.errors_total()), (0, 0));
        assert_eq!(summary.operations[0].kind, "echo");
        assert!(summary.latency.p50_us > 0.0 && summary.generator.cpu_s > 0.0);
    }
}

#[test]
fn every_value_read_after_a_preload_is_verified() {
    let target = dht_server(honest);
    for confirm in ["each", "turn"] {
        let summary = summary(&format!(
            "-t {target},{target} -c 4 --depth 8 --threads 2 -w 0 -n 4k --keys 500 --preload \
             --puts 0.5 --value-size 30-300 --confirm {confirm}"
        ));
        let counts = summary.counts;
        assert_eq!(counts.completed, 4_000, "{confirm}: {summary:?}");
        assert_eq!(
            (counts.wrong, counts.lost, counts.absent),
            (0, 0, 0),
            "{confirm}"
        );
        assert!(counts.verified > 1_500);
        assert_eq!(summary.operations.len(), 2);
    }
}

#[test]
fn an_open_loop_keeps_its_rate_and_writes_its_files() {
    let target = dht_server(honest);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display();
    let summary = summary(&format!(
        "-t {target} -c 2 --rate 2k --arrivals constant -w 100ms --duration 1500ms --out {out} \
         --distribution zipf --keys 100"
    ));
    assert_eq!(summary.counts.intended, 3_000);
    assert_eq!(summary.counts.completed + summary.counts.unsent, 3_000);
    assert_eq!(summary.send_lag.count, summary.counts.completed);
    assert_eq!(summary.intervals.len(), 2);
    let read = Summary::read(&dir.path().join(SUMMARY_FILE)).unwrap();
    assert_eq!(
        (read.counts, read.workload),
        (summary.counts, summary.workload.clone())
    );
    let hgrm = fs::read_to_string(dir.path().join(HGRM_FILE)).unwrap();
    assert!(hgrm.contains(&format!(
        "Total count    = {:>12}]",
        summary.counts.completed
    )));
    let hlog = fs::read(dir.path().join(HLOG_FILE)).unwrap();
    let intervals =
        IntervalLogIterator::new(&hlog).filter(|entry| matches!(entry, Ok(LogEntry::Interval(_))));
    assert_eq!(intervals.count(), 2);
}

#[test]
fn the_wrong_values_of_a_liar_are_counted() {
    fn liar(number: u64, key: &Key, value: Option<&Vec<u8>>, out: &mut Vec<u8>) -> bool {
        let mut value = value.cloned().unwrap_or_else(|| vec![1]);
        if number % 10 == 9 {
            let last = value.len() - 1;
            value[last] ^= 1;
        }
        dht_api::encode_success(out, key, &value);
        true
    }
    let summary = summary(&format!(
        "-t {} -c 1 -w 0 -n 1k --keys 10 --puts 1 --value-size 50",
        dht_server(liar)
    ));
    assert_eq!((summary.counts.wrong, summary.counts.verified), (100, 900));
}

#[test]
fn a_confirmation_that_finds_an_older_value_is_counted() {
    /// Answers with the value before the last one, as a server would that reads before it applies.
    fn late(_number: u64, key: &Key, value: Option<&Vec<u8>>, out: &mut Vec<u8>) -> bool {
        static BEFORE: Mutex<Option<Vec<u8>>> = Mutex::new(None);
        let value = value.cloned().unwrap();
        let before = BEFORE.lock().unwrap().replace(value.clone());
        dht_api::encode_success(out, key, &before.unwrap_or(value));
        true
    }
    let arguments = "-c 1 -w 0 -n 100 --keys 1 --puts 1 --value-size 50";
    let late = summary(&format!("-t {} {arguments}", dht_server(late)));
    assert_eq!((late.counts.superseded, late.counts.confirmed), (99, 100));
    let in_time = summary(&format!("-t {} {arguments}", dht_server(honest)));
    assert_eq!(in_time.counts.superseded, 0);
}

#[test]
fn absent_after_a_confirmed_write_is_lost_unless_values_may_expire() {
    fn forgetful(number: u64, key: &Key, value: Option<&Vec<u8>>, out: &mut Vec<u8>) -> bool {
        let forgets = number >= 10 && number % 10 == 9;
        honest(number, key, value.filter(|_| !forgets), out)
    }
    let arguments = "-c 1 -w 0 -n 100 --keys 10 --preload --puts 0";
    let lost = summary(&format!("-t {} {arguments}", dht_server(forgetful)));
    assert_eq!((lost.counts.absent, lost.counts.lost), (10, 10));
    let expired = summary(&format!("-t {} {arguments} --ttl 1", dht_server(forgetful)));
    assert_eq!((expired.counts.absent, expired.counts.lost), (10, 0));
}

#[test]
fn connections_that_break_are_opened_again() {
    fn fragile(number: u64, key: &Key, value: Option<&Vec<u8>>, out: &mut Vec<u8>) -> bool {
        number % 100 != 99 && honest(number, key, value, out)
    }
    let summary = summary(&format!(
        "-t {} -c 2 -w 0 -n 500 --keys 10",
        dht_server(fragile)
    ));
    // Of 500 answers every 100th is a break; the last one may be the end of the run.
    assert!(
        (4..=8).contains(&summary.error_count("broken")),
        "{:?}",
        summary.errors
    );
    assert!(summary.counts.reconnects >= 1);
    assert_eq!(summary.counts.sent, 500);
    assert_eq!(summary.counts.completed + summary.errors_total(), 500);
}

#[test]
fn silence_is_a_timeout_and_the_run_still_ends() {
    let target = serve(|mut stream| while let Ok(1..) = stream.read(&mut [0; 1_000]) {});
    let summary = summary(&format!(
        "-t {target} -c 2 -w 0 --duration 500ms --deadline 100ms"
    ));
    assert_eq!(summary.counts.completed, 0);
    assert!(summary.error_count("timeout") >= 4, "{:?}", summary.errors);
}

#[test]
fn an_open_loop_tells_what_it_could_not_send() {
    let target = serve(|mut stream| while let Ok(1..) = stream.read(&mut [0; 1_000]) {});
    let summary = summary(&format!(
        "-t {target} -c 1 --depth 4 --rate 1k --arrivals constant -w 0 --duration 300ms \
         --deadline 5s"
    ));
    assert_eq!(summary.counts.intended, 300);
    assert_eq!((summary.counts.sent, summary.counts.unsent), (4, 296));
    assert!(summary.bottleneck.limited);
}

#[test]
fn violations_close_the_connection_and_are_named() {
    let target = serve(|mut stream| {
        let _ = stream.read(&mut [0; 1_000]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let summary = summary(&format!("-t {target} -c 1 -w 0 --duration 300ms"));
    let violation = summary
        .errors
        .iter()
        .find(|error| error.kind == "violation")
        .unwrap();
    assert!(
        violation
            .example
            .as_ref()
            .unwrap()
            .contains("protocol violation")
    );
}

#[test]
fn nobody_there_is_an_error() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = run_with_arguments(&format!("-t {free} -n 1")).unwrap_err();
    assert!(
        matches!(&error, RunError::Unreachable(why) if why.contains("refused")),
        "{error}"
    );
}

#[test]
fn an_interruption_before_the_measured_part_leaves_no_result() {
    let words = [
        "loadgen",
        "run",
        "-q",
        "--protocol",
        "echo",
        "-w",
        "1h",
        "-t",
        &echo_server(),
    ];
    let Command::Run(arguments) = Cli::try_parse_from(words).unwrap().command;
    let interrupt = Arc::new(AtomicBool::new(true));
    let error = run(arguments.plan(Vec::new()).unwrap(), &interrupt).unwrap_err();
    assert!(matches!(error, RunError::Interrupted), "{error}");
}

#[test]
fn missing_identity_files_are_named() {
    let error = run_with_arguments("--native 127.0.0.1:1 --identity /nonexistent").unwrap_err();
    assert!(
        error.to_string().contains("/nonexistent/key.pem"),
        "{error}"
    );
}
