//! On the way: connections that end, moves that overtake one another, time that runs out (RFC 8016, section 3.2).

use std::time::Duration;

use stunner_proto::{
    AttributeType, Class, Method, TransactionId,
    attribute::{Data, MobilityTicket, RequestedTransport, XorPeerAddress},
};
use stunner_relay::{Bandwidth, Closed, Event, MAX_REPLY, Output};

use crate::{
    mobility::{Call, ticket},
    world::{Answer, Everyone, LISTENER, Received, User, World, client, config, message, peer},
};

/// Why the allocation ended, if it has.
fn end(call: &Call) -> Option<Closed> {
    call.world.events.iter().find_map(|event| match event {
        Event::Closed { why, .. } => Some(*why),
        _ => None,
    })
}

#[test]
fn mob_11_when_the_old_connection_ends_the_client_is_reached_where_it_went() {
    let mut call = Call::over_tcp();
    call.go(client(2));
    assert_eq!(call.heard_at(), Some(client(1)));

    call.world.disconnect(client(1));

    assert_eq!((call.heard_at(), end(&call)), (Some(client(2)), None));
}

#[test]
fn alc_50_an_allocation_with_a_ticket_waits_for_its_client_to_come_back() {
    let mut call = Call::over_tcp();
    call.world.disconnect(client(1));
    assert_eq!((call.heard_at(), call.world.sockets()), (None, 1));
    call.world.run_for(Duration::from_secs(60));

    call.world.connect(client(2));
    let user = call.go(client(2));
    assert!(user.reaches(&mut call.world, peer(2)));
    call.world.send(peer(1), call.relayed, b"back");

    assert_eq!(user.received(&mut call.world), [Received::Channel(0x4000, b"back".to_vec())]);
}

#[test]
fn who_connects_from_where_a_client_was_has_nothing_of_its_allocation() {
    let mut call = Call::over_tcp();
    call.world.disconnect(client(1));
    call.world.connect(client(1));

    assert!(!call.user.reaches_over(&mut call.world, 0x4000, peer(1)));
    assert_eq!((call.heard_at(), call.user.refresh(&mut call.world, 600).code()), (None, 437));
    assert_eq!(call.world.sockets(), 1);
}

#[test]
fn alc_50_a_client_may_come_back_from_where_it_was() {
    let mut call = Call::over_tcp();
    call.world.disconnect(client(1));

    call.world.connect(client(1));
    let user = call.go(client(1));

    assert!(user.reaches(&mut call.world, peer(2)));
    assert_eq!(call.heard_at(), Some(client(1)));
}

#[test]
fn alc_50_an_allocation_whose_client_does_not_come_back_expires() {
    let mut call = Call::over_tcp();
    call.world.disconnect(client(1));

    call.world.run_for(Duration::from_millis(599_999));
    assert_eq!(end(&call), None);
    call.world.run_for(Duration::from_millis(1));
    assert_eq!((end(&call), call.world.sockets()), (Some(Closed::Expired), 0));
}

#[test]
fn gen_06_an_allocation_goes_from_one_transport_to_another_and_back() {
    let mut call = Call::over_udp();
    call.world.connect(client(2));
    let over_tcp = call.go(client(2));
    over_tcp.send_channel(&mut call.world, 0x4000, b"five!");
    assert_eq!(call.world.take(peer(1)), [(call.relayed, b"five!".to_vec())]);
    call.world.send(peer(1), call.relayed, b"five!");
    call.world.settle();
    let [(_, framed)] = &call.world.take(client(2))[..] else { panic!("one packet") };
    assert_eq!(framed[..], *b"\x40\x00\x00\x05five!\0\0\0");

    let over_udp = call.go(client(1));
    assert!(over_udp.reaches(&mut call.world, peer(2)));
    call.world.disconnect(client(2));

    assert_eq!((call.heard_at(), end(&call)), (Some(client(1)), None));
}

#[test]
fn when_the_new_connection_ends_first_the_client_is_where_it_was() {
    let mut call = Call::over_udp();
    call.world.connect(client(2));
    call.go(client(2));
    call.world.disconnect(client(2));

    assert_eq!((call.heard_at(), call.user.refresh(&mut call.world, 600).code()), (Some(client(1)), 0));
    assert_eq!(call.go(client(3)).address, client(3));
}

#[test]
fn a_second_move_before_the_first_has_arrived_takes_its_place() {
    let mut call = Call::over_udp();
    let mut second = call.go(client(2));
    let third = call.go(client(3));

    second.send(&mut call.world, peer(2), b"too late");
    assert_eq!(call.world.take(peer(2)), []);
    assert_eq!(second.refresh(&mut call.world, 600).code(), 437);
    assert_eq!(call.heard_at(), Some(client(1)));
    assert!(third.reaches(&mut call.world, peer(2)));
    assert_eq!(call.heard_at(), Some(client(3)));
}

#[test]
fn after_a_move_that_arrived_the_client_can_go_on_or_back() {
    let mut call = Call::over_udp();

    for address in [client(2), client(3), client(1), client(2)] {
        let user = call.go(address);
        assert!(user.reaches(&mut call.world, peer(2)));
        assert_eq!(call.heard_at(), Some(address));
    }
}

#[test]
fn mob_14_a_ticket_that_was_used_up_by_arriving_is_no_good_any_more() {
    let mut call = Call::over_udp();
    let old = call.ticket.clone();
    let user = call.go(client(2));
    assert!(user.reaches(&mut call.world, peer(2)));
    let mut third = call.at(client(3));

    assert_eq!(call.refresh(&mut third, &old, 600).code(), 400);
}

#[test]
fn an_allocation_that_expires_on_the_way_leaves_both_addresses_free() {
    let mut call = Call::over_udp();
    let mut second = call.go(client(2));

    call.world.run_for(Duration::from_secs(600));

    assert_eq!((end(&call), call.world.sockets()), (Some(Closed::Expired), 0));
    assert_eq!(
        (call.user.refresh(&mut call.world, 0).code(), second.refresh(&mut call.world, 0).code()),
        (437, 437)
    );
    call.user.allocate(&mut call.world);
    second.allocate(&mut call.world);
}

#[test]
fn an_allocation_that_is_deleted_on_the_way_leaves_both_addresses_free() {
    for deletes_from_the_new_one in [false, true] {
        let mut call = Call::over_udp();
        let mut second = call.go(client(2));

        let user = if deletes_from_the_new_one { &mut second } else { &mut call.user };
        assert_eq!(user.refresh(&mut call.world, 0).code(), 0);

        assert_eq!((end(&call), call.world.sockets()), (Some(Closed::Deleted), 0));
        call.user.allocate(&mut call.world);
        second.allocate(&mut call.world);
    }
}

#[test]
fn ref_03_a_ticket_and_a_lifetime_of_zero_delete_from_anywhere() {
    let mut call = Call::over_udp();
    let mut user = call.at(client(2));

    let answer = call.refresh(&mut user, &call.ticket.clone(), 0);

    assert_eq!((answer.code(), answer.has(AttributeType::MOBILITY_TICKET)), (0, false));
    assert_eq!((end(&call), call.world.sockets()), (Some(Closed::Deleted), 0));
    assert_eq!(call.refresh(&mut user, &call.ticket.clone(), 0).code(), 437);
}

#[test]
fn mob_08_the_ticket_of_an_allocation_that_expired_and_was_not_swept_is_a_mismatch() {
    let mut call = Call::over_udp();
    let user = call.at(client(2));
    let bytes = user.signed(Method::REFRESH, |message| message.attribute(&MobilityTicket(&call.ticket)));
    let from = call.world.client(client(2), user.server);
    let late = call.world.now + Duration::from_secs(600);
    let mut reply = [0; MAX_REPLY];

    let output = call.world.server.handle_client(&bytes, from, late, &mut reply);

    let Output::Reply(len) = output else { panic!("{output:?}") };
    assert_eq!(Answer(reply[..len].to_vec()).code(), 437);
}

#[test]
fn alc_02_whoever_has_an_allocation_where_it_goes_cannot_take_another_along() {
    let mut call = Call::over_udp();
    let mut second = call.at(client(2));
    let own = second.allocate(&mut call.world);

    assert_eq!(call.refresh(&mut second, &call.ticket.clone(), 600).code(), 437);

    assert_eq!(call.heard_at(), Some(client(1)));
    assert!(call.world.server.relay_at(own).is_some());
}

#[test]
fn alc_02_where_an_allocation_is_about_to_go_no_other_is_made() {
    let mut call = Call::over_udp();
    let mut second = call.go(client(2));

    assert_eq!(second.ask_to_allocate(&mut call.world, |message| message).code(), 437);
}

#[test]
fn alc_03_the_same_allocate_again_brings_a_ticket_that_is_good() {
    let mut call = Call::over_udp();
    assert_eq!(call.user.refresh(&mut call.world, 0).code(), 0);
    let bytes = call.user.signed(Method::ALLOCATE, |message| {
        message.attribute(&RequestedTransport::UDP).attribute(&MobilityTicket(&[]))
    });
    for _ in 0..2 {
        let answer = call.user.exchange(&mut call.world, &bytes).expect("an answer");
        call.ticket = ticket(&answer);
    }

    assert_eq!(call.go(client(2)).address, client(2));
}

/// What somebody asks from a relayed transport address, by a client that has it, and the answer.
fn ask_through(world: &mut World, client: &User, bytes: &[u8]) -> Answer {
    let sent = message(Class::Indication, Method::SEND, TransactionId([7; 12]), |message| {
        message.attribute(&XorPeerAddress(LISTENER)).attribute(&Data(bytes))
    });
    world.send(client.address, LISTENER, &sent);
    let mut came = client.received(world);
    let Some(Received::Data(LISTENER, answer)) = came.pop() else { panic!("no answer: {came:?}") };
    Answer(answer)
}

#[test]
fn sec_05_an_allocation_does_not_move_to_a_relayed_transport_address_of_its_own_server() {
    let mut call = Call::over_udp();
    let mut second = User::new(client(2));
    let address = second.allocate(&mut call.world);
    assert_eq!(second.permit(&mut call.world, &[LISTENER]), 0);
    let mut there = User { address, nonce: String::new(), ..call.user.clone() };
    let bare = there.signed(Method::REFRESH, |message| message);
    there.take_nonce(&ask_through(&mut call.world, &second, &bare));
    let bytes = there.signed(Method::REFRESH, |message| message.attribute(&MobilityTicket(&call.ticket)));

    let answer = ask_through(&mut call.world, &second, &bytes);

    assert_eq!(answer.code(), 403);
}

#[test]
fn alc_50_what_comes_for_a_client_that_is_nowhere_is_dropped_and_takes_nothing_from_its_rate() {
    let mut limited = config(Everyone);
    limited.mobility = true;
    limited.user_bandwidth = Some(Bandwidth { bytes_per_second: 0, burst: 10 });
    let mut world = World::new(limited);
    world.connect(client(1));
    let mut user = User::new(client(1));
    let answer = user.ask_to_allocate(&mut world, |message| message.attribute(&MobilityTicket(&[])));
    let (relayed, ticket) = (answer.relayed(), ticket(&answer));
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
    world.disconnect(client(1));

    world.send(peer(1), relayed, &[7; 10]);
    world.settle();

    let counters = world.server.counters();
    assert_eq!((counters.dropped_from_peers, counters.traffic.packets_to_client), (1, 0));
    let mut second = User { address: client(2), nonce: String::new(), ..user };
    let refreshed =
        second.ask(&mut world, Method::REFRESH, |message| message.attribute(&MobilityTicket(&ticket)));
    assert_eq!(refreshed.code(), 0);
    assert!(second.hears(&mut world, peer(1), relayed));
}
