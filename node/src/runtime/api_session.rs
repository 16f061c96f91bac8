//! The life of one DHT API connection: a reader task, a writer task, deadlines and the way out.
//! What its requests mean is decided in `api`, in which order answers leave in `api_queue`.

use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;

use super::api::{ApiConnection, Served, bump};
use super::api_queue::Next;
use super::deadlines::Watchdog;
use super::limits::{API_CONNECTIONS_MAX, FRAME_DEADLINE, LINGER_DEADLINE, RECEIVE_BYTES_MAX};
use super::notify::Notify;
use super::receive_buffer::ReceiveBuffer;
use super::shell::Shell;
use super::socket::{self, Purpose, Reader, Writer};

/// Takes a connection that was just accepted.
pub(crate) fn take(shell: &Rc<Shell>, stream: TcpStream, from: SocketAddr) {
    if shell.api.open() >= API_CONNECTIONS_MAX {
        return shell.warn("api full", |left_out| {
            tracing::warn!(%from, left_out, "too many DHT API connections: this one is closed");
        });
    }
    match socket::open(stream, Purpose::Client) {
        Ok((reader, writer, closer)) => {
            let connection = shell.api.insert(Watchdog::new(closer));
            shell.spawn(live(Rc::clone(shell), connection, reader, writer));
        }
        Err(error) => shell.warn("api open", |left_out| {
            tracing::warn!(%from, %error, left_out, "a DHT API connection is closed at once");
        }),
    }
}

/// Why reading ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// The peer sends nothing more; answers still leave.
    Finished,
    /// The peer sent something that is no request; answers to what came before still leave.
    Violation,
    /// A message was not completed in time, or the socket failed.
    Broken,
}

async fn live(shell: Rc<Shell>, connection: Rc<ApiConnection>, reader: Reader, writer: Writer) {
    let written = Rc::new(Notify::default());
    let answers = write_answers(Rc::clone(&connection), writer, Rc::clone(&written));
    shell.spawn(answers);
    let mut reader = reader;
    let mut buffer = ReceiveBuffer::default();
    let end = read_requests(&shell, &connection, &mut reader, &mut buffer).await;
    connection.watchdog.disarm();
    match end {
        End::Finished | End::Violation => connection.queue.borrow_mut().finish(),
        End::Broken => connection.queue.borrow_mut().abandon(),
    }
    connection.writer.notify();
    written.notified().await;
    if end == End::Violation {
        bump(&shell.api.counts.violations, 1);
        linger(&shell, &connection, &mut reader, &mut buffer).await;
    }
    connection.watchdog.closer().end();
    shell.api.close(&connection);
}

async fn read_requests(
    shell: &Rc<Shell>,
    connection: &ApiConnection,
    reader: &mut Reader,
    buffer: &mut ReceiveBuffer,
) -> End {
    loop {
        match reader.receive(buffer).await {
            Ok(0) if connection.watchdog.has_bitten() => return End::Broken,
            Ok(0) => return End::Finished,
            Ok(_) => {}
            Err(_) => return End::Broken,
        }
        let received = buffer.unread().len();
        loop {
            match connection.serve(shell, buffer) {
                Served::All => break,
                Served::Paused => {
                    connection.watchdog.disarm();
                    connection.reader.notified().await;
                    if connection.queue.borrow().is_abandoned() {
                        return End::Broken;
                    }
                }
                Served::Violation(reason) => {
                    tracing::debug!(%reason, "a DHT API client broke the protocol");
                    return End::Violation;
                }
            }
        }
        watch_frame(shell, connection, buffer.unread().len(), received);
    }
}

/// Keeps the deadline of the message whose first bytes have come: it runs from the message's first
/// byte and is not prolonged by more of the same message.
fn watch_frame(shell: &Shell, connection: &ApiConnection, unread: usize, received: usize) {
    let watchdog = &connection.watchdog;
    if unread == 0 {
        watchdog.disarm();
    } else if unread < received || !watchdog.is_armed() {
        shell
            .deadlines
            .arm(watchdog, shell.now().mono + FRAME_DEADLINE);
    }
}

async fn write_answers(connection: Rc<ApiConnection>, mut writer: Writer, written: Rc<Notify>) {
    let mut buffer = Vec::new();
    loop {
        let next = connection.queue.borrow_mut().take_output(&mut buffer);
        match next {
            Next::Wait => connection.writer.notified().await,
            Next::End => break,
            Next::Write => {
                connection.resume();
                let (result, emptied) = writer.send(std::mem::take(&mut buffer)).await;
                buffer = emptied;
                if result.is_err() {
                    connection.queue.borrow_mut().abandon();
                    connection.watchdog.closer().end();
                    connection.reader.notify();
                    break;
                }
                buffer.shrink_to(RECEIVE_BYTES_MAX);
            }
        }
    }
    written.notify();
}

/// Says that nothing more comes and reads on for a moment: a socket closed over unread bytes sends
/// a reset, which may overtake the last answer.
async fn linger(
    shell: &Rc<Shell>,
    connection: &ApiConnection,
    reader: &mut Reader,
    buffer: &mut ReceiveBuffer,
) {
    connection.watchdog.closer().finish();
    shell
        .deadlines
        .arm(&connection.watchdog, shell.now().mono + LINGER_DEADLINE);
    loop {
        buffer.consume(buffer.unread().len());
        if !matches!(reader.receive(buffer).await, Ok(1..)) {
            return;
        }
    }
}
