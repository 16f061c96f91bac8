//! Listening sockets: bound before anything starts, one of each kind for every core, shared by
//! SO_REUSEPORT, and open only when the node serves: who comes earlier is refused and need not
//! wait. Accepting waits for readiness and takes the connections by plain system calls, so that no
//! accept is ever in the kernel when a worker stops.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::limits::{ACCEPT_PAUSE, ACCEPTS_PER_TURN, LISTEN_BACKLOG};
use super::notify::{First, Gate, race};
use super::shell::Shell;

/// Binds `count` sockets to one address; nobody else gets it, and nobody is listened to yet.
///
/// The kernel takes a ring apart after its process has ended, and what was polled on it listens
/// until then: a node that is restarted at once has to wait for its predecessor's.
pub(crate) fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    for _ in 0..IN_USE_RETRIES {
        match try_bind(address, count) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => thread::sleep(IN_USE_PAUSE),
            result => return result,
        }
    }
    try_bind(address, count)
}

fn try_bind(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    // SO_REUSEPORT would let two nodes of one user share a port in silence: ask without it first.
    socket(address, false)?.listen(LISTEN_BACKLOG)?;
    let first = socket(address, true)?;
    let address = first.local_addr()?.as_socket().unwrap_or(address);
    let mut sockets = vec![first];
    for _ in 1..count {
        sockets.push(socket(address, true)?);
    }
    for socket in &sockets {
        // Sockets that may be used again and do not listen are in nobody's way: with this, others
        // cannot listen beside them.
        socket.set_reuse_address(false)?;
    }
    Ok(sockets.into_iter().map(TcpListener::from).collect())
}

/// Begins to listen.
pub(crate) fn open(socket: &TcpListener) -> io::Result<()> {
    let socket = SockRef::from(socket);
    // Its connections inherit this, and with it the node can be restarted at once after they close.
    socket.set_reuse_address(true)?;
    socket.listen(LISTEN_BACKLOG)
}

fn socket(address: SocketAddr, is_shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(is_shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Accepts connections and gives them to `take` until `stop` opens.
pub(crate) async fn accept(
    shell: &Rc<Shell>,
    listener: TcpListener,
    stop: &Gate,
    take: impl Fn(&Rc<Shell>, TcpStream, SocketAddr),
) -> io::Result<()> {
    let readiness = monoio::net::TcpListener::from_std(listener.try_clone()?)?;
    loop {
        match race(readiness.readable(false), stop.opened()).await {
            First::Left(ready) => ready?,
            First::Right(()) => return Ok(()),
        }
        if stop.is_open() {
            return Ok(());
        }
        if let Err(error) = accept_ready(shell, &listener, &take) {
            report(shell, &error);
            let pause = monoio::time::sleep(ACCEPT_PAUSE);
            if let First::Right(()) = race(pause, stop.opened()).await {
                return Ok(());
            }
        }
    }
}

/// Accepts what is waiting, up to the budget of a turn. An error is one that lasts.
fn accept_ready(
    shell: &Rc<Shell>,
    listener: &TcpListener,
    take: impl Fn(&Rc<Shell>, TcpStream, SocketAddr),
) -> io::Result<()> {
    for _ in 0..ACCEPTS_PER_TURN {
        match listener.accept() {
            Ok((stream, from)) => take(shell, stream, from),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => return Ok(()),
                ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                _ => return Err(error),
            },
        }
    }
    Ok(())
}

fn report(shell: &Shell, error: &io::Error) {
    shell.warn("accept", |left_out| {
        tracing::warn!(%error, left_out, "cannot accept a connection; trying again shortly");
    });
}

const IN_USE_RETRIES: u32 = 40;
const IN_USE_PAUSE: Duration = Duration::from_millis(25);

#[cfg(test)]
mod tests {
    use super::*;

    fn bound() -> (Vec<TcpListener>, SocketAddr) {
        let any = "127.0.0.1:0".parse().expect("an address");
        let sockets = bind(any, 2).expect("a free port");
        let address = sockets[0].local_addr().expect("an address");
        assert_eq!(sockets[1].local_addr().expect("an address"), address);
        (sockets, address)
    }

    #[test]
    fn a_port_in_use_is_found_whether_its_owner_listens_or_not() {
        let (sockets, address) = bound();
        for is_open in [false, true] {
            for socket in sockets.iter().filter(|_| is_open) {
                open(socket).expect("the port is ours");
            }
            let error = bind(address, 2).expect_err("the port is in use");
            assert_eq!(error.kind(), ErrorKind::AddrInUse, "open: {is_open}");
            let error = TcpListener::bind(address).expect_err("the port is in use");
            assert_eq!(error.kind(), ErrorKind::AddrInUse, "open: {is_open}");
        }
        drop(sockets);
        bind(address, 2).expect("the port is free again");
    }

    #[test]
    fn clients_are_refused_until_the_port_is_open_and_a_restart_needs_no_wait() {
        let (sockets, address) = bound();
        let refused = TcpStream::connect(address).expect_err("nobody listens");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        for socket in &sockets {
            open(socket).expect("the port is ours");
        }
        let client = TcpStream::connect(address).expect("somebody listens");
        let accepted = sockets.iter().find_map(|socket| {
            socket.set_nonblocking(true).expect("a socket");
            socket.accept().ok()
        });
        // Who closes first keeps the connection's address for a minute.
        drop((accepted.expect("one of them has it"), sockets));
        drop(client);
        bind(address, 2).expect("the port is free again");
    }
}
