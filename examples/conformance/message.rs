//! What is sent and what comes back: requests with attributes of any kind, signed in any way, and answers.

use std::fmt::Display;

use stunner_proto::{
    Attribute, AttributeType, BadAttribute, Class, HEADER_LEN, Key, Message, MessageBuilder, Method,
    TransactionId,
    attribute::{ErrorCode, RequestedTransport},
};

use crate::report::{Outcome, fail};

/// The largest message that is written here: DATA of 65,507 bytes and all around it.
const MAX_MESSAGE: usize = 66_000;

/// A message to be, its attributes in the order in which they were given.
#[derive(Clone)]
pub(crate) struct Draft {
    class: Class,
    method: Method,
    pub(crate) id: TransactionId,
    attributes: Vec<(AttributeType, Vec<u8>)>,
}

impl Draft {
    pub(crate) fn new(class: Class, method: Method) -> Self {
        Self { class, method, id: TransactionId(rand::random()), attributes: Vec::new() }
    }

    pub(crate) fn request(method: Method) -> Self {
        Self::new(Class::Request, method)
    }

    /// An Allocate as it must be: with REQUESTED-TRANSPORT, and that UDP.
    pub(crate) fn allocate() -> Self {
        Self::request(Method::ALLOCATE).with(&RequestedTransport::UDP)
    }

    pub(crate) fn with<'a, A: Attribute<'a>>(mut self, attribute: &A) -> Self {
        let mut value = vec![0; attribute.encoded_len()];
        attribute.encode(&mut value, self.id);
        self.attributes.push((A::TYPE, value));
        self
    }

    pub(crate) fn raw(mut self, kind: u16, value: &[u8]) -> Self {
        self.attributes.push((AttributeType(kind), value.to_vec()));
        self
    }

    /// The same with another transaction ID, as a new transaction; addresses must be added afterwards.
    pub(crate) fn anew(&self) -> Self {
        Self { id: TransactionId(rand::random()), ..self.clone() }
    }

    /// The bytes without credentials.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        finish(|buffer| self.start(buffer))
    }

    /// The bytes with FINGERPRINT.
    pub(crate) fn fingerprinted(&self) -> Vec<u8> {
        finish(|buffer| self.start(buffer).fingerprint())
    }

    /// The bytes with credentials.
    pub(crate) fn signed(&self, signing: &Signing) -> Vec<u8> {
        finish(|buffer| signing.apply(self.start(buffer)))
    }

    /// The bytes with credentials, and FINGERPRINT behind them.
    pub(crate) fn signed_and_fingerprinted(&self, signing: &Signing) -> Vec<u8> {
        finish(|buffer| signing.apply(self.start(buffer)).fingerprint())
    }

    fn start<'b>(&self, buffer: &'b mut [u8]) -> MessageBuilder<'b> {
        let start = MessageBuilder::new(self.class, self.method, self.id, buffer);
        self.attributes.iter().fold(start, |builder, (kind, value)| builder.raw(*kind, value))
    }
}

fn finish(write: impl for<'b> FnOnce(&'b mut [u8]) -> MessageBuilder<'b>) -> Vec<u8> {
    let mut buffer = vec![0; MAX_MESSAGE];
    let length = write(&mut buffer).finish().expect("a message of the checks fits");
    buffer.truncate(length);
    buffer
}

/// Which integrity attributes a request carries.
#[derive(Clone)]
pub(crate) enum Integrity {
    Sha1(Key),
    Sha256(Key),
    /// Only the leftmost bytes of MESSAGE-INTEGRITY-SHA256.
    Truncated(Key, usize),
    /// MESSAGE-INTEGRITY by the first key, MESSAGE-INTEGRITY-SHA256 by the second.
    Both(Box<(Key, Key)>),
}

impl Integrity {
    pub(crate) fn both(sha1: Key, sha256: Key) -> Self {
        Self::Both(Box::new((sha1, sha256)))
    }
}

/// What a request says about who sends it: every part can be changed or left out.
#[derive(Clone)]
pub(crate) struct Signing {
    pub(crate) username: Option<Vec<u8>>,
    pub(crate) userhash: Option<Vec<u8>>,
    pub(crate) realm: Option<Vec<u8>>,
    pub(crate) nonce: Option<Vec<u8>>,
    pub(crate) algorithms: Option<Vec<u8>>,
    pub(crate) algorithm: Option<Vec<u8>>,
    pub(crate) integrity: Integrity,
}

impl Signing {
    fn apply<'b>(&self, builder: MessageBuilder<'b>) -> MessageBuilder<'b> {
        let parts = [
            (AttributeType::USERNAME, &self.username),
            (AttributeType::USERHASH, &self.userhash),
            (AttributeType::REALM, &self.realm),
            (AttributeType::NONCE, &self.nonce),
            (AttributeType::PASSWORD_ALGORITHMS, &self.algorithms),
            (AttributeType::PASSWORD_ALGORITHM, &self.algorithm),
        ];
        let parts = parts.into_iter().filter_map(|(kind, value)| value.as_deref().map(|value| (kind, value)));
        let builder = parts.fold(builder, |builder, (kind, value)| builder.raw(kind, value));
        match &self.integrity {
            Integrity::Sha1(key) => builder.integrity(key),
            Integrity::Sha256(key) => builder.integrity_sha256(key),
            Integrity::Truncated(key, len) => builder.integrity_truncated(key, *len),
            Integrity::Both(keys) => builder.integrity(&keys.0).integrity_sha256(&keys.1),
        }
    }
}

/// Appends an attribute to a finished message and corrects its length: behind integrity it is not covered by it.
pub(crate) fn append(mut bytes: Vec<u8>, kind: u16, value: &[u8]) -> Vec<u8> {
    bytes.extend(kind.to_be_bytes());
    bytes.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let length = u16::try_from(bytes.len() - HEADER_LEN).unwrap_or(u16::MAX);
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// A ChannelData message; `length` is what its header says.
pub(crate) fn channel_data(number: u16, length: u16, data: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes(), &length.to_be_bytes(), data].concat()
}

/// A message that came from the server and is well formed.
#[derive(Clone, Debug)]
pub(crate) struct Answer(Vec<u8>);

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        Message::parse(bytes).ok()?;
        Some(Self(bytes.to_vec()))
    }

    pub(crate) fn message(&self) -> Message<'_> {
        Message::parse(&self.0).expect("it was parsed before")
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn has(&self, kind: AttributeType) -> bool {
        self.message().contains(kind)
    }

    /// The code of an error response; `None` for any other message.
    pub(crate) fn code(&self) -> Option<u16> {
        let message = self.message();
        let error = (message.class() == Class::ErrorResponse).then(|| message.get::<ErrorCode<'_>>());
        error?.ok()?.map(|error| error.code())
    }

    /// The value of the first attribute of a kind, as it is.
    pub(crate) fn value(&self, kind: AttributeType) -> Option<&[u8]> {
        self.message().attributes().find(|attribute| attribute.kind == kind).map(|attribute| attribute.value)
    }

    /// An attribute that must be there and well formed.
    pub(crate) fn get<'a, A: Attribute<'a>>(&'a self) -> Outcome<A> {
        match self.message().require::<A>() {
            Ok(attribute) => Ok(attribute),
            Err(BadAttribute::Missing(kind)) => fail(format!("{kind}"), format!("{self} without it")),
            Err(_) => fail(format!("{}", A::TYPE), format!("{self} with one that cannot be read")),
        }
    }

    pub(crate) fn success(self) -> Outcome<Self> {
        if self.message().class() == Class::SuccessResponse {
            Ok(self)
        } else {
            fail("a success response", self.to_string())
        }
    }

    pub(crate) fn refused(self, code: u16) -> Outcome<Self> {
        if self.code() == Some(code) { Ok(self) } else { fail(format!("error {code}"), self.to_string()) }
    }

    /// That none of these attributes is there.
    pub(crate) fn without(self, kinds: &[AttributeType]) -> Outcome<Self> {
        match kinds.iter().find(|&&kind| self.has(kind)) {
            Some(kind) => fail(format!("no {kind}"), format!("{self} with it")),
            None => Ok(self),
        }
    }

    /// That all of these attributes are there.
    pub(crate) fn carrying(self, kinds: &[AttributeType]) -> Outcome<Self> {
        match kinds.iter().find(|&&kind| !self.has(kind)) {
            Some(kind) => fail(format!("{kind}"), format!("{self} without it")),
            None => Ok(self),
        }
    }

    /// That its integrity was made with this key.
    pub(crate) fn authentic(self, key: &Key) -> Outcome<Self> {
        match self.message().authenticate(key) {
            Ok(_) => Ok(self),
            Err(error) => fail("integrity by the client's key", format!("{self}: {error}")),
        }
    }
}

impl Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let message = self.message();
        let name = message.method().name().unwrap_or("a method without name");
        match (message.class(), self.code()) {
            (Class::SuccessResponse, _) => write!(f, "{name} success"),
            (Class::ErrorResponse, Some(code)) => write!(f, "{name} error {code}"),
            (Class::ErrorResponse, None) => write!(f, "{name} error without a code"),
            (Class::Indication, _) => write!(f, "{name} indication"),
            (Class::Request, _) => write!(f, "{name} request"),
        }
    }
}
