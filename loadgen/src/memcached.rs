//! The text protocol of memcached from the client's side: `get` and `set` of the same keys and
//! values as everywhere. Keys are written as hexadecimal digits, because blanks and control
//! characters are not allowed in them. Answers come in the order of the requests.

use std::io::Write as _;
use std::sync::Arc;

use crate::dataset::Dataset;
use crate::dialect::{Answer, Body, Dialect, Fault, SetupError};
use crate::plan::{Plan, Target};
use crate::recorder::ErrorKind;
use crate::workload::{Kind, Request};

/// One connection to a server.
pub(crate) struct Memcached {
    setup: MemcachedSetup,
    value: Vec<u8>,
}

/// What all connections share.
#[derive(Clone)]
pub(crate) struct MemcachedSetup {
    data: Arc<Dataset>,
    ttl_s: u16,
}

impl Dialect for Memcached {
    type Setup = MemcachedSetup;

    const BY_ID: bool = false;

    fn prepare(plan: &Plan, data: &Arc<Dataset>) -> Result<MemcachedSetup, SetupError> {
        Ok(MemcachedSetup {
            data: data.clone(),
            ttl_s: plan.data.ttl_s,
        })
    }

    fn open(setup: &MemcachedSetup, _target: &Target) -> Result<Self, Fault> {
        Ok(Self {
            setup: setup.clone(),
            value: Vec::new(),
        })
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn ask(&mut self, _id: u64, request: &Request, out: &mut Vec<u8>) -> bool {
        let Self { setup, value } = self;
        let key = setup.data.key(request.key);
        match request.kind {
            Kind::Put => {
                value.clear();
                let (index, sequence) = (request.key, request.sequence);
                setup.data.value(value, index, sequence, request.bytes);
                out.extend_from_slice(b"set ");
                digits(out, key.as_bytes());
                // Writing into memory cannot fail.
                let _ = write!(out, " 0 {} {}\r\n", setup.ttl_s, value.len());
                out.extend_from_slice(value);
            }
            Kind::Get | Kind::Lookup(_) | Kind::Echo => {
                out.extend_from_slice(b"get ");
                digits(out, key.as_bytes());
            }
        }
        out.extend_from_slice(LINE_END);
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

fn digits(out: &mut Vec<u8>, key: &[u8]) {
    for byte in key {
        let [high, low] = [byte >> 4, byte & 15];
        out.extend([high, low].map(|digit| HEX[usize::from(digit)]));
    }
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
    let line = line
        .strip_suffix(LINE_END)
        .and_then(|line| std::str::from_utf8(line).ok());
    let line = line.ok_or_else(|| Fault::violation("a line that is no text"))?;
    let body = match line {
        "STORED" => Body::Stored(None),
        "END" => Body::Absent {
            key: None,
            route: None,
        },
        _ if line.starts_with("VALUE ") => return value(line, rest, line_bytes + 1),
        _ if line.starts_with("SERVER_ERROR out of memory") => {
            Body::Failed(ErrorKind::MemoryFull, line)
        }
        _ if ["SERVER_ERROR ", "CLIENT_ERROR ", "ERROR", "NOT_STORED"]
            .iter()
            .any(|word| line.starts_with(word)) =>
        {
            Body::Failed(ErrorKind::Invalid, line)
        }
        _ => return Err(Fault::violation("an answer that fits neither get nor set")),
    };
    Ok(Some((body, line_bytes + 1)))
}

/// `VALUE key flags length`, the value, and `END`.
fn value<'a>(
    line: &str,
    rest: &'a [u8],
    head_bytes: usize,
) -> Result<Option<(Body<'a>, usize)>, Fault> {
    let length = line
        .split(' ')
        .nth(3)
        .and_then(|length| length.parse().ok());
    let length: usize = length
        .filter(|length| *length <= VALUE_BYTES_MAX)
        .ok_or_else(|| Fault::violation("a value of an impossible length"))?;
    let Some(framed) = rest.get(..length + VALUE_END.len()) else {
        return Ok(None);
    };
    let Some(value) = framed.strip_suffix(VALUE_END) else {
        return Err(Fault::violation("a value without its end"));
    };
    let body = Body::Value {
        key: None,
        value,
        route: None,
    };
    Ok(Some((body, head_bytes + framed.len())))
}

const HEX: &[u8; 16] = b"0123456789abcdef";
const LINE_END: &[u8] = b"\r\n";
const VALUE_END: &[u8] = b"\r\nEND\r\n";

/// Errors are lines of a few words.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Above what memcached can be configured to hold.
const VALUE_BYTES_MAX: usize = 1024 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_hexadecimal() {
        let mut out = Vec::new();
        digits(&mut out, &[0, 0x9a, 0xff]);
        assert_eq!(out, b"009aff");
    }

    #[test]
    fn answers_are_read_when_they_are_whole() {
        let answers: [(&[u8], &str); 4] = [
            (b"STORED\r\n", "Stored(None)"),
            (b"END\r\n", "Absent { key: None, route: None }"),
            (
                b"VALUE ab 0 3\r\n\r\n1\r\nEND\r\n",
                "Value { key: None, value: [13, 10, 49], route: None }",
            ),
            (
                b"SERVER_ERROR out of memory storing object\r\n",
                "Failed(MemoryFull, \"SERVER_ERROR out of memory storing object\")",
            ),
        ];
        for (bytes, means) in answers {
            for cut in 0..bytes.len() {
                assert!(parse(&bytes[..cut]).unwrap().is_none(), "{means} at {cut}");
            }
            let more = [bytes, b"E"].concat();
            let (body, used) = parse(&more).unwrap().unwrap();
            assert_eq!((format!("{body:?}").as_str(), used), (means, bytes.len()));
        }
    }

    #[test]
    fn what_is_no_answer_ends_the_connection() {
        for bytes in [
            &b"HELLO\r\n"[..],
            b"VALUE a 0 x\r\n",
            b"VALUE a 0\r\n",
            b"VALUE a 0 99999999999\r\n",
            b"VALUE a 0 1\r\nabcdefgh",
            b"END\n",
            b"\xff\r\n",
        ] {
            assert!(parse(bytes).is_err(), "{}", bytes.escape_ascii());
        }
        assert!(parse(&[b'E'; LINE_BYTES_MAX + 1]).is_err());
    }
}
