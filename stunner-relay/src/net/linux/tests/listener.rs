//! A listener that hears of errors, which it is not asked to by us, but may be by whoever makes its socket.

use tokio::task::{LocalSet, yield_now};

use super::*;

#[tokio::test]
async fn a_listener_that_has_errors_to_tell_serves_on() {
    LocalSet::new()
        .run_until(async {
            let bound = bind_listener((Ipv4Addr::LOCALHOST, 0).into(), false).expect("a free port");
            assert!(sys::tell_errors(&bound));
            let network = LinuxNetwork::default();
            let listener = network.listener(bound).expect("a socket");
            let own = listener.local_addr().expect("an address");
            let nobody = socket(V4).local_addr().expect("an address");
            let sent = listener.try_send(&[datagram(nobody, b"data", Marks::default())]);
            assert_eq!(sent.expect("it is sent"), 1);
            assert!(icmp::has_error(&listener).await);

            let server = TurnServer::builder().unauthenticated().relay_address(RelayAddress::bind(V4));
            let server = server.start_on(network, [listener]).expect("a server on loopback");
            yield_now().await;
            connected(own).send(&request(Method::BINDING, None, |message| message));
            while server.stats().successes == 0 {
                yield_now().await;
            }
        })
        .await;
}
