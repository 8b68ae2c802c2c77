//! The same messages through stun_codec, which shares no code with ours: what both know agrees in both directions, and
//! where the two differ, the RFC says who is right.

mod agree;
mod differ;

use bytecodec::{DecodeExt, EncodeExt};
use stun_codec::{
    BrokenMessage, Message, MessageClass, MessageDecoder, MessageEncoder, define_attribute_enums,
    rfc5245::attributes::{IceControlled, IceControlling, Priority, UseCandidate},
    rfc5389::attributes::{
        AlternateServer, ErrorCode, Fingerprint, MappedAddress, MessageIntegrity, Nonce, Realm, Software,
        UnknownAttributes, Username, XorMappedAddress,
    },
    rfc5766::attributes::{
        ChannelNumber, Data, DontFragment, EvenPort, Lifetime, RequestedTransport, ReservationToken,
        XorPeerAddress, XorRelayAddress,
    },
    rfc5780::attributes::{ChangeRequest, OtherAddress, ResponseOrigin, ResponsePort},
    rfc8016::attributes::MobilityTicket,
    rfc8656::attributes::{AdditionalAddressFamily, RequestedAddressFamily},
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
        ChangeRequest,
        OtherAddress,
        ResponseOrigin,
        ResponsePort,
        MobilityTicket,
        RequestedAddressFamily,
        AdditionalAddressFamily
    ]
);

type Theirs = Message<Attribute>;

const ID: [u8; 12] = *b"transaction!";

/// What they make of bytes that have a header.
fn they_read(bytes: &[u8]) -> Result<Theirs, BrokenMessage> {
    MessageDecoder::new().decode_from_bytes(bytes).expect("a header and as many bytes as it says")
}

fn they_write(message: Theirs) -> Vec<u8> {
    MessageEncoder::new().encode_into_bytes(message).expect("it can be written")
}

fn their_class(class: stunner_proto::Class) -> MessageClass {
    match class {
        stunner_proto::Class::Request => MessageClass::Request,
        stunner_proto::Class::Indication => MessageClass::Indication,
        stunner_proto::Class::SuccessResponse => MessageClass::SuccessResponse,
        stunner_proto::Class::ErrorResponse => MessageClass::ErrorResponse,
    }
}
