//! Ports for nodes that are told theirs: below the range the kernel gives to outgoing connections,
//! so that a killed node finds its port free when it comes back.
//!
//! A test program reserves a block of ports by locking a file and hands them out in turn; test
//! programs that run at the same time on one machine thus never meet.

use std::env;
use std::fs::{self, File};
use std::net::TcpListener;
use std::sync::{Mutex, OnceLock};

/// The first of `count` successive ports that nobody listens on.
pub fn reserve(count: u16) -> u16 {
    let mut block = block().lock().expect("nobody panics while reserving ports");
    for _ in 0..2 {
        while block.next + count <= block.end {
            let first = block.next;
            block.next += count;
            if (first..first + count).all(is_free) {
                return first;
            }
        }
        // Ports of tests that have ended are free again.
        block.next = block.start;
    }
    panic!("no {count} successive free ports from {}", block.start);
}

struct Block {
    start: u16,
    next: u16,
    end: u16,
    /// Holds the lock as long as the process lives.
    _lock: File,
}

fn block() -> &'static Mutex<Block> {
    static BLOCK: OnceLock<Mutex<Block>> = OnceLock::new();
    BLOCK.get_or_init(|| {
        let folder = env::temp_dir().join("chordite-test-ports");
        fs::create_dir_all(&folder).expect("the folder for temporary files is writable");
        for start in (FIRST..LAST).step_by(usize::from(BLOCK_PORTS)) {
            let file = File::create(folder.join(start.to_string())).expect("a lock file");
            if file.try_lock().is_ok() {
                let end = start + BLOCK_PORTS;
                return Mutex::new(Block {
                    start,
                    next: start,
                    end,
                    _lock: file,
                });
            }
        }
        panic!("every block of ports is taken: too many test programs at once");
    })
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

const FIRST: u16 = 12_000;
const LAST: u16 = 32_000;
const BLOCK_PORTS: u16 = 2_000;
