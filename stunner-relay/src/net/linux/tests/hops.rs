//! Time to live and hop limit: the system's, or one less than what came in.

use super::*;

/// The families that there are.
fn families() -> impl Iterator<Item = IpAddr> {
    [V4, V6].into_iter().filter(|&ip| StdUdpSocket::bind((ip, 0)).is_ok())
}

/// Calls of clients and peers of one family, over servers that were told something, with io_uring and without.
fn calls(change: fn(TurnServerBuilder) -> TurnServerBuilder) -> impl Iterator<Item = Call> {
    let builders = families().flat_map(|ip| builders(&Listener::udp(SocketAddr::new(ip, 0)), ip));
    builders.map(move |builder| call(change(builder), connected))
}

/// Sets the hop limit of what a socket sends from now on.
fn limit(socket: &StdUdpSocket, hops: u8) {
    let is_v4 = socket.local_addr().expect("an address").is_ipv4();
    let (socket, hops) = (SockRef::from(socket), hops.into());
    let limited = if is_v4 { socket.set_ttl_v4(hops) } else { socket.set_unicast_hops_v6(hops) };
    limited.expect("a hop limit");
}

/// The hop limit of what the system sends.
fn default(ip: IpAddr) -> Option<u8> {
    let (from, to) = (socket(ip), socket(ip));
    from.send_to(b"data", to.local_addr().expect("an address")).expect("it is sent");
    marks(&to).hop_limit
}

#[test]
fn xlt_08_time_to_live_and_hop_limit_are_the_systems_whatever_came_in() {
    for call in calls(|builder| builder) {
        let Wire::Udp(client) = &call.client else { panic!("it is over UDP") };
        let ours = default(call.relayed.ip());
        assert_ne!(ours, None);

        for hops in [1, 9] {
            limit(client, hops);
            limit(&call.peer, hops);

            assert_eq!(call.at_peer().map(|marks| marks.hop_limit), [ours; 2]);
            assert_eq!(call.at_client(&call.peer).hop_limit, ours);
        }
    }
}

#[test]
fn where_it_is_asked_for_what_is_relayed_has_one_hop_less() {
    for call in calls(TurnServerBuilder::decrement_hop_limit) {
        let Wire::Udp(client) = &call.client else { panic!("it is over UDP") };

        for hops in [255, 64, 2] {
            limit(client, hops);
            limit(&call.peer, hops);

            assert_eq!(call.at_peer().map(|marks| marks.hop_limit), [Some(hops - 1); 2]);
            assert_eq!(call.at_client(&call.peer).hop_limit, Some(hops - 1));
        }
    }
}

#[test]
fn what_has_one_hop_left_is_not_relayed_and_a_request_is_answered_all_the_same() {
    for call in calls(TurnServerBuilder::decrement_hop_limit) {
        let Wire::Udp(client) = &call.client else { panic!("it is over UDP") };
        limit(client, 1);
        limit(&call.peer, 1);
        call.to_peer().iter().for_each(|packet| call.client.send(packet));
        call.peer.send_to(b"data", call.relayed).expect("it is sent");

        let answer = call.client.ask(Method::BINDING, None, |message| message);

        assert_eq!(Message::parse(&answer).expect("a message").class(), Class::SuccessResponse);
        limit(client, 5);
        limit(&call.peer, 6);
        assert_eq!(call.at_peer().map(|marks| marks.hop_limit), [Some(4); 2]);
        assert_eq!(call.at_client(&call.peer).hop_limit, Some(5));
    }
}

#[test]
fn between_two_clients_of_a_worker_there_are_two_hops() {
    let one = std::num::NonZeroUsize::MIN;
    let builder = builder(Listener::udp("127.0.0.1:0"), V4).decrement_hop_limit();
    let call = call(builder.workers(one), connected);
    let other = connected(call.server.listeners()[0].address().parse().expect("an address"));
    let (relayed, nonce) = other.allocate();
    other.bind_channel(&nonce, call.relayed);
    call.client.ask(Method::CREATE_PERMISSION, Some(&call.nonce), |message| {
        message.attribute(&XorPeerAddress(relayed))
    });
    let (Wire::Udp(client), Wire::Udp(from)) = (&call.client, &other) else { panic!("they are over UDP") };

    for hops in [2, 9] {
        limit(from, hops);
        other.send(b"\x40\x00\x00\x04data");
    }

    assert_eq!(marks(client).hop_limit, Some(7));
}
