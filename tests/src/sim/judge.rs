//! What a host shows of a key, judged by what was promised: the rules of `history`, applied to a
//! value or to its absence.
//! Judges and raises what is promised; sends and answers are the matter of `history`.

use proto::version::Version;

use super::history::{Floor, History, Outcome, Sight, Write, WriteId};
use crate::log_oracle::Found;

impl History {
    /// A value of a key, found on `host` at some moment between two sights.
    pub(super) fn check_found(
        &mut self,
        host: usize,
        sent: &Sight,
        found: &Found,
        now: &Sight,
    ) -> Result<(), String> {
        let id = self.writer(sent.key, &found.value)?;
        let wrong = |why: String| {
            let shown = self.shown(id);
            format!("host {host} shows {shown} as {:?}: {why}", found.version)
        };
        self.check_writer(host, id, sent, found.version)
            .map_err(wrong)?;
        self.check_floor(host, sent, found).map_err(wrong)?;
        self.check_expiry(host, id, found, sent, now)
            .map_err(wrong)?;
        self.check_stamp(host, found.version, now).map_err(wrong)?;
        let is_new = !self.named.contains_key(&(sent.key, found.version));
        self.name(found.version, id)?;
        let repeats =
            matches!(self.writes[id.0].outcome, Outcome::Stored(it) if it != found.version);
        self.tally.repeated += u64::from(is_new && repeats);
        let is_unknown = self.writes[id.0].outcome == Outcome::Unknown;
        self.tally.unknown_applied += u64::from(is_new && is_unknown);
        if !self.has_lost(host, sent.at) {
            let expiry_ms = Some(found.expiry_ms);
            self.raise(host, sent.key, found.version, id, expiry_ms);
        }
        Ok(())
    }

    /// No value of a key, on `host` at some moment between two sights.
    pub(super) fn check_absent(
        &mut self,
        host: usize,
        sent: &Sight,
        now: &Sight,
    ) -> Result<(), String> {
        let floor = self.floor(host, sent);
        let Some(id) = floor.write else {
            return Ok(());
        };
        let write = &self.writes[id.0];
        if write.bytes.is_none() || floor.is_gone {
            return Ok(());
        }
        let latest_ms = self.hosts[host].wall.latest(now.walls[host]);
        let least = |write: &Write| self.expiry_least(host, write, now);
        if floor.expiry_ms.unwrap_or_else(|| least(write)) <= latest_ms {
            self.tally.expired += 1;
            return Ok(());
        }
        let node = self.hosts[host].node;
        let explains = |other: &&WriteId| {
            let other = &self.writes[other.0];
            let is_later = matches!(other.outcome, Outcome::Stored(version)
                if version.node == node && version > floor.version);
            let may_be = other.outcome == Outcome::Unknown || other.may_repeat || is_later;
            may_be && (other.bytes.is_none() || least(other) <= latest_ms)
        };
        if !self.by_key[sent.key].iter().any(|id| explains(&id)) {
            let shown = self.shown(id);
            let version = floor.version;
            return Err(format!("host {host} has lost {shown} as {version:?}"));
        }
        let current = &mut self.hosts[host].floors[sent.key];
        if current.version == floor.version {
            current.is_gone = true;
        }
        Ok(())
    }

    /// A version is a stamp of the host's own clock: never ahead of all that clock has read.
    pub(super) fn check_stamp(
        &self,
        host: usize,
        version: Version,
        now: &Sight,
    ) -> Result<(), String> {
        let latest_ms = self.hosts[host].wall.latest(now.walls[host]);
        if version.wall_ms() <= latest_ms {
            return Ok(());
        }
        Err(format!(
            "{version:?} is of {} ms, and the clock of host {host} never was past {latest_ms}",
            version.wall_ms()
        ))
    }

    /// Who wrote this value of this key.
    fn writer(&self, key: usize, value: &[u8]) -> Result<WriteId, String> {
        let number = value.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let id = number.and_then(|number| usize::try_from(number).ok());
        let id = id.filter(|id| *id < self.writes.len()).map(WriteId);
        let Some(id) = id.filter(|id| self.value(*id) == value) else {
            let bytes = value.len();
            return Err(format!(
                "key {key} has a value of {bytes} bytes that nobody wrote"
            ));
        };
        if self.writes[id.0].key == key {
            return Ok(id);
        }
        Err(format!("key {key} has the value of {}", self.shown(id)))
    }

    fn check_writer(
        &self,
        host: usize,
        id: WriteId,
        sent: &Sight,
        version: Version,
    ) -> Result<(), String> {
        let write = &self.writes[id.0];
        match write.outcome {
            Outcome::Refused => return Err("it was refused".to_owned()),
            Outcome::Lost if !write.may_repeat && !self.has_lost(host, sent.at) => {
                return Err("its disk is gone".to_owned());
            }
            Outcome::Stored(stored) if stored != version && !write.may_repeat => {
                return Err(format!("it was stored as {stored:?}"));
            }
            Outcome::Unknown | Outcome::Stored(_) | Outcome::Lost => {}
        }
        let earlier = self.floor(host, &write.sent).version;
        if version <= earlier {
            return Err(format!("when it was sent there was {earlier:?}"));
        }
        Ok(())
    }

    fn check_floor(&self, host: usize, sent: &Sight, found: &Found) -> Result<(), String> {
        let floor = self.floor(host, sent);
        let promised = || {
            let shown = floor.write.map(|id| self.shown(id));
            format!("{} as {:?}", shown.unwrap_or_default(), floor.version)
        };
        if found.version < floor.version {
            return Err(format!("{} was promised", promised()));
        }
        if found.version == floor.version && floor.is_gone {
            return Err("it was gone before".to_owned());
        }
        let is_other = floor.expiry_ms.is_some_and(|it| it != found.expiry_ms);
        if found.version == floor.version && is_other {
            return Err(format!(
                "it expires at {} and did at {:?}",
                found.expiry_ms, floor.expiry_ms
            ));
        }
        Ok(())
    }

    /// A lifetime runs from the moment of the write by the host's own clock, which is at most that
    /// of its version; a value whose lifetime is over is not found.
    fn check_expiry(
        &self,
        host: usize,
        id: WriteId,
        found: &Found,
        sent: &Sight,
        now: &Sight,
    ) -> Result<(), String> {
        let write = &self.writes[id.0];
        let least_ms = self.expiry_least(host, write, now);
        let most_ms = found.version.wall_ms() + write.ttl_ms;
        if !(least_ms..=most_ms).contains(&found.expiry_ms) {
            let expiry_ms = found.expiry_ms;
            return Err(format!(
                "it expires at {expiry_ms}, not within {least_ms}..={most_ms}"
            ));
        }
        let from = (sent.at, sent.walls[host]);
        let to = (now.at, now.walls[host]);
        let read_ms = self.hosts[host].wall.least(from, to);
        if found.expiry_ms <= read_ms {
            let expiry_ms = found.expiry_ms;
            return Err(format!("it expired at {expiry_ms}, it is {read_ms}"));
        }
        Ok(())
    }

    /// The earliest moment at which a write can expire on a host.
    fn expiry_least(&self, host: usize, write: &Write, now: &Sight) -> u64 {
        let from = (write.sent.at, write.sent.walls[host]);
        let to = (now.at, now.walls[host]);
        self.hosts[host].wall.least(from, to) + write.ttl_ms
    }

    /// What was promised of a key on a host at a sight, unless the host has lost it since.
    pub(super) fn floor(&self, host: usize, sight: &Sight) -> Floor {
        if self.has_lost(host, sight.at) {
            return Floor::default();
        }
        sight.floors[host]
    }
}

#[cfg(test)]
mod tests;
