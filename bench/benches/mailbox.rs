//! What a hop to another core costs: mail alone, and there and back between two runtimes that sleep
//! in between, singly and in batches; beside it a bare eventfd with a read of its own, which is the
//! other way to wake a runtime.
//!
//! `cargo bench -p chordite-bench --bench mailbox`

use std::fs::File;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use node::runtime::mailbox::{MailPort, Mailboxes};

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(3)).sample_size(20);
    targets = alone, there_and_back, eventfd
}
criterion_main!(benches);

/// As long as the mail of a node.
type Mail = [u64; 10];

fn alone(criterion: &mut Criterion) {
    let (a, b) = pair();
    let mut group = criterion.benchmark_group("mail on one thread");
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch));
        group.bench_function(format!("batch of {batch}"), |bench| {
            bench.iter(|| {
                (0..batch).for_each(|mail| a.send(1, [mail; 10]).expect("there is room"));
                a.flush();
                (0..batch).for_each(|mail| assert_eq!(b.try_recv().map(|m| m[0]), Some(mail)));
            });
        });
    }
    group.finish();
}

fn there_and_back(criterion: &mut Criterion) {
    let (a, b) = pair();
    let echo = thread::spawn(move || run(echo(&b)));
    let mut group = criterion.benchmark_group("mail there and back between sleeping runtimes");
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch));
        group.bench_function(format!("batch of {batch}"), |bench| {
            bench.iter_custom(|rounds| run(ask(&a, rounds, batch)));
        });
    }
    group.finish();
    a.send(1, [STOP; 10]).expect("there is room");
    a.flush();
    echo.join().expect("the echo ends");
}

async fn ask(port: &MailPort<Mail>, rounds: u64, batch: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..rounds {
        (0..batch).for_each(|mail| port.send(1, [mail; 10]).expect("there is room"));
        port.flush();
        for mail in 0..batch {
            assert_eq!(port.recv().await[0], mail);
        }
    }
    start.elapsed()
}

async fn echo(port: &MailPort<Mail>) {
    loop {
        let mut mail = Some(port.recv().await);
        while let Some(one) = mail {
            if one[0] == STOP {
                return;
            }
            port.send(0, one).expect("there is room");
            mail = port.try_recv();
        }
        port.flush();
    }
}

fn eventfd(criterion: &mut Criterion) {
    let [(a, a_writer), (b, b_writer)] = [event(), event()];
    let echo = thread::spawn(move || {
        run(async {
            let b = monoio::fs::File::from_std(b).expect("a file of the runtime");
            while wait(&b).await != STOP {
                signal(&a_writer, 1);
            }
        });
    });
    criterion.bench_function(
        "eventfd there and back between sleeping runtimes",
        |bench| {
            bench.iter_custom(|rounds| {
                let a = a.try_clone().expect("a file");
                run(async {
                    let a = monoio::fs::File::from_std(a).expect("a file of the runtime");
                    let start = Instant::now();
                    for _ in 0..rounds {
                        signal(&b_writer, 1);
                        wait(&a).await;
                    }
                    start.elapsed()
                })
            });
        },
    );
    signal(&b_writer, STOP);
    echo.join().expect("the echo ends");
}

fn event() -> (File, File) {
    let fd = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).expect("an eventfd");
    let file = File::from(fd);
    let writer = file.try_clone().expect("a file");
    (file, writer)
}

fn signal(event: &File, count: u64) {
    rustix::io::write(event.as_fd(), &count.to_ne_bytes()).expect("an eventfd takes a count");
}

async fn wait(event: &monoio::fs::File) -> u64 {
    let (read, bytes) = event.read_exact_at([0u8; 8].to_vec(), 0).await;
    read.expect("an eventfd gives a count");
    u64::from_ne_bytes(bytes.try_into().expect("eight bytes"))
}

fn pair() -> (MailPort<Mail>, MailPort<Mail>) {
    let mut ports = Mailboxes::new(2);
    let second = ports.pop().expect("two ports");
    (ports.pop().expect("two ports"), second)
}

fn run<F: Future>(future: F) -> F::Output {
    let builder = monoio::RuntimeBuilder::<monoio::FusionDriver>::new().with_entries(256);
    builder.build().expect("a runtime").block_on(future)
}

const BATCHES: [u64; 3] = [1, 16, 256];

/// Ends an echo.
const STOP: u64 = 1 << 40;
