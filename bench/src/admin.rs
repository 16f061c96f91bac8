//! Questions to a node's admin address: a GET over HTTP/1.0, and what bench reads in the answers.
//!
//! HTTP/1.0 makes the server close after the answer, so no length and no chunk has to be
//! understood.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde::Deserialize;

/// The body of `path` at `address`.
///
/// # Errors
/// When the node does not answer in time, or otherwise than with 200.
pub fn fetch(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    body(&answer).map(str::to_owned).ok_or_else(|| {
        let line = answer.lines().next().unwrap_or("nothing");
        io::Error::other(format!("{address}{path} answered {line}"))
    })
}

/// Sum of the samples of metric `name`, over all its labels, in the text of `/metrics`.
#[must_use]
pub fn metric(text: &str, name: &str) -> Option<f64> {
    let samples = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        if !rest.starts_with(['{', ' ']) {
            return None;
        }
        rest.rsplit_once(' ')?.1.parse::<f64>().ok()
    });
    samples.fold(None, |sum, sample| Some(sum.unwrap_or(0.0) + sample))
}

/// Share of the circle that each node owns, by `/ring`: pairs of `host:port` and share.
///
/// # Errors
/// When the text is not what `/ring` answers.
pub fn shares(ring: &str) -> Result<Vec<(String, f64)>, serde_json::Error> {
    let mut members: Vec<Member> = serde_json::from_str(ring)?;
    members.sort_by(|a, b| a.id.cmp(&b.id));
    let mut shares: Vec<(String, f64)> = Vec::new();
    for (index, member) in members.iter().enumerate() {
        let before = &members[(index + members.len() - 1) % members.len()];
        let arc = high(&member.id)?.wrapping_sub(high(&before.id)?);
        // A member alone owns everything, and its arc wraps to zero.
        let share = match members.len() {
            1 => 1.0,
            _ => arc as f64 / CIRCLE,
        };
        match shares.iter_mut().find(|(node, _)| *node == member.node) {
            Some((_, sum)) => *sum += share,
            None => shares.push((member.node.clone(), share)),
        }
    }
    Ok(shares)
}

#[derive(Deserialize)]
struct Member {
    id: String,
    node: String,
}

/// The most significant 64 bits of an id of 64 hexadecimal digits.
fn high(id: &str) -> Result<u64, serde_json::Error> {
    let digits = id.get(..16).unwrap_or(id);
    u64::from_str_radix(digits, 16).map_err(serde::de::Error::custom)
}

fn body(answer: &str) -> Option<&str> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    (head.split_whitespace().nth(1)? == "200").then_some(body)
}

const PATIENCE: Duration = Duration::from_secs(10);

/// 2^64: the circle in units of the bits looked at.
const CIRCLE: f64 = 18_446_744_073_709_551_616.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_over_labels_and_told_apart_by_whole_names() {
        let text = "# TYPE a counter\na{core=\"0\"} 2\na{core=\"1\"} 3\na_b 7\nc 1.5\n";
        assert_eq!(metric(text, "a"), Some(5.0));
        assert_eq!(metric(text, "c"), Some(1.5));
        assert_eq!(metric(text, "b"), None);
    }

    #[test]
    fn only_200_has_a_body() {
        assert_eq!(body("HTTP/1.0 200 OK\r\nA: b\r\n\r\nhello"), Some("hello"));
        assert_eq!(body("HTTP/1.0 503 No\r\n\r\nhello"), None);
        assert_eq!(body("garbage"), None);
    }

    #[test]
    fn arcs_reach_back_to_the_member_before() {
        let id = |digit: &str| format!("{digit}{}", "0".repeat(63));
        let ring = format!(
            r#"[{{"id":"{}","node":"b","vnode":0}},{{"id":"{}","node":"a"}}]"#,
            id("c"),
            id("4")
        );
        let shares = shares(&ring).unwrap();
        assert_eq!(shares, [("a".to_owned(), 0.5), ("b".to_owned(), 0.5)]);
        let alone = format!(r#"[{{"id":"{}","node":"a"}}]"#, id("7"));
        assert_eq!(super::shares(&alone).unwrap()[0].1, 1.0);
    }
}
