//! URIs of STUN and TURN servers: `stun:`, `stuns:`, `turn:` and `turns:`, and [STUNner's own form](StunnerUri).
//!
//! What is parsed borrows from the text and is written again by `Display`. Nothing is decoded on the way: what is
//! percent-encoded stays so until [`percent_decoded`] is asked.
//!
//! ```
//! use stunner_proto::uri::{Host, Transport, Uri};
//!
//! let uri = Uri::parse("turns:[2001:db8::1]?transport=tcp")?;
//! assert_eq!(uri.host, Host::Ip("2001:db8::1".parse()?));
//! assert_eq!(uri.port_or_default(), 5349);
//! assert_eq!(uri.transports(), [Transport::Tls]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

mod stunner;

pub use stunner::StunnerUri;

/// Which of the four schemes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Scheme {
    /// `stun` (RFC 7064).
    Stun,
    /// `stuns`: STUN over TLS or DTLS (RFC 7064).
    Stuns,
    /// `turn` (RFC 7065).
    Turn,
    /// `turns`: TURN over TLS or DTLS (RFC 7065).
    Turns,
}

impl Scheme {
    /// By its name, in whatever case.
    fn parse(name: &str) -> Result<Self, UriError> {
        let all = [Self::Stun, Self::Stuns, Self::Turn, Self::Turns];
        all.into_iter().find(|scheme| scheme.as_str().eq_ignore_ascii_case(name)).ok_or(UriError::Scheme)
    }

    /// The name, in small letters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stun => "stun",
            Self::Stuns => "stuns",
            Self::Turn => "turn",
            Self::Turns => "turns",
        }
    }

    /// Whether it asks for TLS or DTLS.
    #[must_use]
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Stuns | Self::Turns)
    }

    /// The port where the URI names none: 3478, or 5349 with TLS and DTLS.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        if self.is_secure() { 5349 } else { 3478 }
    }
}

/// Where the server is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Host<'a> {
    /// An IPv4 address, or an IPv6 address, which the text has in brackets.
    Ip(IpAddr),
    /// A name, as it was written: in whatever case, and percent-encoded where it was.
    Name(&'a str),
}

impl<'a> Host<'a> {
    /// A name or an IPv4 address; what is in brackets goes its own way.
    fn parse(text: &'a str) -> Result<Self, UriError> {
        if text.is_empty() {
            return Err(UriError::NoHost);
        }
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(IpAddr::V4(ip)));
        }
        if is_made_of(text, |byte| is_unreserved(byte) || is_sub_delimiter(byte)) {
            Ok(Self::Name(text))
        } else {
            Err(UriError::Host)
        }
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// What `?transport=` says.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum TransportParameter<'a> {
    /// `udp`.
    Udp,
    /// `tcp`.
    Tcp,
    /// Something that no RFC has defined yet.
    Other(&'a str),
}

impl<'a> TransportParameter<'a> {
    /// Reads a query, of which `transport` is the only parameter there may be.
    fn parse(query: &'a str) -> Result<Self, UriError> {
        let (name, value) = query.split_once('=').ok_or(UriError::Query)?;
        if !name.eq_ignore_ascii_case("transport") {
            return Err(UriError::Query);
        }
        match value {
            _ if value.eq_ignore_ascii_case("udp") => Ok(Self::Udp),
            _ if value.eq_ignore_ascii_case("tcp") => Ok(Self::Tcp),
            _ if !value.is_empty() && value.bytes().all(is_unreserved) => Ok(Self::Other(value)),
            _ => Err(UriError::Query),
        }
    }
}

impl fmt::Display for TransportParameter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Other(name) => name,
        })
    }
}

/// What carries messages between client and server.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// DTLS over UDP (RFC 7350).
    Dtls,
}

/// Why a text is no URI of a STUN or TURN server.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// It does not begin with one of the schemes that are allowed, and a colon.
    #[error("the scheme is not one of STUN's or TURN's")]
    Scheme,
    /// `//` follows the scheme, or does not in STUNner's form.
    #[error("`//` stands where none may be, or none where one must be")]
    Slashes,
    /// There is no host.
    #[error("there is no host")]
    NoHost,
    /// The host has characters that none may have, or brackets around what is no IPv6 address.
    #[error("the host is neither a name nor an address")]
    Host,
    /// The host is an IPv6 address without the brackets that tell it from a port.
    #[error("an IPv6 address without brackets")]
    Brackets,
    /// The port is not a number from 1 to 65,535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// User and password stand where none may be, or are missing or malformed in STUNner's form.
    #[error("user and password stand where none may be, or are missing or malformed")]
    Credentials,
    /// There is a path; there is none in such URIs.
    #[error("a path, which such URIs have not")]
    Path,
    /// There is a query in a URI of STUN, or one that is not `transport=` and a name.
    #[error("a query other than `transport=`")]
    Query,
    /// There is a fragment; there is none in such URIs.
    #[error("a fragment, which such URIs have not")]
    Fragment,
}

/// The URI of a STUN server (RFC 7064) or of a TURN server (RFC 7065).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Uri<'a> {
    /// Which of the four schemes.
    pub scheme: Scheme,
    /// Where the server is.
    pub host: Host<'a>,
    /// The port, if the text names one; 1 to 65,535.
    pub port: Option<u16>,
    /// What `?transport=` says, if it is there: with `turn` and `turns` only.
    pub transport: Option<TransportParameter<'a>>,
}

impl<'a> Uri<'a> {
    /// Reads `scheme:host[:port][?transport=name]`.
    ///
    /// # Errors
    /// [`UriError`] says which part is not as the RFCs want it.
    pub fn parse(text: &'a str) -> Result<Self, UriError> {
        let (scheme, rest) = text.split_once(':').ok_or(UriError::Scheme)?;
        let scheme = Scheme::parse(scheme)?;
        if rest.starts_with("//") {
            return Err(UriError::Slashes);
        }
        let uri = Self::parse_rest(scheme, rest)?;
        if uri.transport.is_some() && matches!(scheme, Scheme::Stun | Scheme::Stuns) {
            return Err(UriError::Query);
        }
        Ok(uri)
    }

    /// Reads what follows the scheme, and the credentials where there are any.
    fn parse_rest(scheme: Scheme, rest: &'a str) -> Result<Self, UriError> {
        if rest.contains('#') {
            return Err(UriError::Fragment);
        }
        let (authority, query) = match rest.split_once('?') {
            Some((authority, query)) => (authority, Some(query)),
            None => (rest, None),
        };
        if authority.contains('/') {
            return Err(UriError::Path);
        }
        if authority.contains('@') {
            return Err(UriError::Credentials);
        }
        let (host, port) = host_and_port(authority)?;
        let transport = query.map(TransportParameter::parse).transpose()?;
        Ok(Self { scheme, host, port, transport })
    }

    /// The port that the text names, or the scheme's own.
    #[must_use]
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(self.scheme.default_port())
    }

    /// What may carry messages to the server, the usual one first (RFC 5928, section 3; RFC 7350): none where
    /// `transport` is not known.
    #[must_use]
    pub const fn transports(&self) -> &'static [Transport] {
        match (self.scheme.is_secure(), self.transport) {
            (false, Some(TransportParameter::Udp)) => &[Transport::Udp],
            (false, Some(TransportParameter::Tcp)) => &[Transport::Tcp],
            (false, None) => &[Transport::Udp, Transport::Tcp],
            (true, Some(TransportParameter::Udp)) => &[Transport::Dtls],
            (true, Some(TransportParameter::Tcp)) => &[Transport::Tls],
            (true, None) => &[Transport::Tls, Transport::Dtls],
            (_, Some(TransportParameter::Other(_))) => &[],
        }
    }

    /// Writes what follows the scheme, and the credentials where there are any.
    fn fmt_rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))?;
        self.transport.map_or(Ok(()), |transport| write!(f, "?transport={transport}"))
    }
}

/// The URI, its scheme and its transport in small letters.
impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme.as_str())?;
        self.fmt_rest(f)
    }
}

/// Splits `host[:port]`. A colon without a port names none (RFC 3986, section 3.2.3).
fn host_and_port(authority: &str) -> Result<(Host<'_>, Option<u16>), UriError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(UriError::Host)?;
            let address: Ipv6Addr = address.parse().map_err(|_| UriError::Host)?;
            let port =
                if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(UriError::Host)?) };
            (Host::Ip(address.into()), port)
        }
        None if authority.parse::<Ipv6Addr>().is_ok() => return Err(UriError::Brackets),
        None => match authority.split_once(':') {
            Some((host, port)) => (Host::parse(host)?, Some(port)),
            None => (Host::parse(authority)?, None),
        },
    };
    let port = port.filter(|digits| !digits.is_empty()).map(port_number).transpose()?;
    Ok((host, port))
}

fn port_number(digits: &str) -> Result<u16, UriError> {
    // A sign would be read by `parse`, and is none of a port's characters.
    let digits = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).filter(|&port| port != 0).ok_or(UriError::Port)
}

/// The bytes that a percent-encoded text stands for: of a host's name, a user's, a password.
///
/// A `%` that no two hexadecimal digits follow stands for itself; what was parsed here has none.
///
/// ```
/// # use stunner_proto::uri::percent_decoded;
/// assert!(percent_decoded("p%40ss").eq(*b"p@ss"));
/// ```
pub fn percent_decoded(text: &str) -> impl Iterator<Item = u8> + '_ {
    let mut rest = text.as_bytes();
    core::iter::from_fn(move || {
        let (&first, tail) = rest.split_first()?;
        match encoded(rest) {
            Some((byte, behind)) => {
                rest = behind;
                Some(byte)
            }
            None => {
                rest = tail;
                Some(first)
            }
        }
    })
}

/// The byte that `%` and two digits at the beginning stand for, and what follows them.
fn encoded(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (&[b'%', high, low], rest) = bytes.split_first_chunk::<3>()? else { return None };
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some((digit(high)? << 4 | digit(low)?, rest))
}

/// Whether a text has none but these characters, and whole percent-encoded ones.
fn is_made_of(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = match encoded(rest) {
            Some((_, behind)) => behind,
            None if allowed(first) => tail,
            None => return false,
        };
    }
    true
}

/// RFC 3986, section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986, section 2.2.
const fn is_sub_delimiter(byte: u8) -> bool {
    matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
}
