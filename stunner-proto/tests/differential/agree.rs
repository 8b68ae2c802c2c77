//! What both know, with random values, both ways.

use std::net::SocketAddr;

use proptest::{collection::vec, prelude::*};
use stun_codec::{Method as TheirMethod, TransactionId as TheirId, rfc8656::attributes::AddressFamily};
use stunner_proto::{
    self as ours, Class, Fingerprint, Key, MessageBuilder, Method, TransactionId, attribute,
};

use super::{Theirs, their_class, they_read, they_write};

/// Values for every attribute that both know.
#[derive(Clone, Debug)]
struct Values {
    class: Class,
    method: u8,
    id: [u8; 12],
    address: SocketAddr,
    text: String,
    data: Vec<u8>,
    number: u64,
    code: u16,
    yes: bool,
}

impl Values {
    fn short(&self) -> u32 {
        u32::try_from(self.number >> 32).expect("32 bits")
    }

    fn types(&self) -> Vec<[u8; 2]> {
        self.data.as_chunks().0.to_vec()
    }

    fn channel(&self) -> u16 {
        0x4000 | self.code
    }
}

fn values() -> impl Strategy<Value = Values> {
    let class = prop_oneof![
        Just(Class::Request),
        Just(Class::Indication),
        Just(Class::SuccessResponse),
        Just(Class::ErrorResponse)
    ];
    let head = (class, 0_u8..16, any::<[u8; 12]>(), any::<SocketAddr>());
    let rest = ("\\PC{0,100}", vec(any::<u8>(), 0..60), any::<u64>(), 300_u16..600, any::<bool>());
    (head, rest).prop_map(|((class, method, id, mut address), (text, data, number, code, yes))| {
        if let SocketAddr::V6(address) = &mut address {
            address.set_flowinfo(0);
            address.set_scope_id(0);
        }
        Values { class, method, id, address, text, data, number, code, yes }
    })
}

/// All of them in one message of ours, signed and with a FINGERPRINT.
fn we_build(values: &Values, key: &Key, buffer: &mut [u8]) -> usize {
    let (address, text, types) = (values.address, values.text.as_str(), values.types());
    let family = if values.yes { attribute::AddressFamily::V4 } else { attribute::AddressFamily::V6 };
    MessageBuilder::new(values.class, Method(values.method.into()), TransactionId(values.id), buffer)
        .attribute(&attribute::MappedAddress(address))
        .attribute(&attribute::XorMappedAddress(address))
        .attribute(&attribute::XorPeerAddress(address))
        .attribute(&attribute::XorRelayedAddress(address))
        .attribute(&attribute::AlternateServer(address))
        .attribute(&attribute::OtherAddress(address))
        .attribute(&attribute::ResponseOrigin(address))
        .attribute(&attribute::ErrorCode::new(values.code, text).expect("it is short"))
        .attribute(&attribute::Nonce::new(text).expect("it is short"))
        .attribute(&attribute::Realm::new(text).expect("it is short"))
        .attribute(&attribute::Software::new(text).expect("it is short"))
        .attribute(&attribute::Username::new(text).expect("it is short"))
        .attribute(&attribute::UnknownAttributes::new(&types))
        .attribute(&ours::ChannelNumber::new(values.channel()).expect("a channel's"))
        .attribute(&attribute::Data(&values.data))
        .attribute(&attribute::DontFragment)
        .attribute(&attribute::EvenPort { reserve_next: values.yes })
        .attribute(&attribute::Lifetime(values.short()))
        .attribute(&attribute::RequestedTransport(values.id[0]))
        .attribute(&attribute::ReservationToken(values.number.to_be_bytes()))
        .attribute(&attribute::IceControlled(values.number))
        .attribute(&attribute::IceControlling(values.number))
        .attribute(&attribute::Priority(values.short()))
        .attribute(&attribute::UseCandidate)
        .attribute(&attribute::MobilityTicket(&values.data))
        .attribute(&attribute::RequestedAddressFamily(family))
        .attribute(&attribute::AdditionalAddressFamily(family))
        .integrity(key)
        .fingerprint()
        .finish()
        .expect("it fits")
}

/// The same in one message of theirs.
fn they_build(values: &Values) -> Theirs {
    let (address, text, data) = (values.address, values.text.clone(), values.data.clone());
    let family = if values.yes { AddressFamily::V4 } else { AddressFamily::V6 };
    let types = values.types().into_iter().map(|kind| u16::from_be_bytes(kind).into()).collect();
    let mut message =
        Theirs::new(their_class(values.class), TheirMethod::from(values.method), TheirId::new(values.id));
    message.add_attribute(super::MappedAddress::new(address));
    message.add_attribute(super::XorMappedAddress::new(address));
    message.add_attribute(super::XorPeerAddress::new(address));
    message.add_attribute(super::XorRelayAddress::new(address));
    message.add_attribute(super::AlternateServer::new(address));
    message.add_attribute(super::OtherAddress::new(address));
    message.add_attribute(super::ResponseOrigin::new(address));
    message.add_attribute(super::ErrorCode::new(values.code, text.clone()).expect("a code"));
    message.add_attribute(super::Nonce::new(text.clone()).expect("it is short"));
    message.add_attribute(super::Realm::new(text.clone()).expect("it is short"));
    message.add_attribute(super::Software::new(text.clone()).expect("it is short"));
    message.add_attribute(super::Username::new(text).expect("it is short"));
    message.add_attribute(super::UnknownAttributes::new(types));
    message.add_attribute(super::ChannelNumber::new(values.channel()).expect("a channel's"));
    message.add_attribute(super::Data::new(data.clone()).expect("it is short"));
    message.add_attribute(super::DontFragment);
    message.add_attribute(super::EvenPort::new(values.yes));
    message.add_attribute(super::Lifetime::from_u32(values.short()));
    message.add_attribute(super::RequestedTransport::new(values.id[0]));
    message.add_attribute(super::ReservationToken::new(values.number));
    message.add_attribute(super::IceControlled::new(values.number));
    message.add_attribute(super::IceControlling::new(values.number));
    message.add_attribute(super::Priority::new(values.short()));
    message.add_attribute(super::UseCandidate::new());
    message.add_attribute(super::MobilityTicket::new(data).expect("it is short"));
    message.add_attribute(super::RequestedAddressFamily::new(family));
    message.add_attribute(super::AdditionalAddressFamily::new(family));
    let integrity = super::MessageIntegrity::new_short_term_credential(&message, "pass").expect("a sum");
    message.add_attribute(integrity);
    let fingerprint = super::Fingerprint::new(&message).expect("a sum");
    message.add_attribute(fingerprint);
    message
}

proptest! {
    #[test]
    fn both_write_the_same_bytes_and_read_what_the_other_wrote(values in values()) {
        let key = Key::short_term("pass");
        let mut buffer = [0xAA; 4096];
        let len = we_build(&values, &key, &mut buffer);
        let theirs = they_build(&values);

        let read = they_read(&buffer[..len]).expect("what we write they read");
        prop_assert!(read.attributes().eq(they_read(&they_write(theirs.clone())).expect("their own").attributes()));
        let integrity = read.get_attribute::<super::MessageIntegrity>().expect("it is there");
        prop_assert!(integrity.check_short_term_credential("pass").is_ok());

        let written = they_write(theirs);
        prop_assert_eq!(&written[..], &buffer[..len]);
        let message = ours::Message::parse(&written).expect("what they write we read");
        prop_assert_eq!(message.fingerprint(), Fingerprint::Right);
        prop_assert!(message.authenticate(&key).is_ok());
        prop_assert_eq!(message.require(), Ok(attribute::XorPeerAddress(values.address)));
        prop_assert_eq!(message.require(), Ok(attribute::Data(&values.data)));
    }
}

#[test]
fn a_long_term_key_is_the_same_for_both() {
    let values = Values {
        class: Class::Request,
        method: 3,
        id: super::ID,
        address: ([192, 0, 2, 15], 50_000).into(),
        text: "x".to_owned(),
        data: vec![],
        number: 0,
        code: 400,
        yes: true,
    };
    let mut buffer = [0; 4096];
    let len = we_build(&values, &Key::long_term("user", "realm", "pass"), &mut buffer);

    let message = they_read(&buffer[..len]).unwrap();

    let user = super::Username::new("user".into()).unwrap();
    let realm = super::Realm::new("realm".into()).unwrap();
    let integrity = message.get_attribute::<super::MessageIntegrity>().unwrap();
    assert!(integrity.check_long_term_credential(&user, &realm, "pass").is_ok());
    assert!(integrity.check_long_term_credential(&user, &realm, "other").is_err());
}
