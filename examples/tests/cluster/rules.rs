//! What Kubernetes would make of the manifests: a Service that spreads clients, and policies that deny.

use std::net::Ipv4Addr;

use crate::net::{DNS, Net, PUBLIC, WEB, v6};

/// The ports that replicas relay from.
pub(crate) const RELAY_PORTS: &str = "49152-65535";

/// The tables, with nobody in them: all is denied that is not allowed here.
pub(crate) fn set_up(net: &Net) {
    let rules = format!(
        "table ip services {{
            chain prerouting {{ type nat hook prerouting priority dstnat; }}
        }}
        table inet networkpolicy {{
            set replicas {{ type ipv4_addr; }}
            set replicas_v6 {{ type ipv6_addr; }}
            counter relayed {{ }}
            counter relayed_v6 {{ }}
            counter denied {{ }}
            chain forward {{
                type filter hook forward priority filter; policy drop;
                ct state established,related accept
                icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
                iifname outside ip daddr @replicas meta l4proto {{ tcp, udp }} th dport 3478 accept
                iifname outside ip daddr {WEB} tcp dport 8443 accept
                ip saddr @replicas ip daddr @replicas udp dport {RELAY_PORTS} counter name relayed accept
                ip6 saddr @replicas_v6 ip6 daddr @replicas_v6 udp dport {RELAY_PORTS} counter name relayed_v6 accept
                ip saddr @replicas ip daddr {DNS} meta l4proto {{ tcp, udp }} th dport 53 accept
                counter name denied
            }}
        }}"
    );
    net.rules(&rules).expect("the rules are good");
}

/// New clients of the Services go to these replicas, by chance; those that are there stay where they are.
pub(crate) fn route(net: &Net, replicas: &[Ipv4Addr]) {
    let places = replicas.iter().enumerate().map(|(place, ip)| format!("{place} : {ip}"));
    let places = places.collect::<Vec<_>>().join(", ");
    let count = replicas.len();
    let rules = format!(
        "flush chain ip services prerouting
        add rule ip services prerouting ip daddr {PUBLIC} meta l4proto {{ tcp, udp }} th dport 3478 dnat to numgen random mod {count} map {{ {places} }}
        add rule ip services prerouting ip daddr {PUBLIC} tcp dport 8443 dnat to {WEB}"
    );
    net.rules(&rules).expect("the rules are good");
}

/// The policy of replicas is this one's too.
pub(crate) fn label(net: &Net, replica: Ipv4Addr) {
    change(net, "add", replica);
}

/// It is nobody's any more.
pub(crate) fn unlabel(net: &Net, replica: Ipv4Addr) {
    change(net, "delete", replica);
}

fn change(net: &Net, how: &str, replica: Ipv4Addr) {
    let rules = format!(
        "{how} element inet networkpolicy replicas {{ {replica} }}
        {how} element inet networkpolicy replicas_v6 {{ {} }}",
        v6(replica)
    );
    net.rules(&rules).expect("it is there, or is not");
}

/// How many packets a counter has seen.
pub(crate) fn counted(net: &Net, counter: &str) -> u64 {
    let listed = net.rules(&format!("list counter inet networkpolicy {counter}")).expect("it is there");
    let after = listed.split("packets ").nth(1).and_then(|rest| rest.split(' ').next());
    after.and_then(|number| number.parse().ok()).expect("a number")
}

/// Lets replicas reach an address on a port, as a policy would that is too wide.
pub(crate) fn allow(net: &Net, address: Ipv4Addr, port: u16) {
    let rule = format!(
        "insert rule inet networkpolicy forward ip saddr @replicas ip daddr {address} udp dport {port} accept"
    );
    net.rules(&rule).expect("the rule is good");
}
