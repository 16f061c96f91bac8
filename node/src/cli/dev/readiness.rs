//! When a local ring is ready: every node says so, and every node crawls one and the same ideal
//! ring of all members.

use std::time::{Duration, Instant};

use node::config::Config;
use node::engine::request::RingMember;
use node::exit::Exit;

use super::plan::Plan;
use crate::cli::failure::Failure;
use crate::cli::{admin, http, ring};

/// The wait for a ring to be ready.
#[derive(Debug)]
pub(super) struct Readiness<'a> {
    plan: &'a Plan,
    limit: Duration,
    deadline: Instant,
    /// How many nodes, from the first, have said that they are ready.
    ready: usize,
}

impl<'a> Readiness<'a> {
    pub(super) fn new(plan: &'a Plan, limit: Duration) -> Self {
        Self {
            plan,
            limit,
            deadline: Instant::now() + limit,
            ready: 0,
        }
    }

    /// Asks the nodes; after the deadline the answer is a failure that says what is missing.
    pub(super) fn is_ready(&mut self) -> Result<bool, Failure> {
        let Err(missing) = self.ask() else {
            return Ok(true);
        };
        if Instant::now() < self.deadline {
            return Ok(false);
        }
        let message = format!("the ring is not ready after {:?}: {missing}", self.limit);
        Err(Failure::new(Exit::Network, message))
    }

    /// Asks until the first node that is not ready; what it lacks is the error.
    fn ask(&mut self) -> Result<(), String> {
        for node in &self.plan.nodes[self.ready..] {
            answer(&node.config, "/readyz?verbose")
                .map_err(|why| format!("node {}: {why}", node.index))?;
            self.ready = node.index + 1;
        }
        for node in &self.plan.nodes {
            self.judge(&node.config)
                .map_err(|why| format!("node {}: {why}", node.index))?;
        }
        Ok(())
    }

    /// Whether the ring that one node crawls is the one that was planned.
    fn judge(&self, config: &Config) -> Result<(), String> {
        let body = answer(config, "/ring")?;
        let mut members: Vec<RingMember> = admin::parse(&body).map_err(|error| error.message)?;
        members.sort_by(|a, b| a.id.cmp(&b.id));
        let wanted = self.plan.nodes.len() * usize::from(config.virtual_nodes);
        if members.len() != wanted {
            return Err(format!("sees {} of {wanted} members", members.len()));
        }
        let verdict = ring::check(&members, usize::from(config.successors));
        let verdict = verdict.map_err(|error| error.message)?;
        match verdict.first_flaw() {
            Some(flaw) => Err(flaw.to_owned()),
            None => Ok(()),
        }
    }
}

fn answer(config: &Config, path: &str) -> Result<String, String> {
    let response = http::get(config.admin_address, path, REQUEST_LIMIT);
    let response = response.map_err(|error| error.to_string())?;
    if response.status == 200 {
        return Ok(response.body);
    }
    let body = response
        .body
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    Err(format!("{path} answers {}: {body}", response.status))
}

/// Time between two rounds of questions.
pub(super) const INTERVAL: Duration = Duration::from_millis(50);

/// A node that does not answer within this is asked again in the next round.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
