//! Sockets as the tasks of a core hold them: options, and a second handle with which a connection
//! is shut down while its operations are in the kernel. Operations are never cancelled; they end
//! because the socket does.

use std::io;
use std::net::{Shutdown, TcpStream as StdStream};

use monoio::io::{AsyncReadRent, AsyncWriteRent, OwnedReadHalf, OwnedWriteHalf, Splitable};
use monoio::net::TcpStream;
use socket2::{SockRef, TcpKeepalive};

use super::limits::{API_KEEPALIVE, LINK_KEEPALIVE, LINK_USER_TIMEOUT};
use super::receive_buffer::ReceiveBuffer;

/// The reading half of a connection.
pub(crate) struct Reader(OwnedReadHalf<TcpStream>);

/// The writing half of a connection.
pub(crate) struct Writer(OwnedWriteHalf<TcpStream>);

/// Ends a connection from anywhere on its core.
pub(crate) struct Closer(StdStream);

/// What a connection is for, which decides its socket options.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// A client of the DHT API.
    Client,
    /// Another node, or a native client: dead peers are to be noticed soon.
    Link,
}

/// Prepares a connected socket and hands its parts to this thread's runtime.
pub(crate) fn open(stream: StdStream, purpose: Purpose) -> io::Result<(Reader, Writer, Closer)> {
    // io_uring waits for readiness itself and takes O_NONBLOCK for "do not wait"; epoll needs it.
    stream.set_nonblocking(monoio::utils::is_legacy())?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    let [idle, interval] = match purpose {
        Purpose::Client => API_KEEPALIVE,
        Purpose::Link => LINK_KEEPALIVE,
    };
    let keepalive = TcpKeepalive::new().with_time(idle).with_interval(interval);
    socket.set_tcp_keepalive(&keepalive)?;
    if purpose == Purpose::Link {
        socket.set_tcp_user_timeout(Some(LINK_USER_TIMEOUT))?;
    }
    let closer = Closer(stream.try_clone()?);
    let (reader, writer) = TcpStream::from_std(stream)?.into_split();
    Ok((Reader(reader), Writer(writer), closer))
}

impl Reader {
    /// Receives into the free part of `buffer`; zero bytes are the end of the stream.
    pub(crate) async fn receive(&mut self, buffer: &mut ReceiveBuffer) -> io::Result<usize> {
        let (result, lent) = self.0.read(buffer.lend()).await;
        buffer.put_back(lent);
        result
    }
}

impl Writer {
    /// Sends all of `bytes` and returns the buffer, emptied.
    pub(crate) async fn send(&mut self, bytes: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        use monoio::buf::IoBuf;
        let length = bytes.len();
        let (mut sent, mut bytes) = (0, bytes);
        while sent < length {
            let (result, slice) = self.0.write(bytes.slice(sent..)).await;
            bytes = slice.into_inner();
            match result {
                Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), Vec::new()),
                Ok(count) => sent += count,
                Err(error) => return (Err(error), Vec::new()),
            }
        }
        bytes.clear();
        (Ok(()), bytes)
    }
}

impl Closer {
    /// A closer of `stream`, which is usually a second handle of a socket in use.
    pub(crate) const fn of(stream: StdStream) -> Self {
        Self(stream)
    }

    /// Nothing more will be sent: the peer reads what is under way, then the end.
    pub(crate) fn finish(&self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }

    /// Nothing more will be received beyond what the kernel already has; answers still leave.
    pub(crate) fn stop_reading(&self) {
        let _ = self.0.shutdown(Shutdown::Read);
    }

    /// Ends both directions at once: operations in the kernel complete.
    pub(crate) fn end(&self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}
