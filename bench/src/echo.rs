//! The floor: a bare echo server on monoio.
//!
//! It sends back what it receives, one receive and one send for each connection and turn of the
//! loop, with the io_uring setup of the node (DEFER_TASKRUN and SINGLE_ISSUER, PERFORMANCE.md). It
//! knows no frames: whatever a server does beyond this is what it costs over the floor.

use std::io;
use std::net::SocketAddr;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::{FusionDriver, RuntimeBuilder};

/// Serves on `address` until the process is stopped; prints `echo HOST:PORT` when it listens.
///
/// # Errors
/// When the runtime or the listener cannot be had.
pub fn serve(address: SocketAddr) -> io::Result<()> {
    let mut runtime = RuntimeBuilder::<FusionDriver>::new()
        .with_entries(RING_ENTRIES)
        .uring_builder(uring())
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address)?;
        println!("echo {}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            monoio::spawn(echo(stream));
        }
    })
}

/// The io_uring setup that server and minimal client share.
pub(crate) fn uring() -> io_uring::Builder {
    let mut uring = io_uring::IoUring::builder();
    uring.setup_single_issuer().setup_defer_taskrun();
    uring
}

async fn echo(mut stream: TcpStream) {
    let mut buffer = Vec::with_capacity(TURN_BYTES);
    loop {
        let (received, filled) = stream.read(buffer).await;
        if !matches!(received, Ok(bytes) if bytes > 0) {
            return;
        }
        let (sent, mut drained) = stream.write_all(filled).await;
        if sent.is_err() {
            return;
        }
        drained.clear();
        buffer = drained;
    }
}

/// Most bytes echoed for one connection in one turn of the loop.
const TURN_BYTES: usize = 64 * 1024;

/// Small rings, because they count against RLIMIT_MEMLOCK (LIBRARIES.md, "Traps").
pub(crate) const RING_ENTRIES: u32 = 256;
