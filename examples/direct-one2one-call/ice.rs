//! The ICE configuration of each client: fresh credentials, and an address of TURN that this client can reach.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use stunner_auth::{Auth, AuthKind, AuthType, Environment, IceConfig, Options};
use stunner_relay::{SystemClock, TimeSource, Transport, TurnServer};
use tokio::{net::lookup_host, time::timeout};

use crate::options::Settings;

/// How long the resolver may think about a name; clients choose it, so that it may be anybody's.
const LOOKUP: Duration = Duration::from_secs(2);

/// How often credentials are renewed, at most and at least, however long they are good for.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Makes the ICE configurations of a running program. Copies share what they are made of.
#[derive(Clone)]
pub(crate) struct Ice {
    given: Arc<RwLock<Given>>,
    /// How often credentials that end are made anew.
    renewal: Option<Duration>,
}

/// What ICE configurations are made of. It may change while the program runs.
pub(crate) struct Given {
    options: Options,
    environment: Environment,
    /// Whether this program runs TURN itself, and on which port.
    own: Option<Option<u16>>,
}

impl Given {
    /// Other variables, for clients that come from now on. Credentials stay what they are.
    pub(crate) fn surround(&mut self, environment: &Environment) {
        self.environment = environment.clone();
    }

    /// These credentials, for clients that come from now on.
    pub(crate) fn issue(&mut self, auth: &Auth) {
        let options = &mut self.options;
        options.realm = Some(auth.realm.clone());
        match &auth.kind {
            AuthKind::Static { username, password } => {
                options.auth_type = Some(AuthType::Static);
                options.username = Some(username.clone());
                options.password = Some(password.clone());
            }
            AuthKind::TimeLimited { secret, algorithm } => {
                options.auth_type = Some(AuthType::TimeLimited);
                options.secret = Some(secret.clone());
                options.algorithm = Some(*algorithm);
            }
            AuthKind::None => options.auth_type = Some(AuthType::None),
        }
    }

    /// Whether settings say where TURN is, whichever way a client came.
    fn is_fixed(&self) -> bool {
        let set = |name| self.environment.get(name).is_some();
        set("STUNNER_PUBLIC_ADDR") || set("STUNNER_CONFIG_FILENAME")
    }

    fn config(&self, address: Option<&str>) -> Option<IceConfig> {
        let mut options = self.options.clone();
        if self.environment.get("STUNNER_PUBLIC_PORT").is_none() {
            options.port = self.own.flatten();
        }
        if !self.is_fixed() {
            options.address = address.filter(|_| self.own.is_some()).map(str::to_owned);
        }
        let config = stunner_auth::get_ice_config(&options, &self.environment, SystemClock.unix_seconds());
        config.inspect_err(|error| tracing::warn!(%error, "a client gets no ICE configuration")).ok()
    }
}

impl Ice {
    /// Without an address of TURN's there is no point in starting, unless it may come yet.
    pub(crate) fn new(settings: &Settings, turn: Option<&TurnServer>) -> Result<Self, String> {
        let udp = |turn: &TurnServer| {
            let udp = turn.listeners().iter().find(|listener| listener.transport() == Transport::Udp);
            udp.and_then(|udp| udp.address().rsplit(':').next()?.parse().ok())
        };
        let mut given = Given {
            options: settings.ice.clone(),
            environment: settings.environment.clone(),
            own: turn.map(udp),
        };
        given.issue(&settings.auth);
        if turn.is_none() && !given.is_fixed() {
            const WANTED: &str = "--no-turn: set STUNNER_PUBLIC_ADDR to the address of the TURN server";
            if !settings.cluster.watches {
                return Err(WANTED.to_owned());
            }
            tracing::warn!("{WANTED}; until it is there, this program is not ready");
        }
        let limited = matches!(settings.auth.kind, AuthKind::TimeLimited { .. });
        // At half their time, so that one that is given out just before a renewal is renewed in time too.
        let half = Duration::from_millis(settings.duration.saturating_mul(500)).clamp(SHORTEST, LONGEST);
        Ok(Self { given: Arc::new(RwLock::new(given)), renewal: limited.then_some(half) })
    }

    /// Changes what ICE configurations are made of.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Given)) {
        change(&mut self.given.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn given(&self) -> RwLockReadGuard<'_, Given> {
        self.given.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether clients can be told where TURN is.
    pub(crate) fn is_ready(&self) -> bool {
        let given = self.given();
        given.own.is_some() || given.is_fixed()
    }

    /// How often clients are to be given fresh credentials; `None` where theirs do not end.
    pub(crate) fn renewal(&self) -> Option<Duration> {
        self.renewal
    }

    /// Where a client that reached the page by this `Host` reaches TURN; `None` where the settings say it.
    pub(crate) async fn address(&self, host: &str) -> Option<String> {
        let fixed = self.given().is_fixed();
        if fixed { None } else { reachable(host, &own_addresses()).await }
    }

    /// Fresh credentials, for a client that reaches TURN at this address.
    pub(crate) fn config(&self, address: Option<&str>) -> Option<IceConfig> {
        self.given().config(address)
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
