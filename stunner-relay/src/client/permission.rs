//! Permissions: asked for on demand, and kept (RFC 8656, sections 9 and 10).

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use stunner_proto::attribute::AddressFamily;

use super::{Client, Event, Failure, RETRY_PAUSE, Request, allocate::State, schedule::Due};

/// How long a permission lives: 300 s.
const LIFETIME: u64 = 300_000;

/// When it is renewed: after 240 s, which leaves time to ask more than once.
pub(super) const RENEWAL: u64 = 240_000;

/// A peer's permission, from when it is asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Permission {
    /// Whether the server has granted it.
    granted: bool,
    /// Whether it is to be renewed for its own sake, and not only by a channel.
    kept: bool,
    /// Whether who asked for it was told.
    told: bool,
}

/// The permissions of an allocation.
#[derive(Debug, Default)]
pub(super) struct Permissions(BTreeMap<IpAddr, Permission>);

impl Permissions {
    /// Whether data may be sent there.
    #[inline]
    pub(super) fn is_granted(&self, ip: IpAddr) -> bool {
        self.0.get(&ip).is_some_and(|permission| permission.granted)
    }

    /// Whether data from there may be welcome: the server may have granted what it has not answered yet.
    #[inline]
    pub(super) fn is_asked(&self, ip: IpAddr) -> bool {
        self.0.contains_key(&ip)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Why the client does not even ask.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// There is no allocation.
    #[error("there is no allocation")]
    NoAllocation,
    /// The allocation has no relayed transport address of the peer's family.
    #[error("no relayed address of the peer's family")]
    NoSuchFamily,
    /// A channel has a peer with a port that is not 0.
    #[error("port 0 is nobody's")]
    PortZero,
    /// All numbers are bound, or were so a short while ago.
    #[error("no channel number is free")]
    NoFreeChannel,
}

impl Client {
    /// Lets the data of a peer pass, from any of its ports, and keeps it so until [`forbid`](Self::forbid).
    ///
    /// [`Event::Permitted`] or [`Event::Refused`] says what came of it.
    ///
    /// # Errors
    /// [`RequestError`], where there is no allocation that could have it.
    pub fn permit(&mut self, peer: IpAddr, now: Instant) -> Result<(), RequestError> {
        self.check_family(peer)?;
        let now = self.time(now);
        let permission = self.permissions.0.entry(peer).or_default();
        if !std::mem::replace(&mut permission.kept, true) {
            permission.told = false;
            self.ask(Request::Permission(peer), now);
        }
        Ok(())
    }

    /// Keeps the permission of a peer no longer. The server forgets it within 300 s; TURN has no way to end it sooner.
    pub fn forbid(&mut self, peer: IpAddr) {
        let Some(permission) = self.permissions.0.get_mut(&peer) else { return };
        permission.kept = false;
        if !permission.granted && !self.channels.expects(peer) {
            return self.drop_permission(peer);
        }
        self.transactions.forget(Request::Permission(peer));
        self.schedule.cancel(Due::Permission(peer));
    }

    /// Whether data can be sent to a peer.
    #[must_use]
    pub fn is_permitted(&self, peer: IpAddr) -> bool {
        self.permissions.is_granted(peer)
    }

    pub(super) fn check_family(&self, peer: IpAddr) -> Result<(), RequestError> {
        let State::Allocated(allocation) = &self.state else { return Err(RequestError::NoAllocation) };
        let relayed = allocation.granted.relayed(AddressFamily::of(peer));
        relayed.map(|_| ()).ok_or(RequestError::NoSuchFamily)
    }

    /// The server has granted or renewed a permission.
    pub(super) fn permitted(&mut self, ip: IpAddr, now: u64) {
        let Some(permission) = self.permissions.0.get_mut(&ip) else { return };
        permission.granted = true;
        let told = std::mem::replace(&mut permission.told, true);
        if permission.kept {
            self.schedule.set(Due::Permission(ip), now + RENEWAL);
        }
        self.schedule.set(Due::PermissionEnd(ip), now + LIFETIME);
        if !told {
            self.events.push_back(Event::Permitted(ip));
        }
    }

    pub(super) fn permission_failed(&mut self, ip: IpAddr, why: Failure, now: u64) {
        if self.permissions.is_granted(ip) && why.is_transient() {
            // It lives yet. When it has ended, that is told.
            return self.schedule.set(Due::Permission(ip), now + RETRY_PAUSE);
        }
        match self.permissions.0.get_mut(&ip) {
            // A channel still has it, or waits for it.
            Some(permission) if self.channels.keeps(ip) || self.channels.expects(ip) => {
                permission.kept = false;
            }
            _ => self.drop_permission(ip),
        }
        self.refused(Request::Permission(ip), why);
    }

    /// It is time to renew a permission, unless a channel to this peer does it.
    pub(super) fn renew_permission(&mut self, ip: IpAddr, now: u64) {
        if !self.channels.keeps(ip) {
            self.ask(Request::Permission(ip), now);
        }
    }

    /// A permission has not been renewed in time.
    pub(super) fn permission_ended(&mut self, ip: IpAddr) {
        let kept = self.permissions.0.get(&ip).is_some_and(|permission| permission.kept);
        self.drop_permission(ip);
        if kept {
            self.refused(Request::Permission(ip), Failure::Timeout);
        }
    }

    fn drop_permission(&mut self, ip: IpAddr) {
        self.permissions.0.remove(&ip);
        self.transactions.forget(Request::Permission(ip));
        self.schedule.cancel(Due::Permission(ip));
        self.schedule.cancel(Due::PermissionEnd(ip));
    }

    /// A channel asks for its peer's permission with it.
    pub(super) fn expect_permission(&mut self, peer: SocketAddr) {
        self.permissions.0.entry(peer.ip()).or_default();
    }

    /// A channel renews its peer's permission no longer: whoever asked for that gets it otherwise.
    pub(super) fn release_permission(&mut self, ip: IpAddr, now: u64) {
        let Some(&Permission { kept, granted, .. }) = self.permissions.0.get(&ip) else { return };
        if self.channels.keeps(ip) || self.channels.expects(ip) {
            return;
        }
        if kept {
            self.ask(Request::Permission(ip), now);
        } else if !granted {
            self.drop_permission(ip);
        }
    }
}
