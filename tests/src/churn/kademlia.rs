//! A model of Kademlia's routing (Maymounkov and Mazières, IPTPS 2002) as a yardstick: no part of
//! Chordite, and only as detailed as its lookups need.
//!
//! As in the paper: k = 20, α = 3; buckets by length of the common prefix, least recently seen
//! first; whoever sends a message is entered, into a full bucket only when its oldest contact does
//! not answer a ping (section 2.2). A lookup asks the closest contacts it has heard of, three at a
//! time, until the k closest that are not dead have answered (2.3). A bucket without a lookup for
//! an hour is refreshed; a newcomer looks itself up through one member and then refreshes all
//! buckets further away than its neighbour. What the paper leaves open is taken in favour of the
//! lookups: a contact is dropped at its first timeout; a lookup whose patience ends names the
//! closest node that has answered so far. Bytes are those of a plain form with 20-byte ids.

mod buckets;
mod net;
mod search;

use std::time::Duration;

use crate::ring_net::{Delay, MEAN_DELAY, Queue, exponential, unit};

use super::{Costs, Figures, LOOKUPS_PER_SECOND, PATIENCE, Setting};
use crate::dice::Dice;
use net::Net;

/// Nodes in a bucket, and in an answer.
const K: usize = 20;

/// Requests of one lookup under way.
const ALPHA: usize = 3;

/// How long a node waits for an answer.
const RPC_PATIENCE: Duration = Duration::from_secs(1);

/// A bucket is refreshed after this long without a lookup in its range.
const REFRESH: Duration = Duration::from_secs(3600);

/// The lookups of this model take far longer to simulate, and its figures are far from any bound.
const LOOKUPS_SHARE: u64 = 4;

/// How many lookups of each kind are counted for a setting.
pub(super) const fn lookups(setting: &Setting) -> u64 {
    if setting.model {
        setting.lookups / LOOKUPS_SHARE
    } else {
        0
    }
}

/// Runs the model under `setting`: figures with retry and without, and what a node sends.
pub(super) fn run(setting: &Setting, progress: &mut dyn FnMut(u64)) -> (Figures, Figures, Costs) {
    if !setting.model {
        return Default::default();
    }
    let mut net = Net::placed(setting.nodes, setting.seed, Delay::Pairs(MEAN_DELAY));
    let mut dice = Dice::new(!setting.seed);
    let mut ends = Queue::new();
    for host in 0..setting.nodes {
        ends.push(net.now() + setting.sessions.rest(&mut dice), host);
    }
    let warm = net.now() + setting.warm_up();
    let wanted = lookups(setting);
    let mut figures = [Figures::default(), Figures::default()];
    let mut next_lookup = net.now();
    let (mut is_warm, mut began) = (false, warm);
    while figures[0].lookups < wanted {
        let end = ends.due().unwrap_or(Duration::MAX);
        net.run_to(end.min(next_lookup));
        if !is_warm && net.now() >= warm {
            (is_warm, began) = (true, net.now());
            net.count_anew();
        }
        if end <= next_lookup {
            if let Some((_, host)) = ends.pop() {
                net.crash(host);
                ends.push(net.now() + setting.sessions.draw(&mut dice), net.join());
            }
        } else {
            let pause = exponential(&mut dice) / LOOKUPS_PER_SECOND;
            next_lookup += Duration::from_secs_f64(pause);
            for retry in [true, false] {
                let target = (unit(&mut dice) * (u64::MAX as f64)) as u64;
                net.look(target, retry, is_warm);
            }
        }
        let mut ended = 0;
        while let Some(end) = net.poll_ended() {
            ended += 1;
            let figures = &mut figures[usize::from(!end.retry)];
            figures.add(end.named, end.correct, end.hops, end.timeouts, end.took);
        }
        progress(ended);
    }
    let span = (net.now() - began).as_secs_f64() * f64::from(setting.nodes);
    let ended = figures[0].lookups + figures[1].lookups;
    let (upkeep, asked) = net.counts();
    let costs = Costs {
        messages: upkeep.messages as f64 / span,
        bytes: upkeep.bytes as f64 / span,
        lookup_bytes: asked.bytes as f64 / ended.max(1) as f64,
    };
    let [retried, single] = figures;
    (retried, single, costs)
}
