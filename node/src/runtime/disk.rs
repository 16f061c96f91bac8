//! The disk of one worker: carries out the jobs of its core's log. On io_uring reads, writes and
//! syncs of segments are operations of the worker's ring; everything else blocks, and is done by a
//! thread of its own. With epoll all of it is.
//!
//! A file is opened by the thread, with the first job that needs it, and its handle comes over with
//! the answer. No job needs another one's effect while both are under way, so it does not matter
//! who carries out which.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::thread;

use monoio::buf::{IoBuf as _, IoBufMut as _, SliceMut};
use monoio::fs::File;

use super::disk_folder::{Access, DiskFolder, OpenFile, disk_error};
use super::limits::{DISK_QUEUE, RING_FILES_MAX};
use super::tasks::Tasks;
use crate::engine::wal::buffer::{BLOCK_BYTES, Buffer};
use crate::engine::wal::disk::{DiskDone, DiskJob, DiskOp, JobId};
use crate::engine::wal::names::FileName;

/// One worker's disk.
pub(crate) struct Disk {
    orders: flume::Sender<DiskJob>,
    reports: flume::Receiver<Report>,
    /// Handles of segments on the ring; the one used last is the last one.
    open: RefCell<Vec<(FileName, Rc<RingFile>)>>,
    /// Jobs under way.
    pub(crate) jobs: Tasks,
    is_closed: Cell<bool>,
}

/// A job that the caller has to run on its ring.
pub(crate) struct RingJob {
    id: JobId,
    file: Rc<RingFile>,
    work: RingWork,
}

/// What a ring does.
enum RingWork {
    Write { offset: u64, buffer: Buffer },
    Read { offset: u64, buffer: Buffer },
    Sync,
}

/// An open file on the ring.
struct RingFile {
    file: File,
    path: PathBuf,
    is_durable: bool,
}

/// What the thread says when a job has ended.
struct Report {
    done: DiskDone,
    /// A handle for the ring.
    opened: Option<(FileName, OpenFile)>,
}

impl Disk {
    /// A disk whose log lies in the folder at `path`. `name` is the thread's.
    pub(crate) fn start(
        path: PathBuf,
        access: Access,
        is_uring: bool,
        name: String,
    ) -> io::Result<Self> {
        let (orders, order_queue) = flume::bounded(DISK_QUEUE);
        let (report_queue, reports) = flume::bounded(DISK_QUEUE);
        let folder = DiskFolder::new(path, access);
        let run = move || serve(folder, is_uring, &order_queue, &report_queue);
        thread::Builder::new().name(name).spawn(run)?;
        Ok(Self {
            orders,
            reports,
            open: RefCell::default(),
            jobs: Tasks::default(),
            is_closed: Cell::default(),
        })
    }

    /// Takes a job over; one that is given back is for the ring. Its end is an end of
    /// [`Disk::jobs`], which the caller says.
    pub(crate) fn submit(&self, job: DiskJob) -> Option<RingJob> {
        if self.is_closed.get() {
            return None;
        }
        self.jobs.start();
        self.forget(&job.op);
        match self.on_ring(&job.op) {
            Some(file) => Some(RingJob::new(job, file)),
            None => {
                // The machines have a few jobs under way at most, and the thread ends last.
                let is_taken = self.orders.try_send(job).is_ok();
                assert!(is_taken, "the disk's thread takes every job");
                None
            }
        }
    }

    /// From now on jobs are passed over: the worker ends, and waits for those under way.
    pub(crate) fn close(&self) {
        self.is_closed.set(true);
    }

    /// The end of a job that the thread has carried out; `None` when there will be none.
    pub(crate) async fn next_done(&self) -> Option<DiskDone> {
        let Report { done, opened } = self.reports.recv_async().await.ok()?;
        if let Some((name, opened)) = opened {
            self.keep(name, opened);
        }
        Some(done)
    }

    /// The file that a job concerns, when its ring can carry it out.
    fn on_ring(&self, op: &DiskOp) -> Option<Rc<RingFile>> {
        let (name, needs_durable) = match op {
            DiskOp::Write {
                file, is_durable, ..
            } => (file, *is_durable),
            DiskOp::Read { file, .. } | DiskOp::Sync { file } => (file, false),
            DiskOp::Create { .. }
            | DiskOp::Zero { .. }
            | DiskOp::Rename { .. }
            | DiskOp::Remove { .. }
            | DiskOp::SyncFolder => return None,
        };
        let mut open = self.open.borrow_mut();
        let place = open.iter().position(|(open, _)| open == name)?;
        let entry = open.remove(place);
        let file = Rc::clone(&entry.1);
        open.push(entry);
        (file.is_durable || !needs_durable).then_some(file)
    }

    /// Under its name there will be another file, or none.
    fn forget(&self, op: &DiskOp) {
        let gone = match op {
            DiskOp::Create { file } | DiskOp::Remove { file } => [Some(*file), None],
            DiskOp::Rename { from, to } => [Some(*from), Some(*to)],
            DiskOp::Zero { .. }
            | DiskOp::Write { .. }
            | DiskOp::Sync { .. }
            | DiskOp::SyncFolder
            | DiskOp::Read { .. } => return,
        };
        let mut open = self.open.borrow_mut();
        open.retain(|(name, _)| !gone.contains(&Some(*name)));
    }

    fn keep(&self, name: FileName, opened: OpenFile) {
        let OpenFile {
            file,
            path,
            is_durable,
        } = opened;
        // Without a handle on the ring the thread goes on doing the work.
        let Ok(file) = File::from_std(file) else {
            return;
        };
        let file = RingFile {
            file,
            path,
            is_durable,
        };
        let mut open = self.open.borrow_mut();
        open.retain(|(open, _)| *open != name);
        if open.len() >= RING_FILES_MAX {
            open.remove(0);
        }
        open.push((name, Rc::new(file)));
    }
}

impl RingJob {
    fn new(job: DiskJob, file: Rc<RingFile>) -> Self {
        let work = match job.op {
            DiskOp::Write { offset, buffer, .. } => RingWork::Write { offset, buffer },
            DiskOp::Read { offset, buffer, .. } => RingWork::Read { offset, buffer },
            DiskOp::Sync { .. }
            | DiskOp::Create { .. }
            | DiskOp::Zero { .. }
            | DiskOp::Rename { .. }
            | DiskOp::Remove { .. }
            | DiskOp::SyncFolder => RingWork::Sync,
        };
        Self {
            id: job.id,
            file,
            work,
        }
    }

    /// Carries it out.
    pub(crate) async fn run(self) -> DiskDone {
        let Self { id, file, work } = self;
        let (what, result, buffer) = match work {
            RingWork::Write { offset, buffer } => {
                let (result, buffer) = write(&file.file, offset, buffer).await;
                ("write", result, Some(buffer))
            }
            RingWork::Read { offset, buffer } => {
                let (result, buffer) = read(&file.file, offset, buffer).await;
                ("read", result, Some(buffer))
            }
            RingWork::Sync => ("sync", file.file.sync_data().await.map(|()| 0), None),
        };
        let result = result.map_err(|error| disk_error(what, &file.path, &error));
        DiskDone { id, result, buffer }
    }
}

/// The thread: one job after the other until the worker has gone.
fn serve(
    mut folder: DiskFolder,
    is_uring: bool,
    orders: &flume::Receiver<DiskJob>,
    reports: &flume::Sender<Report>,
) {
    while let Ok(job) = orders.recv() {
        let name = handed_out(&job.op).filter(|_| is_uring);
        let done = folder.carry_out(job);
        // Through the page cache a durable write may block the ring's own thread.
        let name = name.filter(|_| done.result.is_ok() && !folder.is_direct_refused());
        let opened = name.and_then(|name| Some((name, folder.hand_out(name).ok()?)));
        if reports.send(Report { done, opened }).is_err() {
            return;
        }
    }
}

/// The segment that the ring is to have a handle of after a job. One that is being made gets
/// another name and is opened in another way then.
const fn handed_out(op: &DiskOp) -> Option<FileName> {
    match op {
        DiskOp::Write { file, .. } | DiskOp::Read { file, .. } | DiskOp::Sync { file } => {
            match file {
                FileName::Segment(_) => Some(*file),
                FileName::Fresh(_) => None,
            }
        }
        DiskOp::Create { .. }
        | DiskOp::Zero { .. }
        | DiskOp::Rename { .. }
        | DiskOp::Remove { .. }
        | DiskOp::SyncFolder => None,
    }
}

async fn write(file: &File, offset: u64, buffer: Buffer) -> (io::Result<u64>, Buffer) {
    let (memory, start, capacity) = buffer.into_parts();
    let (result, slice) = file.write_at(memory.slice(start..), offset).await;
    let buffer = Buffer::from_parts((slice.into_inner(), start, capacity));
    (result.map(|written| written as u64), buffer)
}

/// Reads until the buffer is full or the file ends. Past the page cache a read may start on a block
/// only, and ends elsewhere only at the end of the file.
async fn read(file: &File, offset: u64, buffer: Buffer) -> (io::Result<u64>, Buffer) {
    let (mut memory, start, capacity) = buffer.into_parts();
    let (end, mut done) = (memory.len(), 0);
    let result = loop {
        let at = start + done;
        if at == end || !done.is_multiple_of(BLOCK_BYTES) {
            break Ok(done as u64);
        }
        let slice: SliceMut<Vec<u8>> = memory.slice_mut(at..end);
        let (result, slice) = file.read_at(slice, offset + done as u64).await;
        memory = slice.into_inner();
        // The ring's glue cuts it to what it has read.
        memory.resize(end, 0);
        match result {
            Ok(0) => break Ok(done as u64),
            Ok(read) => done += read,
            Err(error) => break Err(error),
        }
    };
    (result, Buffer::from_parts((memory, start, capacity)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::IoDriver;
    use crate::engine::wal::disk::DiskErrorKind;
    use crate::engine::wal::names::SegmentNumber;
    use crate::runtime::driver;

    const SEGMENT: FileName = FileName::Segment(SegmentNumber(1));
    const FRESH: FileName = FileName::Fresh(SegmentNumber(1));
    const BLOCK: u64 = BLOCK_BYTES as u64;

    /// Carries out one job; whether the ring did it.
    async fn run(disk: &Disk, op: DiskOp) -> (DiskDone, bool) {
        let id = JobId(3);
        let (done, is_on_ring) = match disk.submit(DiskJob { id, op }) {
            Some(job) => (job.run().await, true),
            None => (disk.next_done().await.expect("the thread lives"), false),
        };
        disk.jobs.end();
        assert_eq!(done.id, id);
        (done, is_on_ring)
    }

    async fn done(disk: &Disk, op: DiskOp) -> u64 {
        run(disk, op).await.0.result.unwrap()
    }

    fn write(file: FileName, offset: u64, byte: u8, is_durable: bool) -> DiskOp {
        let mut buffer = Buffer::zeroed(BLOCK_BYTES);
        buffer.as_mut_bytes().fill(byte);
        DiskOp::Write {
            file,
            offset,
            buffer,
            is_durable,
        }
    }

    fn read(offset: u64, blocks: usize) -> DiskOp {
        DiskOp::Read {
            file: SEGMENT,
            offset,
            buffer: Buffer::zeroed(blocks * BLOCK_BYTES),
        }
    }

    async fn make(disk: &Disk) {
        let zero = DiskOp::Zero {
            file: FRESH,
            offset: 0,
            bytes: 4 * BLOCK,
        };
        let rename = DiskOp::Rename {
            from: FRESH,
            to: SEGMENT,
        };
        for op in [
            DiskOp::Create { file: FRESH },
            zero,
            write(FRESH, 0, 1, true),
            DiskOp::Sync { file: FRESH },
            rename,
            DiskOp::SyncFolder,
        ] {
            assert!(!run(disk, op).await.1, "what blocks is not for the ring");
        }
    }

    /// Runs `test` on a disk of every kind; it hears whether there is a ring.
    fn with_disks(test: impl AsyncFn(Disk, bool)) {
        for setting in [IoDriver::Epoll, IoDriver::Auto] {
            for access in [Access::Buffered, Access::Durable] {
                let choice = driver::choose(setting).unwrap();
                let (mut runtime, choice) = driver::build(&choice, setting).unwrap();
                let is_uring = choice.driver.is_uring();
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().to_path_buf();
                let disk = Disk::start(path, access, is_uring, "disk".into()).unwrap();
                runtime.block_on(test(disk, is_uring));
            }
        }
    }

    #[test]
    fn a_segment_goes_over_to_the_ring_after_its_first_job() {
        with_disks(async |disk, is_uring| {
            make(&disk).await;
            let (first, is_on_ring) = run(&disk, write(SEGMENT, BLOCK, 2, false)).await;
            assert_eq!((first.result, is_on_ring), (Ok(BLOCK), false));
            let (second, is_on_ring) = run(&disk, write(SEGMENT, 2 * BLOCK, 3, false)).await;
            assert_eq!((second.result, is_on_ring), (Ok(BLOCK), is_uring));
            assert_eq!(second.buffer.unwrap().as_bytes(), [3; BLOCK_BYTES]);
            assert_eq!(done(&disk, DiskOp::Sync { file: SEGMENT }).await, 0);
            // Longer than the file, from its second block on.
            let (third, _) = run(&disk, read(BLOCK, 8)).await;
            assert_eq!(third.result, Ok(3 * BLOCK));
            let buffer = third.buffer.unwrap();
            assert_eq!(buffer.len(), 8 * BLOCK_BYTES);
            let firsts: Vec<u8> = buffer.as_bytes().iter().step_by(4096).copied().collect();
            assert_eq!(firsts, [2, 3, 0, 0, 0, 0, 0, 0]);
            let (past, _) = run(&disk, read(4 * BLOCK, 1)).await;
            assert_eq!(past.result, Ok(0));
            assert_eq!(disk.jobs.live(), 0);
        });
    }

    #[test]
    fn an_old_name_never_finds_the_new_file() {
        with_disks(async |disk, _| {
            make(&disk).await;
            done(&disk, write(SEGMENT, BLOCK, 7, true)).await;
            done(&disk, write(SEGMENT, BLOCK, 8, true)).await;
            done(&disk, DiskOp::Remove { file: SEGMENT }).await;
            let error = run(&disk, read(0, 1)).await.0.result.unwrap_err();
            assert_eq!(error.kind, DiskErrorKind::Broken);
            make(&disk).await;
            let (again, is_on_ring) = run(&disk, read(BLOCK, 1)).await;
            assert!(!is_on_ring);
            assert_eq!(again.buffer.unwrap().as_bytes(), [0; BLOCK_BYTES]);
        });
    }

    #[test]
    fn more_segments_than_the_ring_keeps_are_read() {
        with_disks(async |disk, _| {
            let files = (0..RING_FILES_MAX as u64 * 2).map(|n| FileName::Segment(SegmentNumber(n)));
            for (file, byte) in files.clone().zip(1..) {
                done(&disk, DiskOp::Create { file }).await;
                done(&disk, write(file, 0, byte, true)).await;
            }
            for (file, byte) in files.clone().zip(1..).chain(files.clone().zip(1..)) {
                let buffer = Buffer::zeroed(BLOCK_BYTES);
                let op = DiskOp::Read {
                    file,
                    offset: 0,
                    buffer,
                };
                let (read, _) = run(&disk, op).await;
                assert_eq!(read.buffer.unwrap().as_bytes(), [byte; BLOCK_BYTES]);
                assert!(disk.open.borrow().len() <= RING_FILES_MAX);
            }
        });
    }
}
