//! What the vectors say, and how it is written.

use std::net::SocketAddr;

use stunner_proto::{
    AttributeType, ChannelData, ChannelNumber, Class, Fingerprint, Integrity, IntegrityError, Key, Message,
    MessageBuilder, Method, ParseError, TransactionId,
    attribute::{
        Data, DontFragment, ErrorCode, Lifetime, Nonce, Realm, RequestedTransport, Software,
        UnknownAttributes, Username, XorMappedAddress, XorPeerAddress, XorRelayedAddress,
    },
};

use super::list::{key, messages, vector};

#[test]
fn int_01_to_03_every_vector_parses_and_verifies_with_its_key_and_no_other() {
    let mut verified = 0;
    for (name, key_name, bytes) in messages() {
        let message = Message::parse(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_ne!(message.fingerprint(), Fingerprint::Wrong, "{name}");
        match key(key_name) {
            Some(key) => {
                assert!(message.authenticate_truncated(&key).is_ok(), "{name}");
                assert_eq!(
                    message.authenticate_truncated(&Key::new(b"other")).err(),
                    Some(IntegrityError::Mismatch),
                    "{name}"
                );
                verified += 1;
            }
            None => assert_eq!(
                message.authenticate(&Key::new(b"x")).err(),
                Some(IntegrityError::Missing),
                "{name}"
            ),
        }
    }
    assert!(verified > 30, "{verified}");
}

#[test]
fn int_04_any_bit_that_is_flipped_before_the_end_of_the_integrity_is_noticed() {
    for name in ["5769-2.1", "5769-2.4", "G03", "G19"] {
        let (_, key_name, bytes) = messages().find(|(found, ..)| *found == name).expect("a vector");
        let key = key(key_name).expect("a key");
        let covered = bytes.len()
            - if Message::parse(&bytes).unwrap().contains(AttributeType::FINGERPRINT) { 8 } else { 0 };
        for bit in 0..8 * covered {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let accepted = Message::parse(&flipped).is_ok_and(|message| message.authenticate(&key).is_ok());
            assert!(!accepted, "{name}, bit {bit}");
        }
    }
}

#[test]
fn bad_20_a_signed_request_of_which_any_byte_is_another_is_not_authentic() {
    let bytes = vector("G03");
    let (_, name, _) = messages().find(|(found, ..)| *found == "G03").expect("a vector");
    let key = key(name).expect("a key");
    let authentic =
        |bytes: &[u8]| Message::parse(bytes).is_ok_and(|message| message.authenticate(&key).is_ok());
    // FINGERPRINT stands behind what is signed, and is looked at by itself.
    let fingerprint = Message::parse(&bytes).unwrap().contains(AttributeType::FINGERPRINT);
    let signed = bytes.len() - if fingerprint { 8 } else { 0 };

    assert!(authentic(&bytes));
    for at in 0..signed {
        for change in [0x01, 0x80, 0xFF] {
            let mut other = bytes.clone();
            other[at] ^= change;
            assert!(!authentic(&other), "{at}, {change:#04x}");
        }
    }
}

#[test]
fn hdr_14_vectors_cut_anywhere_are_errors_and_never_panic() {
    for (name, _, bytes) in messages() {
        for len in 0..bytes.len() {
            assert!(Message::parse(&bytes[..len]).is_err(), "{name} cut to {len}");
        }
        let longer = [&bytes[..], &[0; 4]].concat();
        assert_eq!(Message::parse(&longer).err(), Some(ParseError::TrailingBytes), "{name}");
    }
}

#[test]
fn rfc_5769_sample_request_reads_as_printed() {
    let bytes = vector("5769-2.1");
    let message = Message::parse(&bytes).unwrap();

    assert_eq!((message.class(), message.method()), (Class::Request, Method::BINDING));
    assert_eq!(message.require::<Software<'_>>().unwrap().as_str(), "STUN test client");
    assert_eq!(message.require::<Username<'_>>().unwrap().as_str(), "evtj:h6vY");
    assert_eq!(message.fingerprint(), Fingerprint::Right);
}

#[test]
fn rfc_5769_sample_responses_hold_the_printed_addresses() {
    let v4: SocketAddr = "192.0.2.1:32853".parse().unwrap();
    let v6: SocketAddr = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
    for (name, address) in [("5769-2.2", v4), ("5769-2.3", v6)] {
        let bytes = vector(name);
        assert_eq!(Message::parse(&bytes).unwrap().require(), Ok(XorMappedAddress(address)), "{name}");
    }
}

/// Builds a message and compares it with a vector, byte for byte.
fn builds(name: &str, build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>) {
    let bytes = vector(name);
    let message = Message::parse(&bytes).expect("a message");
    let mut buffer = [0xAA; 512];
    let builder =
        MessageBuilder::new(message.class(), message.method(), message.transaction_id(), &mut buffer);
    let len = build(builder).finish().expect("it fits");
    assert_eq!(buffer[..len], bytes[..], "{name}");
}

#[test]
fn att_38_vectors_are_written_byte_for_byte() {
    let peer = XorPeerAddress("192.0.2.150:32102".parse().unwrap());
    builds("G07", |message| message.attribute(&peer).attribute(&DontFragment).attribute(&Data(b"hello")));
    builds("G08", |message| message.attribute(&peer).attribute(&Data(b"world!")));
    let far = XorPeerAddress("[2001:db8::1234]:5000".parse().unwrap());
    builds("G28", |message| message.attribute(&far).attribute(&Data(b"")));
    builds("G37", |message| message);
    let mapped = XorMappedAddress("203.0.113.77:54321".parse().unwrap());
    builds("G38", |message| message.attribute(&mapped).fingerprint());
    let unknown = [0x001A_u16.to_be_bytes()];
    let error = ErrorCode::new(420, "Unknown Attribute").unwrap();
    builds("G22", |message| message.attribute(&error).attribute(&UnknownAttributes::new(&unknown)));
}

#[test]
fn signed_vectors_are_written_byte_for_byte() {
    let md5 = key("md5").unwrap();
    let sha256 = key("sha256").unwrap();
    builds("G06", |message| message.integrity_sha256(&sha256));
    builds("G17", |message| message.attribute(&Lifetime(0)).integrity_sha256(&sha256));
    builds("G18", |message| {
        message
            .attribute(&RequestedTransport::UDP)
            .attribute(&Username::new("George").unwrap())
            .attribute(&Realm::new("example.com").unwrap())
            .attribute(&Nonce::new("0123456789abcdef").unwrap())
            .integrity(&md5)
            .fingerprint()
    });
    let short = key("short-term").unwrap();
    let user = Username::new("evtj:h6vY").unwrap();
    builds("G20", |message| {
        message.attribute(&user).integrity(&short).integrity_sha256(&short).fingerprint()
    });
}

#[test]
fn g04_holds_what_an_allocate_response_needs() {
    let bytes = vector("G04");
    let message = Message::parse(&bytes).unwrap().authenticate(&key("sha256").unwrap()).unwrap();

    assert_eq!(message.integrity(), Integrity::Sha256);
    assert_eq!(message.require(), Ok(XorRelayedAddress("192.0.2.15:50000".parse().unwrap())));
    assert_eq!(message.require(), Ok(Lifetime(1200)));
    assert_eq!(message.require(), Ok(XorMappedAddress("192.0.2.1:7000".parse().unwrap())));
}

#[test]
fn channel_data_vectors_read_with_and_without_padding() {
    for name in ["G11", "G12"] {
        let bytes = vector(name);
        assert_eq!(
            ChannelData::parse(&bytes),
            Some(ChannelData { number: ChannelNumber::MIN, data: b"hello" }),
            "{name}"
        );
    }
    let empty = vector("G13");
    assert_eq!(ChannelData::parse(&empty), Some(ChannelData { number: ChannelNumber::MAX, data: b"" }));
}

#[test]
fn hdr_01_every_method_and_class_comes_back_as_it_was_written() {
    let classes = [Class::Request, Class::Indication, Class::SuccessResponse, Class::ErrorResponse];
    for (method, class) in (0..0x1000).flat_map(|method| classes.map(|class| (Method(method), class))) {
        let mut buffer = [0; 20];
        MessageBuilder::new(class, method, TransactionId([0; 12]), &mut buffer).finish().unwrap();
        let message = Message::parse(&buffer).unwrap();
        assert_eq!((message.method(), message.class()), (method, class));
    }
}

#[test]
fn hdr_02_a_binding_has_four_types() {
    for (class, bytes) in [
        (Class::Request, [0x00, 0x01]),
        (Class::Indication, [0x00, 0x11]),
        (Class::SuccessResponse, [0x01, 0x01]),
        (Class::ErrorResponse, [0x01, 0x11]),
    ] {
        let mut buffer = [0; 20];
        MessageBuilder::new(class, Method::BINDING, TransactionId([0; 12]), &mut buffer).finish().unwrap();
        assert_eq!(buffer[..2], bytes, "{class:?}");
    }
}

#[test]
fn hdr_09_a_header_alone_is_a_message_without_attributes() {
    let bytes = vector("G37");
    assert_eq!(Message::parse(&bytes).unwrap().attributes().count(), 0);
}

#[test]
fn hdr_13_the_vector_as_it_was_printed_is_rejected() {
    assert_eq!(Message::parse(&vector("8489-printed")).err(), Some(ParseError::Truncated));
}

#[test]
fn int_06_both_integrities_and_the_fingerprint_of_one_message_are_right() {
    let bytes = vector("G20");
    let message = Message::parse(&bytes).unwrap();
    let key = key("short-term").unwrap();
    assert_eq!(message.authenticate(&key).unwrap().integrity(), Integrity::Sha256);
    assert_eq!(message.fingerprint(), Fingerprint::Right);

    // Without the second one the first is what counts.
    let mut first = bytes[..60].to_vec();
    first[3] = 40;
    assert_eq!(Message::parse(&first).unwrap().authenticate(&key).unwrap().integrity(), Integrity::Sha1);
}

#[test]
fn int_07_and_09_a_cut_integrity_verifies_only_where_that_was_agreed_to() {
    let key = key("short-term").unwrap();
    for name in ["G21-16", "G21-20", "G21-24", "G21-28"] {
        let bytes = vector(name);
        let message = Message::parse(&bytes).unwrap();
        assert!(message.authenticate_truncated(&key).is_ok(), "{name}");
        assert_eq!(message.authenticate(&key).err(), Some(IntegrityError::Malformed), "{name}");
    }
}
