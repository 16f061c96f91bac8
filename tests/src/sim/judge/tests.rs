//! The judge finds what it is there to find, and nothing else: each rule with what keeps it and
//! what breaks it.
//! Histories are written by hand, with one host whose clock reads the time of the run.

use std::time::Duration;

use node::engine::shard::TtlPolicy;

use super::*;

const NODE: u64 = 7;

/// A history of one host, and the time.
struct Story {
    history: History,
    at_ms: u64,
}

impl Story {
    fn new() -> Self {
        let ttl = TtlPolicy {
            default_s: 100,
            min_s: 1,
            max_s: 1_000,
        };
        let history = History::new(&[NODE], 4, ttl, 1);
        Self {
            history,
            at_ms: 1_000,
        }
    }

    fn sight(&mut self) -> Sight {
        self.at_ms += 10;
        let at = Duration::from_millis(self.at_ms);
        self.history.sight(1, at, &[self.at_ms])
    }

    fn put(&mut self, ttl_s: u32) -> WriteId {
        let sight = self.sight();
        self.history.put(sight, 20, ttl_s)
    }

    fn delete(&mut self) -> WriteId {
        let sight = self.sight();
        self.history.delete(sight)
    }

    fn stored(&mut self, id: WriteId) -> Version {
        let now = self.sight();
        let version = self.version();
        self.history.stored(id, version, false, &now).unwrap();
        version
    }

    /// A put that was stored, and how it is found.
    fn stored_put(&mut self, ttl_s: u32) -> (WriteId, Found) {
        let id = self.put(ttl_s);
        let version = self.stored(id);
        (id, self.found(id, version, ttl_s))
    }

    fn found(&self, id: WriteId, version: Version, ttl_s: u32) -> Found {
        Found {
            version,
            expiry_ms: version.wall_ms() + u64::from(ttl_s) * 1_000,
            value: self.history.value(id),
        }
    }

    fn version(&self) -> Version {
        Version {
            stamp: self.at_ms << 16,
            node: NODE,
        }
    }

    fn see(&mut self, found: Option<&Found>) -> Result<(), String> {
        let (sent, now) = (self.sight(), self.sight());
        match found {
            Some(found) => self.history.read(&sent, found, &now),
            None => self.history.absent(&sent, Some(0), &now),
        }
    }
}

#[test]
fn an_acknowledged_write_is_found_until_it_is_overwritten_or_deleted() {
    let mut story = Story::new();
    let (_, first) = story.stored_put(100);
    assert_eq!(story.see(Some(&first)), Ok(()));
    assert!(story.see(None).unwrap_err().contains("has lost"));
    let (_, second) = story.stored_put(100);
    assert!(
        story
            .see(Some(&first))
            .unwrap_err()
            .contains("was promised")
    );
    assert_eq!(story.see(Some(&second)), Ok(()));
    let delete = story.delete();
    story.stored(delete);
    assert_eq!(story.see(None), Ok(()));
    assert!(story.see(Some(&second)).is_err(), "it was deleted");
}

#[test]
fn a_write_of_unknown_outcome_may_count_at_any_time_and_stays_then() {
    let mut story = Story::new();
    let (_, old) = story.stored_put(100);
    let id = story.put(100);
    story.history.unknown(id);
    assert_eq!(story.see(Some(&old)), Ok(()));
    let found = story.found(id, story.version(), 100);
    assert_eq!(story.see(Some(&found)), Ok(()));
    assert!(story.see(Some(&old)).is_err());
    assert_eq!(story.history.tally.unknown_applied, 1);
}

#[test]
fn what_an_unknown_delete_took_does_not_come_back() {
    let mut story = Story::new();
    let (_, found) = story.stored_put(100);
    story.delete();
    assert_eq!(story.see(Some(&found)), Ok(()));
    assert_eq!(story.see(None), Ok(()));
    assert!(story.see(Some(&found)).unwrap_err().contains("gone before"));
}

#[test]
fn a_refused_write_is_never_seen_and_neither_are_bytes_from_nowhere() {
    let mut story = Story::new();
    let id = story.put(100);
    story.history.refused(id);
    let mut found = story.found(id, story.version(), 100);
    assert!(story.see(Some(&found)).unwrap_err().contains("refused"));
    found.value[15] ^= 1;
    assert!(
        story
            .see(Some(&found))
            .unwrap_err()
            .contains("nobody wrote")
    );
    assert_eq!(story.see(None), Ok(()));
}

#[test]
fn a_lifetime_runs_from_the_write_by_the_clock_of_the_host() {
    let mut story = Story::new();
    let (_, mut found) = story.stored_put(2);
    found.expiry_ms += 1;
    assert!(story.see(Some(&found)).unwrap_err().contains("not within"));
    found.expiry_ms -= 1;
    assert_eq!(story.see(Some(&found)), Ok(()));
    story.at_ms += 2_000;
    assert!(story.see(Some(&found)).unwrap_err().contains("it expired"));
    assert_eq!(story.see(None), Ok(()));
}

#[test]
fn only_a_write_that_was_asked_for_again_may_be_found_twice() {
    for may_repeat in [false, true] {
        let mut story = Story::new();
        let id = story.put(100);
        let (now, version) = (story.sight(), story.version());
        story.history.stored(id, version, may_repeat, &now).unwrap();
        let again = story.found(id, story.version(), 100);
        story.at_ms += 10;
        let later = Found {
            version: story.version(),
            expiry_ms: story.at_ms + 100_000,
            ..again
        };
        assert_eq!(story.see(Some(&later)).is_ok(), may_repeat);
    }
}

#[test]
fn one_version_belongs_to_one_write() {
    let mut story = Story::new();
    let (one, other) = (story.put(100), story.put(100));
    let version = story.stored(one);
    let now = story.sight();
    assert!(story.history.stored(other, version, false, &now).is_err());
}

#[test]
fn a_disk_that_was_replaced_promises_nothing_and_gives_nothing_back() {
    let mut story = Story::new();
    let (_, found) = story.stored_put(100);
    story.at_ms += 10;
    story.history.replace(0, Duration::from_millis(story.at_ms));
    assert_eq!(story.see(None), Ok(()));
    assert!(
        story
            .see(Some(&found))
            .unwrap_err()
            .contains("disk is gone")
    );
}
