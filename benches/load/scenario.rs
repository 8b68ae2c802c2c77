//! What is measured: a table of scenarios, and how each is set up.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use stunner_relay::Transport;

use super::{
    client::{self, Client, Step},
    socket::Socket,
    traffic::{Endpoint, Form, Load, Route},
};

/// Where peers are: not where the relayed transport addresses are.
const PEERS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// One line of the tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) kind: Kind,
}

impl Scenario {
    /// What its cost is in.
    pub(crate) const fn unit(&self) -> &'static str {
        match self.kind {
            Kind::Relay(_) => "ns/packet",
            Kind::Binding => "ns/request",
            Kind::Cycles => "ns/cycle",
            Kind::Idle => "B/allocation",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Application data.
    Relay(Relay),
    /// Binding requests.
    Binding,
    /// Allocations from beginning to end.
    Cycles,
    /// The memory of allocations that do nothing.
    Idle,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Relay {
    pub(crate) way: Way,
    /// Bytes of application data.
    size: usize,
    /// Packets in a row on one route.
    burst: u32,
    /// Allocations, where it is not as many as the options say.
    allocations: Option<u32>,
    transport: Transport,
    /// Send and Data indications instead of channels.
    indications: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    Uplink,
    Downlink,
    Both,
    /// From client to client, two and two.
    Hairpin,
}

const fn relay(way: Way, size: usize) -> Relay {
    Relay { way, size, burst: 1, allocations: None, transport: Transport::Udp, indications: false }
}

const fn row(name: &'static str, what: &'static str, kind: Kind) -> Scenario {
    Scenario { name, what, kind }
}

pub(crate) const SCENARIOS: &[Scenario] = &[
    row("uplink-200", "client to peer, 200 B", Kind::Relay(relay(Way::Uplink, 200))),
    row("uplink-1200", "client to peer, 1,200 B", Kind::Relay(relay(Way::Uplink, 1_200))),
    row("downlink-200", "peer to client, 200 B", Kind::Relay(relay(Way::Downlink, 200))),
    row("downlink-1200", "peer to client, 1,200 B", Kind::Relay(relay(Way::Downlink, 1_200))),
    row("both-200", "both ways, 200 B", Kind::Relay(relay(Way::Both, 200))),
    row("both-1200", "both ways, 1,200 B", Kind::Relay(relay(Way::Both, 1_200))),
    row(
        "indications-200",
        "Send and Data indications, both ways, 200 B",
        Kind::Relay(Relay { indications: true, ..relay(Way::Both, 200) }),
    ),
    row("hairpin-200", "client to client, 200 B", Kind::Relay(relay(Way::Hairpin, 200))),
    row("hairpin-1200", "client to client, 1,200 B", Kind::Relay(relay(Way::Hairpin, 1_200))),
    row(
        "thousand-200",
        "1,000 allocations, both ways, 200 B",
        Kind::Relay(Relay { allocations: Some(1_000), ..relay(Way::Both, 200) }),
    ),
    row(
        "bursts-1200",
        "bursts of 10, both ways, 1,200 B",
        Kind::Relay(Relay { burst: 10, ..relay(Way::Both, 1_200) }),
    ),
    row(
        "tcp-200",
        "clients over TCP, both ways, 200 B",
        Kind::Relay(Relay { transport: Transport::Tcp, ..relay(Way::Both, 200) }),
    ),
    row(
        "tcp-1200",
        "clients over TCP, both ways, 1,200 B",
        Kind::Relay(Relay { transport: Transport::Tcp, ..relay(Way::Both, 1_200) }),
    ),
    row("binding", "Binding requests", Kind::Binding),
    row("allocate", "Allocate, ChannelBind, Refresh; authenticated", Kind::Cycles),
    row("idle", "memory of an idle allocation", Kind::Idle),
];

/// A load of application data, with so many allocations unless the scenario has its own number.
pub(crate) fn load(relay: Relay, server: SocketAddr, allocations: u32) -> io::Result<Load> {
    // Clients of a hairpin come in pairs.
    let count = relay.allocations.unwrap_or(allocations).next_multiple_of(2);
    let mut clients = client::allocated(server, relay.transport, 0, count)?;
    let mut peers = Vec::new();
    if relay.way == Way::Hairpin {
        let relayed: Vec<SocketAddr> = clients.iter().map(|client| client.relayed).collect();
        clients.iter_mut().enumerate().for_each(|(index, client)| client.peer = relayed[index ^ 1]);
    } else {
        for client in &mut clients {
            let socket = Socket::udp(PEERS)?;
            client.peer = socket.local_addr()?;
            peers.push(Endpoint { socket, form: Form::Plain(client.relayed) });
        }
    }
    client::all(&mut clients, if relay.indications { Step::Permit } else { Step::Bind })?;
    let routes = routes(relay.way, clients.len());
    let form =
        |client: &Client| if relay.indications { Form::Indication(client.peer) } else { Form::Channel };
    let clients = clients.into_iter().map(|client| Endpoint { form: form(&client), socket: client.socket });
    Load::new(clients.chain(peers).collect(), routes, relay.size, relay.burst)
}

/// Who sends to whom: `clients` come first among the endpoints, and their peers, in the same order, after them.
fn routes(way: Way, clients: usize) -> Vec<Route> {
    let uplink = |client| Route { from: client, to: clients + client };
    let downlink = |client| Route { from: clients + client, to: client };
    (0..clients)
        .flat_map(|client| match way {
            Way::Uplink => vec![uplink(client)],
            Way::Downlink => vec![downlink(client)],
            Way::Both => vec![uplink(client), downlink(client)],
            Way::Hairpin => vec![Route { from: client, to: client ^ 1 }],
        })
        .collect()
}

/// A load of Binding requests from so many clients.
pub(crate) fn bindings(server: SocketAddr, clients: u32) -> io::Result<Load> {
    let endpoints = (0..clients).map(|index| {
        let Client { socket, .. } = Client::new(server, Transport::Udp, index)?;
        Ok(Endpoint { form: Form::Binding(socket.local_addr()?), socket })
    });
    let endpoints = endpoints.collect::<io::Result<Vec<_>>>()?;
    let routes = (0..endpoints.len()).map(|client| Route { from: client, to: client }).collect();
    Load::new(endpoints, routes, 0, 1)
}
