//! A shard with its log at work on a simulated disk, with the oracle that knows what it promised
//! and a clock that only the driver moves. The jobs of the disk end in an order that a seed
//! decides; after every one that is submitted or ends, somebody may look.

mod subject;

use std::collections::BTreeMap;
use std::time::Duration;

use node::engine::request::ClientRequest;
use node::engine::wal::log::{AppendError, LogReport};
use node::engine::wal::settings::{LogConfig, SyncPolicy};
use proto::key::Key;
use proto::time::Now;

pub use self::subject::{Answer, Subject};
use crate::dice::Dice;
use crate::log_oracle::{Clocks, Found, Oracle, WriteId};
use crate::log_script::{Action, key_of, value_of};
use crate::sim_disk::{SimDisk, describe};

/// A shard on a disk, and what it promised.
pub struct SimShard {
    /// The disk.
    pub disk: SimDisk,
    /// What was promised.
    pub oracle: Oracle,
    /// The time.
    pub now: Now,
    config: LogConfig,
    subject: Subject,
    dice: Dice,
    latest_ms: u64,
    asked: BTreeMap<u64, Asked>,
    next: u64,
    /// Reads that were not served.
    refused_reads: u64,
    /// How many jobs were submitted or ended.
    steps: u64,
    /// What the last ones were.
    trace: Vec<String>,
}

/// A request without an answer.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Put(WriteId),
    Delete(WriteId, Key),
    Get(Key),
}

/// Who looks after every step; an error ends the run.
pub type Look<'a> = &'a mut dyn FnMut(&SimShard) -> Result<(), String>;

impl SimShard {
    /// A shard that starts on what is on the disk. Its recovery has not begun.
    #[must_use]
    pub fn start(config: LogConfig, disk: SimDisk, oracle: Oracle, now: Now, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let subject = Subject::open(seeded(config, &mut dice), &disk.files());
        Self {
            disk,
            oracle,
            now,
            config,
            subject,
            dice,
            latest_ms: now.wall_ms,
            asked: BTreeMap::new(),
            next: 0,
            refused_reads: 0,
            steps: 0,
            trace: Vec::new(),
        }
    }

    /// Recovers; an error when the shard refuses what it finds.
    pub fn recover(&mut self, look: Look<'_>) -> Result<(), String> {
        for _ in 0..ROUNDS_MAX {
            if let Some(error) = self.subject.refusal() {
                return Err(format!("refused: {error}"));
            }
            if self.subject.is_open() {
                return Ok(());
            }
            self.submit_all(look)?;
            self.end_jobs(usize::MAX, look)?;
            self.pass_time_if_idle();
        }
        Err("the recovery does not end".to_owned())
    }

    /// Does one thing, then lets some jobs begin and end.
    pub fn act(&mut self, action: &Action, look: Look<'_>) -> Result<(), String> {
        match action {
            Action::Put { key, bytes, ttl_s } => self.put(*key, *bytes, *ttl_s),
            Action::Delete { key } => self.delete(*key),
            Action::Get { key } => self.get(*key),
            Action::Rest { ms } => self.pass(Duration::from_millis(*ms)),
            Action::Settle => return self.settle(look),
            Action::Restart => return self.restart(look),
        }
        self.hear()?;
        if self.dice.one_in(3) {
            return Ok(());
        }
        self.submit_all(look)?;
        let ended = self.dice.index(3);
        self.end_jobs(ended, look)?;
        if self.dice.one_in(4) {
            let pause_ms = self.dice.below(9);
            self.pass(Duration::from_millis(1 + pause_ms));
        }
        Ok(())
    }

    /// Waits until every request has its answer and the disk is at rest.
    pub fn settle(&mut self, look: Look<'_>) -> Result<(), String> {
        for _ in 0..ROUNDS_MAX {
            self.submit_all(look)?;
            if self.disk.in_flight() > 0 {
                self.end_jobs(usize::MAX, look)?;
            } else if self.asked.is_empty() {
                return Ok(());
            } else {
                self.pass_time_if_idle();
            }
        }
        Err(format!("requests without an answer: {:?}", self.asked))
    }

    /// Stops in order and starts again on the same disk.
    fn restart(&mut self, look: Look<'_>) -> Result<(), String> {
        self.settle(look)?;
        self.subject.close();
        for _ in 0..ROUNDS_MAX {
            self.submit_all(look)?;
            self.end_jobs(usize::MAX, look)?;
            if self.disk.in_flight() == 0 && self.subject.is_at_rest() {
                break;
            }
            self.pass_time_if_idle();
        }
        if !self.subject.is_at_rest() {
            return Err("the shard does not come to rest".to_owned());
        }
        if self.write_refusal().is_none() {
            self.oracle.promise_all();
        }
        self.reopen(look)
    }

    /// Starts again on what the disk shows, without a word to the one that ran before.
    pub fn reopen(&mut self, look: Look<'_>) -> Result<(), String> {
        self.disk.forget_doomed();
        let config = seeded(self.config, &mut self.dice);
        self.subject = Subject::open(config, &self.disk.files());
        self.asked.clear();
        self.recover(look)?;
        let records = self.records();
        let clocks = self.clocks();
        self.oracle.check(&records, clocks)?;
        self.oracle.settle(&records, clocks, false);
        Ok(())
    }

    /// What the shard holds.
    #[must_use]
    pub fn records(&self) -> BTreeMap<Key, Found> {
        self.subject.records(self.now)
    }

    /// The clocks by which it is judged.
    #[must_use]
    pub fn clocks(&self) -> Clocks {
        Clocks {
            wall_ms: self.now.wall_ms,
            latest_ms: self.latest_ms,
        }
    }

    /// Whether the wall clock reads less than it did.
    #[must_use]
    pub fn is_set_back(&self) -> bool {
        self.now.wall_ms < self.latest_ms
    }

    /// How the log is made.
    #[must_use]
    pub fn config(&self) -> LogConfig {
        self.config
    }

    /// How many reads were not served.
    #[must_use]
    pub fn refused_reads(&self) -> u64 {
        self.refused_reads
    }

    /// How many jobs were submitted or ended so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The last jobs, in words.
    #[must_use]
    pub fn trace(&self) -> &[String] {
        &self.trace[self.trace.len().saturating_sub(TRACE_LINES)..]
    }

    /// How the log does, once it is open.
    #[must_use]
    pub fn report(&self) -> Option<LogReport> {
        self.subject.report()
    }

    /// Why writes are refused now, when they are.
    #[must_use]
    pub fn write_refusal(&self) -> Option<AppendError> {
        self.report()?.refusal
    }

    /// Whether the answers of a log with this policy are promises.
    #[must_use]
    pub fn is_strict(policy: SyncPolicy) -> bool {
        policy == SyncPolicy::Always
    }

    /// Moves both clocks on, or the wall clock back.
    pub fn set_wall(&mut self, wall_ms: u64) {
        self.now.wall_ms = wall_ms;
        self.latest_ms = self.latest_ms.max(wall_ms);
    }
}

impl SimShard {
    fn put(&mut self, key: u16, bytes: usize, ttl_s: u32) {
        let key = key_of(key);
        let expiry_ms = self.now.wall_ms + u64::from(ttl_s) * 1000;
        let value = value_of(self.dice.roll(), bytes);
        let id = self.oracle.put(key, &value, expiry_ms);
        let token = self.ask(Asked::Put(id));
        let request = ClientRequest::Put {
            key,
            ttl_s,
            replication: 1,
            value: &value,
        };
        self.subject.ask(token, &request, self.now);
    }

    fn delete(&mut self, key: u16) {
        let key = key_of(key);
        let id = self.oracle.delete(key);
        let token = self.ask(Asked::Delete(id, key));
        self.subject
            .ask(token, &ClientRequest::Delete { key }, self.now);
    }

    fn get(&mut self, key: u16) {
        let key = key_of(key);
        let token = self.ask(Asked::Get(key));
        self.subject
            .ask(token, &ClientRequest::Get { key }, self.now);
    }

    fn ask(&mut self, asked: Asked) -> u64 {
        self.next += 1;
        self.asked.insert(self.next, asked);
        self.next
    }

    /// Takes the answers over.
    fn hear(&mut self) -> Result<(), String> {
        let clocks = self.clocks();
        for (token, answer) in self.subject.poll_answers() {
            let asked = self.asked.remove(&token).ok_or("answered twice")?;
            match (asked, answer) {
                (Asked::Put(id) | Asked::Delete(id, _), Answer::Stored(version)) => {
                    self.oracle.acknowledge(id, version)?;
                }
                (Asked::Delete(id, key), Answer::Absent) => {
                    self.oracle.find_absent(id, key, clocks)?;
                }
                (Asked::Put(id) | Asked::Delete(id, _), Answer::Refused(_)) => {
                    self.oracle.refuse(id)?;
                }
                (Asked::Put(id) | Asked::Delete(id, _), Answer::Unknown(_)) => {
                    self.oracle.fail(id)?;
                }
                (Asked::Get(key), Answer::Absent) => self.oracle.read(key, None, clocks)?,
                (Asked::Get(key), Answer::Value(found)) => {
                    self.oracle.read(key, Some(&found), clocks)?;
                }
                (Asked::Get(_), Answer::Refused(_)) => self.refused_reads += 1,
                (asked, answer) => return Err(format!("{asked:?} heard {answer:?}")),
            }
        }
        Ok(())
    }

    fn submit_all(&mut self, look: Look<'_>) -> Result<(), String> {
        while let Some(job) = self.subject.poll_job(self.now) {
            self.trace
                .push(format!("{} begins: {}", self.steps, describe(&job.op)));
            self.disk.submit(job);
            self.hear()?;
            self.steps += 1;
            look(self)?;
        }
        self.hear()
    }

    /// Ends up to `count` jobs, in any order.
    fn end_jobs(&mut self, count: usize, look: Look<'_>) -> Result<(), String> {
        for _ in 0..count {
            if self.disk.in_flight() == 0 {
                return Ok(());
            }
            let index = self.dice.index(self.disk.in_flight());
            let (name, done) = (self.disk.name_of(index), self.disk.complete(index));
            let how = done
                .result
                .as_ref()
                .map_or_else(ToString::to_string, ToString::to_string);
            self.trace
                .push(format!("{} ends: {name}: {how}", self.steps));
            self.subject.handle_disk(done, self.now);
            self.hear()?;
            self.steps += 1;
            look(self)?;
        }
        Ok(())
    }

    /// When nothing is under way, the next thing that happens is a timer.
    fn pass_time_if_idle(&mut self) {
        if self.disk.in_flight() == 0 {
            let due = self.subject.poll_timeout();
            let wait = due.map_or(IDLE, |due| due.saturating_sub(self.now.mono));
            self.pass(wait.max(Duration::from_millis(1)));
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now.mono += time;
        self.set_wall(self.now.wall_ms + u64::try_from(time.as_millis()).expect("short"));
        self.subject.handle_timeout(self.now);
    }
}

/// The salts differ from start to start.
fn seeded(mut config: LogConfig, dice: &mut Dice) -> LogConfig {
    config.seed = dice.roll();
    config
}

/// Rounds after which something that should end is taken to hang.
const ROUNDS_MAX: usize = 10_000;

/// A pause when no timer is set.
const IDLE: Duration = Duration::from_millis(100);

const TRACE_LINES: usize = 24;
