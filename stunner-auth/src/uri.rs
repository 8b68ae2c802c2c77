//! Where a client finds a TURN server, as a browser wants it written.

use std::{fmt, net::IpAddr};

use crate::config::Protocol;

/// A TURN URI ([RFC 7065](https://www.rfc-editor.org/rfc/rfc7065)).
///
/// ```
/// use stunner_auth::{TurnUri, config::Protocol};
///
/// let uri = TurnUri::new(Protocol::Tls, "2001:db8::1", 443).expect("an address is a host");
/// assert_eq!(uri.to_string(), "turns:[2001:db8::1]:443?transport=tcp");
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TurnUri {
    protocol: Protocol,
    host: String,
    port: u16,
}

impl TurnUri {
    /// A server at a host, which is an address, with or without brackets, or a name. `None` for what is neither.
    #[must_use]
    pub fn new(protocol: Protocol, host: &str, port: u16) -> Option<Self> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bare.unwrap_or(host).parse() {
            Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
            Ok(IpAddr::V4(ip)) if bare.is_none() => ip.to_string(),
            Err(_) if bare.is_none() && is_name(host) => host.to_owned(),
            _ => return None,
        };
        Some(Self { protocol, host, port })
    }
}

/// Transports are in lower case: Firefox takes no others.
impl fmt::Display for TurnUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.protocol.is_secure() { "turns" } else { "turn" };
        write!(f, "{scheme}:{}:{}?transport={}", self.host, self.port, self.protocol.transport())
    }
}

fn is_name(host: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !host.is_empty() && host.len() <= 253 && host.bytes().all(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_and_transport_follow_from_the_protocol() {
        for (protocol, expected) in [
            (Protocol::Udp, "turn:turn.example:3478?transport=udp"),
            (Protocol::Tcp, "turn:turn.example:3478?transport=tcp"),
            (Protocol::Tls, "turns:turn.example:3478?transport=tcp"),
            (Protocol::Dtls, "turns:turn.example:3478?transport=udp"),
        ] {
            assert_eq!(TurnUri::new(protocol, "turn.example", 3478).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn an_ipv6_address_has_brackets_once() {
        for host in ["2001:db8::1", "[2001:db8::1]", "2001:DB8:0::1"] {
            let uri = TurnUri::new(Protocol::Udp, host, 3478).unwrap();
            assert_eq!(uri.to_string(), "turn:[2001:db8::1]:3478?transport=udp");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for host in
            ["", "a b", "turn.example:3478", "x?transport=tcp", "[192.0.2.1]", "[turn.example]", "[::1"]
        {
            assert_eq!(TurnUri::new(Protocol::Udp, host, 3478), None, "{host}");
        }
    }
}
