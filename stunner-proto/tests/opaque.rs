//! Names and passwords, prepared: printable ASCII always, the rest of Unicode with the feature `opaque-string`.

use stunner_proto::opaque::{NotOpaque, ascii};

#[test]
fn printable_ascii_stays_as_it_is() {
    let all: String = (' '..='~').collect();

    assert_eq!(ascii(&all), Ok(all.as_str()));
    assert_ne!(ascii("Pass"), ascii("pass"));
}

#[test]
fn key_08_what_is_not_printable_is_refused() {
    assert_eq!(ascii(""), Err(NotOpaque::Empty));
    assert_eq!(ascii("a\tb"), Err(NotOpaque::Disallowed { at: 1 }));
    assert_eq!(ascii("\0"), Err(NotOpaque::Disallowed { at: 0 }));
    assert_eq!(ascii("abc\x7F"), Err(NotOpaque::Disallowed { at: 3 }));
    assert_eq!(ascii("ab\u{E9}"), Err(NotOpaque::NotAscii { at: 2 }));
    assert_eq!(NotOpaque::NotAscii { at: 2 }.to_string(), "character 2 of the text is not ASCII");
}

#[cfg(feature = "opaque-string")]
mod unicode {
    use stunner_proto::{
        Key,
        opaque::{NotOpaque, prepare},
    };

    fn key(password: &str) -> Key {
        Key::long_term("user", "realm", &prepare(password).expect("it can be prepared"))
    }

    #[test]
    fn key_06_every_space_is_the_ascii_space() {
        assert_eq!(prepare("a\u{1680}b\u{3000}c\u{A0}d").unwrap(), "a b c d");
    }

    #[test]
    fn key_07_an_accent_makes_one_key_however_it_was_typed() {
        assert_eq!(key("e\u{301}"), key("\u{E9}"));
        assert_ne!(key("e"), key("\u{E9}"));
    }

    #[test]
    fn key_08_controls_invisible_characters_and_nothing_are_refused() {
        assert_eq!(prepare(""), Err(NotOpaque::Empty));
        assert_eq!(prepare("a\tb"), Err(NotOpaque::Disallowed { at: 1 }));
        assert_eq!(prepare("\u{E9}\0"), Err(NotOpaque::Disallowed { at: 1 }));
        assert_eq!(prepare("The\u{AD}M"), Err(NotOpaque::Disallowed { at: 3 }));
        assert_eq!(prepare("\u{E9}\u{200D}"), Err(NotOpaque::Disallowed { at: 1 }));
        assert!(prepare("\u{200D}").is_err());
        assert!(prepare("\u{1100}").is_err());
        assert!(prepare("\u{FFFF}").is_err());
    }

    #[test]
    fn key_09_a_roman_nine_is_no_i_and_x() {
        assert_eq!(prepare("\u{2168}\u{AA}\u{1F600}").unwrap(), "\u{2168}\u{AA}\u{1F600}");
    }

    #[test]
    fn key_10_case_counts() {
        assert_ne!(key("Pass"), key("pass"));
        assert_eq!(prepare("\u{C9}").unwrap(), "\u{C9}");
    }
}
