//! Packets on their way out: collected while what was received together is worked through, and sent together behind it.

use std::{
    io::IoSlice,
    net::{IpAddr, SocketAddr},
};

use arrayvec::ArrayVec;

use super::{
    batch::{Buffers, Part},
    mailbox::Letter,
    marks::Marks,
    socket::Datagram,
};
use crate::{Client, Frame, RelayId};

/// What goes out in one call at most.
pub(super) const MAX_SENT: usize = 64;

/// The longest header of a frame.
const HEAD: usize = 48;

/// Entries are plain data and say where in the buffer their bytes are, which did not move since they were received.
/// Responses are the engine's own and have a place here.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    to_clients: Vec<ToClient>,
    to_streams: Vec<ToStream>,
    to_peers: Vec<ToPeer>,
    /// By the worker's number.
    to_workers: Vec<Vec<Letter>>,
    responses: Vec<u8>,
}

#[derive(Debug)]
struct ToClient {
    listener: u16,
    to: SocketAddr,
    from: Option<IpAddr>,
    marks: Marks,
    framed: Framed,
}

#[derive(Debug)]
struct ToStream {
    client: Client,
    framed: Framed,
}

/// A frame with what is in front of its data and behind them, or a response.
#[derive(Debug)]
struct Framed {
    head: [u8; HEAD],
    head_len: u8,
    padding: u8,
    data: Part,
    is_response: bool,
}

#[derive(Debug)]
struct ToPeer {
    relay: RelayId,
    to: SocketAddr,
    data: Part,
    marks: Marks,
}

impl Outbox {
    /// How many packets wait.
    pub(super) fn len(&self) -> usize {
        let to_workers = self.to_workers.iter().map(Vec::len);
        self.to_clients.len() + self.to_streams.len() + self.to_peers.len() + to_workers.sum::<usize>()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A frame for a client over UDP, whose data are at `data`.
    pub(super) fn push_client(
        &mut self,
        client: &Client,
        from: Option<IpAddr>,
        frame: &Frame<'_>,
        data: Part,
        marks: Marks,
    ) {
        let (listener, to) = (client.listener.0, client.tuple.client);
        self.to_clients.push(ToClient { listener, to, from, marks, framed: Framed::new(frame, data) });
    }

    /// A frame for a client on a stream, whose data are at `data`.
    pub(super) fn push_stream(&mut self, client: &Client, frame: &Frame<'_>, data: Part) {
        self.to_streams.push(ToStream { client: *client, framed: Framed::new(frame, data) });
    }

    /// A response for a client.
    pub(super) fn push_response(&mut self, client: &Client, from: Option<IpAddr>, response: &[u8]) {
        let start = self.responses.len();
        self.responses.extend_from_slice(response);
        let framed = Framed::response(Part::at(start..self.responses.len()));
        if client.tuple.transport.is_stream() {
            self.to_streams.push(ToStream { client: *client, framed });
        } else {
            let (listener, to) = (client.listener.0, client.tuple.client);
            self.to_clients.push(ToClient { listener, to, from, marks: Marks::default(), framed });
        }
    }

    /// Data for a peer, which are at `data`.
    pub(super) fn push_peer(&mut self, relay: RelayId, to: SocketAddr, data: Part, marks: Marks) {
        self.to_peers.push(ToPeer { relay, to, data, marks });
    }

    /// A packet for a client of another worker.
    pub(super) fn push_letter(&mut self, worker: usize, letter: Letter) {
        if self.to_workers.len() <= worker {
            self.to_workers.resize_with(worker + 1, Vec::new);
        }
        self.to_workers[worker].push(letter);
    }

    /// Hands everything out, in runs that belong to one worker, to one listener, to one stream or to relayed transport
    /// addresses, and forgets it.
    pub(super) fn flush(
        &mut self,
        buffers: &(impl Buffers + ?Sized),
        mut to_workers: impl FnMut(usize, &[Letter]),
        mut to_clients: impl FnMut(u16, &[Datagram<'_>]),
        mut to_stream: impl FnMut(&Client, &[[IoSlice<'_>; 3]]),
        to_peers: impl FnMut(&[FromRelay<'_>]),
    ) {
        // Others begin with these while this worker sends.
        for (worker, letters) in
            self.to_workers.iter_mut().enumerate().filter(|(_, letters)| !letters.is_empty())
        {
            to_workers(worker, letters);
            letters.clear();
        }
        for run in self.to_clients.chunk_by(|a, b| a.listener == b.listener) {
            for part in run.chunks(MAX_SENT) {
                let mut datagrams = ArrayVec::<_, MAX_SENT>::new();
                datagrams.extend(part.iter().map(|entry| entry.datagram(buffers, &self.responses)));
                to_clients(run[0].listener, &datagrams);
            }
        }
        self.to_clients.clear();
        // A link may be somebody else's by now: who has moved and not come yet has none.
        let is_same =
            |a: &ToStream, b: &ToStream| (a.client.link, a.client.tuple) == (b.client.link, b.client.tuple);
        for run in self.to_streams.chunk_by(is_same) {
            for part in run.chunks(MAX_SENT) {
                let mut frames = ArrayVec::<_, MAX_SENT>::new();
                frames.extend(part.iter().map(|entry| entry.framed.parts(buffers, &self.responses)));
                to_stream(&run[0].client, &frames);
            }
        }
        self.to_streams.clear();
        self.responses.clear();
        self.flush_to_peers(buffers, to_peers);
    }

    fn flush_to_peers(
        &mut self,
        buffers: &(impl Buffers + ?Sized),
        mut to_peers: impl FnMut(&[FromRelay<'_>]),
    ) {
        for part in self.to_peers.chunks(MAX_SENT) {
            let mut datagrams = ArrayVec::<_, MAX_SENT>::new();
            datagrams.extend(part.iter().map(|entry| entry.datagram(buffers)));
            let mut rest = datagrams.as_slice();
            let mut runs = ArrayVec::<_, MAX_SENT>::new();
            for run in part.chunk_by(|a, b| a.relay == b.relay) {
                let (datagrams, behind) = rest.split_at(run.len());
                rest = behind;
                runs.push(FromRelay { relay: run[0].relay, datagrams });
            }
            to_peers(&runs);
        }
        self.to_peers.clear();
    }
}

/// What leaves by one relayed transport address.
#[derive(Clone, Copy, Debug)]
pub(super) struct FromRelay<'a> {
    pub(super) relay: RelayId,
    pub(super) datagrams: &'a [Datagram<'a>],
}

impl Framed {
    fn new(frame: &Frame<'_>, data: Part) -> Self {
        let mut head = [0; HEAD];
        let len = frame.head().len();
        head[..len].copy_from_slice(frame.head());
        Self {
            head,
            head_len: u8::try_from(len).unwrap_or_default(),
            padding: u8::try_from(frame.padding().len()).unwrap_or_default(),
            data,
            is_response: false,
        }
    }

    const fn response(data: Part) -> Self {
        Self { head: [0; HEAD], head_len: 0, padding: 0, data, is_response: true }
    }

    fn parts<'a>(&'a self, buffers: &'a (impl Buffers + ?Sized), responses: &'a [u8]) -> [IoSlice<'a>; 3] {
        let data = if self.is_response { responses.part(&self.data) } else { buffers.part(&self.data) };
        let head = &self.head[..usize::from(self.head_len)];
        let padding = &[0; 3][..usize::from(self.padding)];
        [head, data, padding].map(IoSlice::new)
    }
}

impl ToClient {
    fn datagram<'a>(&'a self, buffers: &'a (impl Buffers + ?Sized), responses: &'a [u8]) -> Datagram<'a> {
        let parts = self.framed.parts(buffers, responses);
        Datagram { to: self.to, from: self.from, marks: self.marks, parts }
    }
}

impl ToPeer {
    fn datagram<'a>(&self, buffers: &'a (impl Buffers + ?Sized)) -> Datagram<'a> {
        let parts = [buffers.part(&self.data), &[], &[]].map(IoSlice::new);
        Datagram { to: self.to, from: None, marks: self.marks, parts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FiveTuple, ListenerId, Transport};

    fn client(port: u16, link: u32) -> Client {
        let tuple = FiveTuple {
            client: ([198, 51, 100, 1], port).into(),
            server: ([192, 0, 2, 1], 3478).into(),
            transport: Transport::Tcp,
        };
        Client { tuple, listener: ListenerId(0), link }
    }

    #[test]
    fn what_is_for_a_client_whose_link_is_anothers_by_now_is_not_among_what_is_for_that_one() {
        let mut outbox = Outbox::default();
        // The first has gone, and its allocation waits for it; the second has the place of its connection.
        let all =
            [(client(0, 7), "gone"), (client(2, 7), "there"), (client(2, 7), "too"), (client(0, 7), "gone")];
        for (client, data) in &all {
            outbox.push_response(client, None, data.as_bytes());
        }

        let mut runs = Vec::new();
        let to_stream =
            |client: &Client, frames: &[[IoSlice<'_>; 3]]| runs.push((client.tuple, frames.len()));
        outbox.flush(&[][..], |_, _| {}, |_, _| {}, to_stream, |_| {});

        let [gone, there] = [0, 2].map(|port| client(port, 7).tuple);
        assert_eq!(runs, [(gone, 1), (there, 2), (gone, 1)]);
    }
}
