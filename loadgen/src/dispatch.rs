//! The open loop of one thread: puts what is due into the backlog, hands it to the connections in
//! turn, and waits for the next arrival: asleep while it is far, spinning when it is near.
//!
//! Spinning awaits an operation that completes at once, so that every pass submits and reaps what
//! the connections do. Passes in which nothing else happened are counted as spun away.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::alarm::Alarm;
use crate::dialect::Dialect;
use crate::lane::Lane;
use crate::schedule::Schedule;

/// Runs the schedule from `start_ns` to `end_ns`, or until the lane is halted.
pub(crate) async fn dispatch<D: Dialect>(
    lane: Rc<Lane<D>>,
    mut schedule: Schedule,
    start_ns: u64,
    end_ns: u64,
) -> io::Result<()> {
    let mut wait = Wait {
        alarm: Alarm::new()?,
        spin_ns: lane.plan.spin.as_nanos() as u64,
    };
    let mut turn = 0;
    let mut due_ns = start_ns + next_of(&mut schedule);
    while !lane.halted.get() {
        let now_ns = lane.clock.now_ns();
        let mut batch = 0;
        while due_ns <= now_ns && batch < BATCH_MAX {
            if !arrive(&lane, due_ns, now_ns) {
                return Ok(());
            }
            hand_over(&lane, &mut turn, now_ns);
            due_ns = start_ns + next_of(&mut schedule);
            batch += 1;
        }
        if due_ns >= end_ns {
            return Ok(());
        }
        if batch == BATCH_MAX {
            // Behind: still let the connections breathe.
            tokio_uring::no_op().await?;
        } else {
            wait.until(&lane, due_ns).await?;
        }
    }
    Ok(())
}

fn next_of(schedule: &mut Schedule) -> u64 {
    schedule.next().expect("a schedule is endless")
}

fn arrive<D: Dialect>(lane: &Lane<D>, due_ns: u64, now_ns: u64) -> bool {
    let Some(arrival) = lane.source.borrow_mut().arrive(due_ns, now_ns) else {
        return false;
    };
    if arrival.measured {
        let mut recorder = lane.recorder.borrow_mut();
        recorder.counts().intended += 1;
        recorder.counts().unsent += u64::from(!arrival.kept);
    }
    true
}

/// Gives the backlog to the next connection in turn that has room; without one it stays.
fn hand_over<D: Dialect>(lane: &Lane<D>, turn: &mut usize, now_ns: u64) {
    let depth = lane.source.borrow().depth();
    if lane.full.get() {
        return;
    }
    let connections = lane.connections.borrow();
    for _ in 0..connections.len() {
        *turn = (*turn + 1) % connections.len();
        let connection = &connections[*turn];
        if connection.has_room(depth) {
            connection.fill(lane, now_ns);
            return;
        }
    }
    // Until an answer makes room, or a sweep finds a connection that came back.
    lane.full.set(true);
}

struct Wait {
    alarm: Alarm,
    spin_ns: u64,
}

impl Wait {
    async fn until<D: Dialect>(&mut self, lane: &Lane<D>, due_ns: u64) -> io::Result<()> {
        let left_ns = due_ns.saturating_sub(lane.clock.now_ns());
        if left_ns > self.spin_ns {
            // In slices, so that a halted lane is noticed.
            let nap_ns = (left_ns - self.spin_ns).min(NAP_NS_MAX);
            return self.alarm.sleep(Duration::from_nanos(nap_ns)).await;
        }
        let mut now_ns = lane.clock.now_ns();
        while now_ns < due_ns {
            let activity = lane.activity.get();
            tokio_uring::no_op().await?;
            let after_ns = lane.clock.now_ns();
            if lane.activity.get() == activity {
                let pass_ns = (after_ns - now_ns).min(PASS_NS_MAX);
                lane.spun_ns.set(lane.spun_ns.get() + pass_ns);
            }
            now_ns = after_ns;
        }
        Ok(())
    }
}

const BATCH_MAX: u32 = 256;

/// A pass takes one or two microseconds; what is longer was spent off the CPU.
const PASS_NS_MAX: u64 = 5_000;

const NAP_NS_MAX: u64 = 20_000_000;
