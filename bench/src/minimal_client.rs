//! A minimal closed-loop client of the echo server: what asking costs when nothing else is done.
//!
//! It counts bytes and sends the next frames as soon as frames are back; it measures no latency,
//! checks nothing but lengths and draws no keys. The load generator's own processor time is judged
//! against it.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpStream;
use monoio::{FusionDriver, RuntimeBuilder};
use serde::{Deserialize, Serialize};

use crate::echo::{RING_ENTRIES, uring};
use crate::usage::Cpu;

/// What the client is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Work {
    /// The echo server.
    pub target: SocketAddr,
    /// Connections.
    pub connections: u32,
    /// Frames under way on each.
    pub depth: u32,
    /// Bytes of a frame.
    pub frame_bytes: u32,
    /// For how long.
    pub length: Duration,
}

/// What it did.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Frames that came back.
    pub completed: u64,
    /// Seconds it took.
    pub wall_s: f64,
    /// Processor time of this process for each frame, in microseconds.
    pub cpu_per_request_us: f64,
}

/// Runs the client to its end.
///
/// # Errors
/// When the runtime cannot be had or a connection fails.
pub fn run(work: Work) -> io::Result<Outcome> {
    let mut runtime = RuntimeBuilder::<FusionDriver>::new()
        .with_entries(RING_ENTRIES)
        .uring_builder(uring())
        .build()?;
    runtime.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..work.connections {
            let stream = TcpStream::connect_addr(work.target).await?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        let before = Cpu::of(std::process::id())?;
        let start = Instant::now();
        let end = start + work.length;
        let frames = Rc::new(vec![0xa5; (work.frame_bytes * work.depth) as usize]);
        let ask = |stream| monoio::spawn(ask(stream, Rc::clone(&frames), work, end));
        let asking: Vec<_> = streams.into_iter().map(ask).collect();
        let mut completed = 0;
        for asked in asking {
            completed += asked.await?;
        }
        let cpu = Cpu::of(std::process::id())?.since(&before);
        Ok(Outcome {
            completed,
            wall_s: start.elapsed().as_secs_f64(),
            cpu_per_request_us: cpu.as_secs_f64() * 1e6 / completed as f64,
        })
    })
}

/// Keeps `depth` frames under way on one connection until `end`, then drains it.
async fn ask(
    mut stream: TcpStream,
    frames: Rc<Vec<u8>>,
    work: Work,
    end: Instant,
) -> io::Result<u64> {
    let frame_bytes = work.frame_bytes as usize;
    let (mut completed, mut under_way, mut partial) = (0, 0, 0);
    let mut to_send = work.depth as usize;
    let mut output = Vec::with_capacity(frames.len());
    let mut input = Vec::with_capacity(INPUT_BYTES);
    loop {
        if to_send > 0 {
            output.clear();
            output.extend_from_slice(&frames[..to_send * frame_bytes]);
            let sent;
            (sent, output) = stream.write_all(output).await;
            sent?;
            under_way += to_send;
        }
        let received;
        input.clear();
        (received, input) = stream.read(input).await;
        partial += match received? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            bytes => bytes,
        };
        let back = partial / frame_bytes;
        partial %= frame_bytes;
        completed += back as u64;
        under_way -= back;
        to_send = if Instant::now() < end { back } else { 0 };
        if under_way == 0 && to_send == 0 {
            return Ok(completed);
        }
    }
}

const INPUT_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn frames_that_come_back_in_pieces_are_counted_whole() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut buffer, mut bytes) = ([0; 48], 0u64);
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                stream.write_all(&buffer[..read]).unwrap();
                bytes += read as u64;
            }
            bytes
        });
        let outcome = run(Work {
            target,
            connections: 1,
            depth: 4,
            frame_bytes: 64,
            length: Duration::from_millis(20),
        });
        let completed = outcome.unwrap().completed;
        assert!(completed >= 4);
        assert_eq!(server.join().unwrap(), completed * 64);
    }
}
