//! `chordite lookup`: who owns a key, and over which way a node found it. The node does the lookup;
//! here it is asked and shown.

use std::fmt::Write as _;

use clap::Args;
use node::engine::request::MemberName;
use node::exit::Exit;
use proto::key::Key;
use serde::Deserialize;

use super::admin::{self, AdminArgs};
use super::failure::Failure;
use super::key::KeyArgs;
use super::{print, ring};

/// Find the owner of a key
#[derive(Args, Debug)]
pub(crate) struct Lookup {
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    admin: AdminArgs,
    /// Show every member passed on the way; goes over fingers, not over the arc cache
    #[arg(long)]
    trace: bool,
    /// Print the node's JSON
    #[arg(long)]
    json: bool,
}

/// The parts of the node's answer that are shown to people.
#[derive(Deserialize, Debug)]
struct Answer {
    owner: MemberName,
    #[serde(default)]
    predecessor: Option<MemberName>,
    rpcs: u8,
    timeouts: u8,
    cached: bool,
    #[serde(default)]
    path: Vec<MemberName>,
    elapsed_us: u64,
}

impl Lookup {
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let key = self.key.key()?;
        let answer = ask(&self.admin, &key, self.trace)?;
        if self.json {
            print::text(&format!(
                "{}
",
                answer.trim_end()
            ))?;
        } else {
            print::text(&render(&key, &admin::parse(&answer)?))?;
        }
        Ok(Exit::Ok)
    }
}

/// The owner of `key` and the way to it, for people.
pub(crate) fn trace(admin: &AdminArgs, key: &Key) -> Result<String, Failure> {
    Ok(render(key, &admin::parse(&ask(admin, key, true)?)?))
}

/// The node's JSON. The 64 digits of the key need no escaping, whatever bytes it has.
fn ask(admin: &AdminArgs, key: &Key, trace: bool) -> Result<String, Failure> {
    let trace = if trace { "&trace=1" } else { "" };
    admin.get(&format!("/lookup/{key}?hex=1{trace}"))
}

fn render(key: &Key, answer: &Answer) -> String {
    let mut text = format!("position     {}\n", key.position());
    let _ = writeln!(
        text,
        "owner        {} ({})",
        ring::shown(&answer.owner),
        answer.owner.id
    );
    if let Some(predecessor) = &answer.predecessor {
        let _ = writeln!(
            text,
            "predecessor  {} ({})",
            ring::shown(predecessor),
            predecessor.id
        );
    }
    let forwards = answer.rpcs.saturating_sub(1);
    let cached = if answer.cached {
        ", from the arc cache"
    } else {
        ""
    };
    let _ = writeln!(
        text,
        "hops         {} rpcs, {forwards} forwards, {} timeouts{cached}",
        answer.rpcs, answer.timeouts,
    );
    let _ = writeln!(text, "time         {} us", answer.elapsed_us);
    for (hop, member) in answer.path.iter().enumerate() {
        let _ = writeln!(
            text,
            "{:>4}  {}  {}",
            hop + 1,
            ring::short(&member.id),
            ring::shown(member)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_is_shown_hop_by_hop() {
        let json = r#"{"owner":{"id":"ab","node":"a:1","vnode":0},"predecessor":null,
            "rpcs":2,"timeouts":0,"cached":false,"elapsed_us":90,"more":1,
            "path":[{"id":"cd","node":"b:1","vnode":1},{"id":"ab","node":"a:1","vnode":0}]}"#;
        let text = render(&Key::from_text("k"), &admin::parse(json).unwrap());
        assert!(
            text.contains("hops         2 rpcs, 1 forwards, 0 timeouts\n"),
            "{text}"
        );
        assert!(
            text.ends_with("   1  cd  b:1/1\n   2  ab  a:1/0\n"),
            "{text}"
        );
    }
}
