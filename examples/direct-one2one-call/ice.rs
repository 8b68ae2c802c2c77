//! The ICE configuration of each client: fresh credentials, and an address of TURN that this client can reach.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use stunner_auth::{AuthKind, Environment, IceConfig, Options};
use stunner_relay::{SystemClock, TimeSource, Transport, TurnServer};
use tokio::{net::lookup_host, time::timeout};

use crate::options::Settings;

/// How long the resolver may think about a name; clients choose it, so that it may be anybody's.
const LOOKUP: Duration = Duration::from_secs(2);

/// How often credentials are renewed, at most and at least, however long they are good for.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Makes the ICE configurations of a running program.
pub(crate) struct Ice {
    options: Options,
    environment: Environment,
    /// Whether settings say where TURN is, whichever way a client came.
    fixed: bool,
    /// How often credentials that end are made anew.
    renewal: Option<Duration>,
}

impl Ice {
    /// Without an address of TURN's there is no point in starting.
    pub(crate) fn new(settings: &Settings, turn: Option<&TurnServer>) -> Result<Self, String> {
        let environment = settings.environment.clone();
        let mut options = settings.ice.clone();
        let fixed = environment.get("STUNNER_PUBLIC_ADDR").is_some()
            || environment.get("STUNNER_CONFIG_FILENAME").is_some();
        if turn.is_none() && !fixed {
            return Err("--no-turn: set STUNNER_PUBLIC_ADDR to the address of the TURN server".to_owned());
        }
        if let Some(turn) = turn
            && environment.get("STUNNER_PUBLIC_PORT").is_none()
        {
            let udp = turn.listeners().iter().find(|listener| listener.transport() == Transport::Udp);
            options.port = udp.and_then(|udp| udp.address().rsplit(':').next()?.parse().ok());
        }
        let limited = matches!(settings.auth.kind, AuthKind::TimeLimited { .. });
        // At half their time, so that one that is given out just before a renewal is renewed in time too.
        let half = Duration::from_millis(settings.duration.saturating_mul(500)).clamp(SHORTEST, LONGEST);
        Ok(Self { options, environment, fixed, renewal: limited.then_some(half) })
    }

    /// How often clients are to be given fresh credentials; `None` where theirs do not end.
    pub(crate) fn renewal(&self) -> Option<Duration> {
        self.renewal
    }

    /// Where a client that reached the page by this `Host` reaches TURN; `None` where the settings say it.
    pub(crate) async fn address(&self, host: &str) -> Option<String> {
        if self.fixed { None } else { reachable(host, &own_addresses()).await }
    }

    /// Fresh credentials, for a client that reaches TURN at this address.
    pub(crate) fn config(&self, address: Option<&str>) -> Option<IceConfig> {
        let mut options = self.options.clone();
        if !self.fixed {
            options.address = address.map(str::to_owned);
        }
        let config = stunner_auth::get_ice_config(&options, &self.environment, SystemClock.unix_seconds());
        config.inspect_err(|error| tracing::warn!(%error, "a client gets no ICE configuration")).ok()
    }
}

/// An address is what it is; `localhost` is 127.0.0.1, since browsers gather nothing on `::1`; a name of this machine
/// gives its address; another name is handed on.
async fn reachable(host: &str, own: &[IpAddr]) -> Option<String> {
    let name = host_name(host)?;
    if let Ok(ip) = name.parse::<IpAddr>() {
        let ip = if ip.is_loopback() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { ip };
        return Some(ip.to_string());
    }
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if name.is_empty() || name.len() > 253 || !name.bytes().all(letters) {
        return None;
    }
    if name.eq_ignore_ascii_case("localhost") {
        return Some(Ipv4Addr::LOCALHOST.to_string());
    }
    // No answer, or none in time, is no address of ours.
    let found = timeout(LOOKUP, lookup_host((name, 0))).await.ok().and_then(Result::ok);
    let found = found.into_iter().flatten().map(|address| address.ip());
    let mine = found.filter(|ip| own.contains(ip) && !ip.is_loopback()).min_by_key(IpAddr::is_ipv6);
    Some(mine.map_or_else(|| name.to_owned(), |ip| ip.to_string()))
}

/// A `Host` header without its port and without brackets.
pub(crate) fn host_name(host: &str) -> Option<&str> {
    match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(ip, _)| ip),
        None => host.split(':').next(),
    }
}

/// Whether it means something on one cable only.
pub(crate) fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// The addresses of this machine.
pub(crate) fn own_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces.into_iter().map(|interface| interface.ip()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ice_host(host: &str) -> Option<String> {
        reachable(host, &[IpAddr::from([192, 0, 2, 7])]).await
    }

    #[tokio::test]
    async fn an_address_is_given_as_it_is() {
        assert_eq!(ice_host("192.0.2.7:8443").await.as_deref(), Some("192.0.2.7"));
        assert_eq!(ice_host("[2001:db8::7]:8443").await.as_deref(), Some("2001:db8::7"));
        assert_eq!(ice_host("198.51.100.1").await.as_deref(), Some("198.51.100.1"));
    }

    #[tokio::test]
    async fn loopback_is_always_ipv4() {
        for host in ["localhost:8443", "LOCALHOST", "[::1]:8443", "127.0.0.1:8443"] {
            assert_eq!(ice_host(host).await.as_deref(), Some("127.0.0.1"), "{host}");
        }
    }

    #[tokio::test]
    async fn the_name_of_another_machine_is_handed_on() {
        assert_eq!(ice_host("call.invalid:443").await.as_deref(), Some("call.invalid"));
    }

    #[tokio::test]
    async fn what_is_no_host_name_gives_nothing() {
        for host in ["", "[::1", "a b", "x?transport=tcp", "<script>", "ex%41mple", &"a".repeat(254)] {
            assert_eq!(ice_host(host).await, None, "{host}");
        }
    }
}
