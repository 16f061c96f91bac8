//! `chordite shell`: a command a line, over one connection.
//!
//! Typed at a terminal it has a prompt and goes on after errors with exit code 0; fed by a pipe it
//! ends with the exit code of the first line that failed, for scripts.

use std::io::{self, BufRead as _, IsTerminal as _};

use clap::Args;
use node::exit::Exit;
use proto::key::Key;

use super::access::check_length;
use super::admin::{self, AdminArgs};
use super::client::{Client, ClientArgs, NewValue};
use super::failure::Failure;
use super::{key, lookup, print, ring, status};

/// Read and write values interactively
#[derive(Args, Debug)]
pub(crate) struct Shell {
    #[command(flatten)]
    client: ClientArgs,
    /// The node's admin address, for status, ring and lookup
    #[arg(long = "admin", value_name = "HOST:PORT", default_value = admin::DEFAULT,
          value_parser = super::address::parse)]
    admin: proto::peer::NodeName,
}

/// A line that was understood.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Line<'a> {
    Nothing,
    Get(&'a str),
    Put(&'a str, &'a str),
    Delete(&'a str),
    Lookup(&'a str),
    Status,
    Ring,
    Help,
    Quit,
}

impl Shell {
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let mut session = Session {
            shell: self,
            client: None,
        };
        let is_interactive = io::stdin().is_terminal();
        let mut first_failure = Exit::Ok;
        let mut lines = io::stdin().lock().lines();
        loop {
            if is_interactive {
                print::text("> ")?;
            }
            let Some(line) = lines.next() else { break };
            let line = line.map_err(|error| Failure::usage(format!("standard input: {error}")))?;
            let done = parse(&line).and_then(|line| match line {
                Line::Quit => Ok(None),
                line => session.run(&line).map(Some),
            });
            let exit = match done {
                Ok(None) => break,
                Ok(Some(exit)) => exit,
                Err(failure) if failure.message.is_empty() => return Err(failure),
                Err(failure) => {
                    let exit = failure.exit;
                    failure.report();
                    exit
                }
            };
            if first_failure == Exit::Ok {
                first_failure = exit;
            }
        }
        Ok(if is_interactive {
            Exit::Ok
        } else {
            first_failure
        })
    }
}

/// The state between two lines.
#[derive(Debug)]
struct Session<'a> {
    shell: &'a Shell,
    /// The connection, once one was needed, until it fails.
    client: Option<Client>,
}

impl Session<'_> {
    fn run(&mut self, line: &Line<'_>) -> Result<Exit, Failure> {
        match *line {
            Line::Nothing | Line::Quit => {}
            Line::Help => print::text(HELP)?,
            Line::Get(name) => return self.get(&key::parse_text(name)?),
            Line::Put(name, value) => self.put(&key::parse_text(name)?, value)?,
            Line::Delete(name) => return self.delete(&key::parse_text(name)?),
            Line::Lookup(name) => {
                print::text(&lookup::trace(&self.admin(), &key::parse_text(name)?)?)?;
            }
            Line::Status => print::text(&status::render(&self.admin().get("/status")?)?)?,
            Line::Ring => print::text(&ring::render(&self.admin().ring()?))?,
        }
        Ok(Exit::Ok)
    }

    fn get(&mut self, key: &Key) -> Result<Exit, Failure> {
        let Some(got) = self.with(|client| client.get(key))? else {
            print::text("absent\n")?;
            return Ok(Exit::Absent);
        };
        print::bytes(&got.value)?;
        print::text("\n")?;
        if let Some(about) = got.about {
            print::text(&format!("{about}\n"))?;
        }
        Ok(Exit::Ok)
    }

    fn put(&mut self, key: &Key, value: &str) -> Result<(), Failure> {
        check_length(value.len())?;
        let new = NewValue {
            key,
            ttl_s: 0,
            replication: 0,
            value: value.as_bytes(),
        };
        let line = self.with(|client| client.put(&new))?;
        print::text(&format!("{line}\n"))
    }

    fn delete(&mut self, key: &Key) -> Result<Exit, Failure> {
        match self.with(|client| client.delete(key))? {
            Some(line) => print::text(&format!("{line}\n")).map(|()| Exit::Ok),
            None => print::text("absent\n").map(|()| Exit::Absent),
        }
    }

    /// Does `work` with the connection; one that failed is given up, the next line gets a new one.
    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut Client) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => self.shell.client.connect()?,
        };
        let done = work(&mut client);
        if !matches!(&done, Err(failure) if failure.exit == Exit::Network) {
            self.client = Some(client);
        }
        done
    }

    fn admin(&self) -> AdminArgs {
        let (address, timeout) = (self.shell.admin.clone(), self.shell.client.timeout());
        AdminArgs { address, timeout }
    }
}

/// The first word is the command, the second the key, and all after it the value with its blanks.
fn parse(line: &str) -> Result<Line<'_>, Failure> {
    let line = line.trim_start().trim_end_matches(['\r', '\n']);
    let (command, rest) = split(line);
    let (name, value) = split(rest);
    let parsed = match (command, name, value) {
        ("", ..) => Line::Nothing,
        ("get", name, "") if !name.is_empty() => Line::Get(name),
        ("put", name, value) if !value.is_empty() => Line::Put(name, value),
        ("del", name, "") if !name.is_empty() => Line::Delete(name),
        ("lookup", name, "") if !name.is_empty() => Line::Lookup(name),
        ("status", "", _) => Line::Status,
        ("ring", "", _) => Line::Ring,
        ("help", ..) => Line::Help,
        ("quit" | "exit", ..) => Line::Quit,
        _ => {
            return Err(Failure::usage(format!(
                "`{line}` is not understood; `help` lists all"
            )));
        }
    };
    Ok(parsed)
}

fn split(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    (word, rest.trim_start())
}

const HELP: &str = "\
get KEY            read a value
put KEY VALUE      store a value; it runs to the end of the line
del KEY            delete a value (needs --identity)
lookup KEY         who owns a key, and the way there
status             the node: its members, neighbours and peers
ring               every member of the ring
help               this text
quit               end (also end of input)
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands() {
        for (line, want) in [
            ("", Line::Nothing),
            ("  get  a\r", Line::Get("a")),
            ("put a  b  c ", Line::Put("a", "b  c ")),
            ("del a", Line::Delete("a")),
            ("lookup a", Line::Lookup("a")),
            ("ring", Line::Ring),
            ("exit", Line::Quit),
        ] {
            assert_eq!(parse(line), Ok(want), "{line}");
        }
        for line in ["get", "get a b", "put a", "status x", "GET a"] {
            assert_eq!(parse(line).unwrap_err().exit, Exit::Usage, "{line}");
        }
    }
}
