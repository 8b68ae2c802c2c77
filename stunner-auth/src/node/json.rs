//! `JSON.parse`, with the messages of V8.

use std::collections::BTreeMap;

use super::{Stop, Text, Value};

/// Deeper values are not read: V8 reads them, but nothing that is nested like this is a configuration.
const MAX_DEPTH: usize = 200;

/// How many characters V8 shows to either side of what it did not expect.
const CONTEXT: usize = 10;

const PROPERTY_OR_BRACE: &str = "Expected property name or '}'";
const QUOTED_PROPERTY: &str = "Expected double-quoted property name";
const COLON: &str = "Expected ':' after property name";
const COMMA_OR_BRACE: &str = "Expected ',' or '}' after property value";
const COMMA_OR_BRACKET: &str = "Expected ',' or ']' after array element";

impl Value {
    /// Reads JSON as `JSON.parse` of Node 20 does: bytes that are not UTF-8 become U+FFFD, and the last of several members
    /// of one name counts.
    ///
    /// # Errors
    /// [`Stop::Throws`] with V8's message, and [`Stop::Unsupported`] for what is nested deeper than 200 levels.
    pub fn parse(bytes: &[u8]) -> Result<Self, Stop> {
        let source: Vec<u16> = String::from_utf8_lossy(bytes).encode_utf16().collect();
        let mut parser = Parser { source: &source, at: 0 };
        let value = parser.value(0)?;
        parser.skip_space();
        if parser.peek().is_some() {
            return Err(parser.error("Unexpected non-whitespace character after"));
        }
        Ok(value)
    }
}

struct Parser<'a> {
    source: &'a [u16],
    at: usize,
}

impl Parser<'_> {
    /// The character at hand; `None` at the end.
    fn peek(&self) -> Option<char> {
        let unit = *self.source.get(self.at)?;
        Some(char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// Goes past a character if it is the one at hand.
    fn eat(&mut self, expected: char) -> bool {
        let found = self.peek() == Some(expected);
        self.at += usize::from(found);
        found
    }

    fn skip_space(&mut self) {
        while let Some(' ' | '\t' | '\n' | '\r') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, Stop> {
        if depth > MAX_DEPTH {
            return Err(Stop::Unsupported(format!("JSON that is nested deeper than {MAX_DEPTH} levels")));
        }
        self.skip_space();
        match self.peek() {
            Some('{') => self.object(depth),
            Some('[') => self.array(depth),
            Some('"') => self.string().map(Value::String),
            Some('-' | '0'..='9') => self.number().map(Value::Number),
            Some('t') => self.literal("true", Value::Bool(true)),
            Some('f') => self.literal("false", Value::Bool(false)),
            Some('n') => self.literal("null", Value::Null),
            _ => Err(self.unexpected()),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Stop> {
        let mut members: Vec<(Text, Value)> = Vec::new();
        let mut places = BTreeMap::new();
        self.at += 1;
        self.skip_space();
        if self.eat('}') {
            return Ok(Value::Object(members));
        }
        let mut expected = PROPERTY_OR_BRACE;
        loop {
            self.skip_space();
            if self.peek() != Some('"') {
                return Err(self.error(expected));
            }
            let key = self.string()?;
            self.skip_space();
            if !self.eat(':') {
                // V8 has words of its own for the first member only.
                return Err(if members.is_empty() { self.error(COLON) } else { self.unexpected() });
            }
            let value = self.value(depth + 1)?;
            match places.get(&key) {
                Some(&place) => members[place] = (key, value),
                None => {
                    places.insert(key.clone(), members.len());
                    members.push((key, value));
                }
            }
            self.skip_space();
            if !self.eat(',') {
                break;
            }
            expected = QUOTED_PROPERTY;
        }
        if !self.eat('}') {
            return Err(self.error(COMMA_OR_BRACE));
        }
        members.sort_by_key(|(key, _)| index(key).unwrap_or(u32::MAX));
        Ok(Value::Object(members))
    }

    fn array(&mut self, depth: usize) -> Result<Value, Stop> {
        let mut items = Vec::new();
        self.at += 1;
        self.skip_space();
        if self.eat(']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if !self.eat(',') {
                break;
            }
        }
        if self.eat(']') { Ok(Value::Array(items)) } else { Err(self.error(COMMA_OR_BRACKET)) }
    }

    fn literal(&mut self, word: &str, value: Value) -> Result<Value, Stop> {
        for letter in word.chars() {
            if !self.eat(letter) {
                return Err(self.unexpected());
            }
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<f64, Stop> {
        let start = self.at;
        if self.eat('-') && !self.is_digit() {
            return Err(self.error("No number after minus sign in"));
        }
        if self.eat('0') {
            if self.is_digit() {
                return Err(self.error("Unexpected number in"));
            }
        } else {
            self.skip_digits();
        }
        if self.eat('.') {
            if !self.is_digit() {
                return Err(self.error("Unterminated fractional number in"));
            }
            self.skip_digits();
        }
        if self.eat('e') || self.eat('E') {
            let _sign = self.eat('+') || self.eat('-');
            if !self.is_digit() {
                return Err(self.error("Exponent part is missing a number in"));
            }
            self.skip_digits();
        }
        let digits = String::from_utf16_lossy(&self.source[start..self.at]);
        Ok(digits.parse().expect("a JSON number is a Rust number"))
    }

    fn is_digit(&self) -> bool {
        self.peek().is_some_and(|character| character.is_ascii_digit())
    }

    fn skip_digits(&mut self) {
        while self.is_digit() {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Result<Text, Stop> {
        let mut text = Vec::new();
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err(self.error("Unterminated string in")),
                Some('"') => break,
                Some('\\') => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                Some('\0'..' ') => return Err(self.error("Bad control character in string literal in")),
                Some(_) => {
                    text.push(self.source[self.at]);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        Ok(Text(text))
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<u16, Stop> {
        let unit = match self.peek() {
            Some('"') => b'"',
            Some('\\') => b'\\',
            Some('/') => b'/',
            Some('b') => 0x08,
            Some('f') => 0x0C,
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('u') => return self.unicode_escape(),
            // V8 has its words for a bad escape within Latin-1 only.
            None | Some('\u{100}'..) => return Err(self.unexpected()),
            Some(_) => return Err(self.error("Bad escaped character in")),
        };
        self.at += 1;
        Ok(unit.into())
    }

    fn unicode_escape(&mut self) -> Result<u16, Stop> {
        let mut unit = 0;
        self.at += 1;
        for _ in 0..4 {
            let digit = self.peek().and_then(|character| character.to_digit(16));
            let digit = digit.and_then(|digit| u16::try_from(digit).ok());
            unit = (unit << 4) | digit.ok_or_else(|| self.error("Bad Unicode escape in"))?;
            self.at += 1;
        }
        Ok(unit)
    }

    fn error(&self, what: &str) -> Stop {
        let what = what.strip_suffix(" in").unwrap_or(what);
        let link = if what.ends_with("after") { "" } else { " in" };
        Stop::Throws(format!("SyntaxError: {what}{link} JSON at position {}", self.at))
    }

    /// The error for a character that begins nothing, or that a word does not go on with.
    fn unexpected(&self) -> Stop {
        let Some(&unit) = self.source.get(self.at) else {
            return Stop::Throws("SyntaxError: Unexpected end of JSON input".to_owned());
        };
        match self.peek() {
            Some('-' | '0'..='9') => return self.error("Unexpected number in"),
            Some('"') => return self.error("Unexpected string in"),
            _ => {}
        }
        let shown = |from: usize, to: usize| String::from_utf16_lossy(&self.source[from..to]);
        let (len, at) = (self.source.len(), self.at);
        let all = shown(0, len);
        if matches!(all.as_str(), "NaN" | "Infinity" | "undefined" | "[object Object]") {
            return Stop::Throws(format!("SyntaxError: \"{all}\" is not valid JSON"));
        }
        let context = if len <= 2 * CONTEXT {
            format!("\"{all}\"")
        } else if at < CONTEXT {
            format!("\"{}\"...", shown(0, at + CONTEXT))
        } else if at < len - CONTEXT {
            format!("...\"{}\"...", shown(at - CONTEXT, at + CONTEXT))
        } else {
            format!("...\"{}\"", shown(at - CONTEXT, len))
        };
        let token = String::from_utf16_lossy(&[unit]);
        Stop::Throws(format!("SyntaxError: Unexpected token '{token}', {context} is not valid JSON"))
    }
}

/// A key that is an array index: JavaScript lists those first, in ascending order.
fn index(key: &Text) -> Option<u32> {
    let text = key.to_utf8();
    let number: u32 = text.parse().ok()?;
    (number != u32::MAX && number.to_string() == text).then_some(number)
}
