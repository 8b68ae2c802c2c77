//! The same bytes through `stun_codec`, which shares no code with ours.

use bytecodec::{DecodeExt, EncodeExt};
use stun_codec::{
    Message as Theirs, MessageClass, MessageDecoder, MessageEncoder, define_attribute_enums,
    rfc5245::attributes::{IceControlled, IceControlling, Priority, UseCandidate},
    rfc5389::attributes::{
        AlternateServer, ErrorCode, Fingerprint, MappedAddress, MessageIntegrity, Nonce, Realm, Software,
        UnknownAttributes, Username, XorMappedAddress,
    },
    rfc5766::attributes::{
        ChannelNumber, Data, DontFragment, EvenPort, Lifetime, RequestedTransport, ReservationToken,
        XorPeerAddress, XorRelayAddress,
    },
    rfc5780::attributes::{OtherAddress, ResponseOrigin},
    rfc8016::attributes::MobilityTicket,
    rfc8656::attributes::{AdditionalAddressFamily, AddressFamily, RequestedAddressFamily},
};
use stunner_proto::{
    Attribute as _, AttributeType, Class, Fingerprint as Verdict, HEADER_LEN, Key, Message, ParseError,
    TransactionId, attribute as ours,
};

define_attribute_enums!(
    Attribute,
    AttributeDecoder,
    AttributeEncoder,
    [
        AlternateServer,
        ErrorCode,
        Fingerprint,
        MappedAddress,
        MessageIntegrity,
        Nonce,
        Realm,
        Software,
        UnknownAttributes,
        Username,
        XorMappedAddress,
        ChannelNumber,
        Data,
        DontFragment,
        EvenPort,
        Lifetime,
        RequestedTransport,
        ReservationToken,
        XorPeerAddress,
        XorRelayAddress,
        IceControlled,
        IceControlling,
        Priority,
        UseCandidate,
        ResponseOrigin,
        OtherAddress,
        MobilityTicket,
        RequestedAddressFamily,
        AdditionalAddressFamily
    ]
);

/// The password of RFC 5769's sample requests, with which seeds are signed.
const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

/// What both know they read alike, and refuse alike but for the differences that are named below and in the codec's own
/// `tests/differential.rs`; and what they write we read.
pub fn differential(bytes: &[u8]) {
    // Their length arithmetic overflows near the longest message there can be, and is not what is tried here.
    if bytes.len() > 4096 {
        return;
    }
    let mine = Message::parse(bytes);
    let theirs: Result<Result<Theirs<Attribute>, _>, _> = MessageDecoder::new().decode_from_bytes(bytes);
    match (mine, theirs) {
        (Err(_), Err(_) | Ok(Err(_))) => {}
        // RFC 8489, section 14.7: FINGERPRINT is the last attribute. They do not look.
        (Err(error), Ok(Ok(_))) => assert_eq!(error, ParseError::FingerprintNotLast),
        (Ok(_), Err(error)) => panic!("a message for us, not even a header for them: {error}"),
        (Ok(mine), Ok(Err(broken))) => {
            assert_eq!(mine.method().0, broken.method().as_u16());
            assert!(is_refused(mine), "they refuse {mine:?}: {}", broken.error());
        }
        (Ok(mine), Ok(Ok(theirs))) => {
            compare(mine, &theirs);
            // RFC 8489, section 5: they weave the bits of a method above 15 into the wrong places when they write.
            if mine.method().0 > 0x00F {
                return;
            }
            let written = MessageEncoder::new().encode_into_bytes(theirs).expect("what they read they write");
            let again = Message::parse(&written).expect("what they write we read");
            assert_eq!(again.attributes().count(), mine.attributes().count());
        }
    }
}

/// All attributes, also those behind the integrity, which they read, too: type and value.
fn all(message: Message<'_>) -> impl Iterator<Item = (AttributeType, &[u8])> {
    let mut rest = &message.as_bytes()[HEADER_LEN..];
    std::iter::from_fn(move || {
        let (head, tail) = rest.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        rest = &tail[length.next_multiple_of(4)..];
        Some((AttributeType(u16::from_be_bytes([head[0], head[1]])), &tail[..length]))
    })
}

/// Whether a message has an attribute that they refuse, and with it the whole message. We read the others.
fn is_refused(message: Message<'_>) -> bool {
    let id = message.transaction_id();
    all(message).any(|(kind, value)| {
        let text = std::str::from_utf8(value);
        match kind {
            // RFC 8489, sections 14.9, 14.10 and 14.14: as many as 763 bytes when decoding.
            AttributeType::REALM | AttributeType::NONCE | AttributeType::SOFTWARE => {
                text.map_or(true, |text| text.chars().count() > 127)
            }
            AttributeType::USERNAME => value.len() > 512 || text.is_err(),
            // RFC 8489, section 14.8: classes 3 to 6. They know 3 to 5.
            AttributeType::ERROR_CODE => {
                ours::ErrorCode::decode(value, id).map_or(true, |error| error.code() >= 600)
            }
            // RFC 5766, section 11: up to 0x7FFF, where RFC 8656 ends at 0x4FFF.
            AttributeType::CHANNEL_NUMBER => stunner_proto::ChannelNumber::decode(value, id)
                .map_or(true, stunner_proto::ChannelNumber::is_reserved),
            AttributeType::MESSAGE_INTEGRITY => value.len() != 20,
            AttributeType::FINGERPRINT => message.fingerprint() != Verdict::Right || !is_canonical(message),
            _ => canonical(kind, value, id) == Some(None),
        }
    })
}

/// Whether the header and every attribute they know would be written as they stand. They recompute checksums over what they would
/// write; RFC 8489, sections 14.5 and 14.7, over what was received.
fn is_canonical(message: Message<'_>) -> bool {
    let id = message.transaction_id();
    message.method().0 <= 0x00F
        && all(message).all(|(kind, value)| match canonical(kind, value, id) {
            Some(Some(written)) => written == value,
            _ => true,
        })
}

/// An attribute as it would be written; `Some(None)` where it is malformed, and `None` where they do not know it.
fn canonical(kind: AttributeType, value: &[u8], id: TransactionId) -> Option<Option<Vec<u8>>> {
    macro_rules! known {
        ($($attribute:ty),*) => {
            $(if kind == <$attribute>::TYPE {
                return Some(<$attribute>::decode(value, id).ok().map(|found| {
                    let mut written = vec![0; found.encoded_len()];
                    found.encode(&mut written, id);
                    written
                }));
            })*
        };
    }
    known! {
        ours::AlternateServer, ours::ErrorCode<'_>, ours::MappedAddress, ours::UnknownAttributes<'_>,
        ours::XorMappedAddress, stunner_proto::ChannelNumber, ours::Data<'_>, ours::DontFragment,
        ours::EvenPort, ours::Lifetime, ours::RequestedTransport, ours::ReservationToken,
        ours::XorPeerAddress, ours::XorRelayedAddress, ours::IceControlled, ours::IceControlling,
        ours::Priority, ours::UseCandidate, ours::ResponseOrigin, ours::OtherAddress,
        ours::MobilityTicket<'_>, ours::RequestedAddressFamily, ours::AdditionalAddressFamily
    }
    None
}

/// Both have read the message: it says the same to both.
fn compare(mine: Message<'_>, theirs: &Theirs<Attribute>) {
    let class = match theirs.class() {
        MessageClass::Request => Class::Request,
        MessageClass::Indication => Class::Indication,
        MessageClass::SuccessResponse => Class::SuccessResponse,
        MessageClass::ErrorResponse => Class::ErrorResponse,
    };
    assert_eq!((mine.class(), mine.method().0), (class, theirs.method().as_u16()));
    let id = mine.transaction_id();
    assert_eq!(id.0, *theirs.transaction_id().as_bytes());
    let (mut known, mut unknown) = (theirs.attributes().peekable(), theirs.unknown_attributes());
    for (kind, value) in all(mine) {
        if known.peek().is_some_and(|next| stun_codec::Attribute::get_type(*next).as_u16() == kind.0) {
            known.next().iter().for_each(|next| compare_attribute(next, value, id));
        } else {
            let next = unknown.next().expect("an attribute that is not known");
            assert_eq!((stun_codec::Attribute::get_type(next).as_u16(), next.value()), (kind.0, value));
        }
    }
    assert!(known.next().is_none() && unknown.next().is_none());
    compare_checksums(mine, theirs);
}

/// FINGERPRINT is right for both, and MESSAGE-INTEGRITY right or wrong for both.
fn compare_checksums(mine: Message<'_>, theirs: &Theirs<Attribute>) {
    // They made their sums over the attributes as they would write them.
    if !is_canonical(mine) {
        return;
    }
    if theirs.get_attribute::<Fingerprint>().is_some() && mine.contains(AttributeType::FINGERPRINT) {
        assert_eq!(mine.fingerprint(), Verdict::Right);
    }
    let integrity = theirs.get_attribute::<MessageIntegrity>();
    if let Some(integrity) = integrity.filter(|_| !mine.contains(AttributeType::MESSAGE_INTEGRITY_SHA256))
        && mine.contains(AttributeType::MESSAGE_INTEGRITY)
    {
        let right = mine.authenticate(&Key::short_term(PASSWORD)).is_ok();
        assert_eq!(integrity.check_short_term_credential(PASSWORD).is_ok(), right);
    }
}

/// One attribute that both have read.
fn compare_attribute(theirs: &Attribute, value: &[u8], id: TransactionId) {
    macro_rules! same {
        ($attribute:ident, $expected:expr) => {
            assert_eq!(ours::$attribute::decode(value, id), Ok(ours::$attribute($expected)))
        };
    }
    macro_rules! same_text {
        ($attribute:ident, $expected:expr) => {
            assert_eq!(ours::$attribute::decode(value, id).map(|found| found.as_str()), Ok($expected))
        };
    }
    let family = |family| match family {
        AddressFamily::V4 => ours::AddressFamily::V4,
        AddressFamily::V6 => ours::AddressFamily::V6,
    };
    match theirs {
        Attribute::AlternateServer(it) => same!(AlternateServer, it.address()),
        Attribute::MappedAddress(it) => same!(MappedAddress, it.address()),
        Attribute::ResponseOrigin(it) => same!(ResponseOrigin, it.address()),
        Attribute::OtherAddress(it) => same!(OtherAddress, it.address()),
        Attribute::XorMappedAddress(it) => same!(XorMappedAddress, it.address()),
        Attribute::XorPeerAddress(it) => same!(XorPeerAddress, it.address()),
        Attribute::XorRelayAddress(it) => same!(XorRelayedAddress, it.address()),
        Attribute::Nonce(it) => same_text!(Nonce, it.value()),
        Attribute::Realm(it) => same_text!(Realm, it.text()),
        Attribute::Software(it) => same_text!(Software, it.description()),
        Attribute::Username(it) => same_text!(Username, it.name()),
        Attribute::Data(it) => same!(Data, it.data()),
        Attribute::MobilityTicket(it) => same!(MobilityTicket, it.data()),
        Attribute::Lifetime(it) => {
            same!(Lifetime, u32::try_from(it.lifetime().as_secs()).expect("32 bits"));
        }
        Attribute::RequestedTransport(it) => same!(RequestedTransport, it.protocol()),
        Attribute::Priority(it) => same!(Priority, it.prio()),
        Attribute::IceControlled(it) => same!(IceControlled, it.prio()),
        Attribute::IceControlling(it) => same!(IceControlling, it.prio()),
        Attribute::ReservationToken(it) => same!(ReservationToken, it.token().to_be_bytes()),
        Attribute::RequestedAddressFamily(it) => same!(RequestedAddressFamily, family(it.address_family())),
        Attribute::AdditionalAddressFamily(it) => same!(AdditionalAddressFamily, family(it.address_family())),
        Attribute::DontFragment(_) => assert!(ours::DontFragment::decode(value, id).is_ok()),
        Attribute::UseCandidate(_) => assert!(ours::UseCandidate::decode(value, id).is_ok()),
        Attribute::EvenPort(it) => {
            let even = ours::EvenPort { reserve_next: it.is_requested() };
            assert_eq!(ours::EvenPort::decode(value, id), Ok(even));
        }
        Attribute::ChannelNumber(it) => assert_eq!(
            stunner_proto::ChannelNumber::decode(value, id).map(stunner_proto::ChannelNumber::get),
            Ok(it.value())
        ),
        Attribute::UnknownAttributes(it) => {
            let found = ours::UnknownAttributes::decode(value, id).expect("a list for both");
            assert!(found.iter().map(|kind| kind.0).eq(it.unknowns().iter().map(|kind| kind.as_u16())));
        }
        // RFC 8489, section 14.8: as many as 763 bytes. They set no limit.
        Attribute::ErrorCode(it) => match ours::ErrorCode::decode(value, id) {
            Ok(error) => assert_eq!((error.code(), error.reason()), (it.code(), it.reason_phrase())),
            Err(_) => assert!(it.reason_phrase().len() > 763),
        },
        Attribute::Fingerprint(_) | Attribute::MessageIntegrity(_) => {}
    }
}
