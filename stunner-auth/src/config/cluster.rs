//! Peers by name.

use std::net::IpAddr;

use super::{
    ConfigError, Endpoint, Prefix,
    cursor::{Cursor, Fields},
};

/// Peers that listeners can route to.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Cluster {
    /// What listeners' routes call it.
    pub name: String,
    /// How peers are reached.
    pub protocol: PeerProtocol,
    /// Which peers.
    pub endpoints: Endpoints,
}

/// How peers are reached.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum PeerProtocol {
    /// Over UDP.
    #[default]
    Udp,
    /// Over TCP ([RFC 6062](https://www.rfc-editor.org/rfc/rfc6062)).
    Tcp,
}

/// Which peers a cluster holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Endpoints {
    /// Addresses: type `STATIC`.
    Static(Vec<Endpoint>),
    /// Host names, to be looked up again and again: type `STRICT_DNS`. All ports.
    StrictDns(Vec<String>),
}

impl Cluster {
    /// Peers over UDP.
    #[must_use]
    pub fn new(name: &str, endpoints: Endpoints) -> Self {
        Self { name: name.to_owned(), protocol: PeerProtocol::Udp, endpoints }
    }

    /// All peers of both families.
    pub(super) fn every_peer(name: &str) -> Self {
        let all = ["0.0.0.0/0", "::/0"].map(|prefix| prefix.parse::<Prefix>().expect("a range of addresses"));
        let endpoints = all.map(|prefix| Endpoint { prefix, ports: super::PortRange::default() }).to_vec();
        Self::new(name, Endpoints::Static(endpoints))
    }

    /// Whether a peer's address is in the cluster. What host names stand for is not known here.
    #[must_use]
    pub fn permits(&self, ip: IpAddr, port: u16) -> bool {
        match &self.endpoints {
            Endpoints::Static(endpoints) => endpoints.iter().any(|endpoint| endpoint.contains(ip, port)),
            Endpoints::StrictDns(_) => false,
        }
    }
}

pub(super) fn read(cursor: &Cursor<'_>) -> Result<Cluster, ConfigError> {
    let fields = cursor.fields()?;
    let name = fields.filled("name")?.ok_or_else(|| fields.missing("name", "a name"))?;
    let protocol = match fields.filled("protocol")?.map(|text| text.to_ascii_uppercase()).as_deref() {
        None | Some("UDP") => PeerProtocol::Udp,
        Some("TCP") => PeerProtocol::Tcp,
        Some(_) => return Err(fields.at("protocol").wrong("udp or tcp")),
    };
    let endpoints = match fields.filled("type")?.map(|text| text.to_ascii_uppercase()).as_deref() {
        None | Some("STATIC") => Endpoints::Static(read_static(&fields)?),
        Some("STRICT_DNS") => Endpoints::StrictDns(read_names(&fields)?),
        Some(_) => return Err(fields.at("type").wrong("STATIC or STRICT_DNS")),
    };
    fields.end();
    Ok(Cluster { name, protocol, endpoints })
}

fn read_static(fields: &Fields<'_>) -> Result<Vec<Endpoint>, ConfigError> {
    let endpoint = |item: &Cursor<'_>| {
        item.text()?.parse().map_err(|expected: super::NotAnEndpoint| item.wrong(&expected.to_string()))
    };
    fields.items("endpoints")?.iter().map(endpoint).collect()
}

fn read_names(fields: &Fields<'_>) -> Result<Vec<String>, ConfigError> {
    let name = |item: &Cursor<'_>| {
        let name = item.text()?;
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let good = !name.is_empty() && name.len() <= 253 && name.bytes().all(letters);
        if good { Ok(name) } else { Err(item.wrong("a host name, such as media.default.svc.cluster.local")) }
    };
    fields.items("endpoints")?.iter().map(name).collect()
}
