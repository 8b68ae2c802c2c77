//! The tokens of RFC 7635, appendix A, opened with the key that the authorization server and the TURN server share.

use aes_gcm::{
    Aes128Gcm, Aes256Gcm, KeyInit,
    aead::{Aead, Payload},
};
use stunner_proto::{
    Attribute, AttributeType, BadAttribute, Key, Message, TooLong, TransactionId,
    attribute::{AccessToken, ThirdPartyAuthorization, TokenContent},
};

use super::list::vector;

const ID: TransactionId = TransactionId([0; 12]);
const SERVER: &str = "blackdow.carleon.gov";
const SHARED: &[u8; 32] = b"HGkj32KJGiuy098sdfaqbNjOiaz71923";

fn open(cipher: &impl Aead, token: &AccessToken<'_>) -> Vec<u8> {
    open_for(SERVER, cipher, token).expect("the right key")
}

/// What is in a token, if it was made for this server.
fn open_for(server: &str, cipher: &impl Aead, token: &AccessToken<'_>) -> Option<Vec<u8>> {
    let payload = Payload { msg: token.sealed(), aad: server.as_bytes() };
    cipher.decrypt(token.nonce().try_into().expect("a nonce"), payload).ok()
}

#[test]
fn oau_01_both_tokens_open_to_the_printed_content_for_their_server_alone() {
    let (long, short) = (vector("7635-256"), vector("7635-128"));
    let (long, short) = (AccessToken::decode(&long, ID).unwrap(), AccessToken::decode(&short, ID).unwrap());
    let cipher = Aes256Gcm::new_from_slice(SHARED).unwrap();
    assert_eq!(open_for("example.com", &cipher, &long), None);
    let long = open(&cipher, &long);
    let short = open(&Aes128Gcm::new_from_slice(&SHARED[..16]).unwrap(), &short);

    assert_eq!(long, short);
    let content = TokenContent::parse(&long).unwrap();
    assert_eq!(content.mac_key, b"ZksjpweoixXmvn67534m");
    assert_eq!((content.timestamp, content.lifetime), (92_470_300_704_768, 3600));
    assert_eq!(content.made(), 1_410_984_813);
    assert_eq!(format!("{content:?}"), "TokenContent { timestamp: 92470300704768, lifetime: 3600, .. }");
    for len in (0..long.len()).chain([long.len() + 1]) {
        let cut = [&long[..], &[0]].concat();
        assert_eq!(TokenContent::parse(&cut[..len]), None, "{len}");
    }
}

#[test]
fn the_key_of_a_token_signs_the_message_that_carries_it() {
    let bytes = vector("G44");
    let token = Message::parse(&bytes).unwrap().require::<AccessToken<'_>>().unwrap();
    let opened = open(&Aes256Gcm::new_from_slice(SHARED).unwrap(), &token);
    let content = TokenContent::parse(&opened).unwrap();

    assert!(Message::parse(&bytes).unwrap().authenticate(&Key::new(content.mac_key)).is_ok());
}

#[test]
fn a_token_is_written_as_it_was_read() {
    let bytes = vector("7635-256");
    let token = AccessToken::decode(&bytes, ID).unwrap();
    let token = AccessToken::new(token.nonce(), token.sealed()).unwrap();
    let mut value = vec![0; token.encoded_len()];

    token.encode(&mut value, ID);

    assert_eq!((token.nonce(), &value), (&b"h4j3k2l2n4b5"[..], &bytes));
}

#[test]
fn a_token_has_its_limits() {
    let long = vec![0; 65_534];
    let malformed = BadAttribute::Malformed(AttributeType::ACCESS_TOKEN);

    assert_eq!(AccessToken::new(&long[..12], &long[..65_521]).unwrap().encoded_len(), 65_535);
    assert_eq!(AccessToken::new(&long[..12], &long[..65_522]), Err(TooLong(AttributeType::ACCESS_TOKEN)));
    assert_eq!(AccessToken::decode(&[0], ID), Err(malformed));
    assert_eq!(AccessToken::decode(&[0, 3, 1, 2], ID), Err(malformed));
    assert_eq!(AccessToken::decode(&[0, 2, 1, 2], ID).unwrap().sealed(), []);
    assert_eq!(ThirdPartyAuthorization::new(SERVER).unwrap().as_str(), SERVER);
}
