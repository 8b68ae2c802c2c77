//! Requests: what each of them says (RFC 8656, sections 7.1, 8.1, 10.1 and 12.1).

use std::net::SocketAddr;

use rand::Rng;
use stunner_proto::{
    BufferTooSmall, Class, MessageBuilder, Method, TransactionId,
    attribute::{
        AdditionalAddressFamily, AddressFamily, DontFragment, EvenPort, Lifetime, MobilityTicket,
        RequestedAddressFamily, RequestedTransport, Software, XorPeerAddress,
    },
};

use super::{Client, Failure, MAX_REQUEST, Port, Request, Wanted, credentials::Signature, transaction};

/// The method of a request.
pub(super) const fn method(request: Request) -> Method {
    match request {
        Request::Allocate => Method::ALLOCATE,
        Request::Refresh | Request::Close | Request::Migrate => Method::REFRESH,
        Request::Permission(_) => Method::CREATE_PERMISSION,
        Request::Channel(..) => Method::CHANNEL_BIND,
    }
}

impl Client {
    /// Asks the server for something.
    pub(super) fn ask(&mut self, request: Request, now: u64) {
        self.ask_again(request, transaction::Tries::default(), now, now);
    }

    /// Asks once more, `from` some time on.
    pub(super) fn ask_again(&mut self, request: Request, tries: transaction::Tries, from: u64, now: u64) {
        self.transactions.ask(transaction::Waiting { request, tries, from });
        self.begin(now);
    }

    /// Begins as many of the transactions that wait as may be under way.
    pub(super) fn begin(&mut self, now: u64) {
        loop {
            let held = self.paths.are_held();
            let fit = |request| !held || request == Request::Migrate;
            let Some(waiting) = self.transactions.admit(fit) else { break };
            let id = TransactionId(self.rng.random());
            let local = self.paths.of(waiting.request, self.tuple.client);
            match self.build(waiting.request, id) {
                Ok(signed) => self.transactions.begin(waiting, id, local, signed, now),
                Err(BufferTooSmall) => self.fail(waiting.request, Failure::TooLong, now),
            }
        }
    }

    fn build(
        &self,
        request: Request,
        id: TransactionId,
    ) -> Result<(Vec<u8>, Option<Signature>), BufferTooSmall> {
        let mut bytes = vec![0; MAX_REQUEST];
        let message = MessageBuilder::new(Class::Request, method(request), id, &mut bytes);
        let message = match request {
            Request::Allocate => self.say_allocate(message),
            Request::Refresh => self.say_refresh(message),
            Request::Close => message.attribute(&Lifetime(0)),
            Request::Migrate => self.say_refresh(message).maybe(self.ticket().map(MobilityTicket).as_ref()),
            Request::Permission(ip) => message.attribute(&XorPeerAddress(SocketAddr::new(ip, 0))),
            Request::Channel(number, peer) => message.attribute(&number).attribute(&XorPeerAddress(peer)),
        };
        let software = self.config.software.as_deref().and_then(|software| Software::new(software).ok());
        let software = software.filter(|_| matches!(method(request), Method::ALLOCATE | Method::REFRESH));
        let (message, signature) = self.credentials.sign(&self.config, message.maybe(software.as_ref()));
        let message = if self.config.fingerprint { message.fingerprint() } else { message };
        let len = message.finish()?;
        bytes.truncate(len);
        Ok((bytes, signature))
    }

    /// What excludes one another (RFC 8656, section 7.1) cannot be [wanted](Wanted) together.
    fn say_allocate<'b>(&self, message: MessageBuilder<'b>) -> MessageBuilder<'b> {
        let even = |reserve_next| Some(EvenPort { reserve_next });
        // IPv4 is what is meant where no family is named, also by servers that know of no other.
        let (family, second, even, token) = match self.wishes.wanted {
            Wanted::One(family, port) => {
                let family = Some(family).filter(|&family| family != AddressFamily::V4);
                let even = match port {
                    Port::Any => None,
                    Port::Even => even(false),
                    Port::EvenAndNext => even(true),
                };
                (family, None, even, None)
            }
            Wanted::Dual { even: wished } => {
                let second = AdditionalAddressFamily(AddressFamily::V6);
                (None, Some(second), if wished { even(false) } else { None }, None)
            }
            Wanted::Reserved(token) => (None, None, None, Some(token)),
        };
        message
            .attribute(&RequestedTransport::UDP)
            .maybe(self.lifetime().as_ref())
            .maybe(family.map(RequestedAddressFamily).as_ref())
            .maybe(second.as_ref())
            .maybe(even.as_ref())
            .maybe(token.as_ref())
            .maybe(self.wishes.dont_fragment.then_some(DontFragment).as_ref())
            .maybe(self.wishes.mobility.then_some(MobilityTicket(&[])).as_ref())
    }

    fn say_refresh<'b>(&self, message: MessageBuilder<'b>) -> MessageBuilder<'b> {
        message.maybe(self.lifetime().as_ref())
    }

    /// The lifetime to ask for; 0 would end the allocation.
    fn lifetime(&self) -> Option<Lifetime> {
        let seconds = self.config.lifetime?.as_secs().max(1);
        Some(Lifetime(u32::try_from(seconds).unwrap_or(u32::MAX)))
    }
}
