//! Random clients, peers and operators: what must hold whatever they do, and a model that says what is to come of it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed},
};
use stunner_proto::{
    Class, Method, TransactionId,
    attribute::{Lifetime, RequestedTransport, Username},
};
use stunner_relay::Event;

use crate::world::{Everyone, Raw, Received, User, World, client, config, message};
use model::Model;
use operations::{Operation, Room, Step, runs};
use run::{Delivery, Outcome, Run};

mod model;
mod operations;
mod run;

/// The same cases each time, unless the environment says otherwise (`PROPTEST_RNG_SEED`, and with it `PROPTEST_CASES`).
fn cases(cases: u32) -> Config {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(1);
        config.cases = cases;
    }
    config
}

/// Data that no other step sends.
fn data(step: usize) -> Vec<u8> {
    u64::try_from(step).expect("a small number").to_be_bytes()[step % 5..].to_vec()
}

/// Takes all steps, and looks at each.
fn run(room: Room, steps: &[Step], mut look: impl FnMut(&mut Run, &Step, &Outcome)) -> Run {
    let mut run = Run::new(room, 1);
    for (n, step) in steps.iter().enumerate() {
        let outcome = run.take(step, &data(n));
        look(&mut run, step, &outcome);
    }
    run
}

/// What was permitted and bound, as seen from outside: when a request for it was last answered with success.
#[derive(Default)]
struct Ledger {
    permitted: BTreeMap<(usize, IpAddr), Instant>,
    bound: BTreeMap<(usize, u16), (SocketAddr, Instant)>,
}

impl Ledger {
    fn note(&mut self, run: &Run, step: &Step, outcome: &Outcome) {
        let (n, now) = (step.client, run.world.now);
        match &step.operation {
            _ if outcome.code != Some(0) => {}
            Operation::Allocate { .. } => {
                self.permitted.retain(|(client, _), _| *client != n);
                self.bound.retain(|(client, _), _| *client != n);
            }
            Operation::Permit(peers) => {
                let peers = peers.iter().filter_map(|&peer| run.find(peer));
                self.permitted.extend(peers.map(|peer| ((n, peer.ip()), now)));
            }
            Operation::Bind(number, peer) => {
                let peer = run.find(*peer).expect("it was bound");
                self.permitted.insert((n, peer.ip()), now);
                self.bound.insert((n, *number), (peer, now));
            }
            _ => {}
        }
    }

    fn permits(&self, n: usize, peer: IpAddr, now: Instant) -> bool {
        self.permitted.get(&(n, peer)).is_some_and(|&since| (now - since).as_secs() < 300)
    }

    fn bound(&self, n: usize, number: u16, now: Instant) -> Option<SocketAddr> {
        let &(peer, since) = self.bound.get(&(n, number))?;
        ((now - since).as_secs() < 600).then_some(peer)
    }
}

proptest! {
    #![proptest_config(cases(120))]

    #[test]
    fn what_comes_of_anything_is_what_the_model_says((room, steps) in runs()) {
        let (mut run, mut model) = (Run::new(room, 1), Model::new(room));
        for (n, step) in steps.iter().enumerate() {
            let expected = model.expect(step, &data(n), &run);
            let outcome = run.take(step, &data(n));
            prop_assert_eq!(&outcome, &expected, "step {}: {:?}", n, step);
            if matches!(step.operation, Operation::Allocate { .. }) && outcome.code == Some(0) {
                model.adopt(step.client, run.relayed[step.client]);
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(50))]

    #[test]
    fn no_data_reach_a_peer_without_a_live_permission_or_channel((room, steps) in runs()) {
        let mut ledger = Ledger::default();
        run(room, &steps, |run, step, outcome| {
            ledger.note(run, step, outcome);
            for delivery in &outcome.delivered {
                let Delivery::ToPeer(_, peer, _) = delivery else { continue };
                let (n, now) = (step.client, run.world.now);
                match step.operation {
                    Operation::Send(_) => assert!(ledger.permits(n, peer.ip(), now), "{step:?}"),
                    Operation::SendChannel(number) => assert_eq!(ledger.bound(n, number, now), Some(*peer)),
                    _ => panic!("{step:?} sent data to {peer}"),
                }
            }
        });
    }

    #[test]
    fn a_peers_data_reach_only_a_client_that_permitted_it((room, steps) in runs()) {
        let mut ledger = Ledger::default();
        run(room, &steps, |run, step, outcome| {
            ledger.note(run, step, outcome);
            for delivery in &outcome.delivered {
                let Delivery::ToClient(n, received) = delivery else { continue };
                let now = run.world.now;
                let peer = match received {
                    Received::Data(peer, _) => *peer,
                    Received::Channel(number, _) => ledger.bound(*n, *number, now).expect("a live channel"),
                };
                assert!(ledger.permits(*n, peer.ip(), now), "{step:?}: {n} hears {peer}");
            }
        });
    }

    #[test]
    fn one_packet_gives_one_packet_at_most((room, steps) in runs()) {
        run(room, &steps, |_, step, outcome| {
            assert!(usize::from(outcome.code.is_some()) + outcome.delivered.len() <= 1, "{step:?}: {outcome:?}");
        });
    }

    #[test]
    fn sockets_that_were_opened_and_not_closed_are_the_live_relays((room, steps) in runs()) {
        run(room, &steps, |run, step, _| {
            let world = &run.world;
            let opened = world.events.iter().filter(|event| matches!(event, Event::Opened { .. })).count();
            let closed = world.events.len() - opened;
            let listed = world.server.allocations(0, world.now).map(|(_, info)| info);
            let live: Vec<_> = listed.flat_map(|info| info.relayed.into_iter().flatten()).collect();

            assert_eq!(opened - closed, live.len(), "{step:?}");
            assert_eq!(world.sockets(), live.len(), "{step:?}");
            assert!(live.iter().all(|&relayed| world.server.relay_at(relayed).is_some()), "{step:?}");
        });
    }

    #[test]
    fn once_all_that_has_expired_is_ended_the_next_timeout_is_in_the_future((room, steps) in runs()) {
        let mut run = Run::new(room, 1);
        for step in &steps {
            if let Operation::Wait(millis) = step.operation {
                // Whatever should have happened meanwhile is late.
                run.world.now += Duration::from_millis(millis);
            } else {
                let _ = run.take(step, b"data");
            }
            let now = run.world.now;
            run.world.operate(|server| server.handle_timeout(now));

            let server = &run.world.server;
            assert!(server.poll_timeout().is_none_or(|at| at > now), "{step:?}");
            assert!(server.allocations(0, now).all(|(_, info)| info.expires_in > 0), "{step:?}");
        }
    }

    #[test]
    fn gen_14_the_same_seed_and_the_same_steps_give_the_same_packets((room, steps) in runs()) {
        let transcript = || run(room, &steps, |_, _, _| {}).transcript;

        prop_assert_eq!(transcript(), transcript());
    }
}

/// A request that nobody signed, with some of what a request may hold.
fn unsigned() -> impl Strategy<Value = Vec<u8>> {
    let method = prop_oneof![
        Just(Method::BINDING),
        Just(Method::ALLOCATE),
        Just(Method::REFRESH),
        Just(Method::CREATE_PERMISSION),
        Just(Method::CHANNEL_BIND),
    ];
    let unknown = proptest::collection::vec(any::<bool>(), 0..70);
    (method, any::<[bool; 5]>(), unknown).prop_map(
        |(method, [udp, lifetime, name, mac, fingerprint], unknown)| {
            message(Class::Request, method, TransactionId([7; 12]), |message| {
                let message = message.maybe(udp.then_some(RequestedTransport::UDP).as_ref());
                let message = message.maybe(lifetime.then_some(Lifetime(600)).as_ref());
                let message = message.maybe(name.then(|| Username::new("user").expect("a name")).as_ref());
                let message = unknown.iter().fold(message, |message, &required| {
                    if required {
                        message.attribute(&Raw::<0x7FFF>(&[]))
                    } else {
                        message.attribute(&Raw::<0xC0DE>(&[]))
                    }
                });
                let message = message.maybe(mac.then_some(Raw::<0x0008>(&[7; 20])).as_ref());
                if fingerprint { message.fingerprint() } else { message }
            })
        },
    )
}

proptest! {
    #![proptest_config(cases(2_000))]

    /// The worst is the challenge to an Allocate of 20 bytes.
    #[test]
    fn bas_22_an_answer_to_who_shows_no_credentials_is_seven_times_as_long_at_most(bytes in unsigned()) {
        let answer = User::new(client(1)).exchange(&mut World::new(config(Everyone)), &bytes);

        let len = answer.map_or(0, |answer| answer.0.len());
        prop_assert!(len <= 7 * bytes.len(), "{} bytes for {}", len, bytes.len());
    }
}

/// A challenge holds the realm, which may have 127 characters, and what SOFTWARE says. So the bound is 13 times the
/// shortest request for realms of ASCII, where SOFTWARE says nothing.
#[test]
fn bas_22_the_longer_the_realm_the_longer_the_challenge() {
    for (characters, len) in [(11, 140), (64, 192), (127, 256)] {
        let mut configured = config(Everyone);
        configured.realm = "r".repeat(characters);

        assert_eq!(User::new(client(1)).challenge(&mut World::new(configured)).0.len(), len);
    }
}
