//! Targets of the codec: bytes are read, attributes written again, and messages built as bytes say.

use stunner_proto::{
    Attribute, AttributeType, ChannelData, ChannelNumber, Class, Classic, Fingerprint, HEADER_LEN, Key,
    MAGIC_COOKIE, Message, MessageBuilder, Method, ParseError, TransactionId,
    attribute::*,
    framing::{Kind, MAX_FRAME, frame_len},
    uri::{StunnerUri, Uri, percent_decoded},
};

/// Does something with every attribute there is.
macro_rules! every_attribute {
    ($do:ident) => {
        $do! {
            MappedAddress, XorMappedAddress, XorPeerAddress, XorRelayedAddress, AlternateServer, OtherAddress,
            ResponseOrigin, ErrorCode<'_>, AddressErrorCode<'_>, UnknownAttributes<'_>,
            AdditionalAddressFamily, RequestedAddressFamily, IceControlled, IceControlling, Priority,
            UseCandidate, AccessToken<'_>, ThirdPartyAuthorization<'_>, PasswordAlgorithm<'_>,
            PasswordAlgorithms<'_>, Userhash, CacheTimeout, ChangeRequest, Padding, ResponsePort,
            TransactionTransmitCounter, AlternateDomain<'_>, Nonce<'_>, Realm<'_>, Software<'_>, Username<'_>,
            ConnectionId, Data<'_>, DontFragment, EvenPort, Icmp, Lifetime, MobilityTicket<'_>,
            RequestedTransport, ReservationToken, ChannelNumber
        }
    };
}

/// A message is parsed, every attribute decoded, and what was decoded is the same when it is written and read again.
pub fn message(bytes: &[u8]) {
    let _ = ChannelData::parse(bytes);
    let _ = TokenContent::parse(bytes);
    classic(bytes);
    let Ok(message) = Message::parse(bytes) else { return };
    assert_eq!(message.as_bytes(), bytes);
    assert!(message.authenticate(&Key::new(b"nobody has this key")).is_err());
    if message.fingerprint() != Fingerprint::Absent {
        assert!(message.contains(AttributeType::FINGERPRINT));
    }
    for attribute in message.attributes() {
        assert_eq!(bytes[attribute.offset + 4..][..attribute.value.len()], *attribute.value);
        let _ = (attribute.kind.to_string(), attribute.kind.is_required());
    }
    let _ = format!("{message:?}");
    let id = message.transaction_id();
    macro_rules! again {
        ($($attribute:ty),*) => {
            $(for found in message.all::<$attribute>().flatten() {
                let first = encoded(&found, id);
                let second = <$attribute>::decode(&first, id).expect("what was written can be read");
                assert_eq!(encoded(&second, id), first, "{}", <$attribute>::TYPE);
            })*
        };
    }
    every_attribute!(again);
    if let Ok(Some(algorithms)) = message.get::<PasswordAlgorithms<'_>>() {
        assert!(4 * algorithms.iter().count() <= algorithms.as_bytes().len());
    }
}

/// Without its cookie a message is classic, with it a message; bytes are never both, and wrong for the same reason.
fn classic(bytes: &[u8]) {
    let mut other = bytes.to_vec();
    if let Some(cookie) = other.get_mut(4..8) {
        cookie.copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    }
    match Classic::parse(bytes) {
        Ok(classic) => {
            assert_eq!(Message::parse(bytes).err(), Some(ParseError::NoMagicCookie));
            let message = Message::parse(&other).expect("nothing but the cookie is wrong");
            assert_eq!((message.class(), message.method()), (classic.class(), classic.method()));
            assert_eq!(message.attributes().count(), classic.attributes().count());
        }
        Err(ParseError::MagicCookie) => {}
        Err(error) => assert_eq!(Message::parse(&other).err(), Some(error)),
    }
}

fn encoded<'a, A: Attribute<'a>>(attribute: &A, id: TransactionId) -> Vec<u8> {
    let mut value = vec![0xAA; attribute.encoded_len()];
    attribute.encode(&mut value, id);
    value
}

/// Takes numbers and slices from the front of what the fuzzer gave.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn number(&mut self) -> Option<u16> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*number))
    }

    fn slice(&mut self, len: usize) -> &'a [u8] {
        let (slice, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        slice
    }
}

/// A message is built as the bytes say. It fits where it must, is what was asked for, and nothing else; and a buffer
/// that is a byte too small is too small.
pub fn builder(bytes: &[u8]) {
    let mut script = Script(bytes);
    let (Some(head), Some(room)) = (script.number(), script.number()) else { return };
    let class = match head >> 14 {
        0 => Class::Request,
        1 => Class::Indication,
        2 => Class::SuccessResponse,
        _ => Class::ErrorResponse,
    };
    let method = Method(head & 0x0FFF);
    let mut id = TransactionId([0; 12]);
    id.0.iter_mut().zip(script.slice(12)).for_each(|(byte, &given)| *byte = given);
    let key = Key::new(b"key");

    let mut buffer = vec![0xAA; usize::from(room)];
    let mut message = MessageBuilder::new(class, method, id, &mut buffer);
    let mut expected = Vec::new();
    while let Some(number) = script.number().filter(|_| expected.len() < 100) {
        let value = script.slice(usize::from(number >> 6 & 0xFF));
        message = append(message, usize::from(number & 0x3F), value, id, &mut expected);
    }
    if head & 0x1000 != 0 {
        message = message.integrity(&key);
        expected.push((AttributeType::MESSAGE_INTEGRITY, vec![0; 20]));
    }
    if head & 0x2000 != 0 {
        message = message.integrity_sha256(&key);
        expected.push((AttributeType::MESSAGE_INTEGRITY_SHA256, vec![0; 32]));
    }
    message = message.fingerprint();
    expected.push((AttributeType::FINGERPRINT, vec![0; 4]));

    let padded = expected.iter().map(|(_, value)| 4 + value.len().next_multiple_of(4));
    let needed = HEADER_LEN + padded.sum::<usize>();
    let Ok(len) = message.finish() else {
        assert!(needed > usize::from(room), "{needed} bytes fit into {room}");
        return;
    };
    assert_eq!(len, needed);
    check(Message::parse(&buffer[..len]).expect("what was built can be parsed"), &expected, &key);
    assert!(buffer[len..].iter().all(|&byte| byte == 0xAA), "bytes behind the message were touched");
}

/// Appends the attribute of a number: typed where the value is one of its own, else as it is.
fn append<'b>(
    builder: MessageBuilder<'b>,
    number: usize,
    value: &[u8],
    id: TransactionId,
    expected: &mut Vec<(AttributeType, Vec<u8>)>,
) -> MessageBuilder<'b> {
    let mut left = number;
    macro_rules! append_one {
        ($($attribute:ty),*) => {
            $({
                if left == 0 {
                    return match <$attribute>::decode(value, id) {
                        Ok(attribute) => {
                            expected.push((<$attribute>::TYPE, encoded(&attribute, id)));
                            builder.attribute(&attribute)
                        }
                        Err(_) => {
                            expected.push((<$attribute>::TYPE, value.to_vec()));
                            builder.raw(<$attribute>::TYPE, value)
                        }
                    };
                }
                left -= 1;
            })*
        };
    }
    every_attribute!(append_one);
    let kind = AttributeType(0xC000 + u16::try_from(left).expect("six bits"));
    expected.push((kind, value.to_vec()));
    builder.raw(kind, value)
}

/// A message has these attributes, its integrity is that of the key, and its FINGERPRINT is right.
fn check(message: Message<'_>, expected: &[(AttributeType, Vec<u8>)], key: &Key) {
    assert_eq!(message.attributes().count(), expected.len());
    for (found, (kind, value)) in message.attributes().zip(expected) {
        assert_eq!((found.kind, found.value.len()), (*kind, value.len()));
        if !matches!(
            found.kind,
            AttributeType::MESSAGE_INTEGRITY
                | AttributeType::MESSAGE_INTEGRITY_SHA256
                | AttributeType::FINGERPRINT
        ) {
            assert_eq!(found.value, value, "{kind}");
        }
    }
    assert_eq!(message.fingerprint(), Fingerprint::Right);
    let signed = message.contains(AttributeType::MESSAGE_INTEGRITY)
        || message.contains(AttributeType::MESSAGE_INTEGRITY_SHA256);
    assert_eq!(message.authenticate(key).is_ok(), signed);
    assert!(message.authenticate(&Key::new(b"another")).is_err());
}

/// A stream is cut into frames; each is at least four bytes long and no longer than the longest there can be, and its
/// length does not depend on how much of it is there.
pub fn framing(bytes: &[u8]) {
    let mut rest = bytes;
    loop {
        let found = frame_len(rest);
        for len in 0..rest.len().min(24) {
            let early = frame_len(&rest[..len]);
            assert!(early == Ok(None) || early == found, "{len} bytes: {early:?}, all: {found:?}");
        }
        let Ok(Some(len)) = found else { return };
        assert!((4..=MAX_FRAME).contains(&len));
        let Some((frame, tail)) = rest.split_at_checked(len) else { return };
        match Kind::of(frame[0]) {
            Kind::ChannelData => {
                assert!(ChannelData::parse(frame).is_some_and(|it| it.data.len() + 7 >= len))
            }
            Kind::Message => assert!(!matches!(
                Message::parse(frame),
                Err(ParseError::TooShort | ParseError::Truncated | ParseError::TrailingBytes)
            )),
            Kind::Other => panic!("a frame of neither kind"),
        }
        rest = tail;
    }
}

/// A URI is read, written, and read again: it is the same.
pub fn uri(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    assert!(percent_decoded(text).count() <= text.len());
    if let Ok(uri) = Uri::parse(text) {
        assert_ne!(uri.port, Some(0));
        assert_eq!(Uri::parse(&uri.to_string()), Ok(uri));
        assert!(StunnerUri::parse(text).is_err());
    }
    if let Ok(uri) = StunnerUri::parse(text) {
        assert_eq!(StunnerUri::parse(&uri.to_string()), Ok(uri));
        assert!(!uri.username.is_empty() && !uri.password.is_empty());
    }
}
