//! Who is there and who calls whom. No socket and no clock: requests in, replies into each session's queue.

use std::collections::HashMap;

use serde_json::Value;
use stunner_auth::IceConfig;
use tokio::sync::mpsc::Sender;

use super::message::{Reply, Request};

/// The longest name, in characters.
const MAX_NAME: usize = 64;

/// Users at a time.
const MAX_USERS: usize = 10_000;

/// Candidates that wait for a call to be placed.
const MAX_CANDIDATES: usize = 64;

pub(super) type SessionId = u64;

/// All sessions of a server.
#[derive(Debug, Default)]
pub(super) struct Registry {
    sessions: HashMap<SessionId, Session>,
    names: HashMap<String, SessionId>,
    last: SessionId,
}

#[derive(Debug)]
struct Session {
    outbox: Sender<Reply>,
    name: Option<String>,
    call: Call,
    /// Candidates that came before there was anybody to send them to.
    early: Vec<Value>,
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
}

impl Registry {
    /// A new connection. Its replies go to `outbox`; when that is full, they are lost and so is the connection.
    pub(super) fn connect(&mut self, outbox: Sender<Reply>) -> SessionId {
        self.last += 1;
        let session = Session { outbox, name: None, call: Call::None, early: Vec::new() };
        self.sessions.insert(self.last, session);
        self.last
    }

    /// A connection that ended: its call ends too, and its name is free.
    pub(super) fn disconnect(&mut self, id: SessionId) {
        self.stop(id);
        if let Some(name) = self.sessions.remove(&id).and_then(|session| session.name) {
            self.names.remove(&name);
        }
    }

    /// How many users are registered.
    pub(super) fn users(&self) -> usize {
        self.names.len()
    }

    /// Takes in what a client says; `ice` is for one that registers.
    pub(super) fn handle(&mut self, id: SessionId, request: Request, ice: Option<IceConfig>) {
        match request {
            Request::Register { name } => {
                let reply = match self.register(id, &name) {
                    Ok(()) => Reply::registered(ice),
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
        }
    }

    fn register(&mut self, id: SessionId, name: &str) -> Result<(), String> {
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
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
        if session.call != Call::None {
            return Err("in a call: hang up first".to_owned());
        }
        if let Some(old) = session.name.replace(name.to_owned()) {
            self.names.remove(&old);
        }
        self.names.insert(name.to_owned(), id);
        Ok(())
    }

    fn call(&mut self, id: SessionId, to: &str, sdp_offer: String) -> Result<(), String> {
        let caller =
            self.sessions.get(&id).filter(|session| session.call == Call::None).ok_or("already in a call")?;
        let from = caller.name.clone().ok_or("register first")?;
        let &callee = self.names.get(to).ok_or_else(|| format!("User {to} is not registered"))?;
        if callee == id {
            return Err("You cannot call yourself".to_owned());
        }
        if self.sessions.get(&callee).is_none_or(|session| session.call != Call::None) {
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
            Call::None | Call::Ringing(_) if session.early.len() < MAX_CANDIDATES => {
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
            session.call = call;
            if call == Call::None {
                session.early.clear();
            }
        }
    }

    /// A session that does not take its replies loses the sender, and its task ends for that.
    fn send(&mut self, id: SessionId, reply: Reply) {
        if let Some(session) = self.sessions.get_mut(&id)
            && session.outbox.try_send(reply).is_err()
        {
            tracing::warn!(session = id, "a client does not take its messages: disconnected");
            session.outbox = tokio::sync::mpsc::channel(1).0;
        }
    }
}
