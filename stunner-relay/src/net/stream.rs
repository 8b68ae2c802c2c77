//! One client on a stream: frames in, a bounded backlog out.

use std::{
    cell::{Cell, RefCell},
    io::{self, IoSlice, Read},
    net::Shutdown,
    pin::pin,
    rc::Rc,
    time::Duration,
};

use arrayvec::ArrayVec;
use backlog::Backlog;
use socket2::SockRef;

use stunner_proto::framing::frame_len;
use tokio::{
    io::Interest,
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::yield_now,
    time::{Instant, sleep},
};

use super::{files::most_files, marks::Marks, outbox::MAX_SENT, socket::Network, worker::Worker};
use crate::{Client, FiveTuple, ListenerId, Transport};

mod backlog;

/// How much memory what waits for a client that reads slowly may take; the oldest frames beyond it are dropped.
const MAX_BACKLOG: usize = 256 << 10;

/// The same of a client without an allocation, and of the frame that it has begun: whoever connects may take so much.
const MAX_STRANGER: usize = 8 << 10;

/// How long a connection may be without an allocation, or with half a frame.
const IDLE: Duration = Duration::from_secs(60);

/// Connections of one worker, where it may have as many files.
const MAX_CONNECTIONS: usize = 8_192;

/// So many places are looked at for a connection that may be closed for another, and then as many connections.
const LOOKS: usize = 64;

/// How many connections one of so many workers may have: half of the files at most are theirs all together, for allocations
/// need some, too.
pub(super) fn most_connections(workers: usize) -> usize {
    most_files().map_or(MAX_CONNECTIONS, |files| (files / 2 / workers.max(1)).clamp(1, MAX_CONNECTIONS))
}

/// A client's stream, to write to from wherever its packets come.
pub(super) struct Connection {
    pub(super) tuple: FiveTuple,
    stream: TcpStream,
    backlog: RefCell<Backlog>,
    waiting: Notify,
    /// It was closed, and its task has to hear of it.
    closed: Cell<bool>,
}

impl Connection {
    /// Writes frames, or lets them wait, and then drops the oldest of those where too much waits. A frame is never cut.
    /// Returns how many were dropped.
    pub(super) fn send(&self, frames: &[[IoSlice<'_>; 3]], is_stranger: impl Fn() -> bool) -> usize {
        let mut backlog = self.backlog.borrow_mut();
        let mut written = 0;
        if backlog.is_empty() {
            let filled = frames.iter().flatten().filter(|part| !part.is_empty());
            let parts: ArrayVec<IoSlice<'_>, { 3 * MAX_SENT }> = filled.copied().collect();
            written = self.stream.try_write_vectored(&parts).unwrap_or(0);
        }
        let mut dropped = 0;
        for frame in frames {
            let len: usize = frame.iter().map(|part| part.len()).sum();
            if written < len {
                let most = if is_stranger() { MAX_STRANGER } else { MAX_BACKLOG };
                dropped += backlog.push(frame, written, most);
            }
            written = written.saturating_sub(len);
        }
        if !backlog.is_empty() {
            self.waiting.notify_one();
        }
        dropped
    }

    /// Has both sides see the end of the stream.
    fn close(&self) {
        self.closed.set(true);
        let _ = SockRef::from(&self.stream).shutdown(Shutdown::Both);
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
            let written = self.stream.try_write_vectored(&backlog.slices());
            match written {
                Ok(written) => backlog.advance(written),
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

impl<N: Network> Worker<N> {
    /// Whether there is room for another connection. Where all places are taken, one without an allocation loses its own, drawn
    /// by lot: whoever takes places from others has most of them, and loses most.
    fn makes_room_for_a_connection(&self) -> bool {
        let connections = self.connections.borrow();
        if connections.len() < self.max_connections {
            return true;
        }
        // Keys are not the numbers below the length: who comes before another has gone has a greater one.
        let drawn = (0..LOOKS).filter_map(|_| connections.get(rand::random_range(0..connections.capacity())));
        // Where many places are empty, and there is little to draw from.
        let first = connections.iter().map(|(_, found)| found).take(LOOKS);
        let mut strangers =
            drawn.chain(first).filter(|found| !found.closed.get() && !self.has_allocation(&found.tuple));
        let Some(stranger) = strangers.next() else { return false };
        tracing::debug!(client = %stranger.tuple.client, "a connection without an allocation was closed for another one");
        stranger.close();
        true
    }
}

async fn serve<N: Network>(worker: Rc<Worker<N>>, listener: ListenerId, stream: TcpStream) {
    let (Ok(client), Ok(server)) = (stream.peer_addr(), stream.local_addr()) else { return };
    if !worker.makes_room_for_a_connection() {
        let error = io::Error::other("there are too many connections");
        worker.complaints.log(
            format_args!("a connection of {client} was closed"),
            &error,
            worker.network.now(),
        );
        return;
    }
    // Media suffers from delay more than from small segments.
    let _ = stream.set_nodelay(true);
    let tuple = FiveTuple { client, server, transport: Transport::Tcp };
    let connection = Rc::new(Connection {
        tuple,
        stream,
        backlog: RefCell::default(),
        waiting: Notify::new(),
        closed: Cell::new(false),
    });
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
    // It may have asked something, and said nothing more.
    worker.flush_batch(&mut worker.batch.borrow_mut());
    worker.connections.borrow_mut().remove(key);
    worker.handle_close(tuple);
}

/// Takes in frames until the stream ends, carries nonsense, or is idle for too long.
async fn read<N: Network>(worker: &Rc<Worker<N>>, connection: &Connection, client: Client) -> io::Result<()> {
    // A frame whose end has not come.
    let mut begun = Vec::new();
    let mut patience = Patience::new();
    // The timer is set anew when it has run out, and not for every frame.
    let mut timer = pin!(sleep(IDLE));
    loop {
        tokio::select! {
            // What has come is looked at before it is said that nothing has.
            biased;
            readable = connection.stream.readable() => readable?,
            () = &mut timer => {
                let end = patience.end(worker.has_allocation(&client.tuple));
                timer.as_mut().reset(end.ok_or(io::ErrorKind::TimedOut)?);
                continue;
            }
        }
        let now = worker.network.now();
        match take(worker, connection, &mut begun, client, now) {
            Ok(None) => return Ok(()),
            Ok(Some(taken)) => {
                patience.heard(taken.frames, !begun.is_empty(), Instant::from_std(now));
                if begun.len() > MAX_STRANGER && !worker.has_allocation(&client.tuple) {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "a long frame without an allocation",
                    ));
                }
                if taken.more {
                    // A stream that always has something would keep others from their turn.
                    yield_now().await;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// How long a client is waited for: from its last frame on, or from when it began one.
struct Patience {
    last: Instant,
    begun: Option<Instant>,
}

impl Patience {
    fn new() -> Self {
        Self { last: Instant::now(), begun: None }
    }

    /// So many frames came to their end, and perhaps another one has begun.
    fn heard(&mut self, frames: usize, begun: bool, now: Instant) {
        if frames > 0 {
            (self.last, self.begun) = (now, None);
        }
        self.begun = begun.then(|| self.begun.unwrap_or(now));
    }

    /// When to look again; `None` when it has been waited for long enough.
    fn end(&self, has_allocation: bool) -> Option<Instant> {
        let now = Instant::now();
        let since = match self.begun {
            Some(begun) if has_allocation => begun,
            None if has_allocation => now,
            _ => self.last,
        };
        Some(since + IDLE).filter(|&end| end > now)
    }
}

/// What was read.
struct Taken {
    frames: usize,
    /// There may be more to read.
    more: bool,
}

/// Reads into a buffer of the worker's, and hands every complete frame to the engine; returns how many these were, or nothing
/// at the end of the stream. What is left of a frame is kept in `begun`.
fn take<N: Network>(
    worker: &Rc<Worker<N>>,
    connection: &Connection,
    begun: &mut Vec<u8>,
    client: Client,
    now: std::time::Instant,
) -> io::Result<Option<Taken>> {
    let mut batch = worker.batch.borrow_mut();
    worker.make_room(&mut batch);
    let mut more = false;
    let filled = batch.fill(begun, |room| {
        let len = connection.read(room)?;
        more = len == room.len();
        Ok(len)
    });
    let Some((buffer, bytes)) = filled? else { return Ok(None) };
    let (mut rest, mut frames) = (bytes, 0);
    let result = loop {
        let len = match frame_len(rest) {
            Ok(len) => len,
            Err(error) => break Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        };
        let Some((frame, behind)) = len.and_then(|len| rest.split_at_checked(len)) else {
            break Ok(Some(Taken { frames, more }));
        };
        // A stream has no marks that would be one frame's.
        worker.handle_client(frame, client, Marks::default(), now, buffer);
        (rest, frames) = (behind, frames + 1);
    };
    if frames == 0 {
        begun.extend_from_slice(&bytes[begun.len()..]);
    } else {
        begun.clear();
        begun.extend_from_slice(rest);
    }
    worker.flush_soon(&mut batch);
    result
}

#[cfg(test)]
mod tests;
