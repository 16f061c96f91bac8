//! `chordite status`: one node as it sees itself. Whatever plain facts the node tells are shown, so
//! that a new one needs no change here.

use clap::Args;
use node::engine::request::RingStatus;
use node::exit::Exit;
use serde_json::{Map, Value};

use super::admin::{self, AdminArgs};
use super::failure::Failure;
use super::{print, ring, table};

/// Show a node: its members, neighbours and peers
#[derive(Args, Debug)]
pub(crate) struct Status {
    #[command(flatten)]
    admin: AdminArgs,
    /// Print the node's JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let answer = self.admin.get("/status")?;
        let text = if self.json {
            format!("{}\n", answer.trim_end())
        } else {
            render(&answer)?
        };
        print::text(&text)?;
        Ok(Exit::Ok)
    }
}

/// The status for people: plain facts, own members, measured peers.
pub(crate) fn render(answer: &str) -> Result<String, Failure> {
    let status: RingStatus = admin::parse(answer)?;
    let all: Map<String, Value> = admin::parse(answer)?;
    let mut text = facts(&all);
    text.push('\n');
    text.push_str(&ring::render(&status.members));
    if !status.peers.is_empty() {
        let rows = status.peers.iter().map(|peer| {
            [
                peer.node.clone(),
                peer.rtt_us.to_string(),
                peer.rto_us.to_string(),
            ]
        });
        let rows: Vec<_> = rows.collect();
        text.push('\n');
        text.push_str(&table::render(["PEER", "RTT_US", "RTO_US"], &rows));
    }
    Ok(text)
}

/// Every plain value of the answer and of the objects in it, whatever the node chooses to tell.
fn facts(all: &Map<String, Value>) -> String {
    let mut text = String::new();
    for (name, value) in all {
        match value {
            Value::Array(_) | Value::Null => {}
            Value::Object(parts) => {
                let parts = parts
                    .iter()
                    .map(|(part, value)| (format!("{name}.{part}"), value));
                text.push_str(&facts(
                    &parts.map(|(name, value)| (name, value.clone())).collect(),
                ));
            }
            Value::String(value) => text.push_str(&fact(name, value)),
            value => text.push_str(&fact(name, &value.to_string())),
        }
    }
    text
}

fn fact(name: &str, value: &str) -> String {
    format!("{name:<22}  {value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_members_and_peers_are_shown() {
        let json = r#"{"name":"a:1","memory":{"store_bytes":7},"clients":2,"epoch":3,"members":[],
            "peers":[{"node":"b:1","rtt_us":5,"rto_us":6}]}"#;
        let text = render(json).unwrap();
        assert!(text.contains("memory.store_bytes      7\n"), "{text}");
        assert!(
            text.ends_with("PEER  RTT_US  RTO_US\nb:1   5       6\n"),
            "{text}"
        );
    }
}
