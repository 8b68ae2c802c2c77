//! What can be told of a file of Rust without compiling it.

use std::path::PathBuf;

/// One file, by its path from the root of the workspace.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl Source {
    /// Whether it is the file, or has the function or the type, that goes by this name: `server/nonce.rs`, `Key::new`,
    /// `framing::frame_len` or `Uri`. Tests have nothing to offer.
    pub(crate) fn holds(&self, name: &str) -> bool {
        if !self.path.components().any(|part| part.as_os_str() == "src") {
            return false;
        }
        if name.ends_with(".rs") {
            return self.path.ends_with(name);
        }
        let mut parts: Vec<&str> = name.split("::").collect();
        let Some(last) = parts.pop() else { return false };
        let defined =
            if last.starts_with(char::is_uppercase) { self.says(&[last]) } else { self.says(&["fn", last]) };
        defined && parts.into_iter().all(|part| self.is_module(part) || self.says(&[part]))
    }

    /// Whether it is a target of the fuzzer that goes by this name.
    pub(crate) fn is_fuzz_target(&self, name: &str) -> bool {
        self.path.ends_with(PathBuf::from("fuzz_targets").join(name).with_extension("rs"))
    }

    fn is_module(&self, name: &str) -> bool {
        self.path.with_extension("").components().any(|part| part.as_os_str() == name)
    }

    /// Whether these words follow one another outside of comments.
    fn says(&self, words: &[&str]) -> bool {
        let code = self.text.lines().filter(|line| !line.trim_start().starts_with("//"));
        code.map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_').collect::<Vec<_>>())
            .any(|line| line.windows(words.len()).any(|found| found == words))
    }
}

/// The names of the tests in a file; one that is ignored proves nothing.
pub(crate) fn tests(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut is_test, mut ignored) = (false, false);
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if line.starts_with("#[ignore") {
            ignored = true;
        } else if let Some(name) = function(line) {
            if is_test && !ignored {
                found.push(name);
            }
            (is_test, ignored) = (false, false);
        }
    }
    found
}

/// The name of the function that a line begins.
fn function(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let line = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?;
    line.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

/// Whether this is how an id is written: three letters and two digits.
pub(crate) fn is_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(group, number)| {
        group.len() == 3 && group.bytes().all(|c| c.is_ascii_uppercase()) && digits(number).is_some()
    })
}

/// The ids that the name of a test begins with.
pub(crate) fn ids(name: &str) -> Vec<String> {
    let words: Vec<&str> = name.split('_').collect();
    let mut found = Vec::new();
    let mut group = None;
    let mut rest = &words[..];
    loop {
        rest = match *rest {
            ["and", word, number, ..] if is_group(word) && digits(number).is_some() => &rest[1..],
            ["and", number, ..] if group.is_some() && digits(number).is_some() => &rest[1..],
            [word, number, ..] if is_group(word) && digits(number).is_some() => {
                group = Some(word);
                &rest[1..]
            }
            ["to", end, ..] if digits(end).is_some() && !found.is_empty() => {
                let from = found.last().map_or(0, |&(_, number)| number + 1);
                found.extend((from..digits(end).unwrap_or(0)).map(|number| (group, number)));
                &rest[1..]
            }
            [number, ..] if group.is_some() && digits(number).is_some() => {
                found.extend(digits(number).map(|number| (group, number)));
                &rest[1..]
            }
            _ => break,
        };
    }
    let write = |(group, number): (Option<&str>, u8)| Some(format!("{}-{number:02}", group?.to_uppercase()));
    found.into_iter().filter_map(write).collect()
}

fn is_group(word: &str) -> bool {
    word.len() == 3 && word != "and" && word.bytes().all(|c| c.is_ascii_lowercase())
}

/// A number of exactly two digits.
fn digits(word: &str) -> Option<u8> {
    let is_number = word.len() == 2 && word.bytes().all(|c| c.is_ascii_digit());
    if is_number { word.parse().ok() } else { None }
}

#[test]
fn ids_stand_at_the_beginning_of_a_name() {
    for (name, expected) in [
        ("icm_01_an_error", &["ICM-01"][..]),
        ("lts_17_18_and_33_an_unknown_user", &["LTS-17", "LTS-18", "LTS-33"]),
        ("bas_07_to_10_what", &["BAS-07", "BAS-08", "BAS-09", "BAS-10"]),
        ("bad_01_to_03_and_12_to_13_what", &["BAD-01", "BAD-02", "BAD-03", "BAD-12", "BAD-13"]),
        ("alc_39_and_sec_11_a_quota", &["ALC-39", "SEC-11"]),
        ("hdr_03_to_04_att_03_and_05_bytes", &["HDR-03", "HDR-04", "ATT-03", "ATT-05"]),
        ("rtx_01_fails_at_39_500_ms", &["RTX-01"]),
        ("prm_09_300_seconds", &["PRM-09"]),
        ("gen_03_and_04", &["GEN-03", "GEN-04"]),
        ("a_test_of_lts_03", &[]),
        ("and_01_is_no_group", &[]),
        ("lts_3_is_no_id", &[]),
        ("", &[]),
    ] {
        assert_eq!(ids(name), expected, "{name}");
    }
}

#[test]
fn an_id_has_three_letters_and_two_digits() {
    assert!(is_id("LTS-07"));
    for text in ["LTS-7", "LTS-007", "lts-07", "LT-07", "LTS07", "id", ""] {
        assert!(!is_id(text), "{text}");
    }
}

#[test]
fn tests_are_told_from_other_functions() {
    let text = "fn help() {}\n#[test]\nfn one() {}\n    #[tokio::test(start_paused = true)]\n    async fn two() {}\n\
                #[test]\n#[should_panic]\nfn three() {}\n#[test]\n#[ignore]\nfn none() {}\nfn more() {}\n\
                // #[test]\nfn commented() {}\n";

    assert_eq!(tests(text), ["one", "two", "three"]);
}

#[test]
fn code_is_found_where_it_is_defined() {
    let text = "pub(crate) fn cut() {}\nstruct Cutter;\n// fn gone() {}\n    const fn whole() {}\n";
    let source = |path: &str| Source { path: path.into(), text: text.to_owned() };
    let code = source("stunner-proto/src/framing.rs");

    for name in ["cut", "framing::cut", "Cutter::cut", "Cutter", "whole", "framing.rs", "src/framing.rs"] {
        assert!(code.holds(name), "{name}");
        assert!(!source("stunner-proto/tests/framing.rs").holds(name), "{name}");
    }
    for name in ["gone", "cu", "message::cut", "Knife::cut", "Cutter::gone", "ming.rs", "fn"] {
        assert!(!code.holds(name), "{name}");
    }
}
