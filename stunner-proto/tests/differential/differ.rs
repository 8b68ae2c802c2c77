//! Where the two differ, one test for each difference, and what the RFC says. What fuzzing finds is added here.

use stun_codec::{MessageClass, Method as TheirMethod, TransactionId as TheirId};
use stunner_proto::{
    Attribute, AttributeType, BadAttribute, Class, Fingerprint, Key, Message, MessageBuilder, Method,
    ParseError, TransactionId, attribute,
};

use super::{ID, Theirs, they_read, they_write};

/// A message of ours with one raw attribute, and a FINGERPRINT over it as it stands.
fn with(kind: AttributeType, value: &[u8]) -> Vec<u8> {
    let mut buffer = [0; 1024];
    let len = MessageBuilder::new(Class::Request, Method::ALLOCATE, TransactionId(ID), &mut buffer)
        .raw(kind, value)
        .finish()
        .expect("it fits");
    buffer[..len].to_vec()
}

/// RFC 8489, section 5: bits 4 to 6 of the method stand behind C0, bits 7 to 11 behind C1. They shift them too far.
#[test]
fn methods_above_15_are_written_wrongly_by_them() {
    let theirs = Theirs::new(MessageClass::Request, TheirMethod::from(0x10), TheirId::new(ID));
    let mut buffer = [0; 20];
    MessageBuilder::new(Class::Request, Method(0x10), TransactionId(ID), &mut buffer).finish().unwrap();

    assert_eq!(they_write(theirs)[..2], [0x02, 0x00]);
    assert_eq!(buffer[..2], [0x00, 0x20]);
    assert_eq!(they_read(&buffer).unwrap().method(), TheirMethod::from(0x10));
}

/// RFC 5780, section 7.2: change IP is 0x04, change port 0x02. They take 0x02 and 0x01.
#[test]
fn the_bits_of_change_request_are_other_ones_for_them() {
    let bytes = with(AttributeType::CHANGE_REQUEST, &[0, 0, 0, 6]);

    let found = they_read(&bytes).unwrap();

    let expected = attribute::ChangeRequest { ip: true, port: true };
    assert_eq!(Message::parse(&bytes).unwrap().require(), Ok(expected));
    let theirs = found.get_attribute::<super::ChangeRequest>().unwrap();
    assert_eq!((theirs.ip(), theirs.port()), (true, false));
}

/// RFC 5780, section 7.5: the port to answer to. They write 0, whatever was asked for.
#[test]
fn a_response_port_is_always_0_when_they_write_it() {
    let mut theirs = Theirs::new(MessageClass::Request, TheirMethod::from(1), TheirId::new(ID));
    theirs.add_attribute(super::ResponsePort::new(4000));

    let bytes = they_write(theirs);

    assert_eq!(Message::parse(&bytes).unwrap().require(), Ok(attribute::ResponsePort(0)));
}

/// RFC 5766, section 11: up to 0x7FFF, and clients still follow it. They end where RFC 8656, section 12, does.
#[test]
fn channels_from_0x5000_are_read_by_us_and_refused_by_them() {
    let bytes = with(AttributeType::CHANNEL_NUMBER, &[0x50, 0, 0, 0]);

    assert!(they_read(&bytes).is_err());
    assert!(Message::parse(&bytes).unwrap().require::<stunner_proto::ChannelNumber>().unwrap().is_reserved());
}

/// RFC 8489, section 14.8: the class is from 3 to 6. They end at 5.
#[test]
fn errors_of_class_6_are_read_by_us_and_refused_by_them() {
    let bytes = with(AttributeType::ERROR_CODE, &[0, 0, 6, 1]);

    assert!(they_read(&bytes).is_err());
    assert_eq!(Message::parse(&bytes).unwrap().require::<attribute::ErrorCode<'_>>().unwrap().code(), 601);
}

/// RFC 8489, section 14.8: a reason of at most 763 bytes is received. They take any.
#[test]
fn reasons_above_763_bytes_are_refused_by_us_and_read_by_them() {
    let bytes = with(AttributeType::ERROR_CODE, &[&[0, 0, 4, 1][..], &[b'x'; 764]].concat());

    assert!(they_read(&bytes).is_ok());
    let malformed = BadAttribute::Malformed(AttributeType::ERROR_CODE);
    assert_eq!(Message::parse(&bytes).unwrap().require::<attribute::ErrorCode<'_>>(), Err(malformed));
}

/// RFC 8489, sections 14.3, 14.9, 14.10 and 14.14: as many as 763 bytes when decoding. They count 127 characters, and
/// 512 bytes of a name.
#[test]
fn texts_up_to_763_bytes_are_read_by_us_and_refused_by_them() {
    for (kind, len) in [
        (AttributeType::USERNAME, 513),
        (AttributeType::REALM, 128),
        (AttributeType::NONCE, 128),
        (AttributeType::SOFTWARE, 128),
    ] {
        let text = "x".repeat(763);
        assert!(they_read(&with(kind, &text.as_bytes()[..len])).is_err(), "{kind}");
        assert!(they_read(&with(kind, &text.as_bytes()[..len - 1])).is_ok(), "{kind}");
    }
    let bytes = with(AttributeType::REALM, &[b'x'; 763]);
    assert!(Message::parse(&bytes).unwrap().require::<attribute::Realm<'_>>().is_ok());
}

/// RFC 8489, section 14.3: a sender writes at most 508 bytes (RFC 5389 said 512). They write as many as that.
#[test]
fn names_of_509_to_512_bytes_are_written_by_them_alone() {
    let name = "x".repeat(512);

    assert!(super::Username::new(name.clone()).is_ok());
    assert!(attribute::Username::new(&name).is_err());
    assert!(attribute::Username::decode(name.as_bytes(), TransactionId(ID)).is_ok());
}

/// RFC 8489, section 14: an attribute that cannot be read is that attribute's matter: a server answers 400, or reads on.
/// For them the whole message is broken.
#[test]
fn one_malformed_attribute_breaks_the_message_for_them() {
    let bytes = with(AttributeType::LIFETIME, &[0, 0, 1]);

    assert!(they_read(&bytes).is_err());
    let malformed = BadAttribute::Malformed(AttributeType::LIFETIME);
    assert_eq!(Message::parse(&bytes).unwrap().require::<attribute::Lifetime>(), Err(malformed));
}

/// RFC 8489, section 14.5: what follows MESSAGE-INTEGRITY is ignored. They hand it out as if it had been signed.
#[test]
fn attributes_behind_the_integrity_count_for_them() {
    let mut buffer = [0; 128];
    let len = MessageBuilder::new(Class::Request, Method::REFRESH, TransactionId(ID), &mut buffer)
        .integrity(&Key::short_term("pass"))
        .finish()
        .unwrap();
    let mut bytes = buffer[..len].to_vec();
    bytes[3] += 8;
    bytes.extend([0, 13, 0, 4, 0, 0, 0, 1]);

    assert!(they_read(&bytes).unwrap().get_attribute::<super::Lifetime>().is_some());
    assert_eq!(Message::parse(&bytes).unwrap().get::<attribute::Lifetime>(), Ok(None));
}

/// RFC 8489, section 14.7: FINGERPRINT is the last attribute. They read on behind it.
#[test]
fn a_fingerprint_that_is_not_the_last_is_accepted_by_them() {
    let mut buffer = [0; 128];
    let len = MessageBuilder::new(Class::Request, Method::BINDING, TransactionId(ID), &mut buffer)
        .fingerprint()
        .finish()
        .unwrap();
    let mut bytes = [&buffer[..len], &[0xC0, 1, 0, 0]].concat();
    bytes[3] += 4;

    assert!(they_read(&bytes).is_ok());
    assert_eq!(Message::parse(&bytes).err(), Some(ParseError::FingerprintNotLast));
}

/// RFC 8489, sections 14.5 and 14.7: checksums are over the bytes of the message. They are over what they would have
/// written, for them, so that a reserved bit which a sender set makes a right one wrong.
#[test]
fn reserved_bits_make_right_checksums_wrong_for_them() {
    let key = Key::short_term("pass");
    let mut buffer = [0; 128];
    let len = MessageBuilder::new(Class::Request, Method::ALLOCATE, TransactionId(ID), &mut buffer)
        .raw(AttributeType::EVEN_PORT, &[0x01])
        .integrity(&key)
        .fingerprint()
        .finish()
        .unwrap();
    let message = Message::parse(&buffer[..len]).unwrap();

    assert_eq!(message.fingerprint(), Fingerprint::Right);
    assert!(message.authenticate(&key).is_ok());
    assert!(they_read(&buffer[..len]).is_err());
    let unmarked = [&[0, 3, 0, 32], &buffer[4..len - 8]].concat();
    let theirs = they_read(&unmarked).unwrap();
    let integrity = theirs.get_attribute::<super::MessageIntegrity>().unwrap();
    assert!(integrity.check_short_term_credential("pass").is_err());
}
