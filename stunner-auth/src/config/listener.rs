//! Where clients come in.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    ConfigError, Generation, PortRange, Problem,
    cursor::{Cursor, Fields},
};
use crate::{Secret, TurnUri};

/// The port of TURN without TLS, where nobody says another.
const DEFAULT_PORT: u16 = 3478;

/// What STUNner's operator writes for the address of a node that it does not know yet.
const ADDRESS_PLACEHOLDER: &str = "__node_address_placeholder";

/// A socket that clients come in by.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Listener {
    /// Its name; `NAMESPACE/GATEWAY/LISTENER` where STUNner's operator wrote it.
    pub name: String,
    /// How clients talk to it.
    pub protocol: Protocol,
    /// The local address. STUNner listens on every address, and gives this one to relayed transport addresses.
    pub address: IpAddr,
    /// The local port.
    pub port: u16,
    /// Where clients find it, if that is another address: an address or a host name.
    pub public_address: Option<String>,
    /// Where clients find it, if that is another port.
    pub public_port: Option<u16>,
    /// Certificate and key, where `protocol` needs them.
    pub tls: Option<Tls>,
    /// Which ports relayed transport addresses have: `min_relay_port` and `max_relay_port`, also spelled `min_port` and
    /// `minPort`. `None` leaves that to the server.
    pub relay_ports: Option<PortRange>,
    /// The clusters whose peers clients may reach.
    pub routes: Vec<String>,
}

/// Certificate and key of a listener.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tls {
    /// The chain.
    pub certificate: PemSource,
    /// The key.
    pub key: PemSource,
}

/// Where PEM text is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PemSource {
    /// In the configuration; there it may be in base64 once more.
    Inline(Secret),
    /// In a file, as in the first generations.
    File(PathBuf),
}

/// How clients talk to a listener.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Protocol {
    /// TURN over UDP.
    #[default]
    Udp,
    /// TURN over TCP.
    Tcp,
    /// TURN over TLS over TCP.
    Tls,
    /// TURN over DTLS over UDP.
    Dtls,
}

impl Protocol {
    /// Whether TURN is encrypted.
    #[must_use]
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Dtls)
    }

    /// `udp` or `tcp`: the transport of a TURN URI.
    #[must_use]
    pub fn transport(self) -> &'static str {
        match self {
            Self::Udp | Self::Dtls => "udp",
            Self::Tcp | Self::Tls => "tcp",
        }
    }
}

/// `TURN-UDP` and so on.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "TURN-UDP",
            Self::Tcp => "TURN-TCP",
            Self::Tls => "TURN-TLS",
            Self::Dtls => "TURN-DTLS",
        })
    }
}

/// A text that is no [`Protocol`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("udp, tcp, tls or dtls, with or without 'turn-' before it")]
pub struct NotAProtocol;

impl FromStr for Protocol {
    type Err = NotAProtocol;

    /// In any case of letters, with or without `TURN-`: both mean the same.
    fn from_str(text: &str) -> Result<Self, NotAProtocol> {
        let lower = text.to_ascii_lowercase();
        match lower.strip_prefix("turn-").unwrap_or(&lower) {
            "udp" => Ok(Self::Udp),
            "tcp" => Ok(Self::Tcp),
            "tls" => Ok(Self::Tls),
            "dtls" => Ok(Self::Dtls),
            _ => Err(NotAProtocol),
        }
    }
}

impl Listener {
    /// A listener on port 3478 of every address, without routes.
    #[must_use]
    pub fn new(name: &str, protocol: Protocol) -> Self {
        Self {
            name: name.to_owned(),
            protocol,
            address: IpAddr::from([0, 0, 0, 0]),
            port: DEFAULT_PORT,
            public_address: None,
            public_port: None,
            tls: None,
            relay_ports: None,
            routes: Vec::new(),
        }
    }

    /// Where clients find it: its public address and port, else its own; `None` where neither is an address that a
    /// client could use.
    #[must_use]
    pub fn uri(&self) -> Option<TurnUri> {
        let own = || (!self.address.is_unspecified()).then(|| self.address.to_string());
        self.uri_at(&self.public_address.clone().or_else(own)?)
    }

    /// Where clients find it at a host that is known otherwise. `None` for what is no host.
    #[must_use]
    pub fn uri_at(&self, host: &str) -> Option<TurnUri> {
        TurnUri::new(self.protocol, host, self.public_port.unwrap_or(self.port))
    }
}

pub(super) fn read(cursor: &Cursor<'_>, generation: Generation) -> Result<Listener, ConfigError> {
    let fields = cursor.fields()?;
    let protocol = match fields.filled("protocol")? {
        Some(text) => text
            .parse()
            .map_err(|expected: NotAProtocol| fields.at("protocol").wrong(&expected.to_string()))?,
        None => Protocol::Udp,
    };
    let address = read_address(&fields)?;
    let port = fields.port("port")?.unwrap_or(DEFAULT_PORT);
    let name = match fields.filled("name")? {
        Some(name) => name,
        None if generation == Generation::V0_9 => {
            format!("listener-{protocol}-{address}-{port}").to_ascii_lowercase()
        }
        None => return Err(fields.missing("name", "a name")),
    };
    let public_address = fields.filled("public_address")?;
    if let Some(host) = &public_address
        && TurnUri::new(protocol, host, port).is_none()
    {
        return Err(fields.at("public_address").wrong("an address or a host name, without a port"));
    }
    let public_port = fields.port("public_port")?;
    let tls = read_tls(&fields, protocol)?;
    let relay_ports = read_relay_ports(&fields)?;
    let routes = fields.items("routes")?.iter().map(Cursor::text).collect::<Result<Vec<_>, _>>()?;
    fields.end();
    Ok(Listener { name, protocol, address, port, public_address, public_port, tls, relay_ports, routes })
}

fn read_address(fields: &Fields<'_>) -> Result<IpAddr, ConfigError> {
    let unspecified = IpAddr::from([0, 0, 0, 0]);
    match fields.filled("address")?.as_deref() {
        None => Ok(unspecified),
        Some("localhost") => Ok(IpAddr::from([127, 0, 0, 1])),
        Some(ADDRESS_PLACEHOLDER) => {
            fields.at("address").warn(Problem::Ignored("this stands for an address that was not known"));
            Ok(unspecified)
        }
        Some(text) => text.parse().map_err(|_| fields.at("address").wrong("an IP address")),
    }
}

fn read_tls(fields: &Fields<'_>, protocol: Protocol) -> Result<Option<Tls>, ConfigError> {
    let source = |name| Ok::<_, ConfigError>(fields.secret(name)?.filter(|text| !text.is_empty()).map(pem));
    match (source("cert")?, source("key")?) {
        (Some(certificate), Some(key)) => Ok(Some(Tls { certificate, key })),
        (None, None) if !protocol.is_secure() => Ok(None),
        (None, _) => Err(fields.missing("cert", "a certificate in PEM, in base64 or as the name of a file")),
        (_, None) => {
            Err(fields.missing("key", "the certificate's key in PEM, in base64 or as the name of a file"))
        }
    }
}

/// PEM as it is or in base64, or else the name of a file.
fn pem(text: Secret) -> PemSource {
    const MARK: &str = "-----BEGIN";
    if text.expose().contains(MARK) {
        return PemSource::Inline(text);
    }
    let compact = Secret::new(text.expose().split_ascii_whitespace().collect::<String>());
    let decoded = STANDARD.decode(compact.expose()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded.map(Secret::new) {
        Some(pem) if pem.expose().contains(MARK) => PemSource::Inline(pem),
        _ => PemSource::File(text.expose().into()),
    }
}

fn read_relay_ports(fields: &Fields<'_>) -> Result<Option<PortRange>, ConfigError> {
    /// The first port where only the last is given: what the generations that had a range began with.
    const FIRST: u16 = 1024;
    let first_of = |names: [&str; 3]| {
        let mut found = None;
        for name in names {
            found = found.or(fields.port(name)?);
        }
        Ok::<_, ConfigError>(found)
    };
    let first = first_of(["min_relay_port", "min_port", "minPort"])?;
    let last = first_of(["max_relay_port", "max_port", "maxPort"])?;
    if first.is_none() && last.is_none() {
        return Ok(None);
    }
    let range = PortRange::new(first.unwrap_or(FIRST), last.unwrap_or(u16::MAX));
    let names = ["max_relay_port", "max_port", "maxPort", "min_relay_port", "min_port", "minPort"];
    let name = names.into_iter().find(|name| fields.field(name).is_some()).unwrap_or(names[0]);
    range.map(Some).ok_or_else(|| fields.at(name).wrong("a last relay port that is not below the first"))
}
