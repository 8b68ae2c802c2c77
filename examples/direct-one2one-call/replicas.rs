//! Which other replicas there are: what the name of their headless Service says now.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use futures_util::future::join_all;
use stunner_relay::Replicas;
use tokio::{
    net::lookup_host,
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use crate::options::RelayPeer;

/// How often names are looked up, at least.
const EVERY: Duration = Duration::from_secs(3);

/// And at most, whatever clients ask for.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the resolver may take.
const LOOKUP: Duration = Duration::from_secs(5);

/// How long addresses are kept that cannot be looked up any more, so that a resolver that stumbles ends no call.
const KEPT: Duration = Duration::from_secs(60);

/// Starts to follow the names; the ranges stay. `None` where there is nothing to follow.
pub(crate) fn follow(peers: &[RelayPeer], ports: (u16, u16), own: &[IpAddr]) -> Option<Arc<Replicas>> {
    if peers.is_empty() {
        return None;
    }
    let missed = Arc::new(Notify::new());
    let notify = missed.clone();
    let mut replicas = Replicas::new(ports.0..=ports.1).on_miss(move || notify.notify_one());
    replicas = own.iter().fold(replicas, |replicas, &ip| replicas.own(ip));
    let mut names = Vec::new();
    for peer in peers {
        match peer {
            RelayPeer::Range(range) => replicas = replicas.range(*range),
            RelayPeer::Name(name) => names.push(Name::new(name)),
        }
    }
    let replicas = Arc::new(replicas);
    if !names.is_empty() {
        replicas.outdated();
        tokio::spawn(keep_looking(names, replicas.clone(), missed, look_up));
    }
    Some(replicas)
}

/// The addresses of a name, of both families.
async fn look_up(name: Box<str>) -> io::Result<Vec<IpAddr>> {
    let found = timeout(LOOKUP, lookup_host((&*name, 0))).await?;
    Ok(found?.map(|address| address.ip()).collect())
}

/// Looks all names up every few seconds, and soon when a client asks for a peer that nobody knows. Only what was found for
/// such a client is a reason to refuse it, and only for a moment: a replica may have come since any earlier look.
async fn keep_looking<F>(
    mut names: Vec<Name>,
    replicas: Arc<Replicas>,
    missed: Arc<Notify>,
    look_up: impl Fn(Box<str>) -> F,
) where
    F: Future<Output = io::Result<Vec<IpAddr>>>,
{
    let mut asked = false;
    loop {
        join_all(names.iter_mut().map(|name| name.take(look_up(name.name.clone())))).await;
        replicas.set(names.iter().flat_map(|name| name.addresses.iter().copied()).collect());
        if !asked {
            replicas.outdated();
        }
        sleep(PAUSE).await;
        replicas.outdated();
        asked = timeout(EVERY - PAUSE, missed.notified()).await.is_ok();
    }
}

/// A name, and what was found under it last.
struct Name {
    name: Box<str>,
    addresses: Vec<IpAddr>,
    found: Option<Instant>,
    /// When it was last said that there is nothing.
    told: Option<Instant>,
}

impl Name {
    fn new(name: &str) -> Self {
        Self { name: name.into(), addresses: Vec::new(), found: None, told: None }
    }

    async fn take(&mut self, looked_up: impl Future<Output = io::Result<Vec<IpAddr>>>) {
        match looked_up.await {
            Ok(mut addresses) => {
                addresses.sort_unstable();
                if addresses != self.addresses {
                    tracing::info!(name = self.name, replicas = addresses.len(), "replicas changed");
                }
                (self.addresses, self.found, self.told) = (addresses, Some(Instant::now()), None);
            }
            Err(error) => {
                if self.found.is_none_or(|found| found.elapsed() > KEPT) {
                    self.addresses.clear();
                }
                if self.told.is_none_or(|told| told.elapsed() >= KEPT) {
                    self.told = Some(Instant::now());
                    tracing::warn!(name = self.name, %error, kept = self.addresses.len(), "replicas cannot be looked up");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, SocketAddr},
        sync::Mutex,
    };

    use stunner_relay::{Client, FiveTuple, ListenerId, PeerPolicy, RelayOnly, Transport, Verdict};

    use super::*;

    /// What is found now, and how often it was looked for.
    #[derive(Default)]
    struct Zone {
        addresses: Option<Vec<IpAddr>>,
        asked: u32,
    }

    struct World {
        zone: Arc<Mutex<Zone>>,
        policy: RelayOnly,
    }

    impl World {
        fn new(addresses: Option<&[&str]>) -> Self {
            let zone = Arc::new(Mutex::new(Zone::default()));
            let missed = Arc::new(Notify::new());
            let notify = missed.clone();
            let replicas = Arc::new(Replicas::new(50_000..=50_999).on_miss(move || notify.notify_one()));
            let asked = zone.clone();
            let look_up = move |_| {
                let mut zone = asked.lock().expect("it is free");
                zone.asked += 1;
                let found = zone.addresses.clone().ok_or_else(|| io::Error::other("no such name"));
                std::future::ready(found)
            };
            replicas.outdated();
            let policy = RelayOnly::new().replicas(replicas.clone());
            let world = Self { zone, policy };
            world.is_now(addresses);
            tokio::spawn(keep_looking(vec![Name::new("stunner-replicas")], replicas, missed, look_up));
            world
        }

        fn is_now(&self, addresses: Option<&[&str]>) {
            let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().expect(text)).collect();
            self.zone.lock().expect("it is free").addresses = addresses.map(parse);
        }

        fn asked(&self) -> u32 {
            self.zone.lock().expect("it is free").asked
        }

        fn verdict(&self, peer: &str) -> Verdict {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
            let tuple = FiveTuple { client: address, server: address, transport: Transport::Udp };
            let client = Client { tuple, listener: ListenerId(0), link: 0 };
            self.policy.judge(peer.parse().expect(peer), Some(50_000), &client, "")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_and_goes_is_noticed_within_seconds() {
        let world = World::new(Some(&["10.244.0.7", "fd00::7"]));
        sleep(Duration::from_millis(1)).await;
        assert_eq!([world.verdict("10.244.0.7"), world.verdict("fd00::7")], [Verdict::AskPort; 2]);

        world.is_now(Some(&["10.244.0.8"]));
        sleep(EVERY).await;

        assert_eq!(world.verdict("10.244.0.8"), Verdict::AskPort);
        assert!(
            world.verdict("10.244.0.7") != Verdict::AskPort && world.verdict("fd00::7") != Verdict::AskPort
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_asks_for_a_new_replica_has_it_looked_up_at_once() {
        let world = World::new(Some(&[]));
        sleep(PAUSE + Duration::from_millis(1)).await;
        world.is_now(Some(&["10.244.0.9"]));

        assert_eq!(world.verdict("10.244.0.9"), Verdict::NotYet);
        sleep(Duration::from_millis(1)).await;

        assert_eq!(world.verdict("10.244.0.9"), Verdict::AskPort);
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_comes_right_after_a_look_is_not_refused_for_that() {
        let world = World::new(Some(&[]));
        sleep(Duration::from_millis(1)).await;
        world.is_now(Some(&["10.244.0.9"]));

        assert_eq!(world.verdict("10.244.0.9"), Verdict::NotYet);
        sleep(PAUSE).await;

        assert_eq!(world.verdict("10.244.0.9"), Verdict::AskPort);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_is_refused_once_it_was_looked_for() {
        let world = World::new(Some(&["10.244.0.7"]));
        sleep(PAUSE).await;
        assert_eq!(world.verdict("8.8.8.8"), Verdict::NotYet);
        sleep(Duration::from_millis(500)).await;

        assert_eq!(world.verdict("8.8.8.8"), Verdict::Deny);
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_are_refused_and_make_for_one_look_up_a_second() {
        let world = World::new(Some(&[]));
        sleep(Duration::from_millis(1)).await;
        let before = world.asked();

        for _ in 0..100 {
            assert_ne!(world.verdict("8.8.8.8"), Verdict::AskPort);
            sleep(Duration::from_millis(100)).await;
        }

        assert!((8..=10).contains(&(world.asked() - before)), "{}", world.asked());
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_does_not_resolve_admits_nobody() {
        let world = World::new(None);
        sleep(PAUSE).await;
        assert_eq!(world.verdict("10.244.0.7"), Verdict::NotYet);
        sleep(Duration::from_millis(500)).await;

        assert_eq!(world.verdict("10.244.0.7"), Verdict::Deny);
    }

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_stumbles_ends_no_call_and_one_that_is_gone_does() {
        let world = World::new(Some(&["10.244.0.7"]));
        sleep(Duration::from_millis(1)).await;

        world.is_now(None);
        sleep(KEPT - EVERY).await;
        assert_eq!(world.verdict("10.244.0.7"), Verdict::AskPort);
        sleep(3 * EVERY).await;

        assert_ne!(world.verdict("10.244.0.7"), Verdict::AskPort);
    }
}
