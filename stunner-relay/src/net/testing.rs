//! What a client of the shell's tests sends.

use stunner_proto::{
    Class, Key, MessageBuilder, Method, TransactionId,
    attribute::{Nonce, Realm, Username},
};

/// A request; once there is a nonce, by user `user` of `example.com` with the password `pass`.
pub(super) fn request(
    method: Method,
    nonce: Option<&str>,
    build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    let mut message = build(MessageBuilder::new(Class::Request, method, TransactionId([1; 12]), &mut bytes));
    if let Some(nonce) = nonce {
        message = message
            .attribute(&Username::new("user").expect("a name"))
            .attribute(&Realm::new("example.com").expect("a realm"))
            .attribute(&Nonce::new(nonce).expect("a nonce"))
            .integrity(&Key::long_term("user", "example.com", "pass"));
    }
    let len = message.finish().expect("it fits");
    bytes.truncate(len);
    bytes
}
