//! Carries a plan out: starts the threads, collects what they find second by second, and writes
//! the files.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::dataset::Dataset;
use crate::dht::Dht;
use crate::dialect::{Dialect, SetupError};
use crate::digest::Digest;
use crate::echo::Echo;
use crate::hgrm;
use crate::hlog::HistogramLog;
use crate::lane::Clock;
use crate::memcached::Memcached;
use crate::native::Native;
use crate::plan::{Plan, Protocol};
use crate::progress::Progress;
use crate::recorder::Interval;
use crate::report::{HGRM_FILE, HLOG_FILE, SUMMARY_FILE, Summary};
use crate::resp::Resp;
use crate::timeline::Timeline;
use crate::worker::{Finding, Report, Worker};

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Everything the run found out.
    pub summary: Summary,
    /// Latency of all requests in nanoseconds, three significant digits.
    pub latency: Histogram<u64>,
}

/// Why a run has no result.
#[derive(Debug, Error)]
pub enum RunError {
    /// The operator's mistake: identity files, for instance.
    #[error("{0}")]
    Setup(#[from] SetupError),
    /// The targets' fault, or the network's.
    #[error("no target can be reached: {0}")]
    Unreachable(String),
    /// The targets did not take the keys.
    #[error("the preload was given up: {stored} of {keys} keys stored, {failures} writes failed")]
    Preload {
        /// Keys of the thread that are stored.
        stored: u64,
        /// Keys of the thread.
        keys: u64,
        /// Writes that failed.
        failures: u64,
    },
    /// Interrupted before the measured part.
    #[error("interrupted before anything was measured")]
    Interrupted,
    /// io_uring is not to be had, or failed.
    #[error("the io_uring runtime failed: {0}")]
    Runtime(io::Error),
    /// A file could not be written.
    #[error("{}: {error}", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Carries `plan` out. Once `interrupt` is true, what was measured until then is the result.
pub fn run(plan: Plan, interrupt: &Arc<AtomicBool>) -> Result<Outcome, RunError> {
    let plan = Arc::new(plan);
    let data = Arc::new(Dataset::new(&plan.data));
    match &plan.protocol {
        Protocol::Dht => run_with::<Dht>(&plan, &data, interrupt),
        Protocol::Native { .. } => run_with::<Native>(&plan, &data, interrupt),
        Protocol::Resp => run_with::<Resp>(&plan, &data, interrupt),
        Protocol::Memcached => run_with::<Memcached>(&plan, &data, interrupt),
        Protocol::Echo { .. } => run_with::<Echo>(&plan, &data, interrupt),
    }
}

fn run_with<D: Dialect>(
    plan: &Arc<Plan>,
    data: &Arc<Dataset>,
    interrupt: &Arc<AtomicBool>,
) -> Result<Outcome, RunError> {
    let setup = D::prepare(plan, data)?;
    // A folder that cannot be written is better known before the run than after it.
    let out = plan
        .out
        .as_deref()
        .map(|dir| make_dir(dir).map(|()| dir))
        .transpose()?;
    let clock = Clock::start();
    let mut progress = Progress::new(plan);
    let (to_intervals, intervals) = mpsc::channel();
    let (to_reports, reports) = mpsc::channel();
    let mut starts = Vec::new();
    let mut threads = Vec::new();
    for thread in 0..plan.threads {
        let (start, started) = oneshot::channel();
        let worker = Worker {
            thread,
            plan: plan.clone(),
            data: data.clone(),
            clock,
            intervals: to_intervals.clone(),
            reports: to_reports.clone(),
            start: started,
            interrupt: interrupt.clone(),
        };
        starts.push(start);
        threads.push(spawn(
            thread,
            worker,
            D::Setup::clone(&setup),
            Worker::run::<D>,
        )?);
    }
    drop((to_intervals, to_reports));
    let ready = await_ready(&reports, plan.threads, &mut progress);
    let started = SystemTime::now() + START_DELAY + plan.warmup;
    match ready {
        Ok(()) => {
            let start_ns = clock.now_ns() + START_DELAY.as_nanos() as u64;
            for start in starts {
                // A thread that is gone meanwhile has said why.
                let _ = start.send(start_ns);
            }
        }
        Err(_) => drop(starts),
    }
    let timeline = follow(plan, &intervals, started, out, &mut progress);
    let findings: Vec<Option<Finding>> = threads.into_iter().map(join).collect();
    progress.finish();
    ready?;
    if let Ok(Report::Failed(error)) = reports.try_recv() {
        return Err(error);
    }
    let findings: Vec<Finding> = findings.into_iter().flatten().collect();
    conclude(plan, timeline?, &findings, started, out)
}

fn spawn<S: Send + 'static>(
    thread: u32,
    worker: Worker,
    setup: S,
    run: fn(Worker, S) -> Option<Finding>,
) -> Result<JoinHandle<Option<Finding>>, RunError> {
    std::thread::Builder::new()
        .name(format!("loadgen-{thread}"))
        .spawn(move || run(worker, setup))
        .map_err(RunError::Runtime)
}

fn join(thread: JoinHandle<Option<Finding>>) -> Option<Finding> {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Waits until every thread is ready, or one has failed.
fn await_ready(
    reports: &Receiver<Report>,
    threads: u32,
    progress: &mut Progress,
) -> Result<(), RunError> {
    let mut ready = 0;
    while ready < threads {
        match reports.recv() {
            Ok(Report::Ready) => ready += 1,
            Ok(Report::Preloaded { thread, stored }) => progress.preloaded(thread, stored),
            Ok(Report::Failed(error)) => return Err(error),
            Err(mpsc::RecvError) => return Err(RunError::Interrupted),
        }
    }
    Ok(())
}

/// Collects intervals until all threads have ended.
fn follow(
    plan: &Plan,
    intervals: &Receiver<Box<Interval>>,
    started: SystemTime,
    out: Option<&Path>,
    progress: &mut Progress,
) -> Result<Timeline, RunError> {
    let log = out.map(|dir| begin_log(dir, started)).transpose()?;
    let mut timeline = Timeline::new(plan.threads, log);
    loop {
        match intervals.recv_timeout(LIVE_TICK) {
            Ok(interval) => {
                let merged = timeline
                    .add(interval)
                    .map_err(|error| output(out, HLOG_FILE, error));
                merged?
                    .into_iter()
                    .for_each(|second| progress.second(&second));
            }
            Err(RecvTimeoutError::Timeout) => progress.tick(),
            Err(RecvTimeoutError::Disconnected) => return Ok(timeline),
        }
    }
}

fn conclude(
    plan: &Plan,
    timeline: Timeline,
    findings: &[Finding],
    started: SystemTime,
    out: Option<&Path>,
) -> Result<Outcome, RunError> {
    let wall = findings
        .iter()
        .map(|finding| finding.wall)
        .max()
        .unwrap_or_default();
    let (totals, intervals) = timeline
        .finish(wall)
        .map_err(|error| output(out, HLOG_FILE, error))?;
    let latency = totals.latency_all();
    let digest = Digest {
        plan,
        totals: &totals,
        latency: &latency,
        intervals,
        findings,
        started,
    };
    let summary = digest.summary();
    if let Some(dir) = out {
        let text = hgrm::render(&latency, HGRM_UNIT_NS);
        fs::write(dir.join(HGRM_FILE), text).map_err(|error| output(out, HGRM_FILE, error))?;
        let written = summary.write(&dir.join(SUMMARY_FILE));
        written.map_err(|error| output(out, SUMMARY_FILE, error))?;
    }
    Ok(Outcome { summary, latency })
}

fn begin_log(dir: &Path, started: SystemTime) -> Result<HistogramLog<Box<dyn Write>>, RunError> {
    let file = File::create(dir.join(HLOG_FILE));
    file.and_then(|file| {
        HistogramLog::begin(Box::new(BufWriter::new(file)) as Box<dyn Write>, started)
    })
    .map_err(|error| output(Some(dir), HLOG_FILE, error))
}

fn make_dir(dir: &Path) -> Result<(), RunError> {
    let made = fs::create_dir_all(dir);
    made.map_err(|error| RunError::Output {
        path: dir.to_owned(),
        error,
    })
}

fn output(dir: Option<&Path>, file: &str, error: io::Error) -> RunError {
    RunError::Output {
        path: dir.unwrap_or(Path::new("")).join(file),
        error,
    }
}

/// Between the last thread being ready and the begin of the warm-up.
const START_DELAY: Duration = Duration::from_millis(20);

/// How often the live line moves without news.
const LIVE_TICK: Duration = Duration::from_millis(250);

/// The percentile file is in microseconds.
const HGRM_UNIT_NS: f64 = 1_000.0;

#[cfg(test)]
mod tests;
