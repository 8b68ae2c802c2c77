//! Environment variables in a configuration file.

use std::borrow::Cow;

use super::MAX_FILE;
use crate::Environment;

/// A text with each `$NAME` and `${NAME}` replaced. What is not set is empty, and reported; any other `$` stays. `None` where
/// the text becomes longer than a file may be.
pub(super) fn expand<'t>(
    text: &'t str,
    environment: &Environment,
    unset: &mut dyn FnMut(&str),
) -> Option<Cow<'t, str>> {
    if !text.contains('$') {
        return Some(Cow::Borrowed(text));
    }
    let (mut expanded, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        if let Some((name, tail)) = reference(after) {
            match variable(name, environment) {
                Some(value) => expanded.push_str(&value),
                None => unset(name),
            }
            rest = tail;
        } else {
            expanded.push('$');
            rest = after;
        }
        if expanded.len() > MAX_FILE {
            return None;
        }
    }
    expanded.push_str(rest);
    Some(Cow::Owned(expanded))
}

/// The same for a secret: replaced only where it is one reference and nothing else. A name that is not set is taken for
/// the secret itself, unless it is one of STUNner's own.
pub(super) fn expand_secret<'t>(
    text: &'t str,
    environment: &Environment,
    unset: &mut dyn FnMut(&str),
) -> Cow<'t, str> {
    match text.strip_prefix('$').and_then(reference) {
        Some((name, "")) => match variable(name, environment) {
            Some(value) => Cow::Owned(value.into_owned()),
            None if name.starts_with("STUNNER_") => {
                unset(name);
                Cow::Borrowed("")
            }
            None => Cow::Borrowed(text),
        },
        _ => Cow::Borrowed(text),
    }
}

/// The name that follows a `$`, and what comes after it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (braces, text) = match text.strip_prefix('{') {
        Some(inside) => (true, inside),
        None => (false, text),
    };
    let len = text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    let (name, tail) = text.split_at(len);
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    if braces { Some((name, tail.strip_prefix('}')?)) } else { Some((name, tail)) }
}

/// The value of a variable. Kubernetes sets STUNNER_PORT to the address of a service named `stunner`: what is no number
/// gives way to the public port, or to 3478.
fn variable<'e>(name: &str, environment: &'e Environment) -> Option<Cow<'e, str>> {
    let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if name != "STUNNER_PORT" {
        return environment.raw(name).map(Cow::Borrowed);
    }
    let port = environment.raw(name).filter(is_number);
    let port = port.or_else(|| environment.raw("STUNNER_PUBLIC_PORT").filter(is_number));
    Some(Cow::Borrowed(port.unwrap_or("3478")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        [("A", "1"), ("A_B", "2"), ("EMPTY", ""), ("DOLLAR", "$A")].into_iter().collect()
    }

    fn expanded(text: &str) -> (String, Vec<String>) {
        let mut unset = Vec::new();
        let text = expand(text, &environment(), &mut |name| unset.push(name.to_owned()));
        (text.expect("it is short").into_owned(), unset)
    }

    #[test]
    fn names_with_and_without_braces_are_replaced_once() {
        for (text, expected) in [
            ("$A", "1"),
            ("${A}_B", "1_B"),
            ("$A_B-$A", "2-1"),
            ("x$EMPTY.", "x."),
            ("$DOLLAR", "$A"),
            ("pa$$A", "pa$1"),
        ] {
            assert_eq!(expanded(text), (expected.to_owned(), vec![]), "{text}");
        }
    }

    #[test]
    fn a_dollar_that_names_nothing_stays() {
        for text in ["$", "a$", "$$", "${", "${A", "${}", "$1", "${A-x}", "$é"] {
            assert_eq!(expanded(text).0, text);
        }
    }

    #[test]
    fn what_is_not_set_is_empty_and_told() {
        assert_eq!(expanded("<$NOWHERE>"), ("<>".to_owned(), vec!["NOWHERE".to_owned()]));
    }

    #[test]
    fn a_text_that_grows_beyond_a_file_is_refused() {
        let environment: Environment = [("LONG", "x".repeat(MAX_FILE / 2))].into_iter().collect();
        assert_eq!(expand("$LONG$LONG$LONG", &environment, &mut |_| {}), None);
    }

    #[test]
    fn a_secret_is_replaced_only_as_a_whole() {
        let secret = |text| expand_secret(text, &environment(), &mut |_| {}).into_owned();

        assert_eq!((secret("$A").as_str(), secret("${A_B}").as_str()), ("1", "2"));
        for text in ["pa$A", "$A!", "$NOWHERE", "$A$A", "$$A", "p$$w"] {
            assert_eq!(secret(text), text);
        }
        assert_eq!(secret("$STUNNER_PASSWORD"), "");
    }

    #[test]
    fn the_port_of_a_kubernetes_service_gives_way() {
        let port = |variables: &[(&str, &str)]| {
            let environment: Environment = variables.iter().copied().collect();
            expand("$STUNNER_PORT", &environment, &mut |_| {}).map(Cow::into_owned)
        };

        assert_eq!(port(&[("STUNNER_PORT", "5000"), ("STUNNER_PUBLIC_PORT", "1")]).as_deref(), Some("5000"));
        let service = ("STUNNER_PORT", "udp://10.0.0.1:3478");
        assert_eq!(port(&[service, ("STUNNER_PUBLIC_PORT", "3500")]).as_deref(), Some("3500"));
        assert_eq!(port(&[("STUNNER_PORT", ""), ("STUNNER_PUBLIC_PORT", "x")]).as_deref(), Some("3478"));
    }
}
