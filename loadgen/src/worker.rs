//! One thread of the generator: a runtime, its connections, and the phases of a run.
//!
//! Connect, preload, wait for the other threads, warm-up and measured part, drain, close. Every
//! task has ended before the runtime goes, because the kernel would go on writing into freed
//! memory.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::connection::{Connection, Status};
use crate::cpu::CpuTime;
use crate::dataset::Dataset;
use crate::dialect::Dialect;
use crate::dispatch::dispatch;
use crate::lane::{Clock, Lane};
use crate::plan::{Load, Plan};
use crate::recorder::{INTERVAL_NS, Interval, Recorder};
use crate::run::RunError;
use crate::schedule::Schedule;
use crate::source::{Source, Span};

/// What a thread gets to begin with.
pub(crate) struct Worker {
    pub(crate) thread: u32,
    pub(crate) plan: Arc<Plan>,
    pub(crate) data: Arc<Dataset>,
    pub(crate) clock: Clock,
    pub(crate) intervals: Sender<Box<Interval>>,
    pub(crate) reports: Sender<Report>,
    /// When the warm-up begins, on the run's clock; dropped when the run is given up.
    pub(crate) start: oneshot::Receiver<u64>,
    pub(crate) interrupt: Arc<AtomicBool>,
}

/// What a thread says before the measured part.
#[derive(Debug)]
pub(crate) enum Report {
    /// How many of its keys are written by now.
    Preloaded {
        /// Which thread.
        thread: u32,
        /// Keys written.
        stored: u64,
    },
    /// Connected, and its keys are written.
    Ready,
    /// It cannot take part.
    Failed(RunError),
}

/// What a thread says at its end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Finding {
    /// CPU of the measured part.
    pub(crate) cpu: CpuTime,
    /// Of it, spun away.
    pub(crate) spun: Duration,
    /// Length of the measured part.
    pub(crate) wall: Duration,
}

impl Worker {
    /// Carries the run out on the calling thread; `None` when it was given up.
    pub(crate) fn run<D: Dialect>(self, setup: D::Setup) -> Option<Finding> {
        let reports = self.reports.clone();
        let result = runtime().map_err(RunError::Runtime).and_then(|runtime| {
            let lane = Rc::new(self.lane::<D>(setup));
            let finding = runtime.block_on(self.phases(lane.clone()));
            let lane = Rc::into_inner(lane).expect("every task has ended");
            lane.recorder.into_inner().finish();
            finding
        });
        match result {
            Ok(finding) => finding,
            Err(error) => {
                // The run may have been given up because of another thread already.
                let _ = reports.send(Report::Failed(error));
                None
            }
        }
    }

    fn lane<D: Dialect>(&self, setup: D::Setup) -> Lane<D> {
        let is_open = matches!(self.plan.load, Load::Open { .. });
        let connections = self.plan.connections_of(self.thread);
        let connections = connections.map(|target| Rc::new(Connection::new(target.clone())));
        Lane {
            plan: self.plan.clone(),
            setup,
            clock: self.clock,
            data: self.data.clone(),
            source: Source::new(&self.plan, self.thread).into(),
            recorder: Recorder::new(self.intervals.clone(), is_open).into(),
            connections: connections.collect::<Vec<_>>().into(),
            halted: false.into(),
            closing: false.into(),
            full: false.into(),
            last_answer_ns: 0.into(),
            activity: 0.into(),
            spun_ns: 0.into(),
        }
    }

    async fn phases<D: Dialect>(self, lane: Rc<Lane<D>>) -> Result<Option<Finding>, RunError> {
        let connections = lane.connections.borrow().clone();
        let mut tasks: Vec<JoinHandle<()>> = Vec::with_capacity(connections.len() + 1);
        for connection in &connections {
            tasks.push(tokio_uring::spawn(connection.clone().keep(lane.clone())));
        }
        tasks.push(tokio_uring::spawn(sweep(
            lane.clone(),
            self.interrupt.clone(),
        )));
        let finding = self.take_part(&lane).await;
        lane.halted.set(true);
        lane.closing.set(true);
        connections.iter().for_each(|connection| connection.close());
        pause_until(CLOSE_MAX, || tasks.iter().all(JoinHandle::is_finished)).await;
        connections.iter().for_each(|connection| connection.cut());
        for task in tasks {
            if let Err(error) = task.await {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        lane.connections.borrow_mut().clear();
        finding
    }

    async fn take_part<D: Dialect>(self, lane: &Rc<Lane<D>>) -> Result<Option<Finding>, RunError> {
        await_connections(lane).await?;
        if self.plan.preload {
            self.preload(lane).await?;
        }
        // Nobody listens any more only when the run is being given up; so does a dropped start.
        let _ = self.reports.send(Report::Ready);
        let Ok(start_ns) = self.start.await else {
            return Ok(None);
        };
        measure(lane, self.thread, start_ns).await.map(Some)
    }

    async fn preload<D: Dialect>(&self, lane: &Lane<D>) -> Result<(), RunError> {
        let (keys, step) = (self.plan.data.keys, u64::from(self.plan.threads));
        let share = keys.saturating_sub(u64::from(self.thread)).div_ceil(step);
        lane.source
            .borrow_mut()
            .begin_preload(&self.plan, self.thread);
        fill_all(lane);
        let mut seen = (0, lane.clock.now_ns());
        loop {
            let (stored, failures) = lane.source.borrow().preload_progress();
            let _ = self.reports.send(Report::Preloaded {
                thread: self.thread,
                stored,
            });
            if stored >= share {
                lane.source.borrow_mut().end();
                return Ok(());
            }
            if lane.halted.get() {
                return Err(RunError::Interrupted);
            }
            let now_ns = lane.clock.now_ns();
            if stored > seen.0 {
                seen = (stored, now_ns);
            }
            let stalled = now_ns - seen.1 > PRELOAD_STALL_MAX.as_nanos() as u64;
            if stalled || failures > share.max(PRELOAD_FAILURES_MIN) {
                return Err(RunError::Preload {
                    stored,
                    keys: share,
                    failures,
                });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Waits until every connection is up or has failed once; one that is up is enough.
async fn await_connections<D: Dialect>(lane: &Lane<D>) -> Result<(), RunError> {
    let connections = lane.connections.borrow().clone();
    let settled = || connections.iter().all(|c| c.status() != Status::Opening);
    pause_until(OPEN_MAX, || settled() || lane.halted.get()).await;
    if connections.iter().any(|c| c.status() == Status::Up) {
        return Ok(());
    }
    let why = lane.recorder.borrow().last_disconnect();
    Err(RunError::Unreachable(
        why.unwrap_or_else(|| "no target answers".to_owned()),
    ))
}

async fn measure<D: Dialect>(
    lane: &Rc<Lane<D>>,
    thread: u32,
    start_ns: u64,
) -> Result<Finding, RunError> {
    let plan = &lane.plan;
    let begin_ns = start_ns + plan.warmup.as_nanos() as u64;
    let end_ns = plan
        .duration
        .map_or(u64::MAX, |length| begin_ns + length.as_nanos() as u64);
    let intervals = plan
        .duration
        .map(|length| length.as_nanos().div_ceil(INTERVAL_NS.into()));
    sleep_until(lane, start_ns).await;
    let span = Span {
        begin_ns,
        end_ns,
        left: plan.requests_of(thread),
    };
    lane.source.borrow_mut().begin_load(plan.load, span);
    lane.recorder
        .borrow_mut()
        .begin(begin_ns, intervals.map(|count| count as u64));
    let dispatcher = match plan.load {
        Load::Closed => None,
        Load::Open {
            rate_per_s,
            arrivals,
        } => {
            let schedule = Schedule::new(arrivals, rate_per_s, plan.seed, thread, plan.threads);
            Some(tokio_uring::spawn(dispatch(
                lane.clone(),
                schedule,
                start_ns,
                end_ns,
            )))
        }
    };
    fill_all(lane);
    sleep_until(lane, begin_ns).await;
    lane.spun_ns.set(0);
    let cpu_before = CpuTime::of_thread();
    await_end(lane, end_ns).await;
    let ended_ns = lane.clock.now_ns().min(end_ns);
    let cpu = CpuTime::of_thread().since(&cpu_before);
    let spun = Duration::from_nanos(lane.spun_ns.get());
    if let Some(dispatcher) = dispatcher {
        dispatcher
            .await
            .map_err(io::Error::from)
            .flatten()
            .map_err(RunError::Runtime)?;
    }
    let unsent = lane.source.borrow_mut().end();
    lane.recorder.borrow_mut().counts().unsent += unsent;
    pause_until(plan.deadline + SWEEP * 5, || under_way(lane) == 0).await;
    if ended_ns <= begin_ns {
        return Err(RunError::Interrupted);
    }
    // A run of a given number of requests is as long as its answers took.
    let by_number = plan.requests.is_some() && ended_ns < end_ns && !lane.halted.get();
    let until_ns = if by_number {
        lane.last_answer_ns.get()
    } else {
        ended_ns
    };
    let wall = Duration::from_nanos(until_ns.saturating_sub(begin_ns).max(1));
    Ok(Finding { cpu, spun, wall })
}

/// Waits until the time is over or, with a given number of requests, all are answered.
async fn await_end<D: Dialect>(lane: &Lane<D>, end_ns: u64) {
    let by_number = lane.plan.requests.is_some();
    loop {
        let left_ns = end_ns.saturating_sub(lane.clock.now_ns());
        let spent = by_number && lane.source.borrow().is_spent() && under_way(lane) == 0;
        if left_ns == 0 || spent || lane.halted.get() {
            return;
        }
        let nap = if by_number { POLL } else { SWEEP };
        tokio::time::sleep(nap.min(Duration::from_nanos(left_ns))).await;
    }
}

/// Every few milliseconds: gives up what waited too long, hands over full seconds, looks for an
/// interruption.
async fn sweep<D: Dialect>(lane: Rc<Lane<D>>, interrupt: Arc<AtomicBool>) {
    while !lane.closing.get() {
        tokio::time::sleep(SWEEP).await;
        if interrupt.load(Ordering::Relaxed) {
            lane.halted.set(true);
        }
        let now_ns = lane.clock.now_ns();
        lane.full.set(false);
        for connection in lane.connections.borrow().iter() {
            connection.sweep(&lane, now_ns);
        }
        lane.recorder.borrow_mut().advance(now_ns);
    }
}

fn fill_all<D: Dialect>(lane: &Lane<D>) {
    let now_ns = lane.clock.now_ns();
    lane.connections
        .borrow()
        .iter()
        .for_each(|connection| connection.fill(lane, now_ns));
}

fn under_way<D: Dialect>(lane: &Lane<D>) -> usize {
    lane.connections
        .borrow()
        .iter()
        .map(|connection| connection.under_way())
        .sum()
}

async fn sleep_until<D: Dialect>(lane: &Lane<D>, at_ns: u64) {
    let left = |lane: &Lane<D>| at_ns.saturating_sub(lane.clock.now_ns());
    while left(lane) > 0 && !lane.halted.get() {
        tokio::time::sleep(Duration::from_nanos(left(lane)).min(SWEEP)).await;
    }
}

/// Waits for a condition, at most for `limit`.
async fn pause_until(limit: Duration, condition: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !condition() && begin.elapsed() < limit {
        tokio::time::sleep(POLL).await;
    }
}

/// COOP_TASKRUN and SINGLE_ISSUER save interrupts; DEFER_TASKRUN would hang, because the runtime
/// waits on the ring's readiness and not inside it. 256 entries keep clear of RLIMIT_MEMLOCK.
fn runtime() -> io::Result<tokio_uring::Runtime> {
    let mut ring = tokio_uring::uring_builder();
    ring.setup_coop_taskrun().setup_single_issuer();
    tokio_uring::Runtime::new(
        tokio_uring::builder()
            .entries(RING_ENTRIES)
            .uring_builder(&ring),
    )
}

const RING_ENTRIES: u32 = 256;

/// How often waiting requests are looked through.
const SWEEP: Duration = Duration::from_millis(10);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(1);

/// How long connections may take to become ready for the first time.
const OPEN_MAX: Duration = Duration::from_secs(10);

/// How long the targets may take to close after they were told to.
const CLOSE_MAX: Duration = Duration::from_millis(300);

/// A preload that stores nothing for this long is given up.
const PRELOAD_STALL_MAX: Duration = Duration::from_secs(30);

/// Failures a preload of few keys may have.
const PRELOAD_FAILURES_MIN: u64 = 10_000;
