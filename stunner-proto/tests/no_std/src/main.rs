//! Reads and writes a message where there is neither std nor an allocator: a second panic handler, or a crate that
//! allocates, would not compile.
#![no_std]
#![no_main]

use core::{error::Error, panic::PanicInfo};

use stunner_proto::{
    Class, Key, Message, MessageBuilder, Method, TransactionId, attribute::Lifetime, opaque, uri::Uri,
};

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// What a program would do: an error is one by `core::error::Error`, too.
pub fn refresh(buffer: &mut [u8]) -> Result<Lifetime, &'static dyn Error> {
    let Ok(password) = opaque::ascii("pass") else { return Err(&stunner_proto::ParseError::TooShort) };
    let key = Key::long_term("user", "realm", password);
    let length = MessageBuilder::new(Class::Request, Method::REFRESH, TransactionId([7; 12]), buffer)
        .attribute(&Lifetime(600))
        .integrity_sha256(&key)
        .fingerprint()
        .finish();
    let Ok(length) = length else { return Err(&stunner_proto::BufferTooSmall) };
    let message = Message::parse(&buffer[..length])
        .and_then(|message| message.authenticate(&key).map_err(|_| stunner_proto::ParseError::NotStun));
    if Uri::parse("turn:192.0.2.1").is_err() {
        return Err(&stunner_proto::uri::UriError::Host);
    }
    message.ok().and_then(|message| message.require().ok()).ok_or(&stunner_proto::ParseError::Truncated)
}
