//! A node with a data folder that is killed and started again in place: same ports, same identity,
//! same folder; and what its operators see of its log.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use proto::link::LinkConfig;
use proto::message::Role;
use proto::peer::NodeName;
use rustix::process::Signal;

use crate::certs::{Authority, Pems, Subject};
use crate::deadline::{self, secs};
use crate::http::{self, Reply};
use crate::native::{Native, Own};
use crate::serve::{Plan, Serve};
use crate::writer::{OverOnDrop, Writer};

/// The node, running or not.
#[derive(Debug)]
pub struct Durable {
    /// What it is started with.
    pub plan: Plan,
    /// Its data folder.
    pub data: PathBuf,
    node: Option<Serve>,
    own: Own,
    link: Arc<LinkConfig>,
}

impl Durable {
    /// A ring of one with its log in `data` and `settings` added; not started.
    pub fn create(name: &str, data: &Path, settings: &[&str]) -> Self {
        let mut plan = Plan::local(name).set(&format!("data_dir = {}", data.display()));
        settings.iter().for_each(|line| set(&mut plan, line));
        let authority = Authority::create(name);
        plan.write(&authority);
        let client = NodeName::parse("localhost:1").expect("a name");
        let pems = authority.issue(&Subject::client(name, &client));
        let own = Own::new(pems, name, &client, Role::Client);
        Self {
            plan,
            data: data.to_path_buf(),
            node: None,
            link: own.config(),
            own,
        }
    }

    /// Starts it and waits until it is ready.
    pub fn start(&mut self) {
        self.launch().wait_ready();
    }

    /// Starts it and does not wait.
    pub fn launch(&mut self) -> &mut Serve {
        self.launch_with(|_| {})
    }

    /// Like `launch`; `prepare` may add to the command.
    pub fn launch_with(&mut self, prepare: impl FnOnce(&mut Command)) -> &mut Serve {
        assert!(self.node.is_none(), "one process at a time");
        self.node.insert(self.plan.clone().start_with(prepare))
    }

    /// Starts it as `program` with `args` before the node's own command line, such as `prlimit`.
    pub fn launch_under(&mut self, program: &Path, args: &[&str]) -> &mut Serve {
        assert!(self.node.is_none(), "one process at a time");
        self.node
            .insert(self.plan.clone().start_under(program, args))
    }

    /// The running node.
    pub fn serve(&mut self) -> &mut Serve {
        self.node.as_mut().expect("it was started")
    }

    /// kill −9, and waits until it is gone. A node that has ended by itself is a failure.
    pub fn kill(&mut self) {
        let node = self.node.as_mut().expect("it was started");
        if let Some(status) = node.process.status() {
            panic!(
                "the node ended by itself: {status}; its log ends:\n{}",
                node.log()
            );
        }
        self.end();
    }

    /// kill −9 of a node that may have ended by itself: it was starting when its disk went.
    pub fn end(&mut self) {
        let mut node = self.node.take().expect("it was started");
        if node.process.status().is_none() {
            node.process.signal(Signal::KILL);
        }
        deadline::until("the killed node is gone", secs(10), || {
            node.process.status()
        });
        // The kernel keeps a ring, and with it the sockets, until the disk has answered what was
        // in flight.
        let is_free = |at: usize| TcpListener::bind(self.plan.at(at)).is_ok();
        deadline::until("its ports are free again", secs(10), || {
            (0..3).all(is_free).then_some(())
        });
    }

    /// SIGTERM, and waits for the graceful end.
    pub fn stop(&mut self) {
        let node = self.node.take().expect("it was started");
        node.process.signal(Signal::TERM);
        let finished = node.process.wait(secs(20));
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    }

    /// Sets or replaces lines of the configuration, for the next start.
    pub fn configure(&mut self, lines: &[&str]) {
        lines.iter().for_each(|line| set(&mut self.plan, line));
        fs::write(self.plan.ini_path(), self.plan.ini()).expect("the work folder is writable");
    }

    /// A link of a client to it.
    pub fn client(&self) -> Native {
        self.try_client()
            .unwrap_or_else(|error| panic!("a client is welcome, not: {error}"))
    }

    /// Like `client`; the error when the node does not take it.
    pub fn try_client(&self) -> Result<Native, String> {
        let (name, addr) = (self.plan.name(), self.plan.at(1));
        let addr = addr.parse().expect("an address");
        Native::dial_with(addr, &self.link, &self.own.hello.params, Some(&name))
    }

    /// The identity of its clients, for the command line.
    #[must_use]
    pub fn client_pems(&self) -> &Pems {
        &self.own.pems
    }

    /// `path` of the admin API.
    pub fn admin(&self, path: &str) -> Reply {
        http::get(self.plan.admin(), path, secs(5))
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Waits until `/readyz?verbose` has `status` and a body that contains all of `words`.
    pub fn wait_readyz(&self, status: u16, words: &[&str], limit: Duration) {
        let mut last = String::new();
        let found = deadline::within(limit, || {
            let reply = http::get(self.plan.admin(), "/readyz?verbose", secs(5)).ok()?;
            let body = reply.body.to_lowercase();
            let is_it = reply.status == status && words.iter().all(|word| body.contains(word));
            last = format!("{}: {}", reply.status, reply.body);
            is_it.then_some(())
        });
        assert!(
            found.is_some(),
            "/readyz is not {status} with {words:?}: {last}"
        );
    }

    /// The sum over all shards of the metric called `name`; `None` when there is none.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        let body = self.admin("/metrics").body;
        let values = body.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let is_whole = rest.starts_with(['{', ' ']);
            let value = rest.rsplit_once(' ')?.1;
            is_whole.then(|| value.parse::<f64>().ok()).flatten()
        });
        values.reduce(|sum, value| sum + value)
    }

    /// Numbers of the segment files in the data folder, of all shards, in ascending order.
    #[must_use]
    pub fn segments(&self) -> Vec<u64> {
        let mut numbers = Vec::new();
        collect_segments(&self.data, &mut numbers);
        numbers.sort_unstable();
        numbers
    }
}

/// Lets every writer work over a link of its own until `acknowledged` more writes are acknowledged
/// or nothing moves any more, then does `blow`, and waits until all links have ended. The result is
/// what the writers' links ended with.
pub fn under_load<T>(
    writers: &mut [Writer],
    node: &mut Durable,
    acknowledged: u64,
    blow: impl FnOnce(&mut Durable) -> T,
) -> T {
    let (progress, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let clients: Vec<Native> = writers.iter().map(|_| node.client()).collect();
    thread::scope(|scope| {
        let _over = OverOnDrop(&is_over);
        for (writer, mut client) in writers.iter_mut().zip(clients) {
            let (progress, is_over) = (&progress, &is_over);
            let goes_on = |_: &_| !is_over.load(Ordering::Relaxed);
            scope.spawn(move || writer.work(&mut client, progress, goes_on));
        }
        let reached = || (progress.load(Ordering::Relaxed) >= acknowledged).then_some(());
        let found = deadline::within(LOAD_LIMIT, reached);
        let blown = blow(node);
        let done = progress.load(Ordering::Relaxed);
        assert!(
            found.is_some(),
            "{done} of {acknowledged} writes in {LOAD_LIMIT:?}"
        );
        blown
    })
}

/// Every writer reads its keys back; panics when anything is not as it was acknowledged.
pub fn verify(writers: &mut [Writer], node: &Durable) {
    read_back(writers, node);
    writers.iter().for_each(Writer::judge);
}

/// Every writer reads its keys back; how many complaints there are in all.
pub fn read_back(writers: &mut [Writer], node: &Durable) -> usize {
    for writer in writers.iter_mut() {
        writer.verify(&mut node.client());
    }
    writers.iter().map(|writer| writer.complaints.len()).sum()
}

/// Adds a line to the settings, in the place of one of the same key.
fn set(plan: &mut Plan, line: &str) {
    let key = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    plan.settings.retain(|old| key(old) != key(line));
    plan.settings.push(line.to_owned());
}

fn collect_segments(dir: &Path, numbers: &mut Vec<u64>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            collect_segments(&path, numbers);
        } else if let Some(digits) = name.to_string_lossy().strip_suffix(".wal") {
            numbers.extend(u64::from_str_radix(digits, 16).ok());
        }
    }
}

const LOAD_LIMIT: Duration = Duration::from_secs(20);
