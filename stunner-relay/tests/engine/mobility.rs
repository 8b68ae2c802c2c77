//! An allocation follows its client to another address (RFC 8016).

use std::{net::SocketAddr, time::Duration};

use stunner_proto::{
    AttributeType, Method,
    attribute::{Lifetime, MobilityTicket},
};
use stunner_relay::{Config, MAX_REPLY, Output};

use crate::world::{Answer, Everyone, LISTENER, Received, User, World, client, config, config_of_many, peer};

/// What asks for a ticket.
const NO_TICKET: MobilityTicket<'static> = MobilityTicket(&[]);

/// A server whose allocations follow their clients.
fn mobile() -> Config {
    let mut configured = config_of_many();
    configured.mobility = true;
    configured
}

/// An allocation with a ticket, whose client has permitted a peer and bound a channel to another.
pub(crate) struct Call {
    pub(crate) world: World,
    pub(crate) user: User,
    pub(crate) relayed: SocketAddr,
    pub(crate) ticket: Vec<u8>,
}

/// The ticket of an answer.
pub(crate) fn ticket(answer: &Answer) -> Vec<u8> {
    answer.get::<MobilityTicket<'_>>().0.to_vec()
}

impl Call {
    pub(crate) fn over_udp() -> Self {
        Self::begun(World::new(mobile()))
    }

    pub(crate) fn over_tcp() -> Self {
        let mut world = World::new(mobile());
        world.connect(client(1));
        Self::begun(world)
    }

    fn begun(mut world: World) -> Self {
        let mut user = User::new(client(1));
        let answer = user.ask_to_allocate(&mut world, |message| message.attribute(&NO_TICKET));
        let (relayed, ticket) = (answer.relayed(), ticket(&answer));
        assert_eq!(user.permit(&mut world, &[peer(2)]), 0);
        assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);
        Self { world, user, relayed, ticket }
    }

    /// The client at another address, where it has got a nonce.
    pub(crate) fn at(&mut self, address: SocketAddr) -> User {
        let mut user = User { address, nonce: String::new(), ..self.user.clone() };
        user.challenge(&mut self.world);
        user
    }

    /// A Refresh with a ticket.
    pub(crate) fn refresh(&mut self, user: &mut User, ticket: &[u8], lifetime: u32) -> Answer {
        user.ask(&mut self.world, Method::REFRESH, |message| {
            message.attribute(&Lifetime(lifetime)).attribute(&MobilityTicket(ticket))
        })
    }

    /// The client goes to an address of its own, and takes the new ticket.
    pub(crate) fn go(&mut self, address: SocketAddr) -> User {
        let mut user = self.at(address);
        let answer = self.refresh(&mut user, &self.ticket.clone(), 600);
        assert_eq!(answer.code(), 0);
        self.ticket = ticket(&answer);
        user
    }

    /// Where what the peers send goes to.
    pub(crate) fn heard_at(&mut self) -> Option<SocketAddr> {
        self.world.send(peer(2), self.relayed, b"back");
        self.world.settle();
        let places = [client(1), client(2), client(3)];
        places.into_iter().find(|&place| !self.world.take(place).is_empty())
    }
}

#[test]
fn mob_01_who_asks_for_a_ticket_gets_one() {
    let (mut world, mut user) = (World::new(mobile()), User::new(client(1)));

    let answer = user.ask_to_allocate(&mut world, |message| message.attribute(&NO_TICKET));

    assert_eq!(answer.code(), 0);
    assert!(ticket(&answer).len() >= 32, "{:?}", answer.message());
}

#[test]
fn mob_02_where_allocations_do_not_move_it_is_forbidden_to_ask() {
    let (mut world, mut user) = (World::new(config(Everyone)), User::new(client(1)));

    let answer = user.ask_to_allocate(&mut world, |message| message.attribute(&NO_TICKET));

    assert_eq!((answer.code(), world.sockets()), (405, 0));
}

#[test]
fn mob_03_an_allocate_with_a_ticket_in_it_is_a_bad_request() {
    let (mut world, mut user) = (World::new(mobile()), User::new(client(1)));

    let answer = user.ask_to_allocate(&mut world, |message| message.attribute(&MobilityTicket(&[7; 8])));

    assert_eq!((answer.code(), world.sockets()), (400, 0));
}

#[test]
fn mob_04_who_does_not_ask_gets_none() {
    let (mut world, mut user) = (World::new(mobile()), User::new(client(1)));

    let answers = [user.ask_to_allocate(&mut world, |message| message), user.refresh(&mut world, 600)];

    assert!(answers.iter().all(|answer| !answer.has(AttributeType::MOBILITY_TICKET)));
}

#[test]
fn mob_05_the_allocation_follows_with_its_permissions_and_channels() {
    let mut call = Call::over_udp();
    let first = call.ticket.clone();
    let user = call.go(client(2));
    assert_ne!(call.ticket, first);

    user.send_channel(&mut call.world, 0x4000, b"over the channel");
    assert_eq!(call.world.take(peer(1)), [(call.relayed, b"over the channel".to_vec())]);
    assert!(user.reaches(&mut call.world, peer(2)));
    call.world.send(peer(1), call.relayed, b"back");
    assert_eq!(user.received(&mut call.world), [Received::Channel(0x4000, b"back".to_vec())]);
    call.world.send(peer(2), call.relayed, b"back");
    assert_eq!(user.received(&mut call.world), [Received::Data(peer(2), b"back".to_vec())]);
}

#[test]
fn mob_05_moving_does_not_prolong_a_permission() {
    let mut call = Call::over_udp();
    call.world.run_for(Duration::from_secs(299));
    let user = call.go(client(2));

    assert!(user.reaches(&mut call.world, peer(2)));
    call.world.run_for(Duration::from_secs(1));
    assert!(!user.reaches(&mut call.world, peer(2)));
}

#[test]
fn mob_05_a_refresh_elsewhere_gives_the_time_that_it_asks_for() {
    let mut call = Call::over_udp();
    let mut user = call.at(client(2));

    let answer = call.refresh(&mut user, &call.ticket.clone(), 1_200);

    assert_eq!(answer.get::<Lifetime>(), Lifetime(1_200));
    call.world.run_for(Duration::from_millis(1_199_999));
    assert_eq!(call.world.sockets(), 1);
    call.world.run_for(Duration::from_millis(1));
    assert_eq!(call.world.sockets(), 0);
}

#[test]
fn mob_06_a_ticket_from_where_the_client_is_already_is_a_bad_request() {
    let mut call = Call::over_udp();
    let mut user = call.user.clone();

    assert_eq!(call.refresh(&mut user, &call.ticket.clone(), 600).code(), 400);
    assert_eq!(call.go(client(2)).address, client(2));
}

#[test]
fn mob_07_a_ticket_that_was_changed_or_made_up_is_a_bad_request() {
    let mut call = Call::over_udp();
    let mut user = call.at(client(2));
    let good = call.ticket.clone();
    let changed = (0..good.len()).map(|at| {
        let mut ticket = good.clone();
        ticket[at] ^= 1;
        ticket
    });

    for ticket in changed.chain([vec![], vec![0; good.len()], good[1..].to_vec(), [&good[..], &[0]].concat()])
    {
        assert_eq!(call.refresh(&mut user, &ticket, 600).code(), 400, "{ticket:02x?}");
    }
    assert_eq!(call.heard_at(), Some(client(1)));
}

#[test]
fn mob_08_the_ticket_of_an_allocation_that_is_gone_is_a_mismatch() {
    let mut call = Call::over_udp();
    let mut user = call.at(client(2));
    assert_eq!(call.user.refresh(&mut call.world, 0).code(), 0);

    assert_eq!(call.refresh(&mut user, &call.ticket.clone(), 600).code(), 437);
}

#[test]
fn mob_08_a_ticket_is_of_no_use_for_the_next_allocation() {
    let mut call = Call::over_udp();
    assert_eq!(call.user.refresh(&mut call.world, 0).code(), 0);
    call.user.ask_to_allocate(&mut call.world, |message| message.attribute(&NO_TICKET));
    let mut user = call.at(client(2));

    assert_eq!(call.refresh(&mut user, &call.ticket.clone(), 600).code(), 437);
}

#[test]
fn mob_09_a_ticket_is_of_no_use_to_another_user() {
    let mut call = Call::over_udp();
    let mut thief = User { name: "thief", ..call.at(client(2)) };

    assert_eq!(call.refresh(&mut thief, &call.ticket.clone(), 600).code(), 441);
    assert_eq!(call.refresh(&mut thief, &call.ticket.clone(), 0).code(), 441);
    assert_eq!((call.heard_at(), call.go(client(3)).address), (Some(client(1)), client(3)));
}

#[test]
fn mob_11_until_the_client_sends_from_its_new_address_it_is_reached_at_the_old_one() {
    let mut call = Call::over_udp();
    let mut user = call.go(client(2));

    assert_eq!(call.heard_at(), Some(client(1)));
    assert!(call.user.reaches(&mut call.world, peer(2)));
    assert_eq!((user.permit(&mut call.world, &[peer(3)]), user.refresh(&mut call.world, 600).code()), (0, 0));
    assert_eq!(call.heard_at(), Some(client(1)));
}

#[test]
fn mob_12_with_the_first_data_from_the_new_address_the_old_one_is_over() {
    let arrivals: [fn(&mut World, &User); 2] = [
        |world, user| user.send(world, peer(2), b"here"),
        |world, user| user.send_channel(world, 0x4000, b"here"),
    ];

    for arrive in arrivals {
        let mut call = Call::over_udp();
        let user = call.go(client(2));
        arrive(&mut call.world, &user);
        assert!([peer(1), peer(2)].iter().any(|&at| !call.world.take(at).is_empty()));

        assert_eq!(call.heard_at(), Some(client(2)));
        assert!(!call.user.reaches(&mut call.world, peer(2)));
        assert!(!call.user.reaches_over(&mut call.world, 0x4000, peer(1)));
        assert_eq!(call.user.refresh(&mut call.world, 0).code(), 437);
        assert_eq!(call.heard_at(), Some(client(2)));
    }
}

#[test]
fn mob_12_the_old_address_can_allocate_anew() {
    let mut call = Call::over_udp();
    let user = call.go(client(2));
    user.send(&mut call.world, peer(2), b"here");

    let relayed = call.user.allocate(&mut call.world);

    assert_ne!(relayed, call.relayed);
    assert_eq!((call.world.sockets(), call.heard_at()), (2, Some(client(2))));
}

/// A Refresh with a ticket, as bytes that can be sent again.
fn signed(user: &User, ticket: &[u8]) -> Vec<u8> {
    user.signed(Method::REFRESH, |message| {
        message.attribute(&Lifetime(600)).attribute(&MobilityTicket(ticket))
    })
}

#[test]
fn mob_13_the_same_refresh_again_is_the_same_success_for_thirty_seconds() {
    let mut call = Call::over_udp();
    let user = call.at(client(2));
    let bytes = signed(&user, &call.ticket);
    let first = user.exchange(&mut call.world, &bytes).expect("an answer");
    call.world.run_for(Duration::from_millis(29_999));

    let again = user.exchange(&mut call.world, &bytes).expect("an answer");

    assert_eq!((first.code(), again.code(), again.kinds()), (0, 0, first.kinds()));
}

#[test]
fn mob_13_the_same_refresh_again_is_the_same_success_though_a_packet_before_it_was_looked_at_later() {
    let mut call = Call::over_udp();
    let user = call.at(client(2));
    let bytes = signed(&user, &call.ticket);
    let (from, mut reply) = (call.world.client(client(2), LISTENER), [0; MAX_REPLY]);
    let later = call.world.now + Duration::from_millis(1);
    let first = call.world.server.handle_client(&bytes, from, later, &mut reply);
    assert!(matches!(first, Output::Reply(_)), "{first:?}");

    let output = call.world.server.handle_client(&bytes, from, call.world.now, &mut reply);

    let Output::Reply(len) = output else { panic!("{output:?}") };
    assert_eq!(Answer(reply[..len].to_vec()).code(), 0);
}

#[test]
fn mob_13_the_answer_that_was_repeated_brings_a_ticket_that_is_good() {
    let mut call = Call::over_udp();
    let user = call.at(client(2));
    let bytes = signed(&user, &call.ticket);
    assert_eq!(user.exchange(&mut call.world, &bytes).expect("an answer").code(), 0);

    call.ticket = ticket(&user.exchange(&mut call.world, &bytes).expect("an answer"));

    assert_eq!(call.go(client(3)).address, client(3));
}

#[test]
fn mob_13_another_refresh_with_the_old_ticket_is_none_of_it() {
    let mut call = Call::over_udp();
    let old = call.ticket.clone();
    let mut user = call.go(client(2));

    assert_eq!(call.refresh(&mut user, &old, 600).code(), 400);
}

#[test]
fn mob_14_the_old_ticket_from_a_third_address_is_rejected() {
    let mut call = Call::over_udp();
    let old = call.ticket.clone();
    let user = call.at(client(2));
    assert_eq!(user.exchange(&mut call.world, &signed(&user, &old)).expect("an answer").code(), 0);
    let third = call.at(client(3));

    assert_eq!(third.exchange(&mut call.world, &signed(&third, &old)).expect("an answer").code(), 400);
    assert_eq!(call.heard_at(), Some(client(1)));
}
