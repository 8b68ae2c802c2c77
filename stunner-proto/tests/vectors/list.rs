//! The vectors, and their keys.

use stunner_proto::Key;

const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

/// Name, key and bytes of every vector.
pub(crate) fn vectors() -> impl Iterator<Item = (&'static str, &'static str, Vec<u8>)> {
    let lines =
        include_str!("../vectors.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| {
        let mut parts = line.split(' ');
        let (name, key, hex) = (
            parts.next().expect("three words"),
            parts.next().expect("three words"),
            parts.next().expect("three words"),
        );
        let bytes =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"));
        (name, key, bytes.collect())
    })
}

/// The bytes of one vector.
pub(crate) fn vector(name: &str) -> Vec<u8> {
    vectors().find(|(found, ..)| *found == name).expect("a vector of this name").2
}

/// The key that goes by a name in the list; `None` for messages without integrity.
pub(crate) fn key(name: &str) -> Option<Key> {
    Some(match name {
        "short-term" => Key::short_term(PASSWORD),
        "md5" => Key::long_term("George", "example.com", "swordfish"),
        "sha256" => Key::long_term_sha256("George", "example.com", "swordfish"),
        "rfc5769" => Key::long_term("マトリックス", "example.org", "TheMatrIX"),
        "rfc8489" => Key::long_term_sha256("マトリックス", "example.org", "TheMatrIX"),
        "mac_key" => Key::new(b"ZksjpweoixXmvn67534m"),
        _ => return None,
    })
}

/// The vectors that are STUN messages.
pub(crate) fn messages() -> impl Iterator<Item = (&'static str, &'static str, Vec<u8>)> {
    vectors().filter(|(_, key, bytes)| bytes[0] < 0x40 && !["malformed", "token"].contains(key))
}
