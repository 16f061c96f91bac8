//! Mailboxes: how the cores of a node hand each other mail without sharing anything else.
//!
//! One bounded ring for each ordered pair of cores. Mail is visible to the receiver at once; waking
//! a sleeping receiver is left to [`MailPort::flush`], once a turn and core. A ring that is full
//! leaves the mail in a bounded overflow queue of the sender, from where it follows in order as
//! soon as the receiver has made room; when that is full too, the mail is handed back. Nothing is
//! dropped, except with the port of a core that has ended.
//!
//! The runtime's own waker does the waking: monoio's `sync` feature passes it to the sleeping
//! thread over an eventfd. There and back between two sleepers takes 11 µs so; a bare eventfd with
//! a read of its own takes 9 (`bench/benches/mailbox.rs`), but such a read would block a core in
//! epoll mode.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use rtrb::{Consumer, Producer, PushError, RingBuffer};

use crate::engine::mail::Mail;

/// The mailboxes of a node.
pub struct Mailboxes;

/// One core's end of all its mailboxes. It belongs to the core's thread.
pub struct MailPort<M = Mail> {
    core: u8,
    outboxes: RefCell<Vec<Outbox<M>>>,
    inboxes: RefCell<Inboxes<M>>,
    beds: Arc<[Bed]>,
    /// Mail received since this port last had none.
    streak: Cell<usize>,
    /// The waker that lies in this core's bed.
    waker: RefCell<Option<Waker>>,
}

/// Mail that found both the ring and the overflow queue full.
#[derive(Debug)]
pub struct Undelivered<M>(pub M);

/// Where a core sleeps and is woken.
#[derive(Default)]
#[repr(align(128))]
struct Bed {
    is_asleep: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

struct Outbox<M> {
    /// None towards the core itself.
    ring: Option<Producer<M>>,
    overflow: VecDeque<M>,
    /// Mail was sent since the last flush.
    is_fresh: bool,
    wants_room: Arc<AtomicBool>,
}

struct Inboxes<M> {
    boxes: Vec<Inbox<M>>,
    /// The inbox to look into first, so that none is starved.
    turn: usize,
}

struct Inbox<M> {
    from: u8,
    ring: Consumer<M>,
    /// Set by the sender when it has mail that found no room.
    wants_room: Arc<AtomicBool>,
}

impl Mailboxes {
    /// A port for each of `cores` cores, in their order.
    #[must_use]
    #[expect(clippy::new_ret_no_self, reason = "the ports are all there is")]
    pub fn new<M: Send>(cores: u8) -> Vec<MailPort<M>> {
        let slots = (SLOTS_OF_NODE / usize::from(cores.max(1)).pow(2)).clamp(SLOTS_MIN, SLOTS_MAX);
        Self::with_slots(cores, slots)
    }

    fn with_slots<M: Send>(cores: u8, slots: usize) -> Vec<MailPort<M>> {
        let beds: Arc<[Bed]> = (0..cores).map(|_| Bed::default()).collect();
        let mut ports: Vec<_> = (0..cores).map(|core| MailPort::new(core, &beds)).collect();
        for from in 0..cores {
            for to in 0..cores {
                let wants_room = Arc::new(AtomicBool::new(false));
                let mut outbox = Outbox::new(Arc::clone(&wants_room));
                if from != to {
                    let (producer, ring) = RingBuffer::new(slots);
                    outbox.ring = Some(producer);
                    let inbox = Inbox {
                        from,
                        ring,
                        wants_room,
                    };
                    ports[usize::from(to)].inboxes.get_mut().boxes.push(inbox);
                }
                ports[usize::from(from)].outboxes.get_mut().push(outbox);
            }
        }
        ports
    }
}

impl<M> MailPort<M> {
    /// Sends mail to core `to`, behind all earlier mail to it. The core may not hear of it before
    /// [`MailPort::flush`].
    pub fn send(&self, to: u8, mail: M) -> Result<(), Undelivered<M>> {
        assert_ne!(to, self.core, "a core does not write to itself");
        self.outboxes.borrow_mut()[usize::from(to)].push(mail)
    }

    /// Wakes the cores that got mail since the last flush and sleep. To be called once a turn.
    pub fn flush(&self) {
        let mut outboxes = self.outboxes.borrow_mut();
        let mut is_fresh = false;
        for outbox in outboxes.iter_mut() {
            outbox.move_overflow();
            is_fresh |= outbox.is_fresh;
        }
        if !is_fresh {
            return;
        }
        // Pairs with the fence of a core that goes to sleep: either it sees the mail, or this sees
        // that it sleeps.
        fence(Ordering::SeqCst);
        for (outbox, bed) in outboxes.iter_mut().zip(self.beds.iter()) {
            if std::mem::take(&mut outbox.is_fresh) {
                bed.wake();
            }
        }
    }

    /// The next mail, waiting for it. Mail of all cores takes turns. After some hundred mails in a
    /// row it lets other tasks run. May be dropped at any time without losing mail.
    pub async fn recv(&self) -> M {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// The next mail if there is one. When there is none, the core is woken as soon as there is.
    pub fn poll_recv(&self, context: &mut Context<'_>) -> Poll<M> {
        if self.streak.get() >= STREAK_MAX {
            self.streak.set(0);
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let bed = &self.beds[usize::from(self.core)];
        let mut mail = self.try_recv();
        if mail.is_none() {
            self.leave_waker(bed, context.waker());
            bed.is_asleep.store(true, Ordering::Relaxed);
            // Pairs with the fence of those that wake: what they did before is seen below, or they
            // see that this core sleeps.
            fence(Ordering::SeqCst);
            self.flush();
            self.offer_room();
            mail = self.try_recv();
        }
        match mail {
            Some(mail) => {
                bed.rise();
                Poll::Ready(mail)
            }
            None => Poll::Pending,
        }
    }

    /// The next mail if there is one.
    pub fn try_recv(&self) -> Option<M> {
        let mut inboxes = self.inboxes.borrow_mut();
        let count = inboxes.boxes.len();
        for _ in 0..count {
            let turn = inboxes.turn;
            let next_turn = if turn + 1 == count { 0 } else { turn + 1 };
            let inbox = &mut inboxes.boxes[turn];
            if let Ok(mail) = inbox.ring.pop() {
                inbox.offer_room(&self.beds);
                let streak = self.streak.get() + 1;
                self.streak.set(streak);
                if streak.is_multiple_of(TURN_MAILS) {
                    inboxes.turn = next_turn;
                }
                return Some(mail);
            }
            inboxes.turn = next_turn;
        }
        self.streak.set(0);
        None
    }

    /// Mails that wait in overflow queues: while there are any, a core had better not take on more
    /// work that needs other cores.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.outboxes
            .borrow()
            .iter()
            .map(|outbox| outbox.overflow.len())
            .sum()
    }

    fn new(core: u8, beds: &Arc<[Bed]>) -> Self {
        Self {
            core,
            outboxes: RefCell::new(Vec::new()),
            inboxes: RefCell::new(Inboxes {
                boxes: Vec::new(),
                turn: 0,
            }),
            beds: Arc::clone(beds),
            streak: Cell::new(0),
            waker: RefCell::new(None),
        }
    }

    fn offer_room(&self) {
        let inboxes = self.inboxes.borrow();
        inboxes
            .boxes
            .iter()
            .for_each(|inbox| inbox.offer_room(&self.beds));
    }

    fn leave_waker(&self, bed: &Bed, waker: &Waker) {
        let mut own = self.waker.borrow_mut();
        if own.as_ref().is_some_and(|own| own.will_wake(waker)) {
            return;
        }
        *own = Some(waker.clone());
        bed.set_waker(Some(waker.clone()));
    }
}

/// A core that has ended is not woken any more.
impl<M> Drop for MailPort<M> {
    fn drop(&mut self) {
        let bed = &self.beds[usize::from(self.core)];
        bed.rise();
        bed.set_waker(None);
    }
}

impl Bed {
    /// Wakes the core when it sleeps. The caller has put a fence behind what it wakes it for.
    fn wake(&self) {
        let is_asleep = self.is_asleep.load(Ordering::Relaxed);
        if !is_asleep || !self.is_asleep.swap(false, Ordering::AcqRel) {
            return;
        }
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = waker.as_ref() {
            waker.wake_by_ref();
        }
    }

    fn rise(&self) {
        if self.is_asleep.load(Ordering::Relaxed) {
            self.is_asleep.store(false, Ordering::Relaxed);
        }
    }

    fn set_waker(&self, waker: Option<Waker>) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = waker;
    }
}

impl<M> Outbox<M> {
    fn new(wants_room: Arc<AtomicBool>) -> Self {
        Self {
            ring: None,
            overflow: VecDeque::new(),
            is_fresh: false,
            wants_room,
        }
    }

    fn push(&mut self, mail: M) -> Result<(), Undelivered<M>> {
        self.is_fresh = true;
        let mail = match &mut self.ring {
            Some(ring) if self.overflow.is_empty() => match ring.push(mail) {
                Ok(()) => return Ok(()),
                Err(PushError::Full(mail)) => mail,
            },
            _ => mail,
        };
        if self.overflow.len() >= OVERFLOW_MAX {
            return Err(Undelivered(mail));
        }
        self.overflow.push_back(mail);
        Ok(())
    }

    /// Moves mail that found no room into the ring, and asks to be woken when not all fits.
    fn move_overflow(&mut self) {
        let Some(ring) = &mut self.ring else { return };
        while !self.overflow.is_empty() {
            if ring.is_full() {
                self.wants_room.store(true, Ordering::Relaxed);
                fence(Ordering::SeqCst);
                if ring.is_full() {
                    return;
                }
            }
            if let Some(Err(PushError::Full(mail))) =
                self.overflow.pop_front().map(|m| ring.push(m))
            {
                self.overflow.push_front(mail);
                return;
            }
            self.is_fresh = true;
        }
    }
}

impl<M> Inbox<M> {
    /// Wakes a sender that waits for room once half of the ring is free.
    fn offer_room(&self, beds: &[Bed]) {
        if !self.wants_room.load(Ordering::Relaxed) {
            return;
        }
        let capacity = self.ring.buffer().capacity();
        if self.ring.slots() * 2 <= capacity && self.wants_room.swap(false, Ordering::AcqRel) {
            fence(Ordering::SeqCst);
            beds[usize::from(self.from)].wake();
        }
    }
}

/// Slots of all rings of a node together, shared by the pairs of its cores.
const SLOTS_OF_NODE: usize = 256 * 1024;

/// Fewest slots of a ring.
const SLOTS_MIN: usize = 64;

/// Most slots of a ring: several turns' worth of mail.
const SLOTS_MAX: usize = 1024;

/// Most mails that wait for room in one ring.
const OVERFLOW_MAX: usize = 64 * 1024;

/// Mails received from one core before the next one has its turn.
const TURN_MAILS: usize = 32;

/// Mails received in a row before other tasks are let run.
const STREAK_MAX: usize = 512;

const _: () = assert!(SLOTS_MIN < SLOTS_MAX && SLOTS_MAX < OVERFLOW_MAX);
const _: () = assert!(STREAK_MAX.is_multiple_of(TURN_MAILS));

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;
    use std::task::Wake;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn pair(slots: usize) -> (MailPort<u32>, MailPort<u32>) {
        let mut ports = Mailboxes::with_slots(2, slots);
        let second = ports.pop().unwrap();
        (ports.pop().unwrap(), second)
    }

    #[test]
    fn one_flush_wakes_a_sleeper_once_and_nobody_else() {
        let (a, b) = pair(8);
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        let woken = || count.0.swap(0, Ordering::SeqCst);
        a.send(1, 10).unwrap();
        a.flush();
        assert_eq!(b.poll_recv(&mut context), Poll::Ready(10));
        assert_eq!((b.poll_recv(&mut context), woken()), (Poll::Pending, 0));
        a.flush();
        assert_eq!(woken(), 0, "there was no mail");
        a.send(1, 11).unwrap();
        a.send(1, 12).unwrap();
        assert_eq!(woken(), 0);
        a.flush();
        a.send(1, 13).unwrap();
        a.flush();
        assert_eq!(woken(), 1);
        for mail in 11..14 {
            assert_eq!(b.poll_recv(&mut context), Poll::Ready(mail));
        }
        drop(b);
        a.send(1, 14).unwrap();
        a.flush();
        assert_eq!(woken(), 0);
    }

    #[test]
    fn mail_without_room_follows_in_order_once_there_is_some() {
        let (a, b) = pair(4);
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        for mail in 0..10 {
            a.send(1, mail).unwrap();
        }
        assert_eq!(a.backlog(), 6);
        assert_eq!(a.poll_recv(&mut context), Poll::Pending);
        assert_eq!((b.try_recv(), count.0.load(Ordering::SeqCst)), (Some(0), 0));
        assert_eq!((b.try_recv(), count.0.load(Ordering::SeqCst)), (Some(1), 1));
        assert_eq!(a.poll_recv(&mut context), Poll::Pending);
        for mail in 2..10 {
            assert_eq!(b.try_recv(), Some(mail));
            a.flush();
        }
        assert_eq!((b.try_recv(), a.backlog()), (None, 0));
    }

    #[test]
    fn mail_beyond_every_bound_is_handed_back() {
        let (a, b) = pair(4);
        let most = 4 + u32::try_from(OVERFLOW_MAX).unwrap();
        for mail in 0..most {
            a.send(1, mail).unwrap();
        }
        assert_eq!(a.send(1, most).unwrap_err().0, most);
        assert_eq!(b.try_recv(), Some(0));
        a.flush();
        a.send(1, most).unwrap();
        for mail in 1..=most {
            a.flush();
            assert_eq!(b.try_recv(), Some(mail));
        }
    }

    #[test]
    fn a_flood_lets_others_have_their_turn() {
        let mut ports = Mailboxes::with_slots(3, 1024);
        for mail in 0..1000 {
            ports[1].send(0, (1, mail)).unwrap();
            ports[2].send(0, (2, mail)).unwrap();
        }
        let port = ports.swap_remove(0);
        let first: Vec<_> = (0..2 * TURN_MAILS)
            .filter_map(|_| port.try_recv())
            .collect();
        assert_eq!(first.iter().filter(|mail| mail.0 == 1).count(), TURN_MAILS);
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        let ready = (0..1000)
            .take_while(|_| port.poll_recv(&mut context).is_ready())
            .count();
        assert_eq!(ready, STREAK_MAX - 2 * TURN_MAILS);
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(port.poll_recv(&mut context).is_ready());
    }

    /// Every core floods every other over tiny rings and counts what it gets, in order.
    #[test]
    fn nothing_is_lost_between_runtimes_that_sleep_and_wake() {
        let (done, all_done) = mpsc::channel();
        for port in Mailboxes::with_slots(3, 4) {
            let done = done.clone();
            thread::spawn(move || {
                run(exchange(&port));
                done.send(port).unwrap();
            });
        }
        let ports: Vec<_> = (0..3)
            .map(|_| all_done.recv_timeout(DEADLINE).unwrap())
            .collect();
        assert!(ports.iter().all(|port| port.backlog() == 0));
    }

    async fn exchange(port: &MailPort<(u8, u32)>) {
        let mut heard = [0; 3];
        let mut hear = |(from, mail): (u8, u32)| {
            let next = &mut heard[usize::from(from)];
            assert_eq!(mail, *next, "mail of core {from} is out of order");
            *next += 1;
            heard.iter().sum::<u32>() == 2 * MAILS
        };
        for mail in 0..MAILS {
            for to in (0..3).filter(|&to| to != port.core) {
                port.send(to, (port.core, mail)).unwrap();
            }
            if mail % 29 == 0 {
                port.flush();
                hear(port.recv().await);
            }
        }
        port.flush();
        while !hear(port.recv().await) {}
        poll_fn(|context| {
            assert!(port.poll_recv(context).is_pending(), "all mail was heard");
            if port.backlog() == 0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    #[test]
    fn two_runtimes_answer_each_other() {
        let (a, b) = pair(16);
        let (done, is_done) = mpsc::channel();
        let echo = thread::spawn(move || {
            run(async {
                loop {
                    let mail = b.recv().await;
                    b.send(0, mail).unwrap();
                    b.flush();
                    if mail == 2_000 {
                        return;
                    }
                }
            });
        });
        thread::spawn(move || {
            run(async {
                for mail in 0..=2_000 {
                    a.send(1, mail).unwrap();
                    a.flush();
                    assert_eq!(a.recv().await, mail);
                }
            });
            done.send(()).unwrap();
        });
        is_done.recv_timeout(DEADLINE).unwrap();
        echo.join().unwrap();
    }

    fn run<F: Future>(future: F) -> F::Output {
        let runtime = monoio::RuntimeBuilder::<monoio::FusionDriver>::new().with_entries(256);
        runtime.build().unwrap().block_on(future)
    }

    const MAILS: u32 = 20_000;
    const DEADLINE: Duration = Duration::from_secs(60);
}
