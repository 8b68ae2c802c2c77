//! Who is there and who calls whom. No socket and no clock: requests in, replies into each session's queue.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use stunner_auth::IceConfig;
use tokio::sync::{
    mpsc::{Sender, error::TrySendError},
    watch,
};

use super::{
    message::{Reply, Request, Roster},
    token,
};

mod extended;

/// The longest name, in characters.
const MAX_NAME: usize = 64;

/// Users at a time.
const MAX_USERS: usize = 10_000;

/// Sessions at a time, with and without a name.
const MAX_SESSIONS: usize = 12_000;

/// Candidates that wait for a call to be placed, and messages that wait for a client to come back.
const MAX_WAITING: usize = 64;

pub(super) type SessionId = u64;

/// All sessions of a server.
#[derive(Debug)]
pub(super) struct Registry {
    sessions: HashMap<SessionId, Session>,
    names: BTreeMap<String, SessionId>,
    /// What a client shows to have its session back after its connection was lost.
    tokens: HashMap<String, SessionId>,
    last: SessionId,
    /// Where the list of users is published, unless it is nobody's business.
    roster: Option<watch::Sender<Roster>>,
    changed: bool,
}

#[derive(Debug)]
struct Session {
    /// `None` while its connection is lost.
    outbox: Option<Sender<Reply>>,
    name: Option<String>,
    call: Call,
    /// Candidates that came before there was anybody to send them to.
    early: Vec<Value>,
    /// What a client with messages beyond the tutorial's resumes with.
    token: Option<String>,
    /// Replies for when it comes back.
    waiting: Vec<Reply>,
}

/// Where a session stands. The other side always stands opposite.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    None,
    /// It called, and waits for the answer.
    Placed(SessionId),
    /// It is called, and has not answered.
    Ringing(SessionId),
    Running(SessionId),
}

impl Call {
    fn peer(self) -> Option<SessionId> {
        match self {
            Self::None => None,
            Self::Placed(peer) | Self::Ringing(peer) | Self::Running(peer) => Some(peer),
        }
    }

    /// The same call with a peer that has another number now.
    fn with(self, peer: SessionId) -> Self {
        match self {
            Self::None => Self::None,
            Self::Placed(_) => Self::Placed(peer),
            Self::Ringing(_) => Self::Ringing(peer),
            Self::Running(_) => Self::Running(peer),
        }
    }
}

impl Registry {
    /// An empty one, which tells `roster` of every change.
    pub(super) fn new(roster: Option<watch::Sender<Roster>>) -> Self {
        Self {
            sessions: HashMap::new(),
            names: BTreeMap::new(),
            tokens: HashMap::new(),
            last: 0,
            roster,
            changed: false,
        }
    }

    /// A new connection, unless there are too many. Its replies go to `outbox`; when that is full, they are lost and so
    /// is the connection.
    pub(super) fn connect(&mut self, outbox: Sender<Reply>) -> Option<SessionId> {
        if self.sessions.len() >= MAX_SESSIONS {
            return None;
        }
        self.last += 1;
        let session = Session {
            outbox: Some(outbox),
            name: None,
            call: Call::None,
            early: Vec::new(),
            token: None,
            waiting: Vec::new(),
        };
        self.sessions.insert(self.last, session);
        Some(self.last)
    }

    /// A connection that ended. Returns whether its session waits to be resumed; if not, it is forgotten.
    pub(super) fn disconnect(&mut self, id: SessionId) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else { return false };
        session.outbox = None;
        let waits = session.token.is_some();
        self.changed = true;
        if waits {
            self.publish();
        } else {
            self.forget(id);
        }
        waits
    }

    /// A session that ends: its call ends too, and its name is free. Nothing, if it was resumed by another connection.
    pub(super) fn forget(&mut self, id: SessionId) {
        self.leave(id);
        self.sessions.remove(&id);
        self.publish();
    }

    /// How many users are registered.
    pub(super) fn users(&self) -> usize {
        self.names.len()
    }

    /// Whether it has a name, and so needs credentials.
    pub(super) fn is_registered(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| session.name.is_some())
    }

    /// Whether it knows the messages beyond the tutorial's.
    pub(super) fn is_extended(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| session.token.is_some())
    }

    /// Takes in what a client says; `ice` is for one that registers or resumes.
    pub(super) fn handle(&mut self, id: SessionId, request: Request, ice: Option<IceConfig>) {
        match request {
            Request::Register { name, extended } => {
                let reply = match self.register(id, &name, extended) {
                    Ok(resume) => Reply::registered(ice, resume),
                    Err(why) => Reply::not_registered(why),
                };
                self.send(id, reply);
            }
            Request::Call { to, sdp_offer } => {
                if let Err(why) = self.call(id, &to, sdp_offer) {
                    self.send(id, Reply::call_rejected(why));
                }
            }
            Request::IncomingCallResponse { from, call_response, sdp_answer, message } => {
                let answer = sdp_answer.filter(|_| call_response == "accept");
                self.respond(id, &from, answer, message);
            }
            Request::OnIceCandidate { candidate } => self.candidate(id, candidate),
            Request::Stop => self.stop(id),
            Request::Resume { token } => self.resume(id, &token, ice),
            Request::Restart { sdp_offer } => self.pass_on(id, Reply::Restart { sdp_offer }),
            Request::RestartResponse { sdp_answer } => {
                self.pass_on(id, Reply::RestartResponse { sdp_answer });
            }
            Request::Ping => self.send(id, Reply::Pong),
            Request::Leave => self.leave(id),
        }
        self.publish();
    }

    /// Gives a name, and to an extended client a token.
    fn register(&mut self, id: SessionId, name: &str, extended: bool) -> Result<Option<String>, String> {
        if name.trim().is_empty() {
            return Err("empty user name".to_owned());
        }
        if name.chars().count() > MAX_NAME {
            return Err(format!("user name longer than {MAX_NAME} characters"));
        }
        if self.names.get(name).is_some_and(|&owner| owner != id) {
            return Err(format!("User {name} is already registered"));
        }
        if self.names.len() >= MAX_USERS {
            return Err("too many users: try again later".to_owned());
        }
        if self.sessions.get(&id).is_none_or(|session| session.call != Call::None) {
            return Err("in a call: hang up first".to_owned());
        }
        self.leave(id);
        let resume = extended.then(token);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.name = Some(name.to_owned());
            session.token.clone_from(&resume);
        }
        self.names.insert(name.to_owned(), id);
        self.tokens.extend(resume.clone().map(|token| (token, id)));
        self.changed = true;
        Ok(resume)
    }

    /// Hangs up, and gives name and token back.
    fn leave(&mut self, id: SessionId) {
        self.stop(id);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if let Some(token) = session.token.take() {
            self.tokens.remove(&token);
        }
        if let Some(name) = session.name.take() {
            self.names.remove(&name);
            self.changed = true;
        }
    }

    fn call(&mut self, id: SessionId, to: &str, sdp_offer: String) -> Result<(), String> {
        let caller =
            self.sessions.get(&id).filter(|session| session.call == Call::None).ok_or("already in a call")?;
        let from = caller.name.clone().ok_or("register first")?;
        let &callee = self.names.get(to).ok_or_else(|| format!("User {to} is not registered"))?;
        if callee == id {
            return Err("You cannot call yourself".to_owned());
        }
        let session = self.sessions.get(&callee);
        if session.is_some_and(|session| session.outbox.is_none()) {
            return Err(format!("User {to} has just lost the connection: try again in a moment"));
        }
        if session.is_none_or(|session| session.call != Call::None) {
            return Err(format!("User {to} is busy"));
        }
        self.set_call(id, Call::Placed(callee));
        self.set_call(callee, Call::Ringing(id));
        self.send(callee, Reply::IncomingCall { from, sdp_offer });
        self.flush(id, callee);
        Ok(())
    }

    /// The callee's answer; `None` declines.
    fn respond(&mut self, id: SessionId, from: &str, answer: Option<String>, message: Option<String>) {
        let caller = match self.sessions.get(&id).map(|session| session.call) {
            Some(Call::Ringing(caller)) if self.names.get(from) == Some(&caller) => caller,
            _ => return self.send(id, Reply::stop(format!("unknown from = {from}"))),
        };
        match answer {
            Some(answer) => {
                self.set_call(caller, Call::Running(id));
                self.set_call(id, Call::Running(caller));
                self.send(caller, Reply::call_accepted(answer));
                self.flush(id, caller);
            }
            None => {
                self.set_call(caller, Call::None);
                self.set_call(id, Call::None);
                let why: String =
                    message.unwrap_or_else(|| "user declined".to_owned()).chars().take(200).collect();
                self.send(caller, Reply::call_rejected(why));
            }
        }
    }

    /// To the peer once there is one that can use it; a callee's wait for its answer, so that the answer is first.
    fn candidate(&mut self, id: SessionId, candidate: Value) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        match session.call {
            Call::Placed(peer) | Call::Running(peer) => self.send(peer, Reply::IceCandidate { candidate }),
            Call::None | Call::Ringing(_) if session.early.len() < MAX_WAITING => {
                session.early.push(candidate);
            }
            _ => self.send(id, Reply::error("too many candidates without a call")),
        }
    }

    fn flush(&mut self, from: SessionId, to: SessionId) {
        let early = self.sessions.get_mut(&from).map(|session| std::mem::take(&mut session.early));
        for candidate in early.unwrap_or_default() {
            self.send(to, Reply::IceCandidate { candidate });
        }
    }

    /// Ends a call, whatever stage it is in, and tells the other side.
    fn stop(&mut self, id: SessionId) {
        let peer = self.sessions.get(&id).and_then(|session| session.call.peer());
        self.set_call(id, Call::None);
        if let Some(peer) = peer {
            self.set_call(peer, Call::None);
            self.send(peer, Reply::stop("remote user hanged out"));
        }
    }

    fn set_call(&mut self, id: SessionId, call: Call) {
        if let Some(session) = self.sessions.get_mut(&id) {
            self.changed |= session.call != call;
            session.call = call;
            if call == Call::None {
                session.early.clear();
            }
        }
    }

    /// A session that does not take its replies loses the sender and its token, and its task ends for that.
    pub(super) fn send(&mut self, id: SessionId, reply: Reply) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let sent = match &session.outbox {
            Some(outbox) => outbox.try_send(reply),
            None => Err(TrySendError::Closed(reply)),
        };
        match sent {
            Ok(()) => {}
            Err(TrySendError::Closed(reply)) => session.keep(reply),
            Err(TrySendError::Full(_)) => {
                tracing::warn!(session = id, "a client does not take its messages: disconnected");
                session.outbox = None;
                self.tokens.remove(&session.token.take().unwrap_or_default());
            }
        }
    }
}
