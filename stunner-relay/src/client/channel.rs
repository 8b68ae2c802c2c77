//! Channels: bound on demand, kept, and not bound otherwise too soon (RFC 8656, section 12).

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use stunner_proto::ChannelNumber;

use super::{
    Client, Event, Failure, Lost, RETRY_PAUSE, Request, RequestError, permission::RENEWAL, refresh::Then,
    schedule::Due,
};

/// How long a channel lives: 600 s. It is renewed as often as a permission, which it renews with it.
const LIFETIME: u64 = 600_000;

/// How long a channel's number and its peer are kept for each other after it has expired: 300 s.
const PAUSE: u64 = 300_000;

/// 0x4000 to 0x4FFF.
const NUMBERS: usize = 0x1000;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// The server has not answered yet.
    Asked,
    /// The server has bound it.
    Bound,
    /// It is bound no longer, or nobody knows: neither number nor peer may be bound otherwise.
    Resting,
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    number: ChannelNumber,
    stage: Stage,
    kept: bool,
    /// Whether the server was asked for more time since it last gave some: nobody knows how much it has.
    doubtful: bool,
}

/// The channels of an allocation, by peer and by number.
#[derive(Debug, Default)]
pub(super) struct Channels {
    by_peer: BTreeMap<SocketAddr, Channel>,
    by_number: Vec<Option<SocketAddr>>,
}

impl Channels {
    /// The number to send to a peer with.
    #[inline]
    pub(super) fn bound(&self, peer: SocketAddr) -> Option<ChannelNumber> {
        let channel = self.by_peer.get(&peer)?;
        (channel.stage == Stage::Bound).then_some(channel.number)
    }

    /// Whose data come with a number: the server may have bound what it has not answered yet.
    #[inline]
    pub(super) fn peer(&self, number: ChannelNumber) -> Option<SocketAddr> {
        let place = usize::from(number.get() - ChannelNumber::MIN.get());
        let peer = (*self.by_number.get(place)?)?;
        let channel = self.by_peer.get(&peer)?;
        (channel.stage != Stage::Resting).then_some(peer)
    }

    /// Whether a channel renews the permission of this IP address.
    pub(super) fn keeps(&self, ip: IpAddr) -> bool {
        self.of(ip).any(|channel| channel.stage == Stage::Bound && channel.kept)
    }

    /// Whether a channel that is being bound brings the permission of this IP address.
    pub(super) fn expects(&self, ip: IpAddr) -> bool {
        self.of(ip).any(|channel| channel.stage == Stage::Asked)
    }

    fn of(&self, ip: IpAddr) -> impl Iterator<Item = &Channel> {
        let all = SocketAddr::new(ip, 0)..=SocketAddr::new(ip, u16::MAX);
        self.by_peer.range(all).map(|(_, channel)| channel)
    }

    /// The lowest number that is free, or has always been this peer's.
    fn take(&mut self, peer: SocketAddr) -> Option<ChannelNumber> {
        let place = self.by_number.iter().position(Option::is_none).unwrap_or(self.by_number.len());
        if place >= NUMBERS {
            return None;
        }
        let number = ChannelNumber::new(ChannelNumber::MIN.get() + u16::try_from(place).ok()?)?;
        self.by_number.resize(self.by_number.len().max(place + 1), None);
        self.by_number[place] = Some(peer);
        Some(number)
    }

    fn remove(&mut self, peer: SocketAddr) {
        if let Some(channel) = self.by_peer.remove(&peer) {
            self.by_number[usize::from(channel.number.get() - ChannelNumber::MIN.get())] = None;
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Client {
    /// Binds a channel to a peer, so that its data need 4 bytes of header only, and keeps it so until
    /// [`unbind`](Self::unbind). The peer is permitted with it. A peer whose channel has expired gets the same number
    /// again; no number goes to another peer within 300 s.
    ///
    /// [`Event::Bound`] or [`Event::Refused`] says what came of it.
    ///
    /// # Errors
    /// [`RequestError`], where there is no allocation that could have it, or no number left.
    pub fn bind(&mut self, peer: SocketAddr, now: Instant) -> Result<ChannelNumber, RequestError> {
        self.check_family(peer.ip())?;
        if peer.port() == 0 {
            return Err(RequestError::PortZero);
        }
        let now = self.time(now);
        let known = self.channels.by_peer.get(&peer).copied();
        let number = match known {
            Some(channel) => channel.number,
            None => self.channels.take(peer).ok_or(RequestError::NoFreeChannel)?,
        };
        let stage = known.map_or(Stage::Resting, |channel| channel.stage);
        let kept = known.is_some_and(|channel| channel.kept && channel.stage != Stage::Resting);
        let stage = if stage == Stage::Resting { Stage::Asked } else { stage };
        let doubtful = known.is_some_and(|channel| channel.doubtful);
        self.channels.by_peer.insert(peer, Channel { number, stage, kept: true, doubtful });
        self.expect_permission(peer);
        if !kept {
            self.ask_channel(peer, now);
        }
        Ok(number)
    }

    /// Keeps the channel of a peer no longer. The server forgets it within 600 s; TURN has no way to end it sooner.
    pub fn unbind(&mut self, peer: SocketAddr, now: Instant) {
        let now = self.time(now);
        let Some(channel) = self.channels.by_peer.get_mut(&peer) else { return };
        channel.kept = false;
        let Channel { number, stage, .. } = *channel;
        self.schedule.cancel(Due::Channel(peer));
        if stage == Stage::Asked {
            self.transactions.forget(Request::Channel(number, peer));
            self.rest(peer, now + LIFETIME + PAUSE);
        }
        self.release_permission(peer.ip(), now);
    }

    /// The number of the channel that data for a peer go over, if there is one.
    #[must_use]
    pub fn channel(&self, peer: SocketAddr) -> Option<ChannelNumber> {
        self.channels.bound(peer)
    }

    /// The server has bound or renewed a channel, and its peer's permission.
    pub(super) fn bound(&mut self, number: ChannelNumber, peer: SocketAddr, now: u64) {
        let Some(channel) = self.channels.by_peer.get_mut(&peer) else { return };
        let known = std::mem::replace(&mut channel.stage, Stage::Bound) == Stage::Bound;
        channel.doubtful = false;
        if channel.kept {
            self.schedule.set(Due::Channel(peer), now + RENEWAL);
        }
        self.schedule.set(Due::ChannelEnd(peer), now + LIFETIME);
        self.schedule.cancel(Due::ChannelFree(peer));
        self.expect_permission(peer);
        self.permitted(peer.ip(), now);
        if !known {
            self.events.push_back(Event::Bound { peer, number });
        }
    }

    pub(super) fn channel_failed(&mut self, number: ChannelNumber, peer: SocketAddr, why: Failure, now: u64) {
        if why.code() == Some(400) {
            // The server binds this number or this peer otherwise: it and the client disagree (section 12.3).
            self.delete(Then::Restart, now);
            return self.events.push_back(Event::Lost(Lost::ChannelMismatch));
        }
        let bound = self.channels.bound(peer).is_some();
        if bound && why.is_transient() {
            // It lives yet. When it has ended, that is told.
            return self.schedule.set(Due::Channel(peer), now + RETRY_PAUSE);
        }
        let rested = self.schedule.cancel(Due::ChannelFree(peer));
        if why.code().is_some() && !bound && !rested {
            // It was never bound.
            self.channels.remove(peer);
        } else {
            self.rest(peer, now + LIFETIME + PAUSE);
        }
        self.release_permission(peer.ip(), now);
        self.refused(Request::Channel(number, peer), why);
    }

    /// Asks for a channel, or for more time for it.
    pub(super) fn ask_channel(&mut self, peer: SocketAddr, now: u64) {
        let Some(channel) = self.channels.by_peer.get_mut(&peer) else { return };
        channel.doubtful = true;
        let number = channel.number;
        self.ask(Request::Channel(number, peer), now);
    }

    /// A channel has expired.
    pub(super) fn channel_ended(&mut self, peer: SocketAddr, now: u64) {
        let Some(&Channel { number, kept, doubtful, .. }) = self.channels.by_peer.get(&peer) else { return };
        self.transactions.forget(Request::Channel(number, peer));
        self.rest(peer, now + PAUSE + if doubtful { LIFETIME } else { 0 });
        if kept {
            self.release_permission(peer.ip(), now);
            self.refused(Request::Channel(number, peer), Failure::Timeout);
        }
    }

    /// A channel's number and peer may be bound otherwise.
    pub(super) fn channel_freed(&mut self, peer: SocketAddr) {
        if self.channels.by_peer.get(&peer).is_some_and(|channel| channel.stage == Stage::Resting) {
            self.channels.remove(peer);
        }
    }

    /// Keeps number and peer for each other until `free`.
    fn rest(&mut self, peer: SocketAddr, free: u64) {
        let Some(channel) = self.channels.by_peer.get_mut(&peer) else { return };
        channel.stage = Stage::Resting;
        self.schedule.cancel(Due::Channel(peer));
        self.schedule.cancel(Due::ChannelEnd(peer));
        self.schedule.set(Due::ChannelFree(peer), free);
    }
}
