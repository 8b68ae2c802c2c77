//! Networks that are not one machine: published ports of a container, and a client whose address changes.

use std::{process::Command, time::Duration};

use crate::{
    Pair, TCP, UDP,
    chromium::Chromium,
    driver::{Browser, Page},
    program::Program,
    proxy::{Proxy, forward_udp},
};

/// What `docker run -p 8443:8443 -p 3478:3478/udp -p 3478:3478` makes of a network: three ports at another address, and
/// no way to the relayed ones.
async fn a_call_needs_no_more_than_the_published_ports(environment: &[(&str, &str)]) {
    let program = Program::start_at("127.0.0.2", environment, &[]);
    let inside = ([127, 0, 0, 2], program.turn_port).into();
    let outside = ([127, 0, 0, 1], program.turn_port).into();
    let web = Proxy::start(([127, 0, 0, 1], 0).into(), program.web()).await;
    let _turn = Proxy::start(outside, inside).await;
    forward_udp(outside, inside).await;
    let browser = Chromium::start().await;
    let url = format!("https://{}/", web.address);
    let bob = browser.open(&format!("{url}?name=bob&register=1")).await;
    browser.until(&bob, "window.call.state().registered").await;
    let alice = browser.open(&format!("{url}?name=alice&peer=bob&register=1")).await;
    browser.until(&alice, "window.call.state().registered").await;
    let pair = Pair { browser, alice, bob, program };

    pair.call().await;

    let servers =
        "window.call.connection().getConfiguration().iceServers.flatMap(s => s.urls ?? s.url).join()";
    let servers = pair.browser.value(&pair.alice, servers).await;
    assert!(servers.as_str().is_some_and(|urls| urls.contains(&format!("turn:{outside}"))), "{servers}");
    assert_eq!(pair.stats(&pair.alice).await["local"], "relay");
}

#[tokio::test]
async fn a_container_needs_three_published_ports_and_no_more_over_udp() {
    a_call_needs_no_more_than_the_published_ports(&UDP).await;
}

#[tokio::test]
async fn a_container_needs_three_published_ports_and_no_more_over_tcp() {
    a_call_needs_no_more_than_the_published_ports(&TCP).await;
}

/// Runs `ip` with these words; returns whether it worked.
fn ip(words: &str) -> bool {
    Command::new("ip").args(words.split_whitespace()).status().is_ok_and(|status| status.success())
}

/// Waits until the client's links are up: a browser that sees one come up takes it for another network, and gives up
/// the page that it loads. No link gets an address by itself later (`addrgenmode`), which would be the same.
async fn settled(client: &str) {
    let both_up = || {
        let up = Command::new("ip").args(["-n", client, "-o", "link", "show", "up", "type", "veth"]).output();
        let up = up.map(|up| String::from_utf8_lossy(&up.stdout).matches("state UP").count());
        up.is_ok_and(|up| up == 2)
    };
    for _ in 0..500 {
        if both_up() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the links of {client} never came up");
}

/// A server and two clients, each in a network namespace of its own. The test itself reaches the clients by another link,
/// which leads nowhere else.
struct Networks {
    prefix: String,
}

impl Networks {
    /// `None` where namespaces cannot be made; with CI set, and root, that is a failure.
    fn new() -> Option<Self> {
        let networks = Self { prefix: format!("st{}", std::process::id() % 100_000) };
        let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
        if !root || !networks.make() {
            assert!(!root || std::env::var_os("CI").is_none(), "no network namespaces: {}", networks.prefix);
            println!("skipped: making network namespaces takes root and `ip`");
            return None;
        }
        Some(networks)
    }

    fn name(&self, which: impl std::fmt::Display) -> String {
        format!("{}{which}", self.prefix)
    }

    /// The clients are 192.0.2.2 and 192.0.2.130 in networks of their own, beside the server's 192.0.2.1 and .129.
    fn make(&self) -> bool {
        let server = self.name('s');
        ip(&format!("netns add {server}"))
            && ip(&format!("-n {server} link set lo up"))
            && (0..2).all(|which| self.client(&server, which))
    }

    fn client(&self, server: &str, which: u8) -> bool {
        let (client, base) = (self.name(which), which * 128);
        let (media, control) = (self.name(format_args!("m{which}")), self.name(format_args!("c{which}")));
        let subnet = std::process::id() % 250;
        ip(&format!("netns add {client}"))
            && ip(&format!("-n {client} link set lo up"))
            && ip(&format!("link add {media} netns {server} type veth peer name media netns {client}"))
            && ip(&format!("-n {client} link set media addrgenmode none"))
            && ip(&format!("-n {server} addr add 192.0.2.{}/25 dev {media}", base + 1))
            && ip(&format!("-n {server} link set {media} up"))
            && ip(&format!("-n {client} addr add 192.0.2.{}/25 dev media", base + 2))
            && ip(&format!("-n {client} link set media up"))
            && ip(&format!("-n {client} route add 192.0.2.0/24 via 192.0.2.{}", base + 1))
            && ip(&format!("link add {control} type veth peer name control netns {client}"))
            && ip(&format!("-n {client} link set control addrgenmode none"))
            && ip(&format!("addr add {}/30 dev {control}", self.control(which, subnet, 1)))
            && ip(&format!("link set {control} up"))
            && ip(&format!("-n {client} addr add {}/30 dev control", self.control(which, subnet, 2)))
            && ip(&format!("-n {client} link set control up"))
    }

    fn control(&self, which: u8, subnet: u32, end: u8) -> String {
        format!("198.18.{subnet}.{}", which * 4 + end)
    }

    async fn browser(&self, which: u8) -> Chromium {
        let (client, host) = (self.name(which), self.control(which, std::process::id() % 250, 2));
        settled(&client).await;
        let driver =
            ["ip", "netns", "exec", &client, "chromedriver", "--allowed-ips=", "--allowed-origins=*"];
        Chromium::start_by(&driver, &host).await
    }

    /// Takes the client's address away, and gives it another one.
    fn move_away(&self, which: u8) {
        let (client, base) = (self.name(which), which * 128);
        for words in [
            format!("addr del 192.0.2.{}/25 dev media", base + 2),
            format!("addr add 192.0.2.{}/25 dev media", base + 3),
            format!("route replace 192.0.2.0/24 via 192.0.2.{}", base + 1),
        ] {
            assert!(ip(&format!("-n {client} {words}")), "{words}");
        }
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        for which in ["s", "0", "1"] {
            ip(&format!("netns del {}", self.name(which)));
        }
    }
}

#[tokio::test]
async fn a_call_goes_on_when_an_address_changes() {
    let Some(networks) = Networks::new() else { return };
    let program = Program::start_in(&networks.name('s'), "192.0.2.1", &UDP);
    let alices = networks.browser(0).await;
    let bobs = networks.browser(1).await;
    let bob = joined(&bobs, &format!("{}?name=bob&register=1&media=test", program.url)).await;
    let alice = joined(&alices, &format!("{}?name=alice&call=bob&media=test", program.url)).await;
    bobs.until(&bob, "!document.getElementById('ringing').hidden").await;
    bobs.value(&bob, "document.getElementById('accept').click()").await;
    let moves = "window.call.state().call === 'running' && window.call.state().stats?.framesDecoded > 20";
    alices.until(&alice, moves).await;
    bobs.until(&bob, moves).await;
    let frames = "window.before = window.call.state().stats.framesDecoded";
    let path = "window.call.connection().localDescription.sdp.match(/ice-ufrag:(\\S+)/)[1]";
    let before = alices.value(&alice, path).await;

    networks.move_away(0);

    alices
        .until(
            &alice,
            &format!("{path} !== {before} && window.call.connection().connectionState === 'connected'"),
        )
        .await;
    alices.until(&alice, "window.call.state().registered").await;
    for (browser, page) in [(&alices, &alice), (&bobs, &bob)] {
        browser.value(page, frames).await;
        browser.until(page, "window.call.state().stats.framesDecoded > window.before + 20").await;
        let stats = browser.value(page, "window.call.state().stats").await;
        assert_eq!((&stats["local"], &stats["remote"]), (&"relay".into(), &"relay".into()), "{stats}");
    }
    bobs.value(&bob, "document.getElementById('terminate').click()").await;
    alices.until(&alice, "window.call.state().call === 'none'").await;
}

async fn joined(browser: &Chromium, url: &str) -> Page {
    let page = browser.open(url).await;
    browser.until(&page, "window.call.state().registered").await;
    page
}
