//! OpaqueString: how names, realms and passwords are prepared before a key or a hash is made of them.
//!
//! RFC 8489 wants both sides to prepare them alike ([RFC 8265, section 4.2](https://www.rfc-editor.org/rfc/rfc8265#section-4.2)),
//! so that an accented letter makes one key, however it was typed. Printable ASCII stays as it is: [`ascii`] checks that
//! it is nothing else, and needs neither tables nor memory. The feature `opaque-string` adds
#![cfg_attr(feature = "opaque-string", doc = "[`prepare`]")]
#![cfg_attr(not(feature = "opaque-string"), doc = "`prepare`")]
//! for all of Unicode, and with it `std`.
//!
//! ```
//! use stunner_proto::{Key, opaque::{self, NotOpaque}};
//!
//! let key = Key::long_term(opaque::ascii("user")?, opaque::ascii("realm")?, opaque::ascii("pass")?);
//! assert_eq!(opaque::ascii("a\tb"), Err(NotOpaque::Disallowed { at: 1 }));
//! # Ok::<(), NotOpaque>(())
//! ```

/// Why a text cannot be prepared.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NotOpaque {
    /// It is empty.
    #[error("the text is empty")]
    Empty,
    /// A character must not stand in it, or not there: a control character, an invisible one, one that is not assigned.
    #[error("character {at} of the text is not allowed")]
    Disallowed {
        /// How many characters stand before it.
        at: usize,
    },
    /// A character is not ASCII: only the whole preparation, by the feature `opaque-string`, knows what becomes of it.
    #[error("character {at} of the text is not ASCII")]
    NotAscii {
        /// How many characters stand before it.
        at: usize,
    },
}

/// The text itself, if it is printable ASCII, which OpaqueString leaves as it is.
///
/// # Errors
/// [`NotOpaque`] when it is empty, or has a character that is not printable or not ASCII.
pub fn ascii(text: &str) -> Result<&str, NotOpaque> {
    if text.is_empty() {
        return Err(NotOpaque::Empty);
    }
    match text.bytes().position(|byte| !matches!(byte, b' '..=b'~')) {
        None => Ok(text),
        Some(at) if text.as_bytes()[at].is_ascii() => Err(NotOpaque::Disallowed { at }),
        Some(at) => Err(NotOpaque::NotAscii { at }),
    }
}

/// The text as OpaqueString prepares it: every space is U+0020, and all is in normalization form C.
///
/// ```
/// use stunner_proto::opaque::prepare;
///
/// assert_eq!(prepare("cafe\u{301}\u{3000}1")?, "café 1");
/// # Ok::<(), stunner_proto::opaque::NotOpaque>(())
/// ```
///
/// # Errors
/// [`NotOpaque`] when it is empty, or has a character that is not allowed.
#[cfg(feature = "opaque-string")]
pub fn prepare(text: &str) -> Result<alloc::borrow::Cow<'_, str>, NotOpaque> {
    use precis_profiles::{
        OpaqueString,
        precis_core::{Error, UnexpectedError, profile::PrecisFastInvocation},
    };

    match ascii(text) {
        Ok(text) => Ok(text.into()),
        Err(NotOpaque::NotAscii { .. }) => OpaqueString::enforce(text).map_err(|error| match error {
            Error::BadCodepoint(found)
            | Error::Unexpected(
                UnexpectedError::ContextRuleNotApplicable(found) | UnexpectedError::MissingContextRule(found),
            ) => NotOpaque::Disallowed { at: found.position },
            // The rules of context look at the neighbours of a character, and may run out of them.
            Error::Invalid | Error::Unexpected(_) => NotOpaque::Disallowed { at: 0 },
        }),
        Err(error) => Err(error),
    }
}
