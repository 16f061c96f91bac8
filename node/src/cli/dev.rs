//! `chordite dev`: a local ring with its own authority, one process a node.
//!
//! It prints a line for each node, then `ready` once the ring is one and ideal; SIGINT or SIGTERM
//! stops all nodes gracefully. A node that ends in between is reported and the others go on.

mod fleet;
mod folder;
mod plan;
mod ports;
mod readiness;
mod signals;

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use clap::Args;
use node::exit::Exit;

use fleet::{Event, Fleet};
use folder::Folder;
use plan::Plan;
use readiness::Readiness;

use super::failure::Failure;
use super::{duration, print, serve};

/// Run a local ring: its own CA, one process a node, until it is interrupted
#[derive(Args, Debug)]
pub(crate) struct Dev {
    /// How many nodes
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    nodes: u16,
    /// The folder for keys, configurations and logs; without it a temporary one
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Worker threads of each node
    #[arg(long, value_name = "K", default_value = "1")]
    shards: String,
    /// The first DHT API port, counted upwards; 0 takes any free ports
    #[arg(long, value_name = "PORT", default_value_t = 7401)]
    api_port: u16,
    /// The first peer port, counted upwards; 0 takes any free ports
    #[arg(long, value_name = "PORT", default_value_t = 7501)]
    p2p_port: u16,
    /// The first admin port, counted upwards; 0 takes any free ports
    #[arg(long, value_name = "PORT", default_value_t = 7601)]
    admin_port: u16,
    /// Set a configuration key of all nodes; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Give up when the ring is not ready after this time
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration::parse)]
    timeout: Duration,
}

impl Dev {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let flags = serve::parse_set(&self.set)?;
        let first = [self.api_port, self.p2p_port, self.admin_port];
        let ports = ports::assign(first, self.nodes)?;
        let folder = Folder::open(self.dir)?;
        let plan = Plan::write(folder.path(), &ports, &self.shards, &flags)?;

        let (sender, events) = mpsc::channel();
        signals::watch(sender.clone())?;
        let mut fleet = Fleet::start(&plan, sender)?;
        for (node, pid) in plan.nodes.iter().zip(fleet.pids()) {
            print::text(&format!("{}\n", node.line(pid)))?;
        }
        let outcome = until_ready(&plan, &mut fleet, &events, self.timeout).and_then(|ready| {
            if ready {
                until_signal(&mut fleet, &events)
            } else {
                Ok(())
            }
        });
        let stopped = fleet.stop(&events);
        outcome.and(stopped)
    }
}

/// Waits until the ring is ready, and says so; `false` when it is interrupted before.
fn until_ready(
    plan: &Plan,
    fleet: &mut Fleet,
    events: &mpsc::Receiver<Event>,
    limit: Duration,
) -> Result<bool, Failure> {
    let mut readiness = Readiness::new(plan, limit);
    loop {
        match events.recv_timeout(readiness::INTERVAL) {
            Ok(Event::Signal) => return Ok(false),
            Ok(Event::Ended { index, status }) => return Err(fleet.start_failure(index, &status)),
            Err(_) => {}
        }
        if readiness.is_ready()? {
            break;
        }
    }
    plan.name_each_other()?;
    print::text("ready\n")?;
    Ok(true)
}

/// Waits for a signal, reporting every node that ends by itself.
fn until_signal(fleet: &mut Fleet, events: &mpsc::Receiver<Event>) -> Result<(), Failure> {
    while let Ok(event) = events.recv() {
        match event {
            Event::Signal => return Ok(()),
            Event::Ended { index, status } => fleet.report_end(index, &status),
        }
        if fleet.is_empty() {
            return Err(Failure::new(Exit::Absent, "all nodes have ended"));
        }
    }
    Ok(())
}
