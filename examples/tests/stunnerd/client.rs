//! A TURN client over UDP that tells the codes of what it is answered.

use std::{
    io::ErrorKind,
    iter,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use stunner_proto::{
    ChannelData, ChannelNumber, Class, Key, Message, MessageBuilder, Method, TransactionId,
    attribute::{
        ErrorCode, Lifetime, Nonce, Realm, RequestedAddressFamily, RequestedTransport, Username,
        XorPeerAddress, XorRelayedAddress,
    },
};

/// How long an answer may take before the request is sent again.
const RTO: Duration = Duration::from_millis(500);

pub(crate) struct Client {
    socket: UdpSocket,
    username: String,
    password: String,
    challenge: Option<(String, String)>,
    last: u8,
}

impl Client {
    pub(crate) fn new(server: IpAddr, port: u16, username: &str, password: &str) -> Self {
        let socket = UdpSocket::bind((server, 0)).expect("a socket");
        socket.connect((server, port)).expect("it is there");
        socket.set_read_timeout(Some(RTO)).expect("a time-out");
        Self {
            socket,
            username: username.to_owned(),
            password: password.to_owned(),
            challenge: None,
            last: 0,
        }
    }

    /// The code of the answer to a request, 0 for success, and the relayed transport address in it.
    pub(crate) fn ask(
        &mut self,
        method: Method,
        build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
    ) -> (u16, Option<SocketAddr>) {
        let bytes = self.request(method, build);
        // What was sent twice may have been answered twice: the second answer is none to the next request.
        let answers = |packet: &[u8]| packet.get(8..20) == bytes.get(8..20);
        let answer = self.answer(&bytes, answers).expect("an answer");
        let message = Message::parse(&answer).expect("a message");
        if let (Ok(realm), Ok(nonce)) = (message.require::<Realm<'_>>(), message.require::<Nonce<'_>>()) {
            self.challenge = Some((realm.as_str().to_owned(), nonce.as_str().to_owned()));
        }
        let code = match message.class() {
            Class::SuccessResponse => 0,
            _ => message.require::<ErrorCode<'_>>().expect("a code").code(),
        };
        (code, message.require::<XorRelayedAddress>().ok().map(|XorRelayedAddress(relayed)| relayed))
    }

    /// The bytes of a request, with credentials once there was a challenge.
    fn request(
        &mut self,
        method: Method,
        build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
    ) -> Vec<u8> {
        self.last += 1;
        let mut buffer = vec![0; 1024];
        let id = TransactionId([self.last; 12]);
        let mut builder = build(MessageBuilder::new(Class::Request, method, id, &mut buffer));
        if let Some((realm, nonce)) = &self.challenge {
            builder = builder
                .attribute(&Username::new(&self.username).expect("a name"))
                .attribute(&Realm::new(realm).expect("a realm"))
                .attribute(&Nonce::new(nonce).expect("a nonce"))
                .integrity(&Key::long_term(&self.username, realm, &self.password));
        }
        let len = builder.finish().expect("it fits");
        buffer.truncate(len);
        buffer
    }

    /// What comes back and is wanted; the request is sent ten times at most.
    fn answer(&self, request: &[u8], is_wanted: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        (0..10).find_map(|_| {
            self.socket.send(request).expect("it is sent");
            iter::from_fn(|| self.receive()).find(|packet| is_wanted(packet))
        })
    }

    fn receive(&self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 2048];
        match self.socket.recv(&mut buffer) {
            Ok(len) => Some(buffer[..len].to_vec()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The code of Allocate for a family, after the challenge of the first; or a relayed transport address.
    pub(crate) fn allocate(&mut self, family: RequestedAddressFamily) -> Result<SocketAddr, u16> {
        let ask = |client: &mut Self| {
            client.ask(Method::ALLOCATE, |message| {
                message.attribute(&RequestedTransport::UDP).attribute(&family)
            })
        };
        let (code, _) = ask(self);
        assert_eq!(code, 401);
        match ask(self) {
            (0, relayed) => Ok(relayed.expect("a relayed address")),
            (code, _) => Err(code),
        }
    }

    /// The code of CreatePermission.
    pub(crate) fn permit(&mut self, peer: &str) -> u16 {
        let peer = SocketAddr::new(peer.parse().expect("an address"), 9);
        self.ask(Method::CREATE_PERMISSION, |message| message.attribute(&XorPeerAddress(peer))).0
    }

    /// The code of ChannelBind.
    pub(crate) fn bind(&mut self, number: u16, peer: SocketAddr) -> u16 {
        let number = ChannelNumber::new(number).expect("a channel's number");
        self.ask(Method::CHANNEL_BIND, |message| message.attribute(&number).attribute(&XorPeerAddress(peer)))
            .0
    }

    /// The code of a Refresh that ends the allocation.
    pub(crate) fn end(&mut self) -> u16 {
        self.ask(Method::REFRESH, |message| message.attribute(&Lifetime(0))).0
    }

    /// Sends data over a channel to a peer that sends them back, and tells whether they came.
    pub(crate) fn echoes(&self, number: u16, data: &[u8]) -> bool {
        let number = ChannelNumber::new(number).expect("a channel's number");
        let header = ChannelData::header(number, data.len()).expect("it fits");
        let packet = [&header[..], data].concat();
        self.answer(&packet, |answer| answer == packet).is_some()
    }

    /// Whether Binding is the first of two requests that is answered.
    pub(crate) fn only_binding_is_answered(&mut self) -> bool {
        let allocate = self.request(Method::ALLOCATE, |message| message.attribute(&RequestedTransport::UDP));
        self.socket.send(&allocate).expect("it is sent");
        let binding = self.request(Method::BINDING, |message| message);
        let answer = self.answer(&binding, |_| true).expect("an answer");
        let message = Message::parse(&answer).expect("a message");
        (message.class(), message.method()) == (Class::SuccessResponse, Method::BINDING)
    }
}
