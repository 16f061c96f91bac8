//! Operations under way: a client's request at its gateway, or a peer's request that waits for the
//! shard of another core. Kept in numbered slots, so that an answer finds its operation without a
//! map.

use std::time::Duration;

use proto::id::Id;
use proto::message::{LookupMode, ReplyTo, RequestId, Route};
use proto::peer::NodeName;

use super::mail::ShardOp;
use super::request::Ticket;

/// Who waits for the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// A front of this core.
    Front(Ticket),
    /// A native client on a link: this node is its gateway.
    Client(ReplyTo),
    /// A gateway on another node: this node is the owner.
    Gateway(ReplyTo),
}

/// What is asked, owned for as long as the operation lasts.
#[derive(Debug)]
pub(super) enum Task {
    /// Something of the shard that owns the key.
    Shard(ShardOp),
    /// Find an owner.
    Lookup(LookupMode),
    /// Handed to the shard of another core, which answers in any case.
    Handed,
}

/// Where an operation stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// The router looks for the owner.
    Lookup,
    /// The owner was asked and has to answer by `until`.
    Owner { name: NodeName, until: Duration },
    /// Another core's shard was asked.
    Shard,
    /// The ring disagreed with itself: look again at `until`.
    Pause { until: Duration },
}

/// One operation.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) origin: Origin,
    pub(super) task: Task,
    /// Whether it changes anything: then a lost answer leaves its outcome unknown.
    pub(super) write: bool,
    pub(super) position: Id,
    pub(super) stage: Stage,
    pub(super) started: Duration,
    pub(super) deadline: Duration,
    pub(super) route: Route,
    /// How often the owner was asked.
    pub(super) asked: u16,
    /// How often an attempt led nowhere.
    pub(super) failures: u16,
}

/// The operations of a core.
#[derive(Debug)]
pub(super) struct Operations {
    core: u8,
    tag: u8,
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    generation: u16,
    operation: Option<Operation>,
}

impl Operations {
    /// No operations; numbers carry `core` and `tag`.
    pub(super) const fn new(core: u8, tag: u8) -> Self {
        Self {
            core,
            tag,
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// How many are under way.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Begins an operation and gives its number.
    pub(super) fn insert(&mut self, operation: Operation) -> RequestId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                operation: None,
            });
            u32::try_from(self.slots.len() - 1).expect("operations are bounded far below 2^32")
        });
        let slot = &mut self.slots[index as usize];
        slot.operation = Some(operation);
        let generation = slot.generation;
        self.number(index, generation)
    }

    /// The operation called `number`, unless it has ended.
    pub(super) fn get_mut(&mut self, number: RequestId) -> Option<&mut Operation> {
        let slot = self.slots.get_mut(slot_index(number))?;
        if slot.generation == number.instance() {
            slot.operation.as_mut()
        } else {
            None
        }
    }

    /// Ends the operation called `number`.
    pub(super) fn remove(&mut self, number: RequestId) -> Option<Operation> {
        let slot = self.slots.get_mut(slot_index(number))?;
        if slot.generation != number.instance() {
            return None;
        }
        let operation = slot.operation.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(number.sequence());
        Some(operation)
    }

    /// The numbers of all operations that `wanted` holds for, in slot order.
    pub(super) fn select(&self, wanted: impl Fn(&Operation) -> bool) -> Vec<RequestId> {
        let numbered = self.slots.iter().zip(0u32..);
        numbered
            .filter(|(slot, _)| slot.operation.as_ref().is_some_and(&wanted))
            .map(|(slot, index)| self.number(index, slot.generation))
            .collect()
    }

    fn number(&self, index: u32, generation: u16) -> RequestId {
        let high = u64::from(self.core) << 56 | u64::from(self.tag) << 48;
        RequestId(high | u64::from(generation) << 32 | u64::from(index))
    }
}

const fn slot_index(number: RequestId) -> usize {
    number.sequence() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation() -> Operation {
        Operation {
            origin: Origin::Front(Ticket(1)),
            task: Task::Handed,
            write: false,
            position: Id::ZERO,
            stage: Stage::Shard,
            started: Duration::ZERO,
            deadline: Duration::ZERO,
            route: Route::default(),
            asked: 0,
            failures: 0,
        }
    }

    #[test]
    fn a_number_dies_with_its_operation() {
        let mut operations = Operations::new(3, 9);
        let first = operations.insert(operation());
        assert_eq!((first.core(), first.tag()), (3, 9));
        assert!(operations.remove(first).is_some());
        let second = operations.insert(operation());
        assert_eq!(first.sequence(), second.sequence());
        assert!(operations.get_mut(first).is_none() && operations.remove(first).is_none());
        assert!(operations.get_mut(second).is_some());
        assert_eq!(operations.len(), 1);
    }
}
