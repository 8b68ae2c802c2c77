//! Stateless nonces: when it was made, and an HMAC over that and the client's address.

use std::net::{IpAddr, SocketAddr};

use hmac::{Hmac, KeyInit, Mac};
use rand::{Rng, rngs::StdRng};
use sha2::Sha256;
use stunner_proto::SecurityFeatures;

/// What a nonce begins with: a cookie and what its maker can do (RFC 8489, section 9.2).
const COOKIE: usize = 13;

/// 16 digits of time and 32 of HMAC.
const LEN: usize = COOKIE + 16 + 32;

/// Makes nonces and knows them again, without remembering any.
pub(super) struct Nonces {
    key: Hmac<Sha256>,
    lifetime: u64,
    features: [u8; COOKIE],
}

/// A nonce as text.
pub(super) struct NonceText([u8; LEN]);

impl NonceText {
    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Nonces {
    pub(super) fn new(rng: &mut StdRng, lifetime: u64, features: SecurityFeatures) -> Self {
        let key: [u8; 32] = rng.random();
        let key = Hmac::new_from_slice(&key).expect("an HMAC takes a key of any length");
        let mut nonces = Self { key, lifetime, features: [0; COOKIE] };
        nonces.announce(features, lifetime);
        nonces
    }

    /// Says something else about the server from now on, and is good for as long as this; nonces that said otherwise, or
    /// are older, are stale.
    pub(super) fn announce(&mut self, features: SecurityFeatures, lifetime: u64) {
        self.lifetime = lifetime;
        let text = features.to_string();
        self.features.copy_from_slice(&text.as_bytes()[..COOKIE]);
    }

    /// A nonce that is good for this client from now on.
    pub(super) fn make(&self, client: SocketAddr, now: u64) -> NonceText {
        let mut text = [0; LEN];
        let (cookie, rest) = text.split_at_mut(COOKIE);
        cookie.copy_from_slice(&self.features);
        let (time, mac) = rest.split_at_mut(16);
        write_hex(&now.to_be_bytes(), time);
        write_hex(&self.mac(client, now), mac);
        NonceText(text)
    }

    /// Whether it was made here, for this client, and not too long ago.
    pub(super) fn is_valid(&self, nonce: &str, client: SocketAddr, now: u64) -> bool {
        let Some(made) = nonce.get(COOKIE..COOKIE + 16) else { return false };
        let Ok(made) = u64::from_str_radix(made, 16) else { return false };
        let fresh = now.checked_sub(made).is_some_and(|age| age < self.lifetime);
        // The nonce is no secret, so that how long a comparison takes tells nothing.
        fresh && self.make(client, made).as_str() == nonce
    }

    fn mac(&self, client: SocketAddr, made: u64) -> [u8; 16] {
        let mut mac = self.key.clone();
        mac.update(&made.to_be_bytes());
        match client.ip() {
            IpAddr::V4(ip) => mac.update(&ip.octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        mac.update(&client.port().to_be_bytes());
        let mut short = [0; 16];
        short.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        short
    }
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonces(..)")
    }
}

fn write_hex(bytes: &[u8], text: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, digits) in bytes.iter().zip(text.as_chunks_mut::<2>().0) {
        *digits = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0x0F)]];
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const CLIENT: ([u8; 4], u16) = ([198, 51, 100, 7], 5000);

    fn nonces() -> Nonces {
        Nonces::new(&mut StdRng::from_seed([7; 32]), 1_000, SecurityFeatures::default())
    }

    #[test]
    fn a_nonce_is_good_until_its_lifetime_ends() {
        let nonce = nonces().make(CLIENT.into(), 50);

        assert!(nonces().is_valid(nonce.as_str(), CLIENT.into(), 1_049));
        assert!(!nonces().is_valid(nonce.as_str(), CLIENT.into(), 1_050));
    }

    #[test]
    fn lts_04_two_ports_of_one_client_get_different_nonces() {
        let other = (CLIENT.0, CLIENT.1 + 1);

        assert_ne!(nonces().make(CLIENT.into(), 50).as_str(), nonces().make(other.into(), 50).as_str());
    }

    #[test]
    fn lts_05_a_nonce_is_of_no_use_to_another_client() {
        let nonce = nonces().make(CLIENT.into(), 50);

        assert!(!nonces().is_valid(nonce.as_str(), (CLIENT.0, CLIENT.1 + 1).into(), 60));
    }

    #[test]
    fn lts_23_what_was_never_issued_is_not_valid() {
        let issued = nonces().make(CLIENT.into(), 50);
        let capitals = issued.as_str().to_uppercase();

        for nonce in ["", "obMatJos2AAAA", "é".repeat(40).as_str(), "x".repeat(LEN).as_str(), &capitals] {
            assert!(!nonces().is_valid(nonce, CLIENT.into(), 60), "{nonce}");
        }
    }

    #[test]
    fn lts_25_a_nonce_with_other_feature_bits_is_not_valid() {
        let tampered = nonces().make(CLIENT.into(), 50).as_str().replace("AAAA", "gAAA");

        assert!(!nonces().is_valid(&tampered, CLIENT.into(), 60));
    }
}
