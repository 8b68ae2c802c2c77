//! Bytes that are no messages, and attributes that are none of theirs: what each gives.

use stunner_proto::{
    Attribute, AttributeType, BadAttribute, BufferTooSmall, ChannelData, ChannelNumber, Class, Fingerprint,
    Message, MessageBuilder, Method, ParseError, TooLong, TransactionId,
    attribute::{Data, ErrorCode, Lifetime, Nonce, Realm, Software, UnknownAttributes, Username},
    framing::{NotAFrame, frame_len},
};

const ID: TransactionId = TransactionId([7; 12]);

/// A Binding request with these attribute bytes and, unless told otherwise, the right length.
fn message(length: Option<u16>, attributes: &[u8]) -> Vec<u8> {
    let length = length.unwrap_or(u16::try_from(attributes.len()).expect("few attributes"));
    let mut bytes = vec![0, 1];
    bytes.extend(length.to_be_bytes());
    bytes.extend([0x21, 0x12, 0xA4, 0x42]);
    bytes.extend(ID.0);
    bytes.extend(attributes);
    bytes
}

#[test]
fn hdr_03_to_08_att_03_to_05_and_att_37_bytes_that_are_no_message_say_why() {
    let good = message(None, &[]);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let table: [(&str, Vec<u8>, ParseError); 20] = [
        ("nothing", vec![], ParseError::TooShort),
        ("19 bytes", good[..19].to_vec(), ParseError::TooShort),
        ("a channel's first bits", with(0, 0x40), ParseError::NotStun),
        ("RTP's first bits", with(0, 0x80), ParseError::NotStun),
        ("ones", with(0, 0xFF), ParseError::NotStun),
        ("a cookie off by one bit", with(7, 0x43), ParseError::NoMagicCookie),
        ("length 1", message(Some(1), &[0; 4]), ParseError::UnalignedLength),
        ("length 2", message(Some(2), &[0; 4]), ParseError::UnalignedLength),
        ("length 3", message(Some(3), &[0; 4]), ParseError::UnalignedLength),
        ("more promised than there is", message(Some(8), &[0; 4]), ParseError::Truncated),
        ("less promised than there is", message(Some(0), &[0; 4]), ParseError::TrailingBytes),
        ("an attribute past the end", message(None, &[0, 6, 0, 8, 1, 2, 3, 4]), ParseError::AttributeOverrun),
        ("the longest attribute there is", message(None, &[0, 6, 0xFF, 0xFF]), ParseError::AttributeOverrun),
        ("padding past the end", message(None, &[0, 6, 0, 5, 1, 2, 3, 4]), ParseError::AttributeOverrun),
        ("one byte", vec![0], ParseError::TooShort),
        ("an attribute without its value", message(None, &[0, 6, 0, 4]), ParseError::AttributeOverrun),
        ("a value that is cut", message(None, &[0, 6, 0, 5, 0, 0, 0, 0]), ParseError::AttributeOverrun),
        ("zeros", vec![0; 65_507], ParseError::NoMagicCookie),
        (
            "one header and half of another",
            message(None, &[0, 6, 0, 0, 0, 6, 0, 4]),
            ParseError::AttributeOverrun,
        ),
        (
            "something behind FINGERPRINT",
            message(None, &[0x80, 0x28, 0, 4, 0, 0, 0, 0, 0x80, 0x22, 0, 0]),
            ParseError::FingerprintNotLast,
        ),
    ];
    for (what, bytes, error) in table {
        assert_eq!(Message::parse(&bytes).err(), Some(error), "{what}");
    }
}

#[test]
fn att_02_padding_is_ignored_whatever_it_is() {
    let bytes = message(None, &[0, 6, 0, 1, b'a', 0xFF, 0xFF, 0xFF]);
    assert_eq!(Message::parse(&bytes).unwrap().require::<Username<'_>>().unwrap().as_str(), "a");
}

#[test]
fn att_06_the_first_of_two_counts() {
    let bytes = message(None, &[0, 13, 0, 4, 0, 0, 0, 1, 0, 13, 0, 4, 0, 0, 0, 2]);
    assert_eq!(Message::parse(&bytes).unwrap().require(), Ok(Lifetime(1)));
}

#[test]
fn att_35_what_stands_behind_the_integrity_does_not_count() {
    let mut attributes = vec![0, 8, 0, 20];
    attributes.extend([0; 20]);
    attributes.extend([0, 13, 0, 4, 0, 0, 0, 1, 0x7F, 0xFF, 0, 0]);
    let bytes = message(None, &attributes);
    let message = Message::parse(&bytes).unwrap();

    assert_eq!(message.require::<Lifetime>(), Err(BadAttribute::Missing(AttributeType::LIFETIME)));
    assert_eq!(message.attributes().count(), 1);
}

#[test]
fn int_12_a_wrong_fingerprint_is_wrong_and_a_short_one_too() {
    let bytes = message(None, &[0x80, 0x28, 0, 4, 1, 2, 3, 4]);
    assert_eq!(Message::parse(&bytes).unwrap().fingerprint(), Fingerprint::Wrong);
    let bytes = message(None, &[0x80, 0x28, 0, 0]);
    assert_eq!(Message::parse(&bytes).unwrap().fingerprint(), Fingerprint::Wrong);
}

#[test]
fn att_09_and_att_12_error_codes_outside_300_to_699_are_malformed() {
    let malformed = Err(BadAttribute::Malformed(AttributeType::ERROR_CODE));
    for value in
        [&[0, 0, 4][..], &[0, 0, 0, 0], &[0, 0, 2, 99], &[0, 0, 7, 0], &[0, 0, 4, 100], &[0, 0, 4, 1, 0xFF]]
    {
        assert_eq!(ErrorCode::decode(value, ID), malformed, "{value:?}");
    }
    assert_eq!(ErrorCode::decode(&[0xFF, 0xFF, 0xFC, 1], ID).map(|error| error.code()), Ok(401));
}

#[test]
fn att_13_an_odd_list_of_unknown_attributes_is_malformed() {
    let malformed = BadAttribute::Malformed(AttributeType::UNKNOWN_ATTRIBUTES);
    assert_eq!(UnknownAttributes::decode(&[0x7F, 0xFF, 0], ID).err(), Some(malformed));
}

#[test]
fn att_14_att_16_and_att_23_texts_have_their_limits_both_ways() {
    let long = "x".repeat(764);
    assert!(Username::new(&long[..508]).is_ok());
    assert_eq!(Username::new(&long[..509]), Err(TooLong(AttributeType::USERNAME)));
    assert!(Realm::new(&"é".repeat(127)).is_ok());
    assert_eq!(Realm::new(&"é".repeat(128)), Err(TooLong(AttributeType::REALM)));
    assert_eq!(Nonce::new(&long[..128]), Err(TooLong(AttributeType::NONCE)));
    assert_eq!(Software::new(&long[..128]), Err(TooLong(AttributeType::SOFTWARE)));
    assert!(Realm::decode(&long.as_bytes()[..763], ID).is_ok());
    assert_eq!(Realm::decode(long.as_bytes(), ID), Err(BadAttribute::Malformed(AttributeType::REALM)));
}

#[test]
fn att_15_a_name_that_is_not_utf_8_is_malformed() {
    assert_eq!(Username::decode(&[0xC3, 0x28], ID), Err(BadAttribute::Malformed(AttributeType::USERNAME)));
}

#[test]
fn a_buffer_that_is_too_small_is_told_once_whatever_its_length() {
    let build = |buffer: &mut [u8]| {
        MessageBuilder::new(Class::Request, Method::BINDING, ID, buffer)
            .attribute(&Data(&[1; 9]))
            .attribute(&Lifetime(1))
            .fingerprint()
            .finish()
    };
    let mut buffer = [0; 60];
    for len in 0..52 {
        assert_eq!(build(&mut buffer[..len]), Err(BufferTooSmall), "{len}");
    }
    assert_eq!(build(&mut buffer[..52]), Ok(52));
}

#[test]
fn more_than_a_length_can_say_is_a_buffer_that_is_too_small() {
    let mut buffer = vec![0; 70_000];
    let data = vec![0; 65_536];
    let built = MessageBuilder::new(Class::Request, Method::BINDING, ID, &mut buffer)
        .attribute(&Data(&data))
        .finish();
    assert_eq!(built, Err(BufferTooSmall));
}

#[test]
fn str_01_to_06_frames_are_cut_where_they_end_and_nonsense_is_refused() {
    let binding = message(None, &[]);
    for len in 0..20 {
        let found = frame_len(&binding[..len]);
        assert!(found == Ok(None) || len >= 8 && found == Ok(Some(20)), "{len}: {found:?}");
    }
    assert_eq!(frame_len(&binding), Ok(Some(20)));
    assert_eq!(frame_len(&[0x40, 0, 0, 5]), Ok(Some(12)));
    assert_eq!(frame_len(&[0x4F, 0xFF, 0xFF, 0xFF]), Ok(Some(65_540)));
    assert_eq!(frame_len(&[0x7F, 0xFF, 0, 0]), Ok(Some(4)));
    assert_eq!(frame_len(&[0x80]), Err(NotAFrame));
    assert_eq!(frame_len(&[0, 1, 0, 1]), Err(NotAFrame));
    assert_eq!(frame_len(&[0, 1, 0, 0, 0x21, 0x13]), Err(NotAFrame));
}

#[test]
fn chd_03_04_06_and_14_channel_data_that_are_none_are_refused() {
    let number = ChannelNumber::MIN;
    for bytes in [
        &[][..],
        &[0x40],
        &[0x40, 0, 0],
        &[0x40, 0, 0, 16, 1, 2, 3],
        &[0x40, 0, 0xFF, 0xFF],
        &[0x3F, 0xFF, 0, 0],
        &[0x80, 0, 0, 0],
    ] {
        assert_eq!(ChannelData::parse(bytes), None, "{bytes:?}");
    }
    assert_eq!(ChannelData::parse(&[0x40, 0, 0, 0]), Some(ChannelData { number, data: &[] }));
    assert_eq!(ChannelData::parse(&[0x40, 0, 0, 1, 7, 8, 9]), Some(ChannelData { number, data: &[7] }));
    let reserved = ChannelData::parse(&[0x50, 0, 0, 4, b'a', b'b', b'c', b'd']).expect("RFC 5766 allows it");
    assert!(reserved.number.is_reserved());
}

#[test]
fn hdr_11_a_response_has_method_and_transaction_id_of_its_request() {
    let bytes = message(None, &[]);
    let request = Message::parse(&bytes).unwrap();
    let mut buffer = [0; 20];

    MessageBuilder::response(&request, Class::SuccessResponse, &mut buffer).finish().unwrap();

    let response = Message::parse(&buffer).unwrap();
    assert_eq!(response.class(), Class::SuccessResponse);
    assert_eq!((response.method(), response.transaction_id()), (Method::BINDING, ID));
}

#[test]
fn bas_10_and_11_methods_say_which_classes_they_have() {
    let classes = [Class::Request, Class::Indication, Class::SuccessResponse, Class::ErrorResponse];
    let table = [
        (Method::BINDING, [true; 4]),
        (Method::GOOG_PING, [true; 4]),
        (Method::SEND, [false, true, false, false]),
        (Method::DATA, [false, true, false, false]),
        (Method::CONNECTION_ATTEMPT, [false, true, false, false]),
        (Method::ALLOCATE, [true, false, true, true]),
        (Method::REFRESH, [true, false, true, true]),
        (Method::CREATE_PERMISSION, [true, false, true, true]),
        (Method::CHANNEL_BIND, [true, false, true, true]),
        (Method::CONNECT, [true, false, true, true]),
        (Method::CONNECTION_BIND, [true, false, true, true]),
        (Method(0x00D), [false; 4]),
    ];
    for (method, allowed) in table {
        assert_eq!(classes.map(|class| method.allows(class)), allowed, "{method}");
    }
}

#[test]
fn methods_have_the_numbers_and_names_of_the_registry() {
    for (number, name) in [
        (0x001, "Binding"),
        (0x003, "Allocate"),
        (0x004, "Refresh"),
        (0x006, "Send"),
        (0x007, "Data"),
        (0x008, "CreatePermission"),
        (0x009, "ChannelBind"),
        (0x00A, "Connect"),
        (0x00B, "ConnectionBind"),
        (0x00C, "ConnectionAttempt"),
        (0x080, "GOOG-PING"),
        (0x00D, "method 0x00d"),
    ] {
        assert_eq!(Method(number).to_string(), name);
    }
    assert_eq!(format!("{:?}", Method(0x002)), "method 0x002");
}

#[test]
fn a_message_shows_what_it_is() {
    let bytes = message(None, &[0, 13, 0, 4, 0, 0, 0, 1, 0xC0, 1, 0, 0]);
    let shown = format!("{:?}", Message::parse(&bytes).unwrap());
    assert_eq!(shown, "Binding Request 070707070707070707070707 [LIFETIME, attribute 0xc001]");
}
