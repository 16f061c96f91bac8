//! A minimal HTTP client for the admin server: one GET a connection, the whole answer in memory.
//!
//! It speaks HTTP/1.0, so that a server neither chunks its answer nor keeps the connection open;
//! the length is checked where the server gives one. Answers are bounded in size and in time.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use thiserror::Error;

/// What a server answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Response {
    /// The status code.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: String,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum HttpError {
    #[error("cannot connect to {0}: {1}")]
    Connect(SocketAddr, io::Error),
    #[error("{0} did not answer within {1:?}")]
    Deadline(SocketAddr, Duration),
    #[error("{0}: connection broke: {1}")]
    Broken(SocketAddr, io::Error),
    #[error("{0} does not speak HTTP: {1}")]
    NotHttp(SocketAddr, &'static str),
}

/// Gets `path` from `server` within `limit`.
pub(crate) fn get(server: SocketAddr, path: &str, limit: Duration) -> Result<Response, HttpError> {
    let deadline = Instant::now() + limit;
    let stream = TcpStream::connect_timeout(&server, limit);
    let mut stream = stream.map_err(|error| HttpError::Connect(server, error))?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    let answer = stream
        .write_all(request.as_bytes())
        .and_then(|()| read_all(&mut stream, deadline));
    let answer = answer.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => HttpError::Deadline(server, limit),
        _ => HttpError::Broken(server, error),
    })?;
    parse(&answer).map_err(|why| HttpError::NotHttp(server, why))
}

fn read_all(stream: &mut TcpStream, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(answer),
            Ok(count) => answer.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(io::Error::other("the answer is larger than 64 MiB"));
        }
    }
}

fn parse(answer: &[u8]) -> Result<Response, &'static str> {
    let text = std::str::from_utf8(answer).map_err(|_| "the answer is not UTF-8")?;
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or("the answer has no end of headers")?;
    let (status_line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let mut words = status_line.split(' ');
    if !words
        .next()
        .is_some_and(|version| version.starts_with("HTTP/1."))
    {
        return Err("the answer does not begin with HTTP/1");
    }
    let status = words.next().and_then(|status| status.parse().ok());
    let status = status.ok_or("the status is not a number")?;
    if content_length(headers).is_some_and(|length| length != body.len()) {
        return Err("the answer is cut off");
    }
    Ok(Response {
        status,
        body: body.to_owned(),
    })
}

fn content_length(headers: &str) -> Option<usize> {
    let mut pairs = headers.lines().filter_map(|line| line.split_once(':'));
    let found = pairs.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    found.1.trim().parse().ok()
}

/// The crawl of a ring of 65,536 members fits.
const ANSWER_BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// A server that answers its first connection with `answer` once it has seen a request.
    fn server(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer);
        });
        address
    }

    const LIMIT: Duration = Duration::from_secs(5);

    #[test]
    fn status_and_body_are_read() {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 7\r\n\r\njoining";
        let response = get(server(answer), "/readyz", LIMIT).unwrap();
        assert_eq!(
            response,
            Response {
                status: 503,
                body: "joining".into()
            }
        );
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for (answer, why) in [
            (&b""[..], "no end of headers"),
            (
                b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort",
                "cut off",
            ),
            (b"SSH-2.0-OpenSSH\r\n\r\n", "does not begin with HTTP/1"),
            (b"HTTP/1.1 fine\r\n\r\n", "not a number"),
        ] {
            let error = get(server(answer), "/", LIMIT).unwrap_err();
            assert!(matches!(error, HttpError::NotHttp(..)), "{error}");
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn silence_ends_at_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let limit = Duration::from_millis(50);
        let error = get(listener.local_addr().unwrap(), "/", limit).unwrap_err();
        assert!(matches!(error, HttpError::Deadline(..)), "{error}");
    }
}
