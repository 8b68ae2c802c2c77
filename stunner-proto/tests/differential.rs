//! The same messages through stun_codec, which knows nothing of ours.

use bytecodec::{DecodeExt, EncodeExt};
use stun_codec::{
    Message as Theirs, MessageClass, MessageDecoder, MessageEncoder, TransactionId as TheirId,
    define_attribute_enums,
    rfc5389::attributes::{
        Fingerprint as TheirFingerprint, MessageIntegrity, Realm as Domain, Username as Name,
        XorMappedAddress as Mapped,
    },
    rfc5766::{
        attributes::{Lifetime as TheirLifetime, XorPeerAddress as Peer, XorRelayAddress as Relayed},
        methods,
    },
};
use stunner_proto::{
    Class, Fingerprint, Key, Message, MessageBuilder, Method, TransactionId,
    attribute::{Lifetime, Realm, Username, XorMappedAddress, XorPeerAddress, XorRelayedAddress},
};

define_attribute_enums!(
    Attribute,
    AttributeDecoder,
    AttributeEncoder,
    [Name, Domain, MessageIntegrity, TheirFingerprint, Mapped, TheirLifetime, Peer, Relayed]
);

const ID: [u8; 12] = *b"transaction!";
const ADDRESSES: [&str; 2] = ["192.0.2.15:50000", "[2001:db8::15]:50000"];

#[test]
fn what_we_write_they_read() {
    let key = Key::long_term("user", "realm", "pass");
    for address in ADDRESSES.map(|address| address.parse().unwrap()) {
        let mut buffer = [0; 256];
        let len =
            MessageBuilder::new(Class::SuccessResponse, Method::ALLOCATE, TransactionId(ID), &mut buffer)
                .attribute(&XorRelayedAddress(address))
                .attribute(&XorMappedAddress(address))
                .attribute(&Lifetime(777))
                .integrity(&key)
                .fingerprint()
                .finish()
                .unwrap();

        let theirs: Theirs<Attribute> =
            MessageDecoder::new().decode_from_bytes(&buffer[..len]).unwrap().unwrap();

        assert_eq!(theirs.class(), MessageClass::SuccessResponse);
        assert_eq!(theirs.method(), methods::ALLOCATE);
        assert_eq!(theirs.transaction_id().as_bytes(), &ID);
        assert_eq!(theirs.get_attribute::<Relayed>().unwrap().address(), address);
        assert_eq!(theirs.get_attribute::<Mapped>().unwrap().address(), address);
        assert_eq!(theirs.get_attribute::<TheirLifetime>().unwrap().lifetime().as_secs(), 777);
        let integrity = theirs.get_attribute::<MessageIntegrity>().unwrap();
        let user = Name::new("user".into()).unwrap();
        let realm = Domain::new("realm".into()).unwrap();
        assert!(integrity.check_long_term_credential(&user, &realm, "pass").is_ok());
        assert!(theirs.get_attribute::<TheirFingerprint>().is_some());
    }
}

#[test]
fn what_they_write_we_read() {
    let user = Name::new("user".into()).unwrap();
    let realm = Domain::new("realm".into()).unwrap();
    for address in ADDRESSES.map(|address| address.parse().unwrap()) {
        let mut theirs =
            Theirs::<Attribute>::new(MessageClass::Request, methods::CREATE_PERMISSION, TheirId::new(ID));
        theirs.add_attribute(Peer::new(address));
        theirs.add_attribute(user.clone());
        theirs.add_attribute(realm.clone());
        let integrity = MessageIntegrity::new_long_term_credential(&theirs, &user, &realm, "pass");
        theirs.add_attribute(integrity.unwrap());
        let fingerprint = TheirFingerprint::new(&theirs).unwrap();
        theirs.add_attribute(fingerprint);

        let bytes = MessageEncoder::new().encode_into_bytes(theirs).unwrap();
        let message = Message::parse(&bytes).unwrap();

        assert_eq!((message.class(), message.method()), (Class::Request, Method::CREATE_PERMISSION));
        assert_eq!(message.fingerprint(), Fingerprint::Right);
        let message = message.authenticate(&Key::long_term("user", "realm", "pass")).unwrap();
        assert_eq!(message.require(), Ok(XorPeerAddress(address)));
        assert_eq!(message.require::<Username<'_>>().unwrap().as_str(), "user");
        assert_eq!(message.require::<Realm<'_>>().unwrap().as_str(), "realm");
    }
}
