//! Relayed data cost no memory: sending and receiving them allocates nothing.

use stunner_proto::attribute::{Data, XorPeerAddress};

use crate::{
    script::Script,
    world::{PEER, SERVER},
};

/// A client that is permitted and, if wanted, bound to [`PEER`].
fn ready(channel: bool) -> Script {
    let mut script = Script::allocated(Script::config());
    if channel {
        script.client.bind(PEER, script.now).expect("a free number");
    } else {
        script.client.permit(PEER.ip(), script.now).expect("an allocation");
    }
    let asked = script.ask();
    script.grant(&asked);
    script
}

/// How often this allocates.
fn allocations(run: impl FnOnce()) -> u64 {
    allocation_counter::measure(run).count_total
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(7)))), 1);
}

#[test]
fn sending_data_allocates_nothing() {
    for channel in [false, true] {
        let mut script = ready(channel);

        let count = allocations(|| {
            for _ in 0..1_000 {
                let frame = script.client.send(&[7; 1_200], PEER).unwrap();
                assert!(frame.len() > 1_200);
            }
        });

        assert_eq!(count, 0, "channel: {channel}");
    }
}

#[test]
fn receiving_data_allocates_nothing_and_copies_nothing() {
    for (channel, packet) in [
        (true, [&b"\x40\x00\x04\xB0"[..], &[7; 1_200]].concat()),
        (
            false,
            Script::indication(|message| {
                message.attribute(&XorPeerAddress(PEER)).attribute(&Data(&[7; 1_100]))
            }),
        ),
    ] {
        let mut script = ready(channel);
        let now = script.now;

        let count = allocations(|| {
            for _ in 0..1_000 {
                let received = script.client.handle_input(&packet, SERVER, now).unwrap();
                assert!(packet.as_ptr_range().contains(&received.data.as_ptr()));
                std::hint::black_box(script.client.poll_timeout());
            }
        });

        assert_eq!(count, 0, "channel: {channel}");
    }
}
