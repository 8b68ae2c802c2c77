//! JavaScript's conversions: numbers to text and back, values to text.

use super::{Stop, Text, Value};

/// A number as JavaScript writes it: the fewest digits that mean it, with an exponent from 1e21 on and below 1e-6.
pub(super) fn number(value: f64) -> String {
    // Where two texts of the fewest digits are as near, this takes the even one, as JavaScript does, and Rust does not.
    let Some(finite) = serde_json::Number::from_f64(value.abs()) else {
        return if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned();
    };
    if value == 0.0 {
        return "0".to_owned();
    }
    let text = finite.to_string();
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let leading = all.len() - all.trim_start_matches('0').len();
    let digits = all.trim_matches('0');
    let signed = |len: usize| i32::try_from(len).expect("a number has few digits");
    let exponent: i32 = exponent.parse().expect("a number's exponent is a number");
    let point = signed(whole.len()) + exponent - signed(leading);
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{}", laid_out(digits, point))
}

/// Digits with the point after so many of them.
fn laid_out(digits: &str, point: i32) -> String {
    let len = digits.len();
    match usize::try_from(point) {
        Ok(point @ 1..=21) if point >= len => format!("{digits}{}", "0".repeat(point - len)),
        Ok(point @ 1..=21) => format!("{}.{}", &digits[..point], &digits[point..]),
        Ok(0) => format!("0.{digits}"),
        Err(_) if point > -6 => format!("0.{}{digits}", "0".repeat(usize::try_from(-point).unwrap_or(0))),
        _ => {
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            format!("{first}{dot}{rest}e{:+}", point - 1)
        }
    }
}

/// What a template string makes of a value.
pub(super) fn text(value: Option<&Value>) -> Result<Text, Stop> {
    Ok(match value {
        None => "undefined".into(),
        Some(Value::Null) => "null".into(),
        Some(Value::Bool(value)) => value.to_string().as_str().into(),
        Some(Value::Number(value)) => number(*value).as_str().into(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => joined(items)?,
        // A member of this name hides the function that would be called.
        Some(object @ Value::Object(_)) if object.get("toString").is_some() => {
            return Err(Stop::Throws("TypeError: Cannot convert object to primitive value".to_owned()));
        }
        Some(Value::Object(_)) => "[object Object]".into(),
    })
}

/// An array as text: its items with commas between them, and nothing for `null`.
fn joined(items: &[Value]) -> Result<Text, Stop> {
    let mut all = Text::default();
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            all.0.push(b','.into());
        }
        if *item != Value::Null {
            all.0.extend(text(Some(item))?.0);
        }
    }
    Ok(all)
}

/// JavaScript's `parseInt` without a radix: NaN where the text does not begin with a whole number.
pub(super) fn parse_int(text: &Text) -> f64 {
    let text = text.to_utf8();
    let text = text.trim_start_matches(is_space);
    let (sign, text) = match text.strip_prefix(['-', '+']) {
        Some(rest) if text.starts_with('-') => (-1.0, rest),
        Some(rest) => (1.0, rest),
        None => (1.0, text),
    };
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let magnitude = match hex {
        Some(digits) => hexadecimal(digits),
        None => {
            let len = text.bytes().take_while(u8::is_ascii_digit).count();
            text[..len].parse().unwrap_or(f64::NAN)
        }
    };
    sign * magnitude
}

/// White space and line ends of ECMAScript: Unicode's spaces and the byte order mark, without U+0085.
fn is_space(character: char) -> bool {
    character == '\u{FEFF}' || (character.is_whitespace() && character != '\u{85}')
}

/// Rounded once, to the nearest and to even, however many digits there are.
fn hexadecimal(text: &str) -> f64 {
    /// What fits without loss below the bit that stands for all that follow.
    const EXACT: u32 = 1 << 30;
    let len = text.bytes().take_while(u8::is_ascii_hexdigit).count();
    if len == 0 {
        return f64::NAN;
    }
    let (mut head, mut tail, mut left_out) = (0_u128, false, 0);
    for digit in text[..len].chars().filter_map(|character| character.to_digit(16)) {
        if head >> 90 < u128::from(EXACT) {
            head = (head << 4) | u128::from(digit);
        } else {
            tail |= digit != 0;
            left_out += 1;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "this is the rounding that is wanted")]
    let rounded = (head | u128::from(tail)) as f64;
    rounded * 16_f64.powi(left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_with_the_fewest_digits() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (3478.0, "3478"),
            (-1.5, "-1.5"),
            (1e15 + 0.25, "1000000000000000.2"),
            (123_000.0, "123000"),
            (0.05, "0.05"),
            (-0.000_012_3, "-0.0000123"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.234_567_890_123_456_8e29, "1.2345678901234568e+29"),
            (0.000_001, "0.000001"),
            (1e-7, "1e-7"),
            (5e-324, "5e-324"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn whole_numbers_are_read_as_far_as_they_go() {
        for (text, expected) in [
            ("3600s", 3600.0),
            ("\u{FEFF}\u{2028} -5.9", -5.0),
            ("+7", 7.0),
            ("0x10", 16.0),
            ("-0X1f", -31.0),
            ("1e3", 1.0),
            ("12345678901234567890123", 12_345_678_901_234_567_890_123.0),
            ("0x20000000000001", 9_007_199_254_740_992.0),
            ("0x200000000000010000000000000000000000001", 9_007_199_254_740_994.0 * 2_f64.powi(100)),
        ] {
            assert_eq!(parse_int(&text.into()), expected, "{text}");
        }
    }

    #[test]
    fn what_begins_with_no_whole_number_is_none() {
        for text in ["", "soon", "-", "+-5", "0x", "\u{85}5", ".5", "- 5"] {
            assert!(parse_int(&text.into()).is_nan(), "{text:?}");
        }
    }

    #[test]
    fn values_become_text_as_in_a_template_string() {
        let read = |json: &str| text(Some(&Value::parse(json.as_bytes()).expect("JSON")));
        for (json, expected) in [
            ("null", "null"),
            ("true", "true"),
            ("1e21", "1e+21"),
            (r#"[1,null,[2,[]],"x",{}]"#, "1,,2,,x,[object Object]"),
            ("[null]", ""),
        ] {
            assert_eq!(read(json), Ok(expected.into()), "{json}");
        }
        assert_eq!(text(None), Ok("undefined".into()));
        assert!(read(r#"[[{"toString":1}]]"#).is_err());
    }
}
