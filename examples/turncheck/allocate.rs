//! The allocation: credentials, quotas, other servers; and what its addresses mean.

use std::net::SocketAddr;

use stunner_relay::client::{Allocated, Event, Failure, Request};

use crate::{
    advice, check, clock,
    link::Link,
    name, now,
    options::Plan,
    probe,
    report::Finding,
    scope::Scope,
    session::{Happening, Session},
};

/// Asks for an allocation; 300 is followed.
pub(crate) async fn allocate(plan: &Plan, link: Link) -> Result<(Session, Finding), Finding> {
    let refuse = |why| Finding::failed(why, advice::LONG);
    let mut session = Session::new(plan, link).map_err(refuse)?;
    // A server's errors are met with a few more tries.
    let until = now() + 2 * plan.timeout;
    let mut by_way_of = String::new();
    loop {
        match session.next(until).await {
            Happening::Event(Event::Allocated(granted)) => {
                let text = format!("{} for {} s{by_way_of}", list(&granted), granted.lifetime.as_secs());
                return Ok((session, Finding::ok(text)));
            }
            Happening::Event(Event::Redirected { server, domain }) => {
                by_way_of = format!("{by_way_of}, by way of {server}");
                let name = domain.as_deref().unwrap_or(&plan.host);
                session.redirect(follow(plan, name, server).await?);
            }
            Happening::Event(Event::Refused { request: Request::Allocate, why }) => {
                return Err(refused(plan, &why));
            }
            Happening::Broken(error) => return Err(probe::broken(plan, &error)),
            Happening::TimeOut => return Err(refused(plan, &Failure::Timeout)),
            Happening::Event(_) | Happening::Data(..) => {}
        }
    }
}

/// A link to the server that 300 names.
async fn follow(plan: &Plan, name: &str, server: SocketAddr) -> Result<Link, Finding> {
    if !name::has_route(server) {
        let text = format!("the server names {server} (300), which cannot be reached from here");
        return Err(Finding::failed(text, advice::REDIRECT));
    }
    check::open(plan, name, server).await.map_err(|finding| {
        let text = format!("the server names {server} (300), but: {}", finding.text);
        Finding { text, ..finding }
    })
}

fn refused(plan: &Plan, why: &Failure) -> Finding {
    let advice = match why {
        Failure::Refused { code: 401, .. } if plan.made => advice::WRONG_SECRET.to_owned(),
        Failure::Refused { code: 401, .. } if clock::expiry(&plan.username).is_some() => {
            advice::TIME_LIMITED.to_owned()
        }
        why => advice::of(why, "Allocate"),
    };
    Finding::failed(format!("refused: {why}"), advice)
}

fn list(granted: &Allocated) -> String {
    let relayed: Vec<_> =
        [granted.v4, granted.v6].into_iter().flatten().map(|relayed| relayed.to_string()).collect();
    format!("relayed address {}", relayed.join(" and "))
}

/// The client's address as the server sees it: is there a NAT?
pub(crate) fn mapped(granted: &Allocated, local: SocketAddr) -> Finding {
    let mapped = granted.mapped;
    if mapped == local {
        return Finding::ok(format!("{mapped}: no NAT on the way"));
    }
    Finding::ok(format!("{mapped}: a NAT on the way, this machine has {local}"))
}

/// Whether those who reach the server reach its relayed address too.
pub(crate) fn relayed(relayed: SocketAddr, server: SocketAddr) -> Finding {
    let (own, reached) = (Scope::of(relayed.ip()), Scope::of(server.ip()));
    let text = format!("{} is {}", relayed.ip(), own.reach());
    match own {
        Scope::Unspecified => Finding::failed(text, advice::UNSPECIFIED),
        _ if own < reached => Finding::warning(text, advice::NOT_ROUTABLE),
        _ => Finding::ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Status;

    fn status(relay: &str, server: &str) -> Status {
        relayed(format!("{relay}:49152").parse().unwrap(), format!("{server}:3478").parse().unwrap()).status
    }

    #[test]
    fn a_relayed_address_reaches_as_far_as_its_server_or_is_told() {
        assert_eq!(status("203.0.113.1", "203.0.113.1"), Status::Ok);
        assert_eq!(status("10.0.0.1", "10.0.0.9"), Status::Ok);
        assert_eq!(status("127.0.0.1", "127.0.0.1"), Status::Ok);
        for (relay, server) in
            [("10.0.0.1", "203.0.113.1"), ("127.0.0.1", "10.0.0.1"), ("[fe80::1]", "[2001:db8::1]")]
        {
            assert_eq!(status(relay, server), Status::Warning, "{relay}");
        }
        assert_eq!(status("0.0.0.0", "127.0.0.1"), Status::Failed);
    }
}
