//! A cluster on one machine: replicas in network namespaces, one address before them, policies that deny, and calls.
//!
//! It needs root, the programs `ip`, `nft`, `conntrack` and `dnsmasq`, for the last test Chromium, and the example to be built:
//!
//! ```text
//! cargo build -p stunner-examples --example direct-one2one-call
//! cargo test -p stunner-examples --features cluster --test cluster -- --test-threads=1 --nocapture
//! ```

use std::{collections::HashSet, net::SocketAddr, net::UdpSocket, thread, time::Duration};

#[path = "cluster/call.rs"]
mod call;
#[expect(dead_code, reason = "shared with the tests of the page, which use all of it")]
#[path = "browser/chromium.rs"]
mod chromium;
#[path = "cluster/cluster.rs"]
mod cluster;
#[expect(dead_code, reason = "shared with the tests of the page, which use all of it")]
#[path = "browser/driver.rs"]
mod driver;
#[path = "cluster/leg.rs"]
mod leg;
#[path = "cluster/mount.rs"]
mod mount;
#[path = "cluster/net.rs"]
mod net;
#[path = "cluster/program.rs"]
mod program;
#[path = "cluster/rules.rs"]
mod rules;
#[path = "cluster/signaling.rs"]
mod signaling;

use call::{Call, Counts};
use chromium::Chromium;
use cluster::{Cluster, packets};
use driver::Browser;
use leg::{Kind, Leg};
use net::PUBLIC;
use signaling::Server;

/// Says how many calls are kept, and what they have lost so far.
fn report(what: &str, kept: usize, calls: &[Call]) {
    let Counts { received, lost } = packets(calls);
    println!("{what}: {kept} of {} calls go on; packets received {received}, lost {lost}", calls.len());
}

#[test]
fn fifty_calls_across_fifteen_replicas_outlive_everything_but_the_death_of_their_own() {
    let Some(mut cluster) = Cluster::start("calls", 15, &[], &[]) else { return };
    let mut calls = cluster.call("first", 50);
    let kept = cluster.going_on(&calls);
    report("15 replicas", kept, &calls);
    assert_eq!((calls.len(), kept), (50, 50));
    let sides = calls.iter().flat_map(|call| call.legs.each_ref().map(|side| side.relayed.ip()));
    assert!(sides.collect::<HashSet<_>>().len() > 10, "chance spreads them");
    assert!(calls.iter().all(|call| call.legs[0].relayed.ip() != call.legs[1].relayed.ip()));
    assert!(["relayed", "relayed_v6"].iter().all(|rule| rules::counted(&cluster.net, rule) > 0));

    scale_up(&mut cluster, &mut calls);
    scale_down(&mut cluster, &mut calls);
    rolling_restart(&mut cluster, &mut calls);
    one_is_killed(&mut cluster);
}

/// A replica that has just come is called through at once.
fn scale_up(cluster: &mut Cluster, calls: &mut Vec<Call>) {
    cluster.add(1);
    let addresses = cluster.addresses();
    let [old, .., new] = addresses[..] else { panic!("there are two at least") };
    rules::route(&cluster.net, &[old, new]);

    let through = cluster.call("new", 10);
    assert_eq!(through.len(), 10);
    assert!(through.iter().all(|call| call.uses(new)));
    calls.extend(through);
    cluster.route();

    let kept = cluster.going_on(calls);
    report("scaled up to 16", kept, calls);
    assert_eq!(kept, 60);
}

/// Replicas that end carry their calls to their ends, and nobody new.
fn scale_down(cluster: &mut Cluster, calls: &mut Vec<Call>) {
    let ending: Vec<_> = cluster.addresses().into_iter().take(5).collect();
    cluster.terminate(5);
    let kept = cluster.going_on(calls);
    report("scaled down to 11, draining", kept, calls);
    assert_eq!(kept, 60);
    assert_eq!(cluster.reap(), 0);

    let during = cluster.call("during", 10);
    assert!(during.len() == 10 && !during.iter().any(|call| ending.iter().any(|&ip| call.uses(ip))));
    calls.extend(during);
    rules::route(&cluster.net, &ending);
    assert_eq!(allocate(cluster, &cluster.server()), Err(508));
    cluster.route();

    let drained = calls.extract_if(.., |call| ending.iter().any(|&ip| call.uses(ip))).collect();
    cluster.hang_up(drained);
    assert_eq!(ended(cluster, 5), 5);
    let kept = cluster.going_on(calls);
    report("scaled down to 11", kept, calls);
    assert_eq!(kept, calls.len());
}

/// Every replica is replaced by another, five at a time.
fn rolling_restart(cluster: &mut Cluster, calls: &mut Vec<Call>) {
    let count = cluster.replicas.len();
    for first in (0..count).step_by(5) {
        let batch = (count - first).min(5);
        cluster.add(batch);
        cluster.terminate(batch);
    }
    let kept = cluster.going_on(calls);
    report("rolling restart", kept, calls);
    assert_eq!(kept, calls.len());

    cluster.hang_up(std::mem::take(calls));
    assert_eq!(ended(cluster, count), count);
}

/// The calls of a replica that dies are lost, and no others; they can be placed again at once.
fn one_is_killed(cluster: &mut Cluster) {
    let calls = cluster.call("last", 30);
    let killed = cluster.kill();
    let lost = calls.iter().filter(|call| call.uses(killed)).count();
    let kept = cluster.going_on(&calls);
    report("one of 11 killed", kept, &calls);
    assert_eq!(kept, 30 - lost);

    let again = cluster.call("again", lost);
    assert_eq!(cluster.going_on(&again), lost);
}

/// Waits until so many replicas have ended, and says how many have.
fn ended(cluster: &mut Cluster, wanted: usize) -> usize {
    let mut ended = 0;
    for _ in 0..200 {
        ended += cluster.reap();
        if ended == wanted {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    ended
}

/// The relayed address that a new client gets, or the code that it is refused with.
fn allocate(cluster: &Cluster, server: &Server) -> Result<SocketAddr, u16> {
    let server = server.clone();
    let allocated = cluster.outside.spawn(async move { Leg::allocate(&server, Kind::UDP).await });
    let allocated = cluster.outside.block_on(allocated).expect("it does not panic");
    allocated.map(|(_, relayed)| relayed).map_err(|why| why.code().unwrap_or_default())
}

/// Opens a channel to a peer and sends something: the code it is refused with, or whether it came back.
async fn echoes(server: Server, peer: SocketAddr) -> Result<bool, u16> {
    let (mut leg, _) = Leg::allocate(&server, Kind::UDP).await.expect("an allocation");
    leg.reach(peer, 1).await.map_err(|why| why.code().unwrap_or_default())?;
    leg.send(b"is anybody there?", peer).await;
    let heard = leg.hears(Duration::from_secs(1)).await;
    leg.close().await;
    Ok(heard.is_some())
}

/// A service of the cluster that clients have no business with: it sends back what it gets.
fn victim(cluster: &Cluster) -> SocketAddr {
    let pod = cluster.net.pod("victim", [10, 244, 0, 4].into());
    let socket = cluster.net.inside("victim", || UdpSocket::bind((pod.ip, 50_000)).expect("a port"));
    let address = socket.local_addr().expect("an address");
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            // Who does not hear it is told nothing more.
            let _ = socket.send_to(&buffer[..len], from);
        }
    });
    address
}

#[test]
fn a_replica_sends_to_replicas_on_relay_ports_and_refuses_all_else() {
    let Some(cluster) = Cluster::start("refuses", 2, &[], &[]) else { return };
    let victim = victim(&cluster);
    let other = cluster.addresses()[1];
    rules::route(&cluster.net, &cluster.addresses()[..1]);
    let ask = |peer: SocketAddr| {
        cluster.outside.block_on(cluster.outside.spawn(echoes(cluster.server(), peer))).expect("an answer")
    };

    assert_eq!(ask(victim), Err(403));
    assert_eq!(ask(SocketAddr::from((net::DNS, 53))), Err(403));
    assert_eq!(ask(SocketAddr::from((other, 8086))), Err(403));
    assert_eq!(ask(SocketAddr::from((other, 3478))), Err(403));
    assert_eq!(ask(SocketAddr::from((other, 50_000))), Ok(false));
}

#[test]
fn what_a_server_would_let_pass_the_network_policy_denies() {
    let Some(cluster) = Cluster::start("denies", 2, &[], &["--allow-peer", "10.244.0.0/16"]) else { return };
    let victim = victim(&cluster);
    let ask = || {
        let asked = cluster.outside.spawn(echoes(cluster.server(), victim));
        cluster.outside.block_on(asked).expect("an answer")
    };
    let before = rules::counted(&cluster.net, "denied");

    assert_eq!(ask(), Ok(false));
    assert!(rules::counted(&cluster.net, "denied") > before);

    rules::allow(&cluster.net, [10, 244, 0, 4].into(), 50_000);
    assert_eq!(ask(), Ok(true));
}

#[test]
fn a_replica_that_ends_lives_sends_clients_elsewhere_and_ends_at_once_at_a_second_signal() {
    let alternate = [("STUNNER_ALTERNATE_SERVER", "10.244.0.12:3478")];
    let Some(mut cluster) = Cluster::start("ends", 2, &alternate, &[]) else { return };
    let calls = cluster.call("kept", 5);
    cluster.terminate(1);
    let ends = &mut cluster.ending[0];
    ends.says("draining: no new allocations");
    assert_eq!(
        (ends.status(&cluster.net, "/live"), ends.status(&cluster.net, "/ready")),
        (Some(200), Some(503))
    );

    rules::route(&cluster.net, &[cluster.ending[0].pod.ip]);
    let relayed = allocate(&cluster, &cluster.server()).expect("the other replica takes it");
    assert_eq!(relayed.ip(), cluster.replicas[0].pod.ip);
    assert_eq!(cluster.going_on(&calls), 5);

    let ends = &mut cluster.ending[0];
    ends.signal("TERM");
    assert!(ends.ended().success());
    ends.says("a second signal");
}

#[test]
fn a_replica_may_stay_ready_while_it_ends() {
    let ready = [("STUNNER_READY_WHILE_DRAINING", "1")];
    let Some(mut cluster) = Cluster::start("ready", 2, &ready, &[]) else { return };
    let _calls = cluster.call("kept", 1);
    cluster.terminate(1);
    cluster.ending[0].says("draining: no new allocations");

    assert_eq!(cluster.ending[0].status(&cluster.net, "/ready"), Some(200));
}

#[test]
fn secrets_and_addresses_change_while_calls_go_on() {
    let Some(mut cluster) = Cluster::start("changes", 2, &[("STUNNER_ROTATION_DELAY", "1")], &[]) else {
        return;
    };
    let calls = cluster.call("kept", 5);
    let old = cluster.server();

    cluster.mounts.secret.change(&[("STUNNER_SHARED_SECRET", "another secret")]);
    cluster.replicas.iter().for_each(|replica| replica.says("credentials have changed"));
    cluster.web.says("clients are given the new credentials");

    let new = cluster.server();
    let made = |secret: &str| stunner_auth::password(&new.username, &secret.into()).expose() == new.password;
    assert!(made("another secret") && !made("a secret of this test"));
    assert!(allocate(&cluster, &old).is_ok() && allocate(&cluster, &new).is_ok());
    let username = "4102444800".to_owned();
    let password = stunner_auth::password(&username, &"a secret of this test".into()).expose().to_owned();
    assert_eq!(allocate(&cluster, &Server { username, password, ..new }), Err(401));

    cluster.mounts.config.change(&[("STUNNER_PUBLIC_PORT", "port")]);
    cluster.web.says("a changed configuration is no good");
    assert_eq!(cluster.server().address.port(), 3478);
    cluster.mounts.config.change(&[("STUNNER_PUBLIC_PORT", "30478")]);
    let told = |port| {
        thread::sleep(Duration::from_millis(100));
        cluster.server().address.port() == port
    };
    assert!((0..100).any(|_| told(30_478)));
    assert_eq!(cluster.going_on(&calls), 5);
}

#[test]
fn a_browser_calls_through_two_replicas() {
    let udp = [("STUNNER_TRANSPORT_TCP_ENABLE", "0")];
    let Some(cluster) = Cluster::start("browser", 2, &udp, &[]) else { return };
    let before = rules::counted(&cluster.net, "relayed");

    cluster.net.inside("outside", || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(call_in_a_browser(&cluster));
    });

    // The first packet of a flow meets the rule, and those behind it belong to the flow.
    assert!(rules::counted(&cluster.net, "relayed") > before);
}

async fn call_in_a_browser(cluster: &Cluster) {
    let [first, second] = &cluster.replicas[..] else { panic!("there are two") };
    let browser = Chromium::start().await;
    let page = format!("https://{PUBLIC}:8443/");
    let bob = browser.open(&format!("{page}?name=bob&register=1&media=test")).await;
    browser.until(&bob, "window.call.state().registered").await;
    let alice = browser.open(&format!("{page}?name=alice&peer=bob&register=1")).await;
    browser.until(&alice, "window.call.state().registered").await;

    rules::route(&cluster.net, &[first.pod.ip]);
    browser.value(&alice, "document.getElementById('call').click()").await;
    browser.until(&bob, "!document.getElementById('ringing').hidden").await;
    first.says("allocation opened");
    rules::route(&cluster.net, &[second.pod.ip]);
    browser.value(&bob, "document.getElementById('accept').click()").await;

    for page in [&alice, &bob] {
        browser.until(page, "window.call.state().stats?.framesDecoded > 50").await;
        let stats = browser.value(page, "window.call.state().stats").await;
        assert_eq!((&stats["local"], &stats["remote"]), (&"relay".into(), &"relay".into()), "{stats}");
    }
    second.says("allocation opened");
    browser.value(&alice, "document.getElementById('terminate').click()").await;
    browser.until(&bob, "window.call.state().call === 'none'").await;
}
