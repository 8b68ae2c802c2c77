//! The codec beside its peers: `stun_codec`, `stun` (webrtc-rs) and `stun-types`, in one run, on the same message: a
//! success response to Allocate with two addresses, a lifetime, MESSAGE-INTEGRITY and FINGERPRINT.

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use stunner_proto::{ChannelData, ChannelNumber, framing};

mod ours;
mod stun_codec;
mod stun_types;
mod webrtc;

const USER: &str = "user";
const REALM: &str = "realm";
const PASSWORD: &str = "pass";
const ID: [u8; 12] = [7; 12];
const LIFETIME: u32 = 600;
const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 15)), 50_000);

/// What every crate is asked to do.
trait Peer {
    const NAME: &str;

    /// Parses a message and looks at its header.
    fn header(&self, bytes: &[u8]) -> [u8; 12];

    /// Parses a message and reads relayed address, lifetime and mapped address.
    fn read(&self, bytes: &[u8]) -> (SocketAddr, u32, SocketAddr);

    /// Parses a message and checks its FINGERPRINT and its MESSAGE-INTEGRITY.
    fn verify(&self, bytes: &[u8]) -> bool;

    /// Builds that message.
    fn build(&self, buffer: &mut Vec<u8>);
}

type Group<'c> = BenchmarkGroup<'c, WallTime>;

/// A group of one operation for all of them.
macro_rules! each {
    ($criterion:ident, $name:literal, $bench:ident) => {
        let mut group = $criterion.benchmark_group($name);
        $bench(&mut group, &ours::Ours::new());
        $bench(&mut group, &stun_codec::StunCodec::new());
        $bench(&mut group, &webrtc::Webrtc::new());
        $bench(&mut group, &stun_types::StunTypes::new());
        group.finish();
    };
}

/// The message, as one of them builds it: all build the same bytes.
fn message<P: Peer>(peer: &P) -> Vec<u8> {
    let (mut bytes, mut expected) = (Vec::new(), Vec::new());
    peer.build(&mut bytes);
    ours::Ours::new().build(&mut expected);
    assert_eq!(bytes, expected, "{}", P::NAME);
    bytes
}

fn header<P: Peer>(group: &mut Group<'_>, peer: &P) {
    let bytes = message(peer);
    assert_eq!(peer.header(&bytes), ID);
    group.bench_function(P::NAME, |bencher| bencher.iter(|| peer.header(black_box(&bytes))));
}

fn read<P: Peer>(group: &mut Group<'_>, peer: &P) {
    let bytes = message(peer);
    assert_eq!(peer.read(&bytes), (ADDRESS, LIFETIME, ADDRESS));
    group.bench_function(P::NAME, |bencher| bencher.iter(|| peer.read(black_box(&bytes))));
}

fn verify<P: Peer>(group: &mut Group<'_>, peer: &P) {
    let bytes = message(peer);
    assert!(peer.verify(&bytes));
    group.bench_function(P::NAME, |bencher| bencher.iter(|| peer.verify(black_box(&bytes))));
}

fn build<P: Peer>(group: &mut Group<'_>, peer: &P) {
    let mut buffer = Vec::new();
    group.bench_function(P::NAME, |bencher| {
        bencher.iter(|| {
            peer.build(black_box(&mut buffer));
            buffer.len()
        });
    });
}

fn messages(criterion: &mut Criterion) {
    each!(criterion, "parse and look at the header", header);
    each!(criterion, "parse and read three attributes", read);
    each!(criterion, "parse, verify FINGERPRINT and MESSAGE-INTEGRITY", verify);
    each!(criterion, "build with MESSAGE-INTEGRITY and FINGERPRINT", build);
}

/// None of the others has these.
fn channel_data(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ChannelData");
    let packet = [&[0x40, 0, 4, 0xB0][..], &[1; 1200]].concat();
    group.bench_function("parse", |bencher| bencher.iter(|| ChannelData::parse(black_box(&packet))));
    group.bench_function("header", |bencher| {
        bencher.iter(|| ChannelData::header(black_box(ChannelNumber::MIN), black_box(1200)));
    });
    group.bench_function("frame", |bencher| bencher.iter(|| framing::frame_len(black_box(&packet))));
    group.finish();
}

criterion_group!(benches, messages, channel_data);
criterion_main!(benches);
