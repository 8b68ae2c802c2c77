//! What is to come of each step, by lists that are searched from end to end: RFC 8656 with nothing clever about it.

use std::net::{IpAddr, SocketAddr};

use stunner_proto::attribute::AddressFamily;

use super::{
    operations::{CLIENTS, CONNECTED, Families, NAMES, Operation, Room, Step, hosts},
    run::{Delivery, MAX_PER_USER, NONCE_LIFETIME, Outcome, Run, place},
};
use crate::world::Received;

pub(super) struct Model {
    now: u64,
    room: usize,
    draining: bool,
    denied: Option<IpAddr>,
    /// When each client got its nonce.
    nonces: [u64; CLIENTS],
    allocations: [Option<Allocation>; CLIENTS],
}

struct Allocation {
    user: &'static str,
    /// A relayed transport address of each family, and when it expires.
    halves: [Option<(SocketAddr, u64)>; 2],
    permissions: Vec<(IpAddr, u64)>,
    channels: Vec<(u16, SocketAddr, u64)>,
}

impl Allocation {
    /// The relayed transport address that reaches a peer.
    fn towards(&self, peer: IpAddr) -> Option<SocketAddr> {
        self.halves[usize::from(peer.is_ipv6())].map(|(relayed, _)| relayed)
    }

    fn permits(&self, peer: IpAddr) -> bool {
        self.permissions.iter().any(|&(ip, _)| ip == peer)
    }

    /// Gives a peer 300 s from now.
    fn permit(&mut self, peer: IpAddr, now: u64) {
        self.permissions.retain(|&(ip, _)| ip != peer);
        self.permissions.push((peer, now + 300_000));
    }

    /// How many permissions there would be with these.
    fn with(&self, peers: &[IpAddr]) -> usize {
        let mut all: Vec<_> =
            self.permissions.iter().map(|&(ip, _)| ip).chain(peers.iter().copied()).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    }
}

/// The lifetime that was granted, where a success says one; or the code of an error.
type Answered = Result<Option<u32>, u16>;

impl Outcome {
    fn of(delivery: Option<Delivery>) -> Self {
        Self { delivered: delivery.into_iter().collect(), ..Self::default() }
    }
}

fn effective(lifetime: u32) -> u32 {
    lifetime.clamp(600, 3_600)
}

impl Model {
    pub(super) fn new(Room(room): Room) -> Self {
        let allocations = [const { None }; CLIENTS];
        Self { now: 0, room, draining: false, denied: None, nonces: [0; CLIENTS], allocations }
    }

    /// What is to come of a step that is about to be taken.
    pub(super) fn expect(&mut self, step: &Step, data: &[u8], run: &Run) -> Outcome {
        let n = step.client;
        match &step.operation {
            Operation::Wait(millis) => self.wait(*millis),
            Operation::Drain(draining) => self.draining = *draining,
            Operation::Deny(host) => self.denied = host.map(|host| hosts()[host].ip()),
            Operation::Disconnect => self.allocations[CONNECTED] = None,
            Operation::End => self.allocations[n] = None,
            Operation::Send(peer) => {
                return Outcome::of(run.find(*peer).and_then(|peer| self.send(n, peer, data)));
            }
            Operation::SendChannel(number) => return Outcome::of(self.send_channel(n, *number, data)),
            Operation::Hear(peer) => {
                let from = run.find(*peer);
                let to = from.and_then(|from| run.relayed[n][usize::from(from.is_ipv6())]);
                return Outcome::of(from.zip(to).and_then(|(from, to)| self.arrive(from, to, data)));
            }
            _ => return self.answer(step, run),
        }
        Outcome::default()
    }

    fn answer(&mut self, step: &Step, run: &Run) -> Outcome {
        let peers = match &step.operation {
            Operation::Permit(peers) => peers.clone(),
            Operation::Bind(_, peer) => vec![*peer],
            _ => vec![],
        };
        let peers: Option<Vec<_>> = peers.into_iter().map(|peer| run.find(peer)).collect();
        let Some(peers) = peers else { return Outcome::default() };
        let n = step.client;
        if self.now - self.nonces[n] >= NONCE_LIFETIME.as_secs() * 1_000 {
            self.nonces[n] = self.now;
            return Outcome { code: Some(438), ..Outcome::default() };
        }
        let user = if step.impostor { "mallory" } else { NAMES[n] };
        let answered = match &step.operation {
            Operation::Allocate { families, lifetime } => self.allocate(n, user, *families, *lifetime),
            operation => match &mut self.allocations[n] {
                None => Err(437),
                Some(allocation) if allocation.user != user => Err(441),
                Some(_) => match operation {
                    Operation::Refresh { family, lifetime } => self.refresh(n, *family, *lifetime),
                    Operation::Bind(number, _) => self.bind(n, *number, peers[0]),
                    _ => self.permit(n, &peers.iter().map(SocketAddr::ip).collect::<Vec<_>>()),
                },
            },
        };
        Outcome {
            code: Some(answered.err().unwrap_or(0)),
            lifetime: answered.ok().flatten(),
            delivered: vec![],
        }
    }

    /// RFC 8656, section 7.2. The addresses are [adopted](Self::adopt) later.
    fn allocate(&mut self, n: usize, user: &'static str, families: Families, lifetime: u32) -> Answered {
        if self.allocations[n].is_some() {
            return Err(437);
        }
        if self.draining {
            return Err(508);
        }
        if self.allocations.iter().flatten().filter(|other| other.user == user).count() >= MAX_PER_USER {
            return Err(486);
        }
        let unknown = SocketAddr::from(([0; 4], 0));
        let expires = self.now + 1_000 * u64::from(effective(lifetime));
        let wanted = |family| families == Families::Both || families == Families::One(family);
        let halves = [AddressFamily::V4, AddressFamily::V6];
        let halves = halves.map(|family| wanted(family).then_some((unknown, expires)));
        self.allocations[n] = Some(Allocation { user, halves, permissions: vec![], channels: vec![] });
        Ok(Some(effective(lifetime)))
    }

    /// Section 8.2.
    fn refresh(&mut self, n: usize, family: Option<AddressFamily>, lifetime: u32) -> Answered {
        let allocation = self.allocations[n].as_mut().expect("it was looked for");
        let meant = |at: usize| family.is_none_or(|family| place(family) == at);
        if !(0..2).any(|at| meant(at) && allocation.halves[at].is_some()) {
            return Err(443);
        }
        let granted = if lifetime == 0 { 0 } else { effective(lifetime) };
        for (_, half) in allocation.halves.iter_mut().enumerate().filter(|(at, _)| meant(*at)) {
            if let Some((_, expires)) = half {
                *expires = self.now + 1_000 * u64::from(granted);
            }
        }
        self.wait(0);
        Ok(Some(granted))
    }

    /// Section 10.2.
    fn permit(&mut self, n: usize, peers: &[IpAddr]) -> Answered {
        let allocation = self.allocations[n].as_mut().expect("it was looked for");
        if peers.iter().any(|&peer| allocation.towards(peer).is_none()) {
            return Err(443);
        }
        if peers.iter().any(|&peer| self.denied == Some(peer)) {
            return Err(403);
        }
        if allocation.with(peers) > self.room {
            return Err(508);
        }
        peers.iter().for_each(|&peer| allocation.permit(peer, self.now));
        Ok(None)
    }

    /// Section 12.2.
    fn bind(&mut self, n: usize, number: u16, peer: SocketAddr) -> Answered {
        let allocation = self.allocations[n].as_mut().expect("it was looked for");
        let same = |channel: &&(u16, SocketAddr, u64)| (channel.0, channel.1) == (number, peer);
        if allocation.channels.iter().any(|channel| (channel.0 == number) != (channel.1 == peer)) {
            return Err(400);
        }
        if allocation.towards(peer.ip()).is_none() {
            return Err(443);
        }
        if self.denied == Some(peer.ip()) {
            return Err(403);
        }
        let others = allocation.channels.iter().filter(|channel| !same(channel)).count();
        if others >= self.room || allocation.with(&[peer.ip()]) > self.room {
            return Err(508);
        }
        allocation.channels.retain(|channel| !same(&channel));
        allocation.channels.push((number, peer, self.now + 600_000));
        allocation.permit(peer.ip(), self.now);
        Ok(None)
    }

    /// A Send indication (section 11.2).
    fn send(&mut self, n: usize, peer: SocketAddr, data: &[u8]) -> Option<Delivery> {
        let allocation = self.allocations[n].as_mut()?;
        let relayed = allocation.towards(peer.ip())?;
        if self.denied == Some(peer.ip()) {
            allocation.permissions.retain(|&(ip, _)| ip != peer.ip());
        }
        if allocation.permits(peer.ip()) { self.deliver(relayed, peer, data) } else { None }
    }

    /// A ChannelData message (section 12.6).
    fn send_channel(&mut self, n: usize, number: u16, data: &[u8]) -> Option<Delivery> {
        let denied = self.denied;
        let allocation = self.allocations[n].as_mut()?;
        allocation.channels.retain(|&(own, peer, _)| own != number || denied != Some(peer.ip()));
        let (_, peer, _) = *allocation.channels.iter().find(|&&(own, ..)| own == number)?;
        let relayed = allocation.towards(peer.ip())?;
        self.deliver(relayed, peer, data)
    }

    /// What goes to a relayed transport address is another client's.
    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, data: &[u8]) -> Option<Delivery> {
        let host = hosts().contains(&to).then(|| Delivery::ToPeer(from, to, data.to_vec()));
        host.or_else(|| self.arrive(from, to, data))
    }

    /// A datagram at a relayed transport address (section 11.3).
    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, data: &[u8]) -> Option<Delivery> {
        let here = |allocation: &Allocation| allocation.halves.iter().flatten().any(|&(own, _)| own == to);
        let n = self.allocations.iter().position(|allocation| allocation.as_ref().is_some_and(here))?;
        let allocation = self.allocations[n].as_mut()?;
        if self.denied == Some(from.ip()) {
            allocation.permissions.retain(|&(ip, _)| ip != from.ip());
        }
        if !allocation.permits(from.ip()) {
            return None;
        }
        let channel = allocation.channels.iter().find(|&&(_, peer, _)| peer == from);
        Some(Delivery::ToClient(
            n,
            match channel {
                Some(&(number, ..)) => Received::Channel(number, data.to_vec()),
                None => Received::Data(from, data.to_vec()),
            },
        ))
    }

    /// Time passes, and what is over is taken away: with a family, what was permitted and bound of it.
    fn wait(&mut self, millis: u64) {
        self.now += millis;
        let now = self.now;
        for place in &mut self.allocations {
            let Some(allocation) = place else { continue };
            for half in &mut allocation.halves {
                *half = half.filter(|&(_, expires)| now < expires);
            }
            let has = allocation.halves.map(|half| half.is_some());
            let lives = |peer: IpAddr, expires| now < expires && has[usize::from(peer.is_ipv6())];
            allocation.permissions.retain(|&(peer, expires)| lives(peer, expires));
            allocation.channels.retain(|&(_, peer, expires)| lives(peer.ip(), expires));
            if has == [false; 2] {
                *place = None;
            }
        }
    }

    /// The addresses that a client got.
    pub(super) fn adopt(&mut self, client: usize, relayed: [Option<SocketAddr>; 2]) {
        let allocation = self.allocations[client].as_mut().expect("an allocation");
        for (half, relayed) in allocation.halves.iter_mut().zip(relayed) {
            if let (Some((address, _)), Some(relayed)) = (half, relayed) {
                *address = relayed;
            }
        }
    }
}
