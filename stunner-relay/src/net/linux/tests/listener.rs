//! A listener that hears of errors, which it is not asked to by us, but may be by whoever makes its socket.

use std::{sync::mpsc, thread};

use tokio::{sync::oneshot, task::LocalSet};

use super::*;

/// Serves on a listener that has an error to tell, until it is asked to end.
async fn serve(tell: mpsc::Sender<SocketAddr>, ended: oneshot::Receiver<()>) {
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
    let _server = server.start_on(network, [listener]).expect("a server on loopback");
    tell.send(own).expect("somebody listens");
    let _ = ended.await;
}

#[test]
fn a_listener_that_has_errors_to_tell_serves_on() {
    let (tell, told) = mpsc::channel();
    let (end, ended) = oneshot::channel();
    // In a thread of its own: where the errors kept it from everything else, they would keep the test from its end, too.
    let serving = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        LocalSet::new().block_on(&runtime, serve(tell, ended));
    });
    let client = connected(told.recv_timeout(Duration::from_secs(60)).expect("it serves"));

    client.send(&request(Method::BINDING, None, |message| message));

    let answer = client.receive();
    assert_eq!(Message::parse(&answer).expect("a message").class(), Class::SuccessResponse);
    drop(end);
    serving.join().expect("it ends");
}
