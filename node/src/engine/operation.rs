//! Operations under way: a client's request at its gateway, or a peer's request that waits for the
//! shard of another core. Kept in numbered slots, so that an answer finds its operation without a
//! map.

use std::time::Duration;

use proto::id::Id;
use proto::message::{LookupMode, ReplyTo, RequestId, Route};
use proto::peer::NodeName;
use proto::planted::{self, Bug};

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
    /// Bytes of the value it holds, here or in the mail to another core.
    pub(super) held_bytes: usize,
    pub(super) stage: Stage,
    pub(super) started: Duration,
    pub(super) deadline: Duration,
    pub(super) route: Route,
    /// How often the owner was asked.
    pub(super) asked: u16,
    /// How often an attempt led nowhere.
    pub(super) failures: u16,
    /// It is a write, and an owner that was asked has said nothing: that one may have applied it,
    /// whatever another one says later.
    pub(super) is_doubtful: bool,
}

/// The operations of a core.
#[derive(Debug)]
pub(super) struct Operations {
    core: u8,
    tag: u8,
    slots: Vec<Slot>,
    free: Vec<u16>,
    held_bytes: usize,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
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
            held_bytes: 0,
        }
    }

    /// How many are under way.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Bytes of values that operations hold until they end.
    pub(super) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Begins an operation and gives its number; the caller keeps within [`OPERATIONS_MAX`].
    pub(super) fn insert(&mut self, operation: Operation) -> RequestId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                operation: None,
            });
            u16::try_from(self.slots.len() - 1).expect("operations are bounded by 2^16")
        });
        self.held_bytes += operation.held_bytes;
        let slot = &mut self.slots[usize::from(index)];
        slot.operation = Some(operation);
        let generation = slot.generation;
        self.number(index, generation)
    }

    /// The operation called `number`, unless it has ended.
    pub(super) fn get_mut(&mut self, number: RequestId) -> Option<&mut Operation> {
        let slot = self.slots.get_mut(slot_index(number))?;
        if slot.generation == number.sequence() {
            slot.operation.as_mut()
        } else {
            None
        }
    }

    /// Ends the operation called `number`.
    pub(super) fn remove(&mut self, number: RequestId) -> Option<Operation> {
        let slot = self.slots.get_mut(slot_index(number))?;
        if slot.generation != number.sequence() {
            return None;
        }
        let operation = slot.operation.take()?;
        if !planted::is(Bug::NumberReused) {
            slot.generation = slot.generation.wrapping_add(1);
        }
        self.held_bytes -= operation.held_bytes;
        self.free.push(number.instance());
        Some(operation)
    }

    /// The numbers of all operations that `wanted` holds for, in slot order.
    pub(super) fn select(&self, wanted: impl Fn(&Operation) -> bool) -> Vec<RequestId> {
        let numbered = self.slots.iter().zip(0u16..=u16::MAX);
        numbered
            .filter(|(slot, _)| slot.operation.as_ref().is_some_and(&wanted))
            .map(|(slot, index)| self.number(index, slot.generation))
            .collect()
    }

    /// The slot stands where ids of other parts have their instance, the generation where they have
    /// their sequence: a number comes again only after 2^32 operations in its slot, so that a late
    /// answer meets nobody.
    fn number(&self, index: u16, generation: u32) -> RequestId {
        let high = u64::from(self.core) << 56 | u64::from(self.tag) << 48;
        RequestId(high | u64::from(index) << 32 | u64::from(generation))
    }
}

fn slot_index(number: RequestId) -> usize {
    usize::from(number.instance())
}

/// Most operations under way on a core: what 16 bits of a number can tell apart.
pub const OPERATIONS_MAX: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn operation() -> Operation {
        Operation {
            origin: Origin::Front(Ticket(1)),
            task: Task::Handed,
            write: false,
            position: Id::ZERO,
            held_bytes: 10,
            stage: Stage::Shard,
            started: Duration::ZERO,
            deadline: Duration::ZERO,
            route: Route::default(),
            asked: 0,
            failures: 0,
            is_doubtful: false,
        }
    }

    /// Regression: with 16 bits of generation a late answer could reach another request.
    #[test]
    fn numbers_of_one_slot_come_again_only_after_two_to_the_32() {
        let mut operations = Operations::new(0, 3);
        let first = operations.insert(operation());
        operations.remove(first);
        for _ in 0..70_000 {
            let next = operations.insert(operation());
            assert_ne!(first, next);
            operations.remove(next);
        }
    }

    #[test]
    fn a_number_dies_with_its_operation() {
        let mut operations = Operations::new(3, 9);
        let first = operations.insert(operation());
        assert_eq!((first.core(), first.tag()), (3, 9));
        assert!(operations.remove(first).is_some());
        let second = operations.insert(operation());
        assert_eq!(first.instance(), second.instance());
        assert!(operations.get_mut(first).is_none() && operations.remove(first).is_none());
        assert!(operations.get_mut(second).is_some());
        assert_eq!((operations.len(), operations.held_bytes()), (1, 10));
    }
}
