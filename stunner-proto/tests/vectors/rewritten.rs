//! Every vector, taken apart into typed attributes and built again: the same bytes.

use stunner_proto::{
    Attribute, AttributeType, ChannelNumber, Key, Message, MessageBuilder, RawAttribute, attribute::*,
};

use super::list::{key, messages, vector};

#[test]
fn att_38_every_message_is_built_again_byte_for_byte() {
    let mut rebuilt = 0;
    for (name, key_name, bytes) in messages() {
        let message = Message::parse(&bytes).unwrap();
        let mut buffer = [0xAA; 512];

        let mut builder =
            MessageBuilder::new(message.class(), message.method(), message.transaction_id(), &mut buffer);
        if ["5769-2.1", "5769-2.2", "5769-2.3"].contains(&name) {
            builder = builder.padding(b' ');
        }
        for attribute in message.attributes() {
            builder = append(builder, &message, attribute, key(key_name).as_ref());
        }
        let len = builder.finish().unwrap();

        assert_eq!(buffer[..len], bytes[..], "{name}");
        rebuilt += 1;
    }
    assert_eq!(rebuilt, 49);
}

#[test]
fn a_message_of_the_vectors_is_copied_raw_as_well() {
    let bytes = vector("G41");
    let message = Message::parse(&bytes).unwrap();
    let mut buffer = [0; 512];

    let copy = MessageBuilder::new(message.class(), message.method(), message.transaction_id(), &mut buffer);
    let copy = message.attributes().fold(copy, |copy, found| copy.raw(found.kind, found.value));
    let len = copy.finish().unwrap();

    assert_eq!(buffer[..len], bytes[..]);
}

/// Decodes one attribute to its type, and writes what that says.
fn append<'b>(
    builder: MessageBuilder<'b>,
    message: &Message<'_>,
    attribute: RawAttribute<'_>,
    key: Option<&Key>,
) -> MessageBuilder<'b> {
    let RawAttribute { kind, value, .. } = attribute;
    let id = message.transaction_id();
    macro_rules! typed {
        ($($attribute:ty),*) => {
            match kind {
                AttributeType::MESSAGE_INTEGRITY => builder.integrity(key.expect("a key")),
                AttributeType::MESSAGE_INTEGRITY_SHA256 => {
                    builder.integrity_truncated(key.expect("a key"), value.len())
                }
                AttributeType::FINGERPRINT => builder.fingerprint(),
                $(<$attribute>::TYPE => builder.attribute(&<$attribute>::decode(value, id).unwrap()),)*
                _ => panic!("{kind} has no type"),
            }
        };
    }
    typed! {
        AccessToken<'_>, AdditionalAddressFamily, AddressErrorCode<'_>, AlternateDomain<'_>, AlternateServer,
        ChangeRequest, ChannelNumber, ConnectionId, Data<'_>, DontFragment, ErrorCode<'_>, EvenPort,
        IceControlled, Icmp, Lifetime, MappedAddress, MobilityTicket<'_>, Nonce<'_>, OtherAddress,
        PasswordAlgorithm<'_>, PasswordAlgorithms<'_>, Priority, Realm<'_>, RequestedTransport,
        ReservationToken, ResponseOrigin, Software<'_>, ThirdPartyAuthorization<'_>, UnknownAttributes<'_>,
        Userhash, Username<'_>, XorMappedAddress, XorPeerAddress, XorRelayedAddress
    }
}
