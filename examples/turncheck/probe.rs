//! The first answer: is there anything at the port, and is it TURN?

use std::{
    io::{self, ErrorKind},
    time::{Duration, Instant},
};

use stunner_proto::{
    Class, Message, MessageBuilder, Method, TransactionId,
    attribute::{ErrorCode, Lifetime, Realm, RequestedTransport, Software},
};
use stunner_relay::Transport;
use tokio::time::timeout_at;

use crate::{advice, link::Link, now, options::Plan, report::Finding};

/// The first wait before a datagram is sent again.
const RTO: Duration = Duration::from_millis(500);

/// Asks without credentials, twice: as a STUN client and as a TURN client.
pub(crate) async fn probe(plan: &Plan, mut link: Link) -> Result<((), Finding), Finding> {
    let ids = [TransactionId(rand::random()), TransactionId(rand::random())];
    let asked = ask(plan, &mut link, ids).await;
    match asked {
        Ok((_, Some(text))) => Ok(((), Finding::ok(text))),
        Ok((true, None)) => Err(Finding::failed("it answers STUN, and no TURN request", advice::STUN_ONLY)),
        Ok((false, None)) => Err(silence(plan)),
        Err(error) => Err(broken(plan, &error)),
    }
}

/// Whether Binding was answered, and what the answer to Allocate says.
async fn ask(plan: &Plan, link: &mut Link, ids: [TransactionId; 2]) -> io::Result<(bool, Option<String>)> {
    let end = now() + plan.timeout;
    let (mut again, mut wait) = (now(), RTO);
    let mut stun = false;
    while now() < end {
        if now() >= again {
            for request in [request(Method::BINDING, ids[0]), request(Method::ALLOCATE, ids[1])] {
                link.send(&request).await?;
            }
            again = if plan.transport.is_stream() { end } else { now() + wait };
            wait *= 2;
        }
        let Some(packet) = receive(link, again.min(end)).await? else { continue };
        let Ok(message) = Message::parse(&packet) else { continue };
        if message.transaction_id() == ids[1] {
            let text = describe(&message);
            if message.class() == Class::SuccessResponse {
                // Without credentials: it is given back, for what it is worth.
                link.send(&request(Method::REFRESH, TransactionId(rand::random()))).await?;
            }
            return Ok((stun, Some(text)));
        }
        stun |= message.transaction_id() == ids[0];
    }
    Ok((stun, None))
}

async fn receive(link: &mut Link, until: Instant) -> io::Result<Option<Vec<u8>>> {
    timeout_at(until.into(), link.receive()).await.ok().transpose()
}

fn request(method: Method, id: TransactionId) -> Vec<u8> {
    let mut buffer = vec![0; 128];
    let builder = MessageBuilder::new(Class::Request, method, id, &mut buffer);
    let builder = match method {
        Method::ALLOCATE => builder.attribute(&RequestedTransport::UDP),
        Method::REFRESH => builder.attribute(&Lifetime(0)),
        _ => builder,
    };
    let len = builder.finish().expect("a request without credentials fits");
    buffer.truncate(len);
    buffer
}

/// Who answers, and what it wants.
fn describe(message: &Message<'_>) -> String {
    let realm = message.get::<Realm<'_>>().ok().flatten();
    let software = message.get::<Software<'_>>().ok().flatten();
    let by = software.map_or_else(String::new, |software| format!(" ({})", software.as_str()));
    match (message.class(), message.get::<ErrorCode<'_>>().ok().flatten(), realm) {
        (Class::SuccessResponse, ..) => format!("a TURN server{by} that wants no credentials"),
        (_, Some(error), Some(realm)) if error.code() == 401 => {
            format!("a TURN server{by} of realm {:?}", realm.as_str())
        }
        (_, Some(error), _) => format!("a TURN server{by} that says {} {}", error.code(), error.reason()),
        _ => format!("a TURN server{by}"),
    }
}

fn silence(plan: &Plan) -> Finding {
    let text = format!("no answer in {} s", plan.timeout.as_secs());
    let advice = match plan.transport {
        Transport::Udp | Transport::Dtls => advice::filtered_udp(plan.port),
        Transport::Tcp | Transport::Tls => advice::MUTE.to_owned(),
    };
    Finding::failed(text, advice)
}

/// What an error of the socket means.
pub(crate) fn broken(plan: &Plan, error: &io::Error) -> Finding {
    let Plan { port, transport, .. } = *plan;
    match error.kind() {
        ErrorKind::ConnectionRefused if transport == Transport::Udp => Finding::failed(
            format!("UDP port {port} is closed: the machine says so (ICMP)"),
            advice::closed(port, transport),
        ),
        ErrorKind::ConnectionRefused => Finding::failed(
            format!("TCP port {port} is closed: the connection is refused (RST)"),
            advice::closed(port, transport),
        ),
        ErrorKind::TimedOut => Finding::failed("no answer to the connection", advice::filtered_tcp(port)),
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::AddrNotAvailable => {
            Finding::failed(error.to_string(), advice::NO_ROUTE)
        }
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            Finding::failed("the server closed the connection without an answer", advice::MUTE)
        }
        ErrorKind::InvalidData => Finding::failed(
            format!("what answers speaks no TURN, but {error}"),
            if error.to_string() == "TLS" { advice::SPEAKS_TLS } else { advice::OTHER },
        ),
        _ => Finding::failed(error.to_string(), advice::LOST),
    }
}
