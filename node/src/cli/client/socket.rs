//! A blocking TCP connection whose operations share one deadline a request. It knows nothing of
//! what is said over it.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use node::exit::Exit;
use proto::peer::NodeName;

use crate::cli::address;
use crate::cli::failure::Failure;

/// The connection to a node.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    name: NodeName,
    limit: Duration,
    deadline: Instant,
}

impl Socket {
    /// Connects to the first address behind `name` that accepts.
    pub(super) fn connect(name: &NodeName, limit: Duration) -> Result<Self, Failure> {
        let deadline = Instant::now() + limit;
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in address::resolve(name)? {
            match TcpStream::connect_timeout(&address, limit) {
                Ok(stream) => {
                    // Requests are single writes already; waiting for more would only add delay.
                    let _ = stream.set_nodelay(true);
                    return Ok(Self {
                        stream,
                        name: name.clone(),
                        limit,
                        deadline,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(Failure::new(
            Exit::Network,
            format!("cannot connect to {name}: {last}"),
        ))
    }

    /// A new request begins: it has the whole limit.
    pub(super) fn begin(&mut self) {
        self.deadline = Instant::now() + self.limit;
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let left = self.left()?;
        let written = self.stream.set_write_timeout(Some(left));
        written
            .and_then(|()| self.stream.write_all(bytes))
            .map_err(|error| self.failure(&error))
    }

    /// Appends what arrives next to `bytes`; 0 at the end of the connection.
    pub(super) fn read(&mut self, bytes: &mut Vec<u8>) -> Result<usize, Failure> {
        let mut chunk = [0; 16 * 1024];
        loop {
            let left = self.left()?;
            let read = self.stream.set_read_timeout(Some(left));
            match read.and_then(|()| self.stream.read(&mut chunk)) {
                Ok(count) => {
                    bytes.extend_from_slice(&chunk[..count]);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failure(&error)),
            }
        }
    }

    /// Says that nothing more will be sent.
    pub(super) fn finish(&self) {
        // The other side may have closed already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The failure that the node closed the connection.
    pub(super) fn closed(&self) -> Failure {
        Failure::new(
            Exit::Network,
            format!("{} closed the connection", self.name),
        )
    }

    fn left(&self) -> Result<Duration, Failure> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(self.late())
        } else {
            Ok(left)
        }
    }

    fn late(&self) -> Failure {
        let message = format!("{} did not answer within {:?}", self.name, self.limit);
        Failure::new(Exit::Network, message)
    }

    fn failure(&self, error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => self.late(),
            _ => Failure::new(
                Exit::Network,
                format!("connection to {}: {error}", self.name),
            ),
        }
    }
}
