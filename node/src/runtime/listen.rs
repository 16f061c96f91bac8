//! Listening sockets: bound before anything starts, one of each kind for every core, shared by
//! SO_REUSEPORT. Accepting waits for readiness and takes the connections by plain system calls, so
//! that no accept is ever in the kernel when a worker stops.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;

use socket2::{Domain, Protocol, Socket, Type};

use super::limits::{ACCEPT_PAUSE, ACCEPTS_PER_TURN, LISTEN_BACKLOG};
use super::notify::{First, Gate, race};
use super::shell::Shell;

/// Binds `count` sockets to one address.
pub(crate) fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    // SO_REUSEPORT would let two nodes of one user share a port in silence: ask without it first.
    drop(socket(address, false)?);
    let first = socket(address, true)?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..count {
        sockets.push(socket(address, true)?);
    }
    Ok(sockets)
}

fn socket(address: SocketAddr, is_shared: bool) -> io::Result<TcpListener> {
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
    socket.listen(LISTEN_BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_found_even_when_its_owner_shares_it() {
        let any = "127.0.0.1:0".parse().expect("an address");
        let first = bind(any, 2).expect("a free port");
        let address = first[0].local_addr().expect("an address");
        assert_eq!(first[1].local_addr().expect("an address"), address);
        let error = bind(address, 2).expect_err("the port is in use");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }
}
