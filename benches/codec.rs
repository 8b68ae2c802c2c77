//! The codec: parse and build, beside `stun_codec` in the same run.

use std::hint::black_box;

use bytecodec::{DecodeExt, EncodeExt};
use criterion::{Criterion, criterion_group, criterion_main};
use stun_codec::{
    Message as Theirs, MessageClass, MessageDecoder, MessageEncoder, TransactionId as TheirId,
    define_attribute_enums,
    rfc5389::attributes::{
        MessageIntegrity, Realm as Domain, Software as Program, Username as Name, XorMappedAddress as Mapped,
    },
    rfc5766::{
        attributes::{Lifetime as Life, XorRelayAddress as Relayed},
        methods,
    },
};
use stunner_proto::{
    ChannelData, Class, Key, Message, MessageBuilder, Method, TransactionId,
    attribute::{Lifetime, XorMappedAddress, XorRelayedAddress},
};

define_attribute_enums!(
    Attribute,
    AttributeDecoder,
    AttributeEncoder,
    [Name, Domain, MessageIntegrity, Mapped, Life, Relayed, Program]
);

fn build(key: &Key, buffer: &mut [u8]) -> usize {
    let address = ([192, 0, 2, 15], 50_000).into();
    MessageBuilder::new(Class::SuccessResponse, Method::ALLOCATE, TransactionId([7; 12]), buffer)
        .attribute(&XorRelayedAddress(address))
        .attribute(&Lifetime(600))
        .attribute(&XorMappedAddress(address))
        .integrity(key)
        .finish()
        .expect("it fits")
}

fn theirs() -> Theirs<Attribute> {
    let address = ([192, 0, 2, 15], 50_000).into();
    let mut message = Theirs::new(MessageClass::SuccessResponse, methods::ALLOCATE, TheirId::new([7; 12]));
    message.add_attribute(Relayed::new(address));
    message.add_attribute(Life::from_u32(600));
    message.add_attribute(Mapped::new(address));
    message
}

fn read(criterion: &mut Criterion) {
    let key = Key::long_term("user", "realm", "pass");
    let mut buffer = [0; 256];
    let len = build(&key, &mut buffer);
    let bytes = buffer[..len].to_vec();

    let mut parse = criterion.benchmark_group("parse and read three attributes");
    parse.bench_function("stunner-proto", |bencher| {
        bencher.iter(|| {
            let message = Message::parse(black_box(&bytes)).expect("a message");
            let relayed = message.require::<XorRelayedAddress>();
            (relayed, message.require::<Lifetime>(), message.require::<XorMappedAddress>())
        });
    });
    parse.bench_function("stun_codec", |bencher| {
        bencher.iter(|| {
            let message: Theirs<Attribute> = MessageDecoder::new()
                .decode_from_bytes(black_box(&bytes))
                .expect("bytes")
                .expect("a message");
            let relayed = message.get_attribute::<Relayed>().map(Relayed::address);
            let lifetime = message.get_attribute::<Life>().map(Life::lifetime);
            (relayed, lifetime, message.get_attribute::<Mapped>().map(Mapped::address))
        });
    });
    parse.finish();
}

fn write(criterion: &mut Criterion) {
    let key = Key::long_term("user", "realm", "pass");
    let mut buffer = [0; 256];
    let mut sign = criterion.benchmark_group("build an Allocate response with integrity");
    sign.bench_function("stunner-proto", |bencher| bencher.iter(|| build(black_box(&key), &mut buffer)));
    let user = Name::new("user".into()).expect("a name");
    let realm = Domain::new("realm".into()).expect("a realm");
    sign.bench_function("stun_codec", |bencher| {
        bencher.iter(|| {
            let mut message = theirs();
            let integrity = MessageIntegrity::new_long_term_credential(&message, &user, &realm, "pass");
            message.add_attribute(integrity.expect("an integrity"));
            MessageEncoder::new().encode_into_bytes(message).expect("bytes")
        });
    });
    sign.finish();
}

fn verify(criterion: &mut Criterion) {
    let key = Key::long_term("user", "realm", "pass");
    let mut buffer = [0; 256];
    let len = build(&key, &mut buffer);
    let bytes = &buffer[..len];
    criterion.bench_function("verify integrity", |bencher| {
        bencher.iter(|| Message::parse(black_box(bytes)).expect("a message").authenticate(&key).is_ok());
    });
    let channel = [&[0x40, 0, 4, 0xB0][..], &[1; 1200]].concat();
    criterion
        .bench_function("ChannelData", |bencher| bencher.iter(|| ChannelData::parse(black_box(&channel))));
}

criterion_group!(benches, read, write, verify);
criterion_main!(benches);
