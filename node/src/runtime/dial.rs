//! Dialling a peer: its address, a connection within a deadline, then the life of the link. Names
//! are resolved on a thread of their own, so that a slow resolver never holds a core.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use proto::peer::NodeName;
use socket2::{Domain, Protocol, Socket, Type};

use super::deadlines::Watchdog;
use super::limits::{DIAL_DEADLINE, HANDSHAKE_DEADLINE};
use super::link_end::{LinkEnd, report};
use super::link_session::{self, PeerLink};
use super::notify::{First, race};
use super::shell::Shell;
use super::socket::{self, Closer, Purpose};

/// The life of a dialled link. `pause` is how long the last failure kept the peer from being
/// dialled again.
pub(crate) async fn live(shell: Rc<Shell>, name: NodeName, link: Rc<PeerLink>, pause: Duration) {
    let end = match connect(&shell, &name, &link).await {
        Ok(stream) => session(&shell, &link, stream).await,
        Err(error) => LinkEnd::Unreachable(error.to_string()),
    };
    shell
        .links
        .down(&name, link.is_up(), pause, shell.now().mono);
    report(&shell, &link, &end);
    shell.input(|core, now| core.handle_unreachable(&name, now));
}

async fn session(shell: &Rc<Shell>, link: &Rc<PeerLink>, stream: TcpStream) -> LinkEnd {
    match socket::open(stream, Purpose::Link) {
        Ok((reader, writer, closer)) => {
            let watchdog = Watchdog::new(closer);
            shell
                .deadlines
                .arm(&watchdog, shell.now().mono + HANDSHAKE_DEADLINE);
            link.watch(watchdog);
            link_session::live(shell, link, reader, writer).await
        }
        Err(error) => LinkEnd::Unreachable(error.to_string()),
    }
}

/// A connection to the first address of `name` that takes one.
async fn connect(shell: &Rc<Shell>, name: &NodeName, link: &PeerLink) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in resolve(shell, name).await? {
        match connect_to(shell, address, link).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
        if link.is_ending() {
            break;
        }
    }
    Err(last)
}

/// Connects within the dial deadline. The kernel connects on its own; only its readiness is waited
/// for, and the deadline ends the socket, so that nothing is ever cancelled.
async fn connect_to(
    shell: &Rc<Shell>,
    address: SocketAddr,
    link: &PeerLink,
) -> io::Result<TcpStream> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    let stream = TcpStream::from(socket);
    let watchdog = Watchdog::new(Closer::of(stream.try_clone()?));
    link.watch(Rc::clone(&watchdog));
    shell
        .deadlines
        .arm(&watchdog, shell.now().mono + DIAL_DEADLINE);
    let readiness = monoio::net::TcpStream::from_std(stream.try_clone()?)?;
    readiness.writable(false).await?;
    watchdog.disarm();
    if watchdog.has_bitten() {
        return Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "no connection within the deadline",
        ));
    }
    match stream.take_error()? {
        Some(error) => Err(error),
        None => Ok(stream),
    }
}

async fn resolve(shell: &Shell, name: &NodeName) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = name.host().parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, name.port())]);
    }
    let (sender, receiver) = flume::bounded(1);
    let asked = name.clone();
    thread::Builder::new()
        .name("chordite-resolve".into())
        .spawn(move || {
            let found = (asked.host(), asked.port()).to_socket_addrs();
            let _ = sender.send(found.map(Iterator::collect));
        })?;
    match race(receiver.recv_async(), shell.links.closing.opened()).await {
        First::Left(Ok(found)) => found,
        First::Left(Err(_)) => Err(io::Error::other("the resolver ended")),
        First::Right(()) => Err(io::Error::other("this node stops")),
    }
}

const EINPROGRESS: i32 = 115;
