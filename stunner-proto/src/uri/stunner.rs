//! STUNner's form of a TURN server's URI, with credentials.

use core::fmt;

use super::{
    Scheme, Transport, TransportParameter, Uri, UriError, is_made_of, is_sub_delimiter, is_unreserved,
};

/// STUNner's `turn://user:pass@host:port?transport=udp`, as `stunnerd` and `turncat` take it.
///
/// No RFC has this form. The transport may also be `tls` or `dtls`, whatever the scheme.
///
/// ```
/// use stunner_proto::uri::{StunnerUri, Transport, percent_decoded};
///
/// let uri = StunnerUri::parse("turn://user:p%40ss@192.0.2.1:3478?transport=udp")?;
/// assert_eq!((uri.username, uri.transport()), ("user", Some(Transport::Udp)));
/// assert!(percent_decoded(uri.password).eq(*b"p@ss"));
/// # Ok::<(), stunner_proto::uri::UriError>(())
/// ```
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct StunnerUri<'a> {
    /// Who asks, percent-encoded as it was written; not empty.
    pub username: &'a str,
    /// The password, percent-encoded as it was written; not empty.
    pub password: &'a str,
    /// All the rest: scheme, host, port, transport.
    pub server: Uri<'a>,
}

impl<'a> StunnerUri<'a> {
    /// Reads `scheme://user:pass@host[:port][?transport=name]`, where the scheme is `turn` or `turns`.
    ///
    /// # Errors
    /// [`UriError`] says which part is not as it must be.
    pub fn parse(text: &'a str) -> Result<Self, UriError> {
        let (scheme, rest) = text.split_once(':').ok_or(UriError::Scheme)?;
        let scheme = Scheme::parse(scheme)?;
        if !matches!(scheme, Scheme::Turn | Scheme::Turns) {
            return Err(UriError::Scheme);
        }
        let rest = rest.strip_prefix("//").ok_or(UriError::Slashes)?;
        let (credentials, rest) = rest.split_once('@').ok_or(UriError::Credentials)?;
        let (username, password) = credentials.split_once(':').ok_or(UriError::Credentials)?;
        let allowed = |byte| is_unreserved(byte) || is_sub_delimiter(byte) || byte == b':';
        if username.is_empty() || password.is_empty() || !is_made_of(credentials, allowed) {
            return Err(UriError::Credentials);
        }
        Ok(Self { username, password, server: Uri::parse_rest(scheme, rest)? })
    }

    /// What carries messages to the server; `None` where the name is not known. Without one it is UDP, and TLS with
    /// `turns`.
    #[must_use]
    pub const fn transport(&self) -> Option<Transport> {
        match (self.server.transports(), self.server.transport) {
            (&[first, ..], _) => Some(first),
            (_, Some(TransportParameter::Other(name))) if name.eq_ignore_ascii_case("tls") => {
                Some(Transport::Tls)
            }
            (_, Some(TransportParameter::Other(name))) if name.eq_ignore_ascii_case("dtls") => {
                Some(Transport::Dtls)
            }
            _ => None,
        }
    }

    /// The port that the text names, or STUNner's default: 3478, and 443 with TLS and DTLS.
    #[must_use]
    pub fn port_or_default(&self) -> u16 {
        let secure = matches!(self.transport(), Some(Transport::Tls | Transport::Dtls));
        self.server.port.unwrap_or(if secure { 443 } else { 3478 })
    }
}

/// The whole URI: with the password, so keep it out of logs.
impl fmt::Display for StunnerUri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}@", self.server.scheme.as_str(), self.username, self.password)?;
        self.server.fmt_rest(f)
    }
}

/// Shows no password.
impl fmt::Debug for StunnerUri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StunnerUri")
            .field("username", &self.username)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}
