//! A client: where it is, whose credentials it has, and what it was told.

use std::net::{Ipv6Addr, SocketAddr};

use stunner_proto::{
    Class, Message, MessageBuilder, Method, TransactionId,
    attribute::{MobilityTicket, Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm, Username},
};
use stunner_relay::{Client, FiveTuple, ListenerId, Transport};

use super::{
    Manner,
    setup::{KEYS, REALM, USERS, server, server_v6},
};

pub(super) struct Actor {
    /// Which of two places it is at.
    pub(super) elsewhere: bool,
    /// Its last request.
    pub(super) last: Vec<u8>,
    /// The tickets it was given, the newest last.
    pub(super) tickets: Vec<Vec<u8>>,
    user: usize,
    places: [Client; 2],
    nonces: [Option<String>; 2],
}

impl Actor {
    /// Two over UDP, who share their other place; one over TCP; and one over IPv6, whose other place is in IPv4.
    pub(super) fn all() -> Vec<Self> {
        let v4 = |n| SocketAddr::from(([198, 51, 100, n], 4_000));
        let v6 = SocketAddr::from((Ipv6Addr::new(0x2001, 0xDB8, 1, 0, 0, 0, 0, 1), 4_000));
        [
            (0, Transport::Udp, [v4(1), v4(9)]),
            (1, Transport::Udp, [v4(2), v4(9)]),
            (1, Transport::Tcp, [v4(3), v4(4)]),
            (0, Transport::Udp, [v6, v4(5)]),
        ]
        .map(|(user, transport, places)| {
            let places = places.map(|client| {
                let server = if client.is_ipv4() { server() } else { server_v6() };
                let link = client.ip().is_ipv4().into();
                Client { tuple: FiveTuple { client, server, transport }, listener: ListenerId(0), link }
            });
            Self { elsewhere: false, last: vec![], tickets: vec![], user, places, nonces: [None, None] }
        })
        .into()
    }

    pub(super) fn client(&self) -> Client {
        self.places[usize::from(self.elsewhere)]
    }

    pub(super) fn nonce(&self) -> Option<&str> {
        self.nonces[usize::from(self.elsewhere)].as_deref()
    }

    /// Remembers what an answer tells: a nonce, or a ticket.
    pub(super) fn take(&mut self, request: &[u8], answer: Option<&[u8]>) {
        let Some(answer) = answer else { return };
        let answer = Message::parse(answer).expect("an answer is a message");
        assert_eq!(answer.transaction_id().0, request[8..20]);
        if let Ok(Some(nonce)) = answer.get::<Nonce<'_>>() {
            self.nonces[usize::from(self.elsewhere)] = Some(nonce.as_str().to_owned());
        }
        if let Ok(Some(MobilityTicket(ticket))) = answer.get() {
            self.tickets.push(ticket.to_vec());
        }
    }

    pub(super) fn unsigned(&self, method: Method, id: TransactionId) -> Vec<u8> {
        build(Class::Request, method, id, |message| message)
    }

    pub(super) fn indication(
        &self,
        id: TransactionId,
        attributes: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
    ) -> Vec<u8> {
        build(Class::Indication, Method::SEND, id, attributes)
    }

    /// A request in some manner.
    pub(super) fn request(
        &self,
        method: Method,
        id: TransactionId,
        manner: &Manner,
        attributes: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
    ) -> Vec<u8> {
        let mut bytes = build(Class::Request, method, id, |message| {
            let message = attributes(message);
            let message = if manner.unsigned { message } else { self.sign(message, manner) };
            if manner.fingerprint { message.fingerprint() } else { message }
        });
        if manner.broken
            && let Some(byte) = bytes.get_mut(13)
        {
            // The transaction ID is part of what is signed.
            *byte ^= 1;
        }
        bytes
    }

    fn sign<'b>(&self, message: MessageBuilder<'b>, manner: &Manner) -> MessageBuilder<'b> {
        let user = self.user ^ usize::from(manner.impostor);
        let message = message
            .attribute(&Username::new(USERS[user]).expect("a name"))
            .attribute(&Realm::new(REALM).expect("a realm"))
            .maybe(self.nonce().and_then(|nonce| Nonce::new(nonce).ok()).as_ref());
        let [md5, sha256] = &KEYS[user];
        if manner.sha256 {
            let message = message.attribute(&PasswordAlgorithms::SHA256_MD5);
            message.attribute(&PasswordAlgorithm::SHA256).integrity_sha256(sha256)
        } else {
            message.integrity(md5)
        }
    }
}

fn build(
    class: Class,
    method: Method,
    id: TransactionId,
    attributes: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
) -> Vec<u8> {
    let mut buffer = vec![0; 1_024];
    let len = attributes(MessageBuilder::new(class, method, id, &mut buffer)).finish().expect("it fits");
    buffer.truncate(len);
    buffer
}
