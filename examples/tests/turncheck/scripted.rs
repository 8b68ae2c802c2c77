//! A TURN server over UDP that answers as it is told to, which a good one would not.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    thread,
};

use stunner_proto::{
    AttributeType, Class, Key, Message, MessageBuilder, Method,
    attribute::{AlternateServer, ErrorCode, Lifetime, Nonce, Realm, XorMappedAddress, XorRelayedAddress},
};

/// What requests with credentials are answered.
#[derive(Clone, Copy)]
pub(crate) struct Script {
    /// The code of Allocate, 0 for success.
    pub(crate) allocate: u16,
    /// The code of CreatePermission.
    pub(crate) permission: u16,
    /// Where 300 sends clients.
    pub(crate) alternate: Option<SocketAddr>,
    /// The relayed transport address.
    pub(crate) relayed: SocketAddr,
}

impl Default for Script {
    fn default() -> Self {
        let relayed = (Ipv4Addr::LOCALHOST, 49_152).into();
        Self { allocate: 0, permission: 0, alternate: None, relayed }
    }
}

/// Starts it for the rest of the test; returns its URI.
pub(crate) fn start(script: Script) -> String {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let port = socket.local_addr().expect("an address").port();
    thread::spawn(move || {
        let mut buffer = [0; 2_048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let Ok(request) = Message::parse(&buffer[..len]) else { continue };
            if request.class() == Class::Request {
                let _ = socket.send_to(&answer(&request, from, script), from);
            }
        }
    });
    format!("turn:127.0.0.1:{port}?transport=udp")
}

fn answer(request: &Message<'_>, from: SocketAddr, script: Script) -> Vec<u8> {
    let mut buffer = vec![0; 1_024];
    let signed = request.contains(AttributeType::MESSAGE_INTEGRITY);
    let code = match request.method() {
        Method::BINDING => 0,
        _ if !signed => 401,
        Method::ALLOCATE => script.allocate,
        Method::CREATE_PERMISSION => script.permission,
        _ => 0,
    };
    let error = ErrorCode::recommended(code);
    let class = if error.is_some() { Class::ErrorResponse } else { Class::SuccessResponse };
    let response = MessageBuilder::response(request, class, &mut buffer).maybe(error.as_ref());
    let response = match code {
        401 | 438 => response
            .attribute(&Realm::new("example.com").expect("a realm"))
            .attribute(&Nonce::new("nonce").expect("a nonce")),
        300 => response.maybe(script.alternate.map(AlternateServer).as_ref()),
        0 => response
            .attribute(&XorMappedAddress(from))
            .attribute(&XorRelayedAddress(script.relayed))
            .attribute(&Lifetime(600)),
        _ => response,
    };
    let key = Key::long_term("user", "example.com", "pass");
    let response = if signed && !matches!(code, 401 | 438) { response.integrity(&key) } else { response };
    let len = response.finish().expect("it fits");
    buffer.truncate(len);
    buffer
}
