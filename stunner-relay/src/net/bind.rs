//! A worker's relayed transport addresses: how they are bound.

use std::{
    net::SocketAddr,
    rc::Rc,
    sync::{MutexGuard, PoisonError},
    time::Instant,
};

use stunner_proto::attribute::AddressFamily;

use super::{
    ports::Reservations,
    socket::{DatagramSocket, Network},
    worker::{Relay, Worker},
};
use crate::{AllocateRequest, MAX_REPLY, PortWish, Refusal, RelayId, Relayed};

impl<N: Network> Worker<N> {
    pub(super) fn allocate(
        self: &Rc<Self>,
        request: AllocateRequest,
        now: Instant,
        reply: &mut [u8; MAX_REPLY],
    ) -> usize {
        // It holds before the engine has heard of it.
        if let Some(alternates) = self.shared.draining.get() {
            let why =
                if alternates.is_empty() { Refusal::InsufficientCapacity } else { Refusal::TryAlternate };
            self.drain();
            return self.server.borrow_mut().reject(request, why, now, reply);
        }
        // What has ended is freed before another allocation has its place.
        self.publish(now);
        let mut sockets = [None, None];
        let relayed = self.bind(&request, now, &mut sockets);
        let accepted = self.server.borrow_mut().accept(request, relayed, now, reply);
        for socket in sockets.into_iter().flatten() {
            if let Ok(local) = socket.local_addr()
                && let Some(id) = accepted.relay(AddressFamily::of(local.ip()))
            {
                self.start_relay(id, socket);
            }
        }
        accepted.reply
    }

    /// Has the engine make no more allocations, where that was asked for.
    pub(super) fn drain(&self) {
        if let Some(alternates) = self.shared.draining.get() {
            self.server.borrow_mut().drain(alternates);
        }
    }

    fn start_relay(self: &Rc<Self>, id: RelayId, socket: N::Socket) {
        if let Some(relayed) = self.server.borrow().relayed(id) {
            self.shared.owners.set(relayed, Some(self.index));
        }
        let socket = Rc::new(socket);
        let task = (!socket.deliver(id.index())).then(|| self.read(id, socket.clone()));
        let mut relays = self.relays.borrow_mut();
        if relays.len() <= id.index() {
            relays.resize_with(id.index() + 1, || None);
        }
        relays[id.index()] = Some(Relay { id, socket, task });
    }

    /// Binds what an Allocate wants, one socket for each family.
    fn bind(&self, request: &AllocateRequest, now: Instant, sockets: &mut [Option<N::Socket>; 2]) -> Relayed {
        let wants = request.wants();
        if let PortWish::Reserved(token) = wants.port {
            let kept = self.reservations().take(token, request.user(), now);
            let kept = kept.ok_or(Refusal::InsufficientCapacity);
            let relayed = kept.and_then(|bound| self.attach(bound, &mut sockets[0]));
            return match relayed {
                Ok(relayed) if relayed.is_ipv6() => Relayed { v4: None, v6: Some(Ok(relayed)) },
                relayed => Relayed { v4: Some(relayed), v6: None },
            };
        }
        let [v4, v6] = sockets;
        wants.bind(|family| {
            let socket = if family == AddressFamily::V4 { &mut *v4 } else { &mut *v6 };
            let bound = self.bind_family(request, family, now)?;
            self.attach(bound, socket)
        })
    }

    fn bind_family(
        &self,
        request: &AllocateRequest,
        family: AddressFamily,
        now: Instant,
    ) -> Result<N::Bound, Refusal> {
        let address = self.addresses.iter().find(|address| AddressFamily::of(address.bind) == family);
        let on = *address.ok_or(Refusal::AddressFamilyNotSupported)?;
        let keeps = matches!(request.wants().port, PortWish::EvenAndNext(_));
        if keeps && self.keeps_enough_for(request.user(), now) {
            return Err(Refusal::QuotaReached);
        }
        let mut ports = self.ports.borrow_mut();
        let bound = match request.wants().port {
            PortWish::EvenAndNext(token) => ports.bind_pair(&self.network, on).map(|(even, next)| {
                self.reservations().keep(token, request.user(), next, now);
                even
            }),
            wish => ports.bind(&self.network, on, wish == PortWish::Even),
        };
        bound.map_err(|error| {
            self.complaints.log(format_args!("no relayed port could be bound on {}", on.bind), &error, now);
            Refusal::InsufficientCapacity
        })
    }

    /// Whether as many ports are kept for a user as allocations are allowed: they outlive these, and take ports and files, too.
    fn keeps_enough_for(&self, user: &str, now: Instant) -> bool {
        let quota = self.server.borrow().config().max_allocations_per_user;
        quota.is_some_and(|quota| self.reservations().of_user(user, now) >= quota)
    }

    /// Makes a bound port a socket of this worker, and says what peers are told of it.
    fn attach(&self, bound: N::Bound, place: &mut Option<N::Socket>) -> Result<SocketAddr, Refusal> {
        let attached = self.network.attach(bound).and_then(|socket| {
            let local = socket.local_addr()?;
            Ok((place.insert(socket), local).1)
        });
        let local = attached.map_err(|error| {
            self.complaints.log(format_args!("a relayed port could not be used"), &error, self.network.now());
            Refusal::InsufficientCapacity
        })?;
        let own = self.addresses.iter().find(|address| address.bind == local.ip());
        Ok(SocketAddr::new(own.map_or(local.ip(), |own| own.advertise), local.port()))
    }

    pub(super) fn reservations(&self) -> MutexGuard<'_, Reservations<N::Bound>> {
        self.reservations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
