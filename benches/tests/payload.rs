//! A load must notice what goes wrong: packets that change, come twice, or were never sent.

#[path = "../load/payload.rs"]
mod payload;

use std::time::Duration;

use payload::{Sequence, Stamp, Tally};

const STAMP: Stamp = Stamp { route: 7, sequence: 300, sent: 1_000_000_007 };

fn packet(size: usize) -> Vec<u8> {
    let mut data = vec![0; size];
    STAMP.write(&mut data);
    data
}

#[test]
fn what_was_written_is_read() {
    assert_eq!(Stamp::read(&packet(1_200), 1_200), Some(STAMP));
    assert_eq!(Stamp::from_id(7, &STAMP.to_id()), STAMP);
}

#[test]
fn a_bit_that_changes_behind_the_stamp_is_noticed_wherever_it_is() {
    for index in 16..200 {
        let mut data = packet(200);
        data[index] ^= 0x10;
        assert_eq!(Stamp::read(&data, 200), None, "byte {index}");
    }
}

#[test]
fn data_of_another_length_are_not_what_was_written() {
    assert_eq!(Stamp::read(&packet(200)[..199], 200), None);
    assert_eq!(Stamp::read(&packet(204), 200), None);
    assert_eq!(Stamp::read(&packet(200)[..15], 15), None);
}

#[test]
fn a_packet_arrives_once_and_only_if_it_was_sent() {
    let mut sequence = Sequence::default();
    (0..130).for_each(|_| sequence.sent());

    assert_eq!(sequence.next(), 130);
    assert!(sequence.arrives(129));
    assert!(sequence.arrives(3));
    assert!(!sequence.arrives(129));
    assert!(!sequence.arrives(130));
    assert!(!sequence.arrives(u32::MAX));
}

#[test]
fn a_percentile_is_a_latency_that_was_measured() {
    let mut tally = Tally::default();
    assert_eq!(tally.percentile(50), Duration::ZERO);
    (1..=200).rev().for_each(|latency| tally.deliver(latency));

    assert_eq!(tally.percentile(50), Duration::from_nanos(100));
    assert_eq!(tally.percentile(99), Duration::from_nanos(198));
    assert_eq!((tally.offered, tally.delivered, tally.wrong), (0, 200, 0));
}
