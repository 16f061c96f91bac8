//! Network namespaces joined by a switch whose cables can be pulled.
//!
//! The switch is a bridge in a namespace of its own, so that nothing of the host's network is
//! touched. A pulled cable loses packets in silence, as a real cut does: no reset, no error.

use std::fs::File;
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::fd::AsFd as _;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A switch and one namespace for each of its cables; removed when dropped.
#[derive(Debug)]
pub struct Switch {
    prefix: String,
    count: usize,
}

/// Why namespaces cannot be made here, if they cannot: one is made and removed again, because a
/// container may let root list namespaces and yet make none.
#[must_use]
pub fn obstacle() -> Option<String> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root".into());
    }
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let probe = format!("cdprobe-{}-{number}", process::id());
    let refusal = |action| match Command::new("ip").args(["netns", action, &probe]).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            Some(format!("`ip netns {action}` is refused: {}", errors.trim()))
        }
        Err(error) => Some(format!("`ip` of iproute2 cannot be started: {error}")),
    };
    let made = refusal("add");
    // A refused `add` may leave its mount point behind.
    let removed = refusal("del");
    made.or(removed)
}

impl Switch {
    /// A switch with `count` namespaces; namespace `n` has the address of [`Switch::address`].
    pub fn create(count: usize) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let switch = Self {
            prefix: format!("cd{}-{number}", process::id()),
            count,
        };
        let hub = switch.hub();
        ip(&["netns", "add", &hub]);
        ip(&["-n", &hub, "link", "add", "br0", "type", "bridge"]);
        ip(&["-n", &hub, "link", "set", "br0", "up"]);
        for index in 0..count {
            switch.add(index);
        }
        switch
    }

    fn add(&self, index: usize) {
        let (hub, name, port) = (self.hub(), self.name(index), format!("port{index}"));
        ip(&["netns", "add", &name]);
        ip(&["-n", &name, "link", "set", "lo", "up"]);
        let veth = ["type", "veth", "peer", "name", &port, "netns", &hub];
        ip(&[&["-n", &name, "link", "add", "eth0"][..], &veth].concat());
        ip(&[
            "-n",
            &name,
            "addr",
            "add",
            &format!("{}/24", self.address(index)),
            "dev",
            "eth0",
        ]);
        ip(&["-n", &name, "link", "set", "eth0", "up"]);
        ip(&["-n", &hub, "link", "set", &port, "up"]);
        self.plug(index);
    }

    /// The name of namespace `index`.
    #[must_use]
    pub fn name(&self, index: usize) -> String {
        format!("{}-{index}", self.prefix)
    }

    /// The address of namespace `index`.
    #[must_use]
    pub fn address(&self, index: usize) -> String {
        format!("10.77.0.{}", index + 1)
    }

    /// Pulls the cable of namespace `index`.
    pub fn pull(&self, index: usize) {
        ip(&[
            "-n",
            &self.hub(),
            "link",
            "set",
            &format!("port{index}"),
            "nomaster",
        ]);
    }

    /// Plugs the cable of namespace `index` in.
    pub fn plug(&self, index: usize) {
        let port = format!("port{index}");
        ip(&["-n", &self.hub(), "link", "set", &port, "master", "br0"]);
    }

    /// Does `work` on a thread inside namespace `index`.
    pub fn inside<T: Send>(&self, index: usize, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.name(index));
        let inside = || {
            let file = File::open(&path).expect("the namespace exists");
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(file.as_fd(), kind).expect("root may enter it");
            work()
        };
        thread::scope(|scope| match scope.spawn(inside).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.prefix)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let names = (0..self.count)
            .map(|index| self.name(index))
            .chain([self.hub()]);
        for name in names {
            let _ = Command::new("ip").args(["netns", "del", &name]).output();
        }
    }
}

fn ip(args: &[&str]) {
    let output = Command::new("ip")
        .args(args)
        .output()
        .expect("`ip` can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {errors}", args.join(" "));
}
