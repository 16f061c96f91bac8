//! What a shard has promised: every write with what its writer heard, and from that, what may be
//! found after a crash and what must.
//!
//! The rules, for each key, whose writes have an order: the last write that is promised counts, or
//! one after it whose outcome nobody knows; never an earlier one, never one that was refused, never
//! bytes that nobody wrote. A value that was read is promised to its reader. Without a sync before
//! the answer (`interval`, `never`) answers promise nothing by themselves, but what is found is
//! what was there at some moment: no later write without the earlier ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::key::Key;
use proto::version::Version;

/// All writes to one shard, and their state.
#[derive(Clone, Debug)]
pub struct Oracle {
    /// Whether an answer is a promise.
    is_strict: bool,
    keys: BTreeMap<Key, Vec<Write>>,
    /// The key of each write that has no answer.
    open: BTreeMap<WriteId, Key>,
    next: u64,
    /// The greatest version that anybody saw.
    greatest: Version,
}

/// The number of a write.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WriteId(pub u64);

/// A record as it is found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Its version.
    pub version: Version,
    /// When it expires, milliseconds since 1970; 0 is never.
    pub expiry_ms: u64,
    /// The value.
    pub value: Vec<u8>,
}

/// The clocks by which expiry is judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clocks {
    /// The wall clock at the moment of reading.
    pub wall_ms: u64,
    /// The furthest it ever stood: what had expired then may be gone though it reads less now.
    pub latest_ms: u64,
}

#[derive(Clone, Debug)]
struct Write {
    id: WriteId,
    /// None is a deletion.
    value: Option<Arc<[u8]>>,
    expiry_ms: u64,
    version: Option<Version>,
    state: WriteState,
    /// The greatest version seen when it began: its own is greater.
    floor: Version,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum WriteState {
    /// No answer, or one that says that nobody knows.
    Unknown,
    /// Answered, not promised to be durable.
    Answered,
    /// Promised.
    Durable,
    /// Never happened.
    Refused,
}

impl Oracle {
    /// No writes. `is_strict` when an answer is a promise: `fsync=always`.
    #[must_use]
    pub fn new(is_strict: bool) -> Self {
        Self {
            is_strict,
            keys: BTreeMap::new(),
            open: BTreeMap::new(),
            next: 0,
            greatest: Version::default(),
        }
    }

    /// A put is sent.
    pub fn put(&mut self, key: Key, value: &[u8], expiry_ms: u64) -> WriteId {
        self.begin(key, Some(value.into()), expiry_ms)
    }

    /// A delete is sent.
    pub fn delete(&mut self, key: Key) -> WriteId {
        self.begin(key, None, 0)
    }

    fn begin(&mut self, key: Key, value: Option<Arc<[u8]>>, expiry_ms: u64) -> WriteId {
        let id = WriteId(self.next);
        self.next += 1;
        self.open.insert(id, key);
        let (state, floor) = (WriteState::Unknown, self.greatest);
        let write = Write {
            id,
            value,
            expiry_ms,
            version: None,
            state,
            floor,
        };
        self.keys.entry(key).or_default().push(write);
        id
    }

    /// A write was acknowledged.
    pub fn acknowledge(&mut self, id: WriteId, version: Version) -> Result<(), String> {
        let state = self.answered();
        let write = self.close(id).ok_or("a write was answered twice")?;
        let floor = write.floor;
        write.version = Some(version);
        write.state = write.state.max(state);
        if version <= floor {
            return Err(format!("version {version:?} after {floor:?}"));
        }
        self.greatest = self.greatest.max(version);
        Ok(())
    }

    /// A write was refused: it will never be seen.
    pub fn refuse(&mut self, id: WriteId) -> Result<(), String> {
        let write = self.close(id).ok_or("a write was answered twice")?;
        write.state = WriteState::Refused;
        Ok(())
    }

    /// A delete found nothing to delete: it changed nothing, and its writer saw that.
    pub fn find_absent(&mut self, id: WriteId, key: Key, clocks: Clocks) -> Result<(), String> {
        self.refuse(id)?;
        self.read(key, None, clocks)
    }

    /// A write failed, and whether it happened is not known.
    pub fn fail(&mut self, id: WriteId) -> Result<(), String> {
        self.close(id)
            .map(drop)
            .ok_or("a write was answered twice".to_owned())
    }

    /// What a reader got: it has to be so, and stays promised. An absence that several writes would
    /// explain promises no more than the first of them.
    pub fn read(&mut self, key: Key, found: Option<&Found>, clocks: Clocks) -> Result<(), String> {
        let state = self.answered();
        let Some(writes) = self.keys.get_mut(&key) else {
            return found.map_or(Ok(()), |_| Err(format!("{key:?} was never written")));
        };
        match earliest(writes, found, clocks) {
            Ok(Some(index)) => {
                writes[index].state = writes[index].state.max(state);
                let version = found.map(|found| found.version);
                self.greatest = self.greatest.max(version.unwrap_or_default());
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(reason) => Err(format!("read of {key:?}: {reason}")),
        }
    }

    /// Everything that was answered is on the disk: the shard was closed in order.
    pub fn promise_all(&mut self) {
        for write in self.keys.values_mut().flatten() {
            if write.state == WriteState::Answered {
                write.state = WriteState::Durable;
            }
        }
    }

    /// Writes without an answer.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// The greatest version that anybody saw.
    #[must_use]
    pub fn greatest(&self) -> Version {
        self.greatest
    }

    /// Whether these records may be all that is found after a crash.
    pub fn check(&self, records: &BTreeMap<Key, Found>, clocks: Clocks) -> Result<(), String> {
        if let Some(key) = records.keys().find(|key| !self.keys.contains_key(key)) {
            return Err(format!("{key:?} was never written"));
        }
        let newest = records.values().map(|found| found.version).max();
        for (key, writes) in &self.keys {
            let found = records.get(key);
            let chosen = latest(writes, found, clocks).map_err(|why| format!("{key:?}: {why}"))?;
            check_cut(&writes[chosen.map_or(0, |index| index + 1)..], newest)
                .map_err(|why| format!("{key:?}: {why}"))?;
        }
        Ok(())
    }

    /// Goes on from what was found, which [`Oracle::check`] has allowed: what came after it never
    /// happened. With `is_on_medium` it is promised from now on, and what came before is gone.
    pub fn settle(&mut self, records: &BTreeMap<Key, Found>, clocks: Clocks, is_on_medium: bool) {
        let state = if is_on_medium {
            WriteState::Durable
        } else {
            self.answered()
        };
        if !self.is_strict {
            // The versions of writes that were lost may be given again.
            self.greatest = Version::default();
        }
        for (key, writes) in &mut self.keys {
            let found = records.get(key);
            let chosen = latest(writes, found, clocks).expect("was checked");
            writes.truncate(chosen.map_or(0, |index| index + 1));
            if let Some(last) = writes.last_mut() {
                last.state = last.state.max(state);
                let seen = found.map(|found| found.version);
                last.version = seen.or(last.version.filter(|_| self.is_strict));
                self.greatest = self.greatest.max(last.version.unwrap_or_default());
            }
        }
        self.open.clear();
    }

    fn answered(&self) -> WriteState {
        if self.is_strict {
            WriteState::Durable
        } else {
            WriteState::Answered
        }
    }

    fn close(&mut self, id: WriteId) -> Option<&mut Write> {
        let key = self.open.remove(&id)?;
        let writes = self.keys.get_mut(&key)?;
        writes.iter_mut().find(|write| write.id == id)
    }
}

impl WriteState {
    /// The stronger of two; what was refused stays so.
    fn max(self, other: Self) -> Self {
        match (self, other) {
            (Self::Refused, _) | (_, Self::Refused) => Self::Refused,
            (Self::Durable, _) | (_, Self::Durable) => Self::Durable,
            (Self::Answered, _) | (_, Self::Answered) => Self::Answered,
            _ => Self::Unknown,
        }
    }
}

/// The latest write that explains what was found; `Ok(None)` when it is that nothing was written.
fn latest(
    writes: &[Write],
    found: Option<&Found>,
    clocks: Clocks,
) -> Result<Option<usize>, String> {
    let candidates = candidates(writes, found, clocks);
    candidates.map(|candidates| candidates.last().copied().flatten())
}

/// The earliest one.
fn earliest(
    writes: &[Write],
    found: Option<&Found>,
    clocks: Clocks,
) -> Result<Option<usize>, String> {
    let candidates = candidates(writes, found, clocks);
    candidates.map(|candidates| candidates.first().copied().flatten())
}

/// All writes that explain what was found, in their order; `None` among them, at the front, is
/// that nothing was ever written.
fn candidates(
    writes: &[Write],
    found: Option<&Found>,
    clocks: Clocks,
) -> Result<Vec<Option<usize>>, String> {
    let promised = writes
        .iter()
        .rposition(|write| write.state == WriteState::Durable);
    let first = promised.unwrap_or(0);
    let nothing = promised.is_none() && found.is_none();
    let mut candidates: Vec<Option<usize>> = nothing.then_some(None).into_iter().collect();
    let open = writes.iter().enumerate().skip(first);
    let open = open.filter(|(_, write)| write.state != WriteState::Refused);
    let explaining = open.filter(|(_, write)| write.explains(found, clocks));
    candidates.extend(explaining.map(|(index, _)| Some(index)));
    if candidates.is_empty() {
        return Err(explain(writes, first, found, clocks));
    }
    Ok(candidates)
}

/// What was found includes a write of version `newest`: it must include all that were answered
/// with a smaller one.
fn check_cut(later: &[Write], newest: Option<Version>) -> Result<(), String> {
    let missing = later.iter().find(|write| {
        write.state == WriteState::Answered && write.version.is_some_and(|it| Some(it) < newest)
    });
    missing.map_or(Ok(()), |write| {
        Err(format!(
            "{} is missing though a later write is there, {newest:?}",
            write.shown()
        ))
    })
}

fn explain(writes: &[Write], first: usize, found: Option<&Found>, clocks: Clocks) -> String {
    let wanted: Vec<String> = writes[first..].iter().map(Write::shown).collect();
    let origin = found.map(|found| {
        let same = writes
            .iter()
            .find(|write| write.value.as_deref() == Some(&found.value[..]));
        let origin = same.map_or("bytes nobody wrote".to_owned(), Write::shown);
        format!(
            "{origin} with {:?}, expiry {}",
            found.version, found.expiry_ms
        )
    });
    format!(
        "found {}, wanted one of [{}] at {clocks:?}",
        origin.unwrap_or("nothing".to_owned()),
        wanted.join("; ")
    )
}

impl Write {
    fn explains(&self, found: Option<&Found>, clocks: Clocks) -> bool {
        let may_be_gone = self.expiry_ms != 0 && self.expiry_ms <= clocks.latest_ms;
        let is_gone = self.expiry_ms != 0 && self.expiry_ms <= clocks.wall_ms;
        match (&self.value, found) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some(_), None) => may_be_gone,
            (Some(value), Some(found)) => {
                !is_gone
                    && value[..] == found.value[..]
                    && self.expiry_ms == found.expiry_ms
                    && self.version.is_none_or(|version| version == found.version)
            }
        }
    }

    fn shown(&self) -> String {
        let what = match &self.value {
            Some(value) => format!("put {} of {} bytes", self.id.0, value.len()),
            None => format!("delete {}", self.id.0),
        };
        let version = self
            .version
            .map_or(String::new(), |it| format!(" as {:x}", it.stamp));
        let expiry = match self.expiry_ms {
            0 => String::new(),
            expiry_ms => format!(" until {expiry_ms}"),
        };
        format!("{what}{version}{expiry} ({:?})", self.state)
    }
}

#[cfg(test)]
mod tests;
