//! JavaScript values, as far as JSON has them.

use std::fmt;

/// A JavaScript value that JSON can hold; `undefined` is `None` of an `Option`.
///
/// ```
/// use stunner_auth::node::Value;
///
/// let value = Value::parse(br#"{"b": 1e21, "a": [null, "x"], "1": true}"#)?;
/// assert_eq!(value.to_string(), r#"{"1":true,"b":1e+21,"a":[null,"x"]}"#);
/// # Ok::<(), stunner_auth::node::Stop>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number; NaN and the infinities are written as `null`.
    Number(f64),
    /// A string.
    String(Text),
    /// An array.
    Array(Vec<Value>),
    /// An object: its keys, each once, in the order in which JavaScript lists them.
    Object(Vec<(Text, Value)>),
}

/// A JavaScript string: UTF-16, in which a surrogate may stand alone.
#[derive(Clone, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Text(pub(super) Vec<u16>);

impl Text {
    /// The string as UTF-8, with U+FFFD for each surrogate that stands alone.
    #[must_use]
    pub fn to_utf8(&self) -> String {
        String::from_utf16_lossy(&self.0)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.encode_utf16().collect())
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0.iter().copied().eq(other.encode_utf16())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_utf8(), f)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl Value {
    /// The member of an object. No other value has members that matter here.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// An object of the members that are not `undefined`.
    pub(super) fn object<const N: usize>(members: [(&str, Option<Self>); N]) -> Self {
        let defined = members.into_iter().filter_map(|(key, value)| Some((key.into(), value?)));
        Self::Object(defined.collect())
    }

    /// What `||`, `!` and `if` go by.
    pub(super) fn is_truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Number(number) => *number != 0.0 && !number.is_nan(),
            Self::String(text) => !text.0.is_empty(),
            Self::Array(_) | Self::Object(_) => true,
        }
    }
}

/// What `JSON.stringify` writes.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Number(number) if number.is_finite() => f.write_str(&super::convert::number(*number)),
            Self::Number(_) => f.write_str("null"),
            Self::String(text) => quote(text, f),
            Self::Array(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { "," })?;
                    item.fmt(f)?;
                }
                f.write_str("]")
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (index, (key, value)) in members.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { "," })?;
                    quote(key, f)?;
                    f.write_str(":")?;
                    value.fmt(f)?;
                }
                f.write_str("}")
            }
        }
    }
}

fn quote(text: &Text, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("\"")?;
    for character in char::decode_utf16(text.0.iter().copied()) {
        match character {
            Ok('"') => f.write_str("\\\"")?,
            Ok('\\') => f.write_str("\\\\")?,
            Ok('\u{8}') => f.write_str("\\b")?,
            Ok('\u{c}') => f.write_str("\\f")?,
            Ok('\n') => f.write_str("\\n")?,
            Ok('\r') => f.write_str("\\r")?,
            Ok('\t') => f.write_str("\\t")?,
            Ok(control @ '\0'..' ') => write!(f, "\\u{:04x}", u32::from(control))?,
            Ok(character) => fmt::Write::write_char(f, character)?,
            Err(alone) => write!(f, "\\u{:04x}", alone.unpaired_surrogate())?,
        }
    }
    f.write_str("\"")
}
