//! What is not about clients or peers: logs, metrics, health, limits.

use super::{
    ConfigError, Generation,
    cursor::{Cursor, Fields},
};
use crate::Secret;

/// Logs, metrics, health and limits.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Admin {
    /// The name of this server; `default-stunnerd` where nobody says another.
    pub name: String,
    /// Levels of logs, such as `all:INFO,turn:DEBUG`.
    pub log_level: String,
    /// Where Prometheus finds metrics; `None` is off.
    pub metrics_endpoint: Option<HttpEndpoint>,
    /// Where Kubernetes asks for health; `None` is off. Unless it is given, it is `http://:8086` in version `v1`.
    pub healthcheck_endpoint: Option<HttpEndpoint>,
    /// How many allocations a user may have; `None` is any number.
    pub user_quota: Option<u32>,
    /// Whether the kernel relays.
    pub offload_engine: Offload,
    /// Where the kernel relays: the names of interfaces. None stand for all.
    pub offload_interfaces: Vec<String>,
    /// What unlocks STUNner's paid features. Nothing here needs it.
    pub license: Option<License>,
}

/// Which part of the kernel relays.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Offload {
    /// None does.
    #[default]
    None,
    /// The express data path.
    Xdp,
    /// Traffic control.
    Tc,
    /// The best there is.
    Auto,
}

/// What unlocks STUNner's paid features.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct License {
    /// Features, and how long.
    pub key: String,
    /// The key's HMAC.
    pub hmac: Secret,
}

/// Where a program answers over HTTP.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpEndpoint {
    /// The local address or host name; empty for every address. An IPv6 address has no brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path, from its slash on.
    pub path: String,
}

impl HttpEndpoint {
    /// Where Kubernetes asks for health unless it is given.
    pub(super) fn health() -> Self {
        Self { host: String::new(), port: HEALTH_PORT, path: "/".to_owned() }
    }

    /// Reads `http://HOST:PORT/PATH`, of which host, port and path can be missing.
    fn parse(text: &str, default_port: u16) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => {
                let (host, port) = v6.split_once(']')?;
                let host = host.parse::<std::net::Ipv6Addr>().ok()?.to_string();
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host.to_owned(), Some(port)),
                None => (authority.to_owned(), None),
            },
        };
        let port = port.map_or(Some(default_port), |port| port.parse().ok().filter(|port| *port != 0))?;
        let good = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'@' | b'?' | b'#');
        (host.bytes().all(good) && path.bytes().all(good)).then(|| Self { host, port, path: path.to_owned() })
    }
}

/// `http://HOST:PORT/PATH`.
impl std::fmt::Display for HttpEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port, path } = self;
        if host.contains(':') {
            write!(f, "http://[{host}]:{port}{path}")
        } else {
            write!(f, "http://{host}:{port}{path}")
        }
    }
}

/// The port of metrics, where an endpoint has none.
const METRICS_PORT: u16 = 8080;

/// The port of health, where an endpoint has none.
const HEALTH_PORT: u16 = 8086;

/// Reads everything but the realm, and does not end the fields.
pub(super) fn read(fields: &Fields<'_>, generation: Generation) -> Result<Admin, ConfigError> {
    let endpoint = |name: &str, port| match fields.filled(name)? {
        Some(text) => match HttpEndpoint::parse(&text, port) {
            Some(endpoint) => Ok(Some(endpoint)),
            None => Err(fields.at(name).wrong("a URL such as http://0.0.0.0:8080/path")),
        },
        None => Ok(None),
    };
    let health = endpoint("healthcheck_endpoint", HEALTH_PORT)?;
    let default_health = generation == Generation::V1 && fields.text("healthcheck_endpoint")?.is_none();
    let quota = fields.field("user_quota").map(|quota| read_quota(&quota)).transpose()?.flatten();
    let offload_engine = match fields.text("offload_engine")?.map(|text| text.to_ascii_lowercase()).as_deref()
    {
        None | Some("" | "none") => Offload::None,
        Some("xdp") => Offload::Xdp,
        Some("tc") => Offload::Tc,
        Some("auto") => Offload::Auto,
        Some(_) => return Err(fields.at("offload_engine").wrong("None, XDP, TC or Auto")),
    };
    let interfaces = fields.items("offload_interfaces")?;
    Ok(Admin {
        name: fields.filled("name")?.unwrap_or_else(|| "default-stunnerd".to_owned()),
        log_level: fields.filled("loglevel")?.unwrap_or_else(|| "all:INFO".to_owned()),
        metrics_endpoint: endpoint("metrics_endpoint", METRICS_PORT)?,
        healthcheck_endpoint: if default_health { Some(HttpEndpoint::health()) } else { health },
        user_quota: quota,
        offload_engine,
        offload_interfaces: interfaces.iter().map(Cursor::text).collect::<Result<_, _>>()?,
        license: read_license(fields)?,
    })
}

/// Zero and less is any number.
fn read_quota(cursor: &Cursor<'_>) -> Result<Option<u32>, ConfigError> {
    let expected = "a number of allocations";
    let number = cursor.number(expected)?.unwrap_or(0).max(0);
    let quota = u32::try_from(number).map_err(|_| cursor.wrong(expected))?;
    Ok((quota != 0).then_some(quota))
}

fn read_license(fields: &Fields<'_>) -> Result<Option<License>, ConfigError> {
    let license = fields.child("license_config")?;
    let (key, hmac) = (license.text("key")?, license.secret("hmac")?);
    license.end();
    Ok(key.zip(hmac).map(|(key, hmac)| License { key, hmac }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_endpoint_leaves_out_has_defaults() {
        for (text, written) in [
            ("http://", "http://:8086/"),
            ("http://:8086", "http://:8086/"),
            ("http://0.0.0.0:8080/metrics", "http://0.0.0.0:8080/metrics"),
            ("http://[::1]/x", "http://[::1]:8086/x"),
            ("http://localhost", "http://localhost:8086/"),
        ] {
            assert_eq!(
                HttpEndpoint::parse(text, 8086).map(|found| found.to_string()).as_deref(),
                Some(written)
            );
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "8086",
            ":8086",
            "https://:1",
            "http://:0",
            "http://:99999",
            "http://a b",
            "http://[::1]8",
            "http://u@h",
        ] {
            assert_eq!(HttpEndpoint::parse(text, 8086), None, "{text}");
        }
    }
}
