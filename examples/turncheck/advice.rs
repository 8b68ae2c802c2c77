//! What to do about what was found.

use stunner_relay::{Transport, client::Failure};

pub(crate) const NAME: &str = "The name is not known: is it spelled right, and does it have an A or AAAA record? Ask another \
                               resolver (dig NAME), or write the address in place of the name.";
pub(crate) const RESOLVER: &str = "The resolver does not answer: is this machine online, and is its DNS server right \
                                   (/etc/resolv.conf)?";
pub(crate) const FAMILY: &str = "The server has no address of the family that was asked for: leave out --ipv4 or --ipv6, or \
                                 add an A or AAAA record.";
pub(crate) const NO_ROUTE: &str = "This machine has no route to the server: is it online, does it have IPv6 where the address \
                                   is one, and is a private address reached through a VPN?";
pub(crate) const LOST: &str = "The socket failed on this machine: see the error, and try again.";
pub(crate) const MUTE: &str = "Something accepts connections and does not answer: is it TURN that listens at this port? A load \
                               balancer without a server behind it looks like this too, and so does TURN over TLS when asked \
                               without.";
pub(crate) const SPEAKS_TLS: &str = "The port speaks TLS: write turns: in place of turn:, or use the port without TLS, which is \
                                     often 3478.";
pub(crate) const OTHER: &str = "Another program listens at this port: use the port of the TURN server, which is often 3478, or \
                                5349 with TLS.";
pub(crate) const TLS: &str = "The server does not complete TLS: is it the port for turns:, which is often 5349? Does the server \
                              have a certificate and its key, and does it speak TLS 1.2 or 1.3?";
pub(crate) const NO_ROOTS: &str = "This machine has no certificates of authorities: install them (ca-certificates), or name a \
                                   file with SSL_CERT_FILE.";
pub(crate) const STUN_ONLY: &str = "The server answers STUN but relays nothing: it runs without TURN (stun-only, no users), or \
                                    another server listens at this port. There will be no relay candidates.";
pub(crate) const EXPIRED: &str = "The credentials are past their time: get fresh ones from the service that issues them. If they \
                                  are fresh, this machine's clock or that of the service is wrong: switch NTP on.";
pub(crate) const SKEW: &str = "The clocks differ: switch NTP on at this machine, at the TURN server, and where credentials are \
                               issued. Time-limited credentials are refused (401) when a clock is ahead by more than they live.";
pub(crate) const TIME_LIMITED: &str = "The server refuses time-limited credentials: the secret of whoever issued them is not the \
                                       server's, the server does not use time-limited credentials (use-auth-secret; in STUNner \
                                       type ephemeral), or they are expired by its clock.";
pub(crate) const WRONG_SECRET: &str = "The server refuses credentials made with this secret: it has another one \
                                       (static-auth-secret; in STUNner sharedSecret), or does not use time-limited credentials, \
                                       or its clock is more than an hour ahead.";
pub(crate) const LONG: &str = "User names have at most 508 bytes.";
pub(crate) const REDIRECT: &str = "The server sends clients to another one that they cannot reach: see its alternate-server, \
                                   and check that server itself.";
pub(crate) const UNSPECIFIED: &str = "The server does not know its own address: set it (relay-ip or external-ip; in STUNner the \
                                      listener's address). No peer can send there.";
pub(crate) const NOT_ROUTABLE: &str = "The relayed address is not reachable from where clients are. Calls between two clients of \
                                       this server that both use the relay still work; a peer elsewhere cannot send to it. If \
                                       such peers matter, tell the server its public address (external-ip, or the advertised \
                                       address).";
pub(crate) const RELAY_PORTS: &str = "Data do not come through though both sides permit each other: the server cannot reach its own \
                                      relayed addresses. Open its relay ports (UDP 49152 to 65535 unless it is told otherwise) \
                                      in its firewall, and where its address is that of a NAT, let the NAT send packets back in \
                                      (hairpin), or set the private address beside the public one.";
pub(crate) const LOSS: &str = "Packets are lost on the way: sound and picture will be broken. Look at the network between here and \
                               the server (Wi-Fi, VPN), at the server's load, and at its bandwidth limits (max-bps).";
pub(crate) const MTU: &str = "Packets of ordinary media do not fit the path: calls connect and then show no picture. A tunnel or VPN \
                              on the way makes packets smaller; raise its MTU to 1,280 bytes at least, or let the server's and \
                              the routers' ICMP messages through (packet too big).";

/// Nothing comes back from a UDP port.
pub(crate) fn filtered_udp(port: u16) -> String {
    format!(
        "A firewall drops the packets, or nothing is there: open UDP port {port} at the server (security group, ufw, Kubernetes \
         Service of type LoadBalancer), and see that the address is right. Where networks of clients block UDP, offer \
         ?transport=tcp or turns: beside it."
    )
}

/// Nothing comes back from a TCP port.
pub(crate) fn filtered_tcp(port: u16) -> String {
    format!(
        "A firewall drops the packets, or the machine is off: open TCP port {port} at the server (security group, ufw), and see \
         that the address is right."
    )
}

/// The machine says that nobody listens.
pub(crate) fn closed(port: u16, transport: Transport) -> String {
    let (name, other) = if transport == Transport::Udp { ("UDP", "TCP") } else { ("TCP", "UDP") };
    format!(
        "The machine is there, and no program listens on {name} port {port}: is the TURN server running, on this port, and over \
         {name} and not {other} only? Does it listen on this address, and not on loopback only?"
    )
}

/// A request came to nothing.
pub(crate) fn of(why: &Failure, request: &str) -> String {
    let text = match why {
        Failure::Refused { code, .. } => code_of(*code, request),
        Failure::Timeout => {
            "The server answered before, and does not answer this request: its overload protection may be at \
                             work, or a firewall that looks into packets. Try again in a minute."
        }
        Failure::Unreachable => "The connection ended while the server was asked: see its log.",
        Failure::IntegrityViolated => {
            "The answers are not signed with this password: something on the way changes them, or the \
                                       server knows the user by another password."
        }
        Failure::BidDown | Failure::NoAlgorithm => {
            "The server's offer of password algorithms cannot be used: update the server, or \
                                                    look for a middlebox that changes it."
        }
        Failure::RedirectLoop => REDIRECT,
        Failure::UnusableFamily => {
            "The server relays from another family than it was asked for: update the server."
        }
        Failure::TooLong => LONG,
        _ => "The server's answer is not as RFC 8656 has it: update the server, and see its log.",
    };
    text.to_owned()
}

/// What a server means by a code (RFC 8656, section 19; RFC 8489, section 14.8).
fn code_of(code: u16, request: &str) -> &'static str {
    let known = CODES.iter().find(|(known, _)| *known == code).map(|(_, advice)| *advice);
    match code {
        300 => REDIRECT,
        403 if request == "Allocate" => {
            "The server forbids this user or this address an allocation: see its access rules, and its limits for new \
             clients."
        }
        _ => known.unwrap_or("The server has a reason of its own: see its log."),
    }
}

const CODES: &[(u16, &str)] = &[
    (446, "The peer has a connection with the relayed address already (RFC 6062)."),
    (447, "The server cannot connect to the peer: is it there, and is its port open?"),
    (500, "The server has a fault of its own: see its log."),
    (
        401,
        "The user name or the password is wrong, or the user is not in this realm: compare both with the server's, to \
         the letter. Keys made in advance (turnadmin -k) belong to one realm.",
    ),
    (
        403,
        "The server's peer policy forbids its own relayed address: two clients that both use the relay cannot call \
         each other. Allow the relay's own addresses (allowed-peer-ip, no denied-peer-ip for them; in STUNner a \
         UDPRoute with the relay's range).",
    ),
    (
        437,
        "The server believes that this address has an allocation, or lost the one it had: a NAT or proxy joins \
         several clients, or several servers behind one address take turns. Let a load balancer keep a client at one \
         server.",
    ),
    (
        438,
        "The server calls every nonce stale: several servers behind one address with different keys, or a NAT that \
         gives every packet another port. Let a load balancer keep a client at one server.",
    ),
    (
        440,
        "The server has no relayed addresses of this family: leave out --relay-ipv6, or give the server an IPv6 \
         address.",
    ),
    (441, "The allocation belongs to other credentials: let the client keep the ones that it began with."),
    (
        442,
        "The server does not relay over UDP, which is all that WebRTC asks for: see its relay transports \
         (no-udp-relay).",
    ),
    (
        443,
        "The peer's address is of another family than the relayed one: ask for a relayed address of both families.",
    ),
    (
        486,
        "The user has as many allocations as the server allows: raise user-quota, or wait until old ones expire, \
         which takes 10 minutes. Every page with several TURN URLs holds several.",
    ),
    (
        508,
        "The server has no room: all relay ports are in use, or its total quota or bandwidth is. Give it more ports \
         (min-port, max-port), or another server.",
    ),
    (400, "The server does not understand the request: it may be no TURN server, or an old one."),
    (420, "The server does not know an attribute that TURN has: update it."),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, request: &str) -> String {
        of(&Failure::Refused { code, reason: "".into() }, request)
    }

    #[test]
    fn every_code_of_turn_has_an_advice_of_its_own() {
        let codes = [300, 400, 401, 403, 420, 437, 438, 440, 441, 442, 443, 446, 486, 500, 508];
        let mut all: Vec<_> = codes.iter().map(|&code| refused(code, "Allocate")).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), codes.len());
    }

    #[test]
    fn forbidden_means_something_else_for_a_peer() {
        assert!(refused(403, "Allocate").contains("access rules"));
        assert!(refused(403, "CreatePermission").contains("peer policy"));
    }
}
