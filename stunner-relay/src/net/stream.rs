//! One client on a stream: frames in, a bounded backlog out.

use std::{
    cell::RefCell,
    io::{self, IoSlice, Read},
    pin::pin,
    rc::Rc,
    time::Duration,
};

use socket2::SockRef;

use stunner_proto::framing::{MAX_FRAME, frame_len};
use tokio::{
    io::Interest,
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::{Instant, sleep},
};

use super::{batch::Buffer, marks::Marks, socket::Network, worker::Worker};
use crate::{Client, FiveTuple, ListenerId, Transport};

/// What may wait for a client that reads slowly; frames beyond it are dropped.
const MAX_BACKLOG: usize = 256 << 10;

/// What a connection begins with; it grows for a frame that is longer.
const READ_BUFFER: usize = 8 << 10;

/// How long a connection may be without an allocation, or with half a frame.
const IDLE: Duration = Duration::from_secs(60);

/// Connections of one worker; more are closed at once.
const MAX_CONNECTIONS: usize = 8_192;

/// A client's stream, to write to from wherever its packets come.
pub(super) struct Connection {
    pub(super) tuple: FiveTuple,
    stream: TcpStream,
    backlog: RefCell<Vec<u8>>,
    waiting: Notify,
}

impl Connection {
    /// Writes a frame, or lets it wait, or drops it. A frame is never cut.
    pub(super) fn send(&self, parts: [IoSlice<'_>; 3]) {
        let mut backlog = self.backlog.borrow_mut();
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let written =
            if backlog.is_empty() { self.stream.try_write_vectored(&parts).unwrap_or(0) } else { 0 };
        if written == len || written == 0 && backlog.len() + len > MAX_BACKLOG {
            return;
        }
        let mut skip = written;
        for part in parts {
            backlog.extend_from_slice(part.get(skip..).unwrap_or_default());
            skip = skip.saturating_sub(part.len());
        }
        self.waiting.notify_one();
    }

    /// Reads what is there. When it is less than there is room for, nothing is left: that spares the call that says so.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = None;
        let result = self.stream.try_io(Interest::READABLE, || {
            let len = (&*SockRef::from(&self.stream)).read(buffer)?;
            read = Some(len);
            if len < buffer.len() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(len) }
        });
        read.map_or(result, Ok)
    }

    /// Writes what waits, whenever there is something and the client takes it. Ends with the stream.
    async fn drain(&self) -> io::Result<()> {
        loop {
            if self.backlog.borrow().is_empty() {
                self.waiting.notified().await;
            }
            self.stream.writable().await?;
            let mut backlog = self.backlog.borrow_mut();
            match self.stream.try_write(&backlog) {
                Ok(written) => drop(backlog.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Accepts the clients of one TCP listener.
pub(super) async fn accept<N: Network>(worker: Rc<Worker<N>>, listener: ListenerId, socket: TcpListener) {
    loop {
        match socket.accept().await {
            Ok((stream, _)) => {
                tokio::task::spawn_local(serve(worker.clone(), listener, stream));
            }
            Err(error) => {
                // Out of file descriptors, most likely: closing connections will help, hurrying will not.
                let now = worker.network.now();
                worker.complaints.log(format_args!("a connection could not be accepted"), &error, now);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve<N: Network>(worker: Rc<Worker<N>>, listener: ListenerId, stream: TcpStream) {
    let (Ok(client), Ok(server)) = (stream.peer_addr(), stream.local_addr()) else { return };
    if worker.connections.borrow().len() >= MAX_CONNECTIONS {
        tracing::warn!(%client, "too many connections: closed");
        return;
    }
    // Media suffers from delay more than from small segments.
    let _ = stream.set_nodelay(true);
    let tuple = FiveTuple { client, server, transport: Transport::Tcp };
    let connection =
        Rc::new(Connection { tuple, stream, backlog: RefCell::default(), waiting: Notify::new() });
    let key = worker.connections.borrow_mut().insert(connection.clone());
    if let Ok(link) = u32::try_from(key) {
        let ended = tokio::select! {
            ended = read(&worker, &connection, Client { tuple, listener, link }) => ended,
            ended = connection.drain() => ended,
        };
        if let Err(error) = ended {
            tracing::debug!(%client, %error, "connection ended");
        }
    }
    worker.connections.borrow_mut().remove(key);
    worker.handle_close(tuple);
}

/// Takes in frames until the stream ends, carries nonsense, or is idle for too long.
async fn read<N: Network>(worker: &Rc<Worker<N>>, connection: &Connection, client: Client) -> io::Result<()> {
    let mut buffer = vec![0; READ_BUFFER];
    let mut filled = 0;
    // The timer is set anew when it has run out, and not for every frame: that is what `last` is for.
    let mut timer = pin!(sleep(IDLE));
    let mut last = Instant::now();
    loop {
        tokio::select! {
            readable = connection.stream.readable() => readable?,
            () = &mut timer => {
                let idle = last.elapsed() >= IDLE;
                if idle && (filled > 0 || !worker.has_allocation(&client.tuple)) {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                if idle {
                    last = Instant::now();
                }
                timer.as_mut().reset(last + IDLE);
                continue;
            }
        }
        match connection.read(&mut buffer[filled..]) {
            Ok(0) => return Ok(()),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        let now = worker.network.now();
        let taken = take_frames(worker, &buffer[..filled], client, now)?;
        if taken > 0 {
            buffer.copy_within(taken..filled, 0);
            filled -= taken;
            last = Instant::from_std(now);
        }
        if filled == buffer.len() {
            buffer.resize((2 * buffer.len()).min(MAX_FRAME), 0);
        }
    }
}

/// Hands every complete frame to the engine; returns how many bytes they were.
fn take_frames<N: Network>(
    worker: &Rc<Worker<N>>,
    bytes: &[u8],
    client: Client,
    now: std::time::Instant,
) -> io::Result<usize> {
    // What waits is in another buffer than these frames.
    worker.flush_batch(&mut worker.batch.borrow_mut());
    let mut taken = 0;
    let result = loop {
        let rest = &bytes[taken..];
        let len = match frame_len(rest) {
            Ok(len) => len,
            Err(error) => break Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        };
        let Some(frame) = len.and_then(|len| rest.get(..len)) else { break Ok(taken) };
        // A stream has no marks that would be one frame's.
        worker.handle_client(frame, client, Marks::default(), now, Buffer::only(bytes));
        taken += frame.len();
    };
    worker.flush(bytes);
    result
}

#[cfg(test)]
mod tests;
