//! NAT: behaviour discovery (RFC 5780), and OAU: third-party tokens (RFC 7635), where a server has them.

use stunner_proto::{
    AttributeType, Method,
    attribute::{OtherAddress, ResponseOrigin},
};

use crate::{
    base::{binding, lists},
    message::Draft,
    report::{Check, Outcome, ensure, skip},
    world::World,
};

const CHANGE: u16 = 0x0003;
const TOKEN: u16 = 0x001B;
const PADDING: u16 = 0x0026;
const PORT: u16 = 0x0027;
const NO_TOKEN: &str = "needs a key that is shared with the server";

pub(crate) const CHECKS: &[Check] = &[
    ("NAT-01", "Binding tells both addresses of the server", |w| {
        discovery(w)?;
        let answer = w.udp_wire()?.ask(&binding().bytes())?.success()?;
        let origin = answer.get::<ResponseOrigin>()?.0;
        ensure(origin == w.server, &w.server.to_string(), origin.to_string())?;
        let other = answer.get::<OtherAddress>()?.0;
        let apart = other.ip() != w.server.ip() && other.port() != w.server.port();
        ensure(apart, "another address and port", other.to_string())?;
        answer.carrying(&[AttributeType::MAPPED_ADDRESS]).map(drop)
    }),
    ("NAT-02", "CHANGE-REQUEST changes where the answer comes from", |w| {
        discovery(w)?;
        // The socket is connected and does not hear another address: silence is what shows the change.
        w.udp_wire()?.drops(&binding().raw(CHANGE, &[0, 0, 0, 6]).bytes())
    }),
    ("NAT-03", "CHANGE-REQUEST to a server with one address is 420", |w| {
        single(w)?;
        lists(&w.udp_wire()?.ask(&binding().raw(CHANGE, &[0, 0, 0, 6]).bytes())?.refused(420)?, &[CHANGE])
    }),
    ("NAT-04", "a server with one address tells no other", |w| {
        single(w)?;
        w.udp_wire()?.ask(&binding().bytes())?.success()?.without(&[AttributeType::OTHER_ADDRESS]).map(drop)
    }),
    ("NAT-05", "RESPONSE-PORT is where the answer goes", |w| {
        discovery(w)?;
        let (asking, hearing) = (w.udp_wire()?, w.udp_wire()?);
        let [high, low] = hearing.local().port().to_be_bytes();
        asking.send(&binding().raw(PORT, &[high, low, 0, 0]).bytes());
        hearing.expect("an answer at the other port").map(drop)
    }),
    ("NAT-06", "RESPONSE-PORT to a server with one address is 420", |w| {
        single(w)?;
        lists(&w.udp_wire()?.ask(&binding().raw(PORT, &[0x9C, 0x40, 0, 0]).bytes())?.refused(420)?, &[PORT])
    }),
    ("NAT-07", "PADDING is answered with PADDING", |w| {
        discovery(w)?;
        let answer = w.udp_wire()?.ask(&binding().raw(PADDING, &[0; 1_200]).bytes())?.success()?;
        answer.carrying(&[AttributeType::PADDING]).map(drop)
    }),
    ("NAT-08", "PADDING with RESPONSE-PORT is 400", |w| {
        discovery(w)?;
        let draft = binding().raw(PADDING, &[0; 8]).raw(PORT, &[0x9C, 0x40, 0, 0]);
        w.udp_wire()?.ask(&draft.bytes())?.refused(400).map(drop)
    }),
    ("NAT-09", "Binding names no alternate server", |w| {
        let answer = w.udp_wire()?.ask(&binding().bytes())?.success()?;
        answer.without(&[AttributeType::ALTERNATE_SERVER]).map(drop)
    }),
    ("NAT-13", "RESPONSE-PORT reaches the source's address only", |_| skip("a client cannot see others")),
];

pub(crate) const OTHERS: &[Check] = &[
    ("OAU-02", "the first 401 names the authorization server", |w| {
        w.need(w.features.oauth, "tokens")?;
        w.pace();
        let answer = w.wire()?.ask(&Draft::allocate().bytes())?.refused(401)?;
        answer.carrying(&[AttributeType::THIRD_PARTY_AUTHORIZATION]).map(drop)
    }),
    ("OAU-03", "a good token is accepted", |_| skip(NO_TOKEN)),
    ("OAU-04", "ACCESS-TOKEN where none was asked for is 420", |w| {
        if w.features.oauth {
            return skip("the server takes tokens");
        }
        let draft = Draft::request(Method::ALLOCATE).raw(TOKEN, &[7; 16]).raw(0x0019, &[17, 0, 0, 0]);
        lists(&w.client()?.refused(&draft, 420)?, &[TOKEN])
    }),
    ("OAU-05", "an unknown key id is 401", |_| skip(NO_TOKEN)),
    ("OAU-06", "a token that was changed is 401", |_| skip(NO_TOKEN)),
    ("OAU-07", "a token that ran out is 401", |_| skip(NO_TOKEN)),
    ("OAU-08", "a token of the future is 401", |_| skip(NO_TOKEN)),
    ("OAU-09", "integrity by another key is 401", |_| skip(NO_TOKEN)),
    ("OAU-10", "no LIFETIME beyond the token's", |_| skip(NO_TOKEN)),
    ("OAU-11", "later requests need no token", |_| skip(NO_TOKEN)),
    ("OAU-12", "Refresh with a new token", |_| skip(NO_TOKEN)),
];

fn discovery(w: &World) -> Outcome {
    w.need(w.features.other_address, "a second address")
}

fn single(w: &World) -> Outcome {
    if w.features.other_address { skip("the server has a second address") } else { Ok(()) }
}
