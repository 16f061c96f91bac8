//! RESP, the protocol of redis and valkey, from the client's side: GET and SET of the same keys and
//! values as everywhere, so that those servers can be measured by the same generator.
//!
//! Written by hand, because only four kinds of answer exist here and the generator's own processor
//! time is part of what is compared. Answers come in the order of the requests.

use std::io::Write as _;
use std::sync::Arc;

use crate::dataset::Dataset;
use crate::dialect::{Answer, Body, Dialect, Fault, SetupError};
use crate::plan::{Plan, Target};
use crate::recorder::ErrorKind;
use crate::workload::{Kind, Request};

/// One connection to a server.
pub(crate) struct Resp {
    setup: RespSetup,
    value: Vec<u8>,
}

/// What all connections share.
#[derive(Clone)]
pub(crate) struct RespSetup {
    data: Arc<Dataset>,
    ttl_s: u16,
}

impl Dialect for Resp {
    type Setup = RespSetup;

    const BY_ID: bool = false;

    fn prepare(plan: &Plan, data: &Arc<Dataset>) -> Result<RespSetup, SetupError> {
        Ok(RespSetup {
            data: data.clone(),
            ttl_s: plan.data.ttl_s,
        })
    }

    fn open(setup: &RespSetup, _target: &Target) -> Result<Self, Fault> {
        Ok(Self {
            setup: setup.clone(),
            value: Vec::new(),
        })
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn ask(&mut self, _id: u64, request: &Request, out: &mut Vec<u8>) -> bool {
        let key = self.setup.data.key(request.key);
        match request.kind {
            Kind::Put => {
                let Self { setup, value } = self;
                value.clear();
                let (index, sequence) = (request.key, request.sequence);
                setup.data.value(value, index, sequence, request.bytes);
                set(out, key.as_bytes(), value, setup.ttl_s);
            }
            Kind::Get | Kind::Lookup(_) | Kind::Echo => {
                out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
                bulk(out, key.as_bytes());
            }
        }
        true
    }

    fn flush(&mut self, _out: &mut Vec<u8>) -> bool {
        false
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Answer<'_>) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        let mut used = 0;
        while let Some((body, consumed)) = parse(bytes.get(used..).unwrap_or_default())? {
            used += consumed;
            each(Answer { id: None, body })?;
        }
        Ok(used)
    }
}

/// `SET key value`, with `EX seconds` when the value has a lifetime.
fn set(out: &mut Vec<u8>, key: &[u8], value: &[u8], ttl_s: u16) {
    let words: &[u8] = if ttl_s == 0 { b"*3\r\n" } else { b"*5\r\n" };
    out.extend_from_slice(words);
    out.extend_from_slice(b"$3\r\nSET\r\n");
    bulk(out, key);
    bulk(out, value);
    if ttl_s > 0 {
        bulk(out, b"EX");
        bulk(out, ttl_s.to_string().as_bytes());
    }
}

fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    // Writing into memory cannot fail.
    let _ = write!(out, "${}\r\n", bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(END);
}

/// The answer at the start of `bytes` and how long it is; `None` while it is not whole.
fn parse(bytes: &[u8]) -> Result<Option<(Body<'_>, usize)>, Fault> {
    let Some(line_bytes) = bytes.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() > LINE_BYTES_MAX {
            Err(Fault::violation("an endless line"))
        } else {
            Ok(None)
        };
    };
    let (line, rest) = bytes.split_at(line_bytes + 1);
    let Some(line) = line.strip_suffix(END) else {
        return Err(Fault::violation("a line that does not end with CR LF"));
    };
    let whole = |body| Ok(Some((body, line_bytes + 1)));
    match line.split_first() {
        Some((b'+', b"OK")) => whole(Body::Stored(None)),
        Some((b'-', reason)) => {
            let reason = std::str::from_utf8(reason).unwrap_or("an error that is no text");
            whole(Body::Failed(kind(reason), reason))
        }
        Some((b'$', b"-1")) => whole(Body::Absent {
            key: None,
            route: None,
        }),
        Some((b'$', digits)) => {
            let length = length(digits)?;
            let Some(value) = rest.get(..length + END.len()) else {
                return Ok(None);
            };
            let Some(value) = value.strip_suffix(END) else {
                return Err(Fault::violation("a value that does not end with CR LF"));
            };
            let body = Body::Value {
                key: None,
                value,
                route: None,
            };
            Ok(Some((body, line_bytes + 1 + length + END.len())))
        }
        _ => Err(Fault::violation("an answer that fits neither GET nor SET")),
    }
}

fn length(digits: &[u8]) -> Result<usize, Fault> {
    let length = std::str::from_utf8(digits).ok().and_then(|digits| {
        let length: usize = digits.parse().ok()?;
        (length <= BULK_BYTES_MAX).then_some(length)
    });
    length.ok_or_else(|| Fault::violation("a value of an impossible length"))
}

/// By the first word of an error, as redis chooses it.
fn kind(reason: &str) -> ErrorKind {
    match reason.split(' ').next() {
        Some("OOM") => ErrorKind::MemoryFull,
        Some("LOADING" | "BUSY" | "TRYAGAIN" | "MISCONF") => ErrorKind::Overloaded,
        Some("NOAUTH" | "NOPERM") => ErrorKind::Forbidden,
        _ => ErrorKind::Invalid,
    }
}

const END: &[u8] = b"\r\n";

/// Errors are lines of a few words.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// What redis itself allows.
const BULK_BYTES_MAX: usize = 512 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_arrays_of_bulk_strings() {
        let mut out = Vec::new();
        set(&mut out, b"k\r\n", b"", 0);
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$0\r\n\r\n");
        out.clear();
        set(&mut out, b"k", b"v", 60);
        let with_lifetime = b"*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n$2\r\nEX\r\n$2\r\n60\r\n";
        assert_eq!(out, with_lifetime);
    }

    #[test]
    fn answers_are_read_when_they_are_whole() {
        let answers: [(&[u8], &str); 4] = [
            (b"+OK\r\n", "Stored(None)"),
            (b"$-1\r\n", "Absent { key: None, route: None }"),
            (
                b"$3\r\n\r\n1\r\n",
                "Value { key: None, value: [13, 10, 49], route: None }",
            ),
            (b"-OOM full\r\n", "Failed(MemoryFull, \"OOM full\")"),
        ];
        for (bytes, means) in answers {
            for cut in 0..bytes.len() {
                assert!(parse(&bytes[..cut]).unwrap().is_none(), "{means} at {cut}");
            }
            let more = [bytes, b"+"].concat();
            let (body, used) = parse(&more).unwrap().unwrap();
            assert_eq!((format!("{body:?}").as_str(), used), (means, bytes.len()));
        }
    }

    #[test]
    fn what_is_no_answer_ends_the_connection() {
        for bytes in [
            &b"+PONG\r\n"[..],
            b"*1\r\n",
            b"$x\r\n",
            b"$-2\r\n",
            b"$99999999999\r\n",
            b"$1\r\nabc",
            b"+OK\n",
            b"\r\n",
        ] {
            assert!(parse(bytes).is_err(), "{}", bytes.escape_ascii());
        }
        assert!(parse(&[b'+'; LINE_BYTES_MAX + 1]).is_err());
    }
}
