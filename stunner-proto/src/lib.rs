//! STUN and TURN on the wire: a zero-copy view of a message, a builder into a borrowed slice, and ChannelData.
//!
//! No I/O, no clock, no allocation, no `std`, no unsafe code. What was [parsed](Message::parse) can be read without
//! further checks of bounds; what was [authenticated](Message::authenticate) is another type. Besides there are
//! [frames of a stream](framing), [URIs](uri), [messages of RFC 3489](Classic), and the [preparation](opaque) of names
//! and passwords.
//!
//! # Reading a message
//!
//! ```
//! use stunner_proto::{Class, Message, Method, attribute::Lifetime};
//!
//! let bytes = [
//!     0x00, 0x04, 0x00, 0x08, // Refresh request, 8 bytes of attributes
//!     0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, // cookie, transaction ID
//!     0x00, 0x0D, 0x00, 0x04, 0x00, 0x00, 0x02, 0x58, // LIFETIME: 600
//! ];
//! let message = Message::parse(&bytes)?;
//! assert_eq!((message.class(), message.method()), (Class::Request, Method::REFRESH));
//! assert_eq!(message.require::<Lifetime>()?, Lifetime(600));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Writing one
//!
//! ```
//! use stunner_proto::{Class, Key, Message, MessageBuilder, Method, TransactionId, attribute::{Lifetime, Username}};
//!
//! let key = Key::long_term("user", "realm", "pass");
//! let mut buffer = [0; 256];
//! let length = MessageBuilder::new(Class::Request, Method::REFRESH, TransactionId([7; 12]), &mut buffer)
//!     .attribute(&Username::new("user")?)
//!     .attribute(&Lifetime(600))
//!     .integrity(&key)
//!     .fingerprint()
//!     .finish()?;
//!
//! let authenticated = Message::parse(&buffer[..length])?.authenticate(&key)?;
//! assert_eq!(authenticated.require::<Lifetime>()?, Lifetime(600));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "opaque-string")]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod attribute;
mod builder;
mod channel;
mod classic;
mod error;
mod features;
mod fingerprint;
pub mod framing;
mod integrity;
mod message;
pub mod opaque;
pub mod uri;

pub use attribute::{Attribute, AttributeType, RawAttribute};
pub use builder::MessageBuilder;
pub use channel::{ChannelData, ChannelNumber};
pub use classic::Classic;
pub use error::{BadAttribute, BufferTooSmall, IntegrityError, ParseError, TooLong};
pub use features::SecurityFeatures;
pub use fingerprint::Fingerprint;
pub use integrity::{Authenticated, Integrity, Key};
pub use message::{Attributes, Class, HEADER_LEN, MAGIC_COOKIE, Message, Method, TransactionId};
