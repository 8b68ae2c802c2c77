//! A server that follows a script: the test reads each request and writes each response.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use stunner_proto::{
    Attribute, AttributeType, BadAttribute, Class, Integrity, Key, Message, MessageBuilder, Method,
    TransactionId,
    attribute::{ErrorCode, Lifetime, Nonce, Realm, XorMappedAddress, XorPeerAddress, XorRelayedAddress},
};
use stunner_relay::client::{Client, Config, Event, Failure, MAX_REQUEST, Request};

use crate::world::{CLIENT, RELAYED, SERVER, some_instant};

pub(crate) const REALM: &str = "example.com";

/// What a builder does to a message.
pub(crate) type Build = fn(MessageBuilder<'_>) -> MessageBuilder<'_>;

pub(crate) struct Script {
    pub(crate) client: Client,
    pub(crate) now: Instant,
    start: Instant,
}

/// A request, as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) bytes: Vec<u8>,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
}

impl Asked {
    pub(crate) fn message(&self) -> Message<'_> {
        Message::parse(&self.bytes).expect("a message")
    }

    pub(crate) fn method(&self) -> Method {
        self.message().method()
    }

    pub(crate) fn id(&self) -> TransactionId {
        self.message().transaction_id()
    }

    pub(crate) fn has(&self, kind: AttributeType) -> bool {
        self.message().contains(kind)
    }

    pub(crate) fn get<'a, A: Attribute<'a>>(&'a self) -> A {
        self.message().require().expect("the attribute is there")
    }
}

/// How a response is signed.
#[derive(Clone, Copy)]
pub(crate) enum Sign {
    Not,
    As(Integrity),
    Wrongly,
}

/// As the client's requests are where the server offers no algorithms.
pub(crate) const SHA1: Sign = Sign::As(Integrity::Sha1);

impl Script {
    pub(crate) fn new(config: Config) -> Self {
        let start = some_instant();
        let client = Client::new(config, CLIENT, SERVER, [7; 32], start).expect("settings that fit");
        Self { client, now: start, start }
    }

    /// The same, with an allocation of IPv4 for 600 s.
    pub(crate) fn allocated(config: Config) -> Self {
        let mut script = Self::challenged(config);
        let asked = script.ask();
        script.grant(&asked);
        assert!(matches!(script.event(), Some(Event::Allocated(_))));
        script
    }

    /// The same, where the first request was answered with a plain challenge.
    pub(crate) fn challenged(config: Config) -> Self {
        let mut script = Self::new(config);
        let asked = script.ask();
        script.challenge(&asked, 401, "nonce");
        script
    }

    pub(crate) fn config() -> Config {
        Config::new("user", "pass")
    }

    pub(crate) fn key() -> Key {
        Key::long_term("user", REALM, "pass")
    }

    /// The next request that the client sends now, if it does.
    pub(crate) fn poll(&mut self) -> Option<Asked> {
        let mut buffer = [0; MAX_REQUEST];
        let transmit = self.client.poll_transmit(self.now, &mut buffer)?;
        Some(Asked { bytes: buffer[..transmit.len].to_vec(), from: transmit.from, to: transmit.to })
    }

    /// The next request that the client sends now.
    pub(crate) fn ask(&mut self) -> Asked {
        self.poll().expect("the client asks for something")
    }

    /// Lets this time pass, at each moment that the client wants to be called, and says what it sent and when.
    pub(crate) fn run(&mut self, time: Duration) -> Vec<(u128, Asked)> {
        let (end, mut sent) = (self.now + time, Vec::new());
        loop {
            self.client.handle_timeout(self.now);
            while let Some(asked) = self.poll() {
                sent.push(((self.now - self.start).as_millis(), asked));
            }
            let next = self.client.poll_timeout().filter(|&at| at <= end);
            let Some(at) = next else { break };
            assert!(at > self.now, "the client is not done at its own time");
            self.now = at;
        }
        self.now = end;
        sent
    }

    pub(crate) fn event(&mut self) -> Option<Event> {
        self.client.poll_event()
    }

    /// Why the next thing that was told to have failed did so.
    pub(crate) fn failure(&mut self, request: Request) -> Failure {
        match self.event() {
            Some(Event::Refused { request: refused, why }) if refused == request => why,
            other => panic!("{request:?} was not refused: {other:?}"),
        }
    }

    /// Hands in bytes from the server.
    pub(crate) fn input(&mut self, bytes: &[u8]) {
        let from = self.client.five_tuple().server;
        assert_eq!(self.client.handle_input(bytes, from, self.now), None);
    }

    /// A response as the test wants it, from the server.
    pub(crate) fn respond(
        &mut self,
        asked: &Asked,
        class: Class,
        sign: Sign,
        build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
    ) {
        let bytes = Self::response(asked, class, sign, &Self::key(), build);
        self.input(&bytes);
    }

    pub(crate) fn response(
        asked: &Asked,
        class: Class,
        sign: Sign,
        key: &Key,
        build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
    ) -> Vec<u8> {
        let mut buffer = [0; MAX_REQUEST];
        let message = build(MessageBuilder::response(&asked.message(), class, &mut buffer));
        let message = match sign {
            Sign::Not => message,
            Sign::As(kind) => message.integrity_of(kind, key),
            Sign::Wrongly => message.integrity(&Key::long_term("user", REALM, "guess")),
        };
        let len = message.finish().expect("it fits");
        buffer[..len].to_vec()
    }

    /// 401 or 438, as it should be.
    pub(crate) fn challenge(&mut self, asked: &Asked, code: u16, nonce: &str) {
        self.respond(asked, Class::ErrorResponse, Sign::Not, |response| {
            response
                .attribute(&ErrorCode::recommended(code).expect("a code"))
                .attribute(&Realm::new(REALM).expect("it fits"))
                .attribute(&Nonce::new(nonce).expect("it fits"))
        });
    }

    /// A signed refusal.
    pub(crate) fn refuse(&mut self, asked: &Asked, code: u16) {
        let error = ErrorCode::recommended(code).expect("a code");
        self.respond(asked, Class::ErrorResponse, SHA1, |response| response.attribute(&error));
    }

    /// A signed success response: what an allocation or a refresh needs is in it.
    pub(crate) fn grant(&mut self, asked: &Asked) {
        self.grant_for(asked, 600);
    }

    pub(crate) fn grant_for(&mut self, asked: &Asked, seconds: u32) {
        let method = asked.method();
        self.respond(asked, Class::SuccessResponse, SHA1, |response| match method {
            Method::ALLOCATE => response
                .attribute(&XorRelayedAddress(RELAYED))
                .attribute(&XorMappedAddress(CLIENT))
                .attribute(&Lifetime(seconds)),
            Method::REFRESH => response.attribute(&Lifetime(seconds)),
            _ => response,
        });
    }

    /// A Data indication, as the test wants it.
    pub(crate) fn indication(build: Build) -> Vec<u8> {
        let mut buffer = [0; MAX_REQUEST];
        let id = TransactionId([9; 12]);
        let message = MessageBuilder::new(Class::Indication, Method::DATA, id, &mut buffer);
        let len = build(message).finish().expect("it fits");
        buffer[..len].to_vec()
    }
}

/// The peer that a request is about.
pub(crate) fn peer_of(asked: &Asked) -> SocketAddr {
    asked.get::<XorPeerAddress>().0
}

/// An attribute with any value, whether it is allowed or not.
pub(crate) struct Raw<'a, const TYPE: u16>(pub(crate) &'a [u8]);

impl<'a, const TYPE: u16> Attribute<'a> for Raw<'a, TYPE> {
    const TYPE: AttributeType = AttributeType(TYPE);

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, BadAttribute> {
        Ok(Self(value))
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn encode(&self, value: &mut [u8], _: TransactionId) {
        value.copy_from_slice(self.0);
    }
}
