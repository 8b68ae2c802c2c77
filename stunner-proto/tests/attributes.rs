//! Values that are none of their attribute's, and what is ignored in those that are.

use stunner_proto::{
    Attribute, AttributeType, BadAttribute, ChannelNumber, Class, Message, MessageBuilder, Method, TooLong,
    TransactionId, attribute::*,
};

const ID: TransactionId = TransactionId([7; 12]);

fn encoded<'a, A: Attribute<'a>>(attribute: &A) -> Vec<u8> {
    let mut value = vec![0xAA; attribute.encoded_len()];
    attribute.encode(&mut value, ID);
    value
}

/// Of the values of 0 to 40 bytes that begin so, those of these lengths are read, and the others malformed.
macro_rules! lengths {
    ($($attribute:ty, $first:expr, $lengths:expr;)*) => {
        $(for len in 0..=40 {
            let mut value = [0; 40];
            value[..$first.len()].copy_from_slice(&$first);
            let found = <$attribute>::decode(&value[..len], ID);
            if $lengths.contains(&len) {
                assert!(found.is_ok(), "{}, {len} bytes", <$attribute>::TYPE);
            } else {
                let malformed = BadAttribute::Malformed(<$attribute>::TYPE);
                assert_eq!(found.err(), Some(malformed), "{len} bytes");
            }
        })*
    };
}

#[test]
fn att_25_to_31_and_adr_04_values_have_the_lengths_of_their_attribute_and_no_others() {
    lengths! {
        MappedAddress, [0, 1], [8];
        XorMappedAddress, [0, 2], [20];
        XorPeerAddress, [0, 1], [8];
        XorRelayedAddress, [0, 2], [20];
        AlternateServer, [0, 1], [8];
        ResponseOrigin, [0, 1], [8];
        OtherAddress, [0, 2], [20];
        ChannelNumber, [0x40], [4];
        Lifetime, [0], [4];
        ConnectionId, [0], [4];
        RequestedTransport, [17], [4];
        RequestedAddressFamily, [1], [4];
        AdditionalAddressFamily, [2], [4];
        EvenPort, [0x80], [1];
        DontFragment, [0], [0];
        ReservationToken, [0], [8];
        Icmp, [0], [8];
        Userhash, [0], [32];
        Priority, [0], [4];
        UseCandidate, [0], [0];
        IceControlled, [0], [8];
        IceControlling, [0], [8];
        ChangeRequest, [0], [4];
        ResponsePort, [0], [2, 4];
        CacheTimeout, [0], [4];
        TransactionTransmitCounter, [0], [4];
        PasswordAlgorithm<'_>, [0, 2], [4];
        PasswordAlgorithms<'_>, [0, 2], [0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40];
        ErrorCode<'_>, [0, 0, 4, 1], 4..=40;
        AddressErrorCode<'_>, [2, 0, 4, 40], 4..=40;
        AccessToken<'_>, [0], 2..=40;
    }
}

#[test]
fn att_08_every_code_from_300_to_699_comes_back_with_its_reserved_bits_zero() {
    for code in 300..700 {
        let error = ErrorCode::new(code, "x").unwrap();
        let value = encoded(&error);
        let (class, number) = (u8::try_from(code / 100).unwrap(), u8::try_from(code % 100).unwrap());
        assert_eq!(value, [0, 0, class, number, b'x']);
        assert_eq!(ErrorCode::decode(&[0xFF, 0xFF, class | 0xF8, number, b'x'], ID), Ok(error));
    }
    assert_eq!(ErrorCode::new(299, "").unwrap().code(), 300);
    assert_eq!(ErrorCode::new(700, "").unwrap().code(), 699);
}

#[test]
fn codes_of_the_registry_have_their_recommended_phrase() {
    for (code, phrase) in [
        (300, "Try Alternate"),
        (400, "Bad Request"),
        (401, "Unauthenticated"),
        (403, "Forbidden"),
        (405, "Mobility Forbidden"),
        (420, "Unknown Attribute"),
        (437, "Allocation Mismatch"),
        (438, "Stale Nonce"),
        (440, "Address Family not Supported"),
        (441, "Wrong Credentials"),
        (442, "Unsupported Transport Protocol"),
        (443, "Peer Address Family Mismatch"),
        (446, "Connection Already Exists"),
        (447, "Connection Timeout or Failure"),
        (486, "Allocation Quota Reached"),
        (487, "Role Conflict"),
        (500, "Server Error"),
        (508, "Insufficient Capacity"),
    ] {
        let error = ErrorCode::recommended(code).unwrap();
        assert_eq!((error.code(), error.reason()), (code, phrase));
    }
    assert_eq!(ErrorCode::recommended(499), None);
}

#[test]
fn att_10_and_11_a_reason_has_at_most_127_characters_to_send_and_763_bytes_received() {
    let long = "é".repeat(382);
    let value = |reason: &str| [&[0, 0, 4, 1], reason.as_bytes()].concat();

    assert!(ErrorCode::new(401, &long[..2 * 127]).is_ok());
    assert_eq!(ErrorCode::new(401, &long[..2 * 128]), Err(TooLong(AttributeType::ERROR_CODE)));
    assert_eq!(ErrorCode::decode(&value(&long[..762]), ID).unwrap().reason(), &long[..762]);
    let just = format!("x{}", &long[..762]);
    assert_eq!(ErrorCode::decode(&value(&just), ID).unwrap().reason(), just);
    assert!(ErrorCode::decode(&value(&long), ID).is_err());
}

#[test]
fn att_13_a_list_of_one_takes_two_bytes() {
    let types = [0x7FFF_u16.to_be_bytes()];
    let list = UnknownAttributes::new(&types);

    assert_eq!(encoded(&list), [0x7F, 0xFF]);
    assert!(list.iter().eq([AttributeType(0x7FFF)]));
}

#[test]
fn att_25_27_and_29_reserved_bytes_are_written_as_zeros_and_not_read() {
    assert_eq!(encoded(&ChannelNumber::MIN), [0x40, 0, 0, 0]);
    assert_eq!(ChannelNumber::decode(&[0x40, 0, 0xFF, 0xFF], ID), Ok(ChannelNumber::MIN));
    assert_eq!(encoded(&RequestedAddressFamily(AddressFamily::V4)), [1, 0, 0, 0]);
    assert_eq!(
        RequestedAddressFamily::decode(&[2, 9, 9, 9], ID),
        Ok(RequestedAddressFamily(AddressFamily::V6))
    );
    assert_eq!(
        AdditionalAddressFamily::decode(&[3, 0, 0, 0], ID),
        Err(BadAttribute::Malformed(AttributeType::ADDITIONAL_ADDRESS_FAMILY))
    );
    assert_eq!(encoded(&RequestedTransport::UDP), [17, 0, 0, 0]);
    assert_eq!(RequestedTransport::decode(&[6, 9, 9, 9], ID), Ok(RequestedTransport::TCP));
    assert_eq!(AddressFamily::of([192, 0, 2, 1].into()), AddressFamily::V4);
    assert_eq!(AddressFamily::of("::1".parse().unwrap()), AddressFamily::V6);
}

#[test]
fn att_28_even_port_is_one_byte_of_which_one_bit_counts() {
    assert_eq!(encoded(&EvenPort { reserve_next: true }), [0x80]);
    assert_eq!(encoded(&EvenPort { reserve_next: false }), [0]);
}

#[test]
fn att_32_an_address_error_code_begins_with_its_family() {
    let error = ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED;
    let value = encoded(&AddressErrorCode { family: AddressFamily::V6, error });

    assert_eq!(value[..4], [2, 0, 4, 40]);
    assert_eq!(&value[4..], b"Address Family not Supported");
    assert_eq!(
        AddressErrorCode::decode(&[3, 0, 4, 40], ID),
        Err(BadAttribute::Malformed(AttributeType::ADDRESS_ERROR_CODE))
    );
}

#[test]
fn channel_numbers_end_where_rfc_5766_ended_and_are_reserved_from_where_rfc_8656_ends() {
    assert_eq!(ChannelNumber::new(0x3FFF), None);
    assert_eq!(ChannelNumber::new(0x8000), None);
    assert_eq!(ChannelNumber::new(0x4FFF), Some(ChannelNumber::MAX));
    assert!(!ChannelNumber::MAX.is_reserved());
    assert!(ChannelNumber::new(0x5000).unwrap().is_reserved());
    assert_eq!(ChannelNumber::new(0x7FFF).unwrap().get(), 0x7FFF);
    assert_eq!(format!("{:?}", ChannelNumber::MIN), "0x4000");
    assert_eq!(stunner_proto::ChannelData::header(ChannelNumber::MIN, 65_536), None);
}

#[test]
fn algorithms_have_numbers_parameters_and_limits() {
    let long = vec![0; 65_529];
    let known = PasswordAlgorithm::SHA256;

    assert_eq!((known.number(), known.parameters()), (2, &[][..]));
    assert_eq!(PasswordAlgorithm::MD5.number(), 1);
    assert!(PasswordAlgorithm::new(9, &long[..65_528]).is_ok());
    assert_eq!(PasswordAlgorithm::new(9, &long), Err(TooLong(AttributeType::PASSWORD_ALGORITHM)));
    // Whether the padding of parameters is counted in the attribute's own length is left open: both are read.
    for value in [&[0, 9, 0, 1, 7][..], &[0, 9, 0, 1, 7, 0, 0, 0]] {
        assert_eq!(
            PasswordAlgorithm::decode(value, ID),
            PasswordAlgorithm::new(9, &[7]).map_err(|_| unreachable!())
        );
    }
    assert!(PasswordAlgorithms::SHA256.iter().eq([PasswordAlgorithm::SHA256]));
    assert!(PasswordAlgorithms::MD5.iter().eq([PasswordAlgorithm::MD5]));
}

#[test]
fn adr_02_an_ipv6_address_depends_on_the_transaction_id() {
    let address = XorMappedAddress("[2001:db8::1]:3478".parse().unwrap());
    let mut other = [0; 20];
    address.encode(&mut other, TransactionId([8; 12]));

    assert_ne!(encoded(&address), other);
    assert_eq!(encoded(&address)[..8], other[..8]);
}

#[test]
fn adr_08_an_ipv4_mapped_address_stays_an_ipv6_address() {
    let address = XorPeerAddress("[::ffff:192.0.2.1]:3478".parse().unwrap());

    assert_eq!(encoded(&address).len(), 20);
    assert_eq!(XorPeerAddress::decode(&encoded(&address), ID), Ok(address));
}

#[test]
fn types_have_names_and_say_whether_they_must_be_understood() {
    assert_eq!(AttributeType::XOR_PEER_ADDRESS.to_string(), "XOR-PEER-ADDRESS");
    assert_eq!(format!("{:?}", AttributeType(0x7FFE)), "attribute 0x7ffe");
    assert_eq!(AttributeType(0x7FFE).name(), None);
    assert!(AttributeType(0x7FFF).is_required());
    assert!(!AttributeType(0x8000).is_required());
}

#[test]
fn att_01_values_of_0_to_9_bytes_are_padded_with_zeros() {
    for len in 0..=9 {
        let mut buffer = [0xAA; 40];
        let built = MessageBuilder::new(Class::Indication, Method::DATA, ID, &mut buffer)
            .attribute(&Data(&[1; 9][..len]))
            .finish()
            .unwrap();
        let padded = len.next_multiple_of(4);
        assert_eq!((built, usize::from(buffer[23])), (24 + padded, len));
        assert_eq!(buffer[24..24 + len], [1; 9][..len]);
        assert!(buffer[24 + len..built].iter().all(|&byte| byte == 0), "{len}");
    }
}

#[test]
fn att_07_an_attribute_that_is_not_known_is_held_and_passed_over() {
    let mut buffer = [0; 64];
    let len = MessageBuilder::new(Class::Request, Method::BINDING, ID, &mut buffer)
        .raw(AttributeType(0xC001), b"abcde")
        .maybe(None::<&DontFragment>)
        .maybe(Some(&Lifetime(1)))
        .finish()
        .unwrap();
    let message = Message::parse(&buffer[..len]).unwrap();

    let unknown = message.attributes().next().unwrap();
    assert_eq!((unknown.kind, unknown.value, unknown.offset), (AttributeType(0xC001), &b"abcde"[..], 20));
    assert_eq!(message.require(), Ok(Lifetime(1)));
    assert_eq!(message.get::<DontFragment>(), Ok(None));
    assert_eq!(BadAttribute::Missing(AttributeType::DATA).attribute(), AttributeType::DATA);
    assert_eq!(message.require::<Data<'_>>(), Err(BadAttribute::Missing(AttributeType::DATA)));
}
