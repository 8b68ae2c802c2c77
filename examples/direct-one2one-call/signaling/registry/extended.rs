//! What a page can do that the tutorial's does not: come back after a lost connection, restart ICE, and see who is there.

use stunner_auth::IceConfig;

use super::{Call, MAX_WAITING, Registry, Reply, Session, SessionId, token};
use crate::signaling::message::{Resumed, Roster, User};

/// Names in a list of who is there.
const MAX_LISTED: usize = 100;

impl Session {
    /// Keeps a reply for a client that may come back: of offers and answers the newest, for only that is of use.
    pub(super) fn keep(&mut self, reply: Reply) {
        let describes =
            |reply: &Reply| matches!(reply, Reply::Restart { .. } | Reply::RestartResponse { .. });
        if describes(&reply) {
            self.waiting.retain(|old| !describes(old));
        }
        if self.token.is_some() && self.waiting.len() < MAX_WAITING {
            self.waiting.push(reply);
        }
    }
}

impl Registry {
    /// The session of a lost connection, or of one that only its client knows to be lost, goes on under the number of
    /// this one.
    pub(super) fn resume(&mut self, id: SessionId, used: &str, ice: Option<IceConfig>) {
        let old = self.tokens.get(used).copied().filter(|&old| old != id && !self.is_registered(id));
        let Some(mut session) = old.and_then(|old| self.sessions.remove(&old)) else {
            return self.send(id, Reply::resumed(None));
        };
        self.tokens.remove(used);
        let resume = token();
        self.tokens.insert(resume.clone(), id);
        session.token = Some(resume.clone());
        session.outbox = self.sessions.remove(&id).and_then(|fresh| fresh.outbox);
        self.names.extend(session.name.clone().map(|name| (name, id)));
        let peer = session.call.peer().and_then(|peer| self.sessions.get_mut(&peer));
        let peer = peer.and_then(|peer| {
            peer.call = peer.call.with(id);
            peer.name.clone()
        });
        let waiting = std::mem::take(&mut session.waiting);
        self.sessions.insert(id, session);
        self.changed = true;
        self.send(id, Reply::resumed(Some(Resumed { resume, peer, ice_configuration: ice })));
        let list = self.roster.as_ref().map(|_| Reply::Users(self.list()));
        for reply in waiting.into_iter().chain(list) {
            self.send(id, reply);
        }
    }

    /// To the peer of a running call, if it knows such messages.
    pub(super) fn pass_on(&mut self, id: SessionId, reply: Reply) {
        let Some(Call::Running(peer)) = self.sessions.get(&id).map(|session| session.call) else { return };
        if self.is_extended(peer) {
            self.send(peer, reply);
        }
    }

    /// Tells of a change of who is there.
    pub(super) fn publish(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        if let Some(published) = &self.roster {
            published.send_replace(self.list());
        }
    }

    fn list(&self) -> Roster {
        let busy = |id: &SessionId| {
            self.sessions.get(id).is_none_or(|session| session.call != Call::None || session.outbox.is_none())
        };
        let listed = self.names.iter().take(MAX_LISTED);
        let users: Vec<_> = listed.map(|(name, id)| User { name: name.clone(), busy: busy(id) }).collect();
        Roster { more: self.names.len() - users.len(), users }
    }
}
