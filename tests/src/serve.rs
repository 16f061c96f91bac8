//! A single `chordite serve` with a configuration written here: for what `dev` cannot set up, such
//! as a wrong certificate, another address or a ring across namespaces.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use proto::peer::NodeName;

use crate::certs::{Authority, Pems, Subject};
use crate::deadline::{self, secs};
use crate::dht::Client;
use crate::process::Process;
use crate::{binaries, http, ports, workdir};

/// What a node is to be; tests change fields before `write`.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The address everything listens on and is advertised by.
    pub host: String,
    /// Ports of the DHT API, the peers and the admin API.
    pub ports: [u16; 3],
    /// The ring's name.
    pub ring: String,
    /// Peers to join by; empty starts a ring.
    pub bootstrapper: Vec<String>,
    /// Lines added to section `[dht]`.
    pub settings: Vec<String>,
    /// Whether its log goes to `log.txt` in its folder, and not to standard error.
    pub has_log_file: bool,
    /// Its folder.
    pub dir: PathBuf,
}

/// A running node.
#[derive(Debug)]
pub struct Serve {
    /// The process.
    pub process: Process,
    /// The plan it follows.
    pub plan: Plan,
}

impl Plan {
    /// A node on 127.0.0.1 that starts a ring called `ring`.
    pub fn local(ring: &str) -> Self {
        let first = ports::reserve(3);
        Self {
            host: "127.0.0.1".into(),
            ports: [first, first + 1, first + 2],
            ring: ring.into(),
            bootstrapper: Vec::new(),
            settings: vec!["shards = 1".into()],
            has_log_file: true,
            dir: workdir::create("serve"),
        }
    }

    /// With a line added to section `[dht]`.
    #[must_use]
    pub fn set(mut self, line: &str) -> Self {
        self.settings.push(line.to_owned());
        self
    }

    /// The advertised name.
    #[must_use]
    pub fn name(&self) -> NodeName {
        NodeName::parse(&self.at(1)).expect("host and port")
    }

    /// The address of the DHT API.
    #[must_use]
    pub fn api(&self) -> SocketAddr {
        self.at(0).parse().expect("an address")
    }

    /// The address of the admin API.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.at(2).parse().expect("an address")
    }

    /// The configuration file.
    #[must_use]
    pub fn ini_path(&self) -> PathBuf {
        self.dir.join("node.ini")
    }

    /// The node's log.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.dir.join("log.txt")
    }

    /// The text of the configuration.
    #[must_use]
    pub fn ini(&self) -> String {
        let dir = self.dir.display();
        let settings = self.settings.join("\n");
        let log = if self.has_log_file {
            format!("log_file = {dir}/log.txt\n")
        } else {
            String::new()
        };
        let bootstrapper = self.bootstrapper.join(", ");
        format!(
            "hostkey = {dir}/key.pem\n\n[dht]\napi_address = {}\np2p_address = {}\n\
             advertise = {}\nadmin_address = {}\nbootstrapper = {bootstrapper}\n\
             hostcert = {dir}/cert.pem\nca_cert = {dir}/ca.pem\nring = {}\n\
             {log}{settings}\n",
            self.at(0),
            self.at(1),
            self.at(1),
            self.at(2),
            self.ring,
        )
    }

    /// Writes the configuration and an identity of `authority`.
    pub fn write(&self, authority: &Authority) {
        self.write_with(&authority.issue(&Subject::node(&self.ring, &self.name())));
    }

    /// Writes the configuration and the given identity.
    pub fn write_with(&self, pems: &Pems) {
        pems.write(&self.dir);
        fs::write(self.ini_path(), self.ini()).expect("the work folder is writable");
    }

    /// Starts the node; the files have been written.
    pub fn start(self) -> Serve {
        self.start_with(|_| {})
    }

    /// Like `start`; `prepare` may add to the command.
    pub fn start_with(self, prepare: impl FnOnce(&mut Command)) -> Serve {
        let ini = self.ini_path().display().to_string();
        let args = ["serve", "-c", &ini];
        let mut process = Process::start_with(&binaries::chordite(), &args, prepare);
        process.watch_log(self.log_path());
        Serve {
            process,
            plan: self,
        }
    }

    /// Starts the node through `program`, whose `args` come before the node's command line.
    pub fn start_under(self, program: &Path, args: &[&str]) -> Serve {
        let chordite = binaries::chordite().display().to_string();
        let ini = self.ini_path().display().to_string();
        let own = [chordite.as_str(), "serve", "-c", &ini];
        let mut process = Process::start(program, &[args, &own].concat());
        process.watch_log(self.log_path());
        Serve {
            process,
            plan: self,
        }
    }

    /// Starts the node inside a network namespace.
    pub fn start_in(self, namespace: &str) -> Serve {
        let chordite = binaries::chordite().display().to_string();
        let ini = self.ini_path().display().to_string();
        let args = ["netns", "exec", namespace, &chordite, "serve", "-c", &ini];
        let mut process = Process::start(Path::new("ip"), &args);
        process.watch_log(self.log_path());
        Serve {
            process,
            plan: self,
        }
    }

    /// The address with port `port` of the three.
    #[must_use]
    pub fn at(&self, port: usize) -> String {
        format!("{}:{}", self.host, self.ports[port])
    }
}

impl Serve {
    /// Starts a ring of one called `ring` with `settings` added, and waits until it is ready.
    pub fn single(ring: &str, settings: &[&str]) -> Self {
        Self::signed_by(&Authority::create("test"), ring, settings)
    }

    /// Like `single`, with the authority given, so that clients can be made to go with it.
    pub fn signed_by(authority: &Authority, ring: &str, settings: &[&str]) -> Self {
        let plain = Plan::local(ring);
        let plan = settings.iter().fold(plain, |plan, line| plan.set(line));
        plan.write(authority);
        let mut node = plan.start();
        node.wait_ready();
        node
    }

    /// Waits until the node says that it is ready.
    pub fn wait_ready(&mut self) {
        let admin = self.plan.admin();
        deadline::until("the node is ready", secs(30), || {
            assert!(
                self.process.status().is_none(),
                "the node ended: {}",
                self.process.stderr()
            );
            let reply = http::get(admin, "/readyz", secs(2)).ok()?;
            (reply.status == 200).then_some(())
        });
    }

    /// A DHT API client of the node.
    pub fn client(&self) -> Client {
        Client::connect(self.plan.api())
    }

    /// All it has logged, to the file and to standard error.
    #[must_use]
    pub fn log(&self) -> String {
        let file = fs::read_to_string(self.plan.log_path()).unwrap_or_default();
        file + &self.process.stderr()
    }

    /// Waits until the log has a line that contains all of `words`, and gives it.
    pub fn wait_log(&self, words: &[&str]) -> String {
        wait_line(&words.join(" "), || self.log(), words)
    }
}

/// Waits until `log` has a line that contains all of `words`, and gives it.
pub fn wait_line(what: &str, log: impl Fn() -> String, words: &[&str]) -> String {
    let found = deadline::within(secs(10), || {
        let log = log();
        let has = |line: &&str| {
            let line = line.to_lowercase();
            words.iter().all(|word| line.contains(&word.to_lowercase()))
        };
        log.lines().find(has).map(str::to_owned)
    });
    found.unwrap_or_else(|| panic!("no line of the log says {what}; it ends:\n{}", tail(&log())))
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// The folder with the authority of a `dev` ring.
#[must_use]
pub fn authority_dir(ring_dir: &Path) -> PathBuf {
    ring_dir.join("ca")
}
