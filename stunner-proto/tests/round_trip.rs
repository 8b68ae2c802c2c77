//! Random messages: built, parsed, compared.

use std::net::SocketAddr;

use proptest::{collection::vec, prelude::*};
use stunner_proto::{
    Attribute, AttributeType, BufferTooSmall, ChannelData, ChannelNumber, Class, Fingerprint, HEADER_LEN,
    Integrity, Key, MAGIC_COOKIE, Message, MessageBuilder, Method, TransactionId, attribute::*,
};

fn class() -> impl Strategy<Value = Class> {
    prop_oneof![
        Just(Class::Request),
        Just(Class::Indication),
        Just(Class::SuccessResponse),
        Just(Class::ErrorResponse)
    ]
}

/// Types and values; those that are computed are not among them.
fn attributes() -> impl Strategy<Value = Vec<(u16, Vec<u8>)>> {
    let kind = any::<u16>().prop_filter("it is computed", |kind| ![0x0008, 0x001C, 0x8028].contains(kind));
    vec((kind, vec(any::<u8>(), 0..40)), 0..12)
}

/// Encodes a value among bytes that are not its own, and decodes it again.
fn round<'a, A: Attribute<'a>>(attribute: &A, id: TransactionId, buffer: &'a mut Vec<u8>) -> A {
    buffer.resize(attribute.encoded_len(), 0xAA);
    attribute.encode(buffer, id);
    A::decode(buffer, id).expect("what was written can be read")
}

/// Each of these comes back as it was.
macro_rules! comes_back {
    ($id:ident: $($attribute:expr),* $(,)?) => {
        $({
            let attribute = $attribute;
            let mut buffer = Vec::new();
            prop_assert_eq!(round(&attribute, $id, &mut buffer), attribute);
        })*
    };
}

proptest! {
    #[test]
    fn messages_come_back_with_all_their_attributes(
        class in class(), method in 0_u16..0x1000, id: [u8; 12], attributes in attributes(),
        sha1: bool, sha256: bool, key: [u8; 16],
    ) {
        let mut buffer = [0xAA; 1024];
        let key = Key::new(&key);
        let mut builder = MessageBuilder::new(class, Method(method), TransactionId(id), &mut buffer);
        for (kind, value) in &attributes {
            builder = builder.raw(AttributeType(*kind), value);
        }
        if sha1 {
            builder = builder.integrity(&key);
        }
        if sha256 {
            builder = builder.integrity_sha256(&key);
        }
        let len = builder.fingerprint().finish().unwrap();

        let message = Message::parse(&buffer[..len]).unwrap();
        prop_assert_eq!((message.class(), message.method()), (class, Method(method)));
        prop_assert_eq!(message.transaction_id(), TransactionId(id));
        prop_assert_eq!(&buffer[4..8], MAGIC_COOKIE.to_be_bytes());
        let found = message.attributes().map(|found| (found.kind.0, found.value.to_vec()));
        prop_assert_eq!(found.take(attributes.len()).collect::<Vec<_>>(), attributes);
        prop_assert_eq!(message.fingerprint(), Fingerprint::Right);
        let kind = message.authenticate(&key).ok().map(|message| message.integrity());
        let expected = if sha256 { Some(Integrity::Sha256) } else { sha1.then_some(Integrity::Sha1) };
        prop_assert_eq!(kind, expected);
        prop_assert!(message.authenticate(&Key::new(b"another")).is_err());
    }

    #[test]
    fn a_message_fits_exactly_into_its_own_length(attributes in attributes(), id: [u8; 12]) {
        let padded = attributes.iter().map(|(_, value)| 4 + value.len().next_multiple_of(4));
        let needed = HEADER_LEN + padded.sum::<usize>();
        for (room, expected) in [(needed, Ok(needed)), (needed - 1, Err(BufferTooSmall))] {
            let mut buffer = vec![0; room];
            let builder =
                MessageBuilder::new(Class::Request, Method::BINDING, TransactionId(id), &mut buffer);
            let built = attributes.iter().fold(builder, |built, (kind, value)| {
                built.raw(AttributeType(*kind), value)
            });
            prop_assert_eq!(built.finish(), expected);
        }
    }

    #[test]
    fn hdr_14_random_bytes_and_flipped_ones_are_read_or_refused(
        mut bytes in vec(any::<u8>(), 0..200), length: bool,
    ) {
        if length && bytes.len() >= HEADER_LEN {
            bytes.truncate(bytes.len() & !3);
            let len = u16::try_from(bytes.len() - HEADER_LEN).unwrap();
            bytes[0] &= 0x3F;
            bytes[2..4].copy_from_slice(&len.to_be_bytes());
            bytes[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        }
        if let Ok(message) = Message::parse(&bytes) {
            prop_assert_eq!(message.as_bytes(), &bytes[..]);
            prop_assert!(4 * message.attributes().count() + HEADER_LEN <= bytes.len());
        }
    }

    #[test]
    fn adr_06_addresses_come_back_with_any_transaction_id(address: SocketAddr, id: [u8; 12]) {
        let id = TransactionId(id);
        let mut address = address;
        if let SocketAddr::V6(address) = &mut address {
            address.set_flowinfo(0);
            address.set_scope_id(0);
        }
        comes_back! { id:
            MappedAddress(address), XorMappedAddress(address), XorPeerAddress(address),
            XorRelayedAddress(address), AlternateServer(address), ResponseOrigin(address), OtherAddress(address),
        }
    }

    #[test]
    fn numbers_and_bytes_come_back(
        a: u8, b: u8, c: u16, d: u32, e: u64, token: [u8; 8], hash: [u8; 32], data in vec(any::<u8>(), 0..300),
        yes: bool, no: bool,
    ) {
        let id = TransactionId([7; 12]);
        let types: Vec<[u8; 2]> = data.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
        let family = if yes { AddressFamily::V4 } else { AddressFamily::V6 };
        comes_back! { id:
            Lifetime(d), ConnectionId(d), CacheTimeout(d), Priority(d), IceControlled(e), IceControlling(e),
            UseCandidate, DontFragment, RequestedTransport(a), EvenPort { reserve_next: yes },
            ReservationToken(token), Userhash(hash), Icmp { kind: a, code: b, data: d },
            ChangeRequest { ip: yes, port: no }, ResponsePort(c),
            TransactionTransmitCounter { requests: a, responses: b }, Padding(c), Data(&data),
            MobilityTicket(&data), UnknownAttributes::new(&types), RequestedAddressFamily(family),
            AdditionalAddressFamily(family), AccessToken::new(&data[..data.len() / 3], &data).unwrap(),
            PasswordAlgorithm::new(c, &data).unwrap(), ChannelNumber::new(0x4000 | c & 0x3FFF).unwrap(),
        }
    }

    #[test]
    fn texts_come_back(text in "\\PC{0,100}", code in 300_u16..700, yes: bool) {
        let id = TransactionId([7; 12]);
        let error = ErrorCode::new(code, &text).unwrap();
        let family = if yes { AddressFamily::V4 } else { AddressFamily::V6 };
        comes_back! { id:
            Username::new(&text).unwrap(), Realm::new(&text).unwrap(), Nonce::new(&text).unwrap(),
            Software::new(&text).unwrap(), ThirdPartyAuthorization::new(&text).unwrap(), error,
            AddressErrorCode { family, error },
        }
    }

    #[test]
    fn channel_data_come_back(number in 0x4000_u16..0x8000, data in vec(any::<u8>(), 0..300), behind in 0_usize..8) {
        let number = ChannelNumber::new(number).unwrap();
        let mut bytes = ChannelData::header(number, data.len()).unwrap().to_vec();
        bytes.extend(&data);
        bytes.resize(bytes.len() + behind, 0xAA);

        prop_assert_eq!(ChannelData::parse(&bytes), Some(ChannelData { number, data: &data }));
        prop_assert_eq!(ChannelData::parse(&bytes[..3 + data.len()]), None);
    }
}

#[test]
fn att_34_data_of_no_byte_and_of_65507_bytes_come_back() {
    let long = vec![0x5A; 65_507];
    let mut buffer = vec![0; 65_536];
    for data in [&long[..0], &long[..]] {
        let len = MessageBuilder::new(Class::Indication, Method::SEND, TransactionId([7; 12]), &mut buffer)
            .attribute(&Data(data))
            .finish()
            .unwrap();
        assert_eq!(Message::parse(&buffer[..len]).unwrap().require(), Ok(Data(data)));
    }
}

#[test]
fn hdr_10_the_longest_message_there_can_be_comes_back() {
    let mut buffer = vec![0; HEADER_LEN + 65_532];
    let data = vec![0x5A; 65_528 - 1];
    let len = MessageBuilder::new(Class::Indication, Method::SEND, TransactionId([7; 12]), &mut buffer)
        .attribute(&Data(&data))
        .finish()
        .unwrap();

    assert_eq!((len, &buffer[2..4]), (65_552, &[0xFF, 0xFC][..]));
    assert_eq!(Message::parse(&buffer).unwrap().require(), Ok(Data(&data)));
    assert_eq!(stunner_proto::framing::frame_len(&buffer), Ok(Some(stunner_proto::framing::MAX_FRAME)));
}
