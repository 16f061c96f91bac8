//! The DHT API (650 to 653) written by hand, byte by byte, independently of `proto::dht_api`.
//!
//! Everything has a deadline; whatever a node does that DHT_API.md does not allow is a panic.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A key as the wire has it.
pub type KeyBytes = [u8; 32];

/// A PUT with every field given.
#[must_use]
pub fn put_with(
    key: &KeyBytes,
    ttl_s: u16,
    replication: u8,
    reserved: u8,
    value: &[u8],
) -> Vec<u8> {
    let size = u16::try_from(40 + value.len()).expect("a value of at most 65,495 bytes");
    let mut bytes = Vec::with_capacity(usize::from(size));
    bytes.extend_from_slice(&size.to_be_bytes());
    bytes.extend_from_slice(&650u16.to_be_bytes());
    bytes.extend_from_slice(&ttl_s.to_be_bytes());
    bytes.extend_from_slice(&[replication, reserved]);
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(value);
    bytes
}

/// A PUT that lives an hour.
#[must_use]
pub fn put(key: &KeyBytes, value: &[u8]) -> Vec<u8> {
    put_with(key, 3600, 1, 0, value)
}

/// A GET.
#[must_use]
pub fn get(key: &KeyBytes) -> Vec<u8> {
    keyed(651, key, &[])
}

/// A SUCCESS.
#[must_use]
pub fn success(key: &KeyBytes, value: &[u8]) -> Vec<u8> {
    keyed(652, key, value)
}

/// A FAILURE.
#[must_use]
pub fn failure(key: &KeyBytes) -> Vec<u8> {
    keyed(653, key, &[])
}

/// The first four bytes of a message.
#[must_use]
pub fn header(size: u16, kind: u16) -> [u8; 4] {
    let (size, kind) = (size.to_be_bytes(), kind.to_be_bytes());
    [size[0], size[1], kind[0], kind[1]]
}

/// A text key as the reference client makes it: padded with NUL.
#[must_use]
pub fn key(text: &str) -> KeyBytes {
    let mut key = [0; 32];
    key[..text.len()].copy_from_slice(text.as_bytes());
    key
}

fn keyed(kind: u16, key: &KeyBytes, value: &[u8]) -> Vec<u8> {
    let size = u16::try_from(36 + value.len()).expect("a value of at most 65,495 bytes");
    let mut bytes = header(size, kind).to_vec();
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(value);
    bytes
}

/// How a connection ended, or that it did not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// End of stream or reset.
    Closed,
    /// Bytes came.
    Bytes,
    /// Nothing came and the connection stayed open.
    Silence,
}

/// A client of the DHT API on one connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
}

impl Client {
    /// Connects to `addr`.
    pub fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&addr, CONNECT_LIMIT)
            .unwrap_or_else(|error| panic!("cannot connect to the DHT API at {addr}: {error}"));
        stream
            .set_nodelay(true)
            .expect("an option every socket has");
        Self { stream }
    }

    /// The connection itself.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends `bytes` in one write.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the node reads");
    }

    /// Sends `bytes` one at a time, each in a segment of its own.
    pub fn send_bytewise(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.send(&[*byte]));
    }

    /// Sends what it can of `bytes`; the node may have closed by now.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Closes the sending side.
    pub fn half_close(&mut self) {
        self.stream
            .shutdown(Shutdown::Write)
            .expect("an open socket");
    }

    /// Reads exactly as many bytes as `want` has and compares.
    pub fn expect(&mut self, want: &[u8]) {
        let got = self.receive(want.len(), ANSWER_LIMIT).expect("an answer");
        assert!(
            got == want,
            "got {} instead of {}",
            brief(&got),
            brief(want)
        );
    }

    /// What a single `recv` gives, as the reference client reads.
    pub fn receive_once(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 65_536];
        self.stream
            .set_read_timeout(Some(ANSWER_LIMIT))
            .expect("a timeout above 0");
        let read = self.stream.read(&mut bytes).expect("an answer");
        bytes.truncate(read);
        bytes
    }

    /// Reads exactly `count` bytes within `limit`.
    pub fn receive(&mut self, count: usize, limit: Duration) -> io::Result<Vec<u8>> {
        let end = Instant::now() + limit;
        let mut bytes = vec![0; count];
        let mut filled = 0;
        while filled < count {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut bytes[filled..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }

    /// Watches the connection for `limit`: whether it closes, speaks or stays silent.
    pub fn watch(&mut self, limit: Duration) -> End {
        self.stream
            .set_read_timeout(Some(limit))
            .expect("a timeout above 0");
        match self.stream.read(&mut [0; 64]) {
            Ok(0) => End::Closed,
            Ok(_) => End::Bytes,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                End::Silence
            }
            Err(_) => End::Closed,
        }
    }

    /// The node closes the connection, and says nothing before.
    pub fn expect_closed(&mut self) {
        assert_eq!(
            self.watch(ANSWER_LIMIT),
            End::Closed,
            "the node keeps the connection"
        );
    }

    /// A GET and its answer: the value, or `None` after a FAILURE. Either has to carry the key.
    pub fn read(&mut self, key: &KeyBytes) -> Option<Vec<u8>> {
        self.try_read(key, ANSWER_LIMIT)
            .expect("SUCCESS or FAILURE in time")
    }

    /// Like `read`, with a limit, and an error where the connection ends or stays silent.
    pub fn try_read(&mut self, key: &KeyBytes, limit: Duration) -> io::Result<Option<Vec<u8>>> {
        self.stream.write_all(&get(key))?;
        self.receive_answer(key, limit)
    }

    /// The answer to a GET of `key` that was sent before.
    pub fn receive_answer(
        &mut self,
        key: &KeyBytes,
        limit: Duration,
    ) -> io::Result<Option<Vec<u8>>> {
        let head = self.receive(36, limit)?;
        let size = usize::from(u16::from_be_bytes([head[0], head[1]]));
        let kind = u16::from_be_bytes([head[2], head[3]]);
        assert_eq!(&head[4..], key, "the answer carries the key");
        match kind {
            652 => {
                assert!(size > 36, "a SUCCESS carries a value");
                self.receive(size - 36, limit).map(Some)
            }
            653 => {
                assert_eq!(size, 36, "a FAILURE is 36 bytes long");
                Ok(None)
            }
            other => panic!("an answer of type {other}"),
        }
    }

    /// A PUT confirmed by a GET behind it on the same connection.
    pub fn write(&mut self, key: &KeyBytes, value: &[u8]) {
        self.send(&put(key, value));
        assert_eq!(
            self.read(key).as_deref(),
            Some(value),
            "a GET after a PUT sees it"
        );
    }
}

fn brief(bytes: &[u8]) -> String {
    let start: Vec<String> = bytes
        .iter()
        .take(44)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{} bytes {}", bytes.len(), start.join(""))
}

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
