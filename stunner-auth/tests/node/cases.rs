//! The cases of the comparison with the Node library. They come out the same every time.
//!
//! The dimensions are the function, each option, each environment variable and the configuration file; each value of a
//! dimension is JSON, and `-` leaves it out. Every pair of values of two dimensions occurs in some case, but for names of
//! configuration files that would hide all files in the environment; then again without what ends a call. Then every value
//! occurs alone, with all else good: without a configuration file, and with one. `getLongtermForTimeStamp` has its own,
//! and so has `JSON.parse`, whose messages are printed when a configuration file is broken.

use std::collections::BTreeSet;

/// The second at which every case is run.
pub(crate) const NOW: u64 = 1_652_118_264;

/// A case: which function, and the JSON that it is given.
pub(crate) struct Case {
    pub(crate) function: &'static str,
    pub(crate) options: String,
    pub(crate) env: String,
}

impl Case {
    /// The case as the programs read it.
    pub(crate) fn json(&self) -> String {
        format!(
            r#"{{"function":"{}","options":{},"env":{},"now":{NOW}}}"#,
            self.function, self.options, self.env
        )
    }
}

/// A name, and its values.
type Dimension = (&'static str, &'static [&'static str]);

/// How many names of configuration files, as options, are paired with everything else.
const FILES_CROSSED: usize = 3;

/// What ends a call, or hides everything else, whatever the rest is.
const FATAL: &[&str] = &[
    r#"{"toString":null}"#,
    r#"{"toString":1}"#,
    r#""static""#,
    "7",
    "5",
    "[1]",
    r#"{"a":1}"#,
    r#""none""#,
    "1",
    r#""shake128""#,
    "static",
    "ephemeral",
    "no-listeners",
    "listeners-null",
    "listeners-object",
    "listener-null",
    "no-text",
    "no-auth",
    "auth-null",
    "auth-text",
    "no-credentials",
    "credentials-null",
    "type-number",
    "v1",
    "null",
    "text",
    "array",
    "empty",
    "yaml",
    "yaml-comment",
    "cut",
    "comma",
    "variable",
    "bom",
    "nested-v09",
    "none",
    r#""tests/node/files""#,
    r#""tests/node/files/good.conf/x""#,
];

const FUNCTIONS: &[&str] = &["ice-config", "credentials"];

#[rustfmt::skip]
const OPTIONS: &[Dimension] = &[
    ("config_file", &["-", r#""""#, r#""tests/node/files/good.conf""#, r#""tests/node/files/none.conf""#, "true", "-1", "1.5", "{}", "[]", r#""a\u0000'b""#]),
    ("address", &["-", r#""203.0.113.9""#, r#""""#, "null", r#""turn.example""#, "[1,2]", r#"{"toString":null}"#]),
    ("port", &["-", "443", r#""444""#, "0", "null", "false", "1e21", "5.50"]),
    ("protocol", &["-", r#""TCP""#, r#""""#, "{}", "true"]),
    ("auth_type", &["-", r#""plaintext""#, r#""LongTerm""#, r#""""#, r#""static""#, "7"]),
    ("realm", &["-", r#""option.example""#, r#""""#, "[null,1]", r#""\ud800""#]),
    ("username", &["-", r#""ou""#, r#""""#, "0", r#"{"z":1,"1":2}"#, r#""é\"\n\u0001""#]),
    ("password", &["-", r#""op""#, r#""""#, "5", "true"]),
    ("secret", &["-", r#""os""#, r#""""#, "null", "5", "[1]", r#"{"a":1}"#, r#""\ud800é""#]),
    ("duration", &["-", "60", r#""60""#, r#""3600s""#, r#""soon""#, "0", "-5", "1e21", "0.5", r#"" 0x10""#, "true", r#""99999999999999999999""#]),
    ("ice_transport_policy", &["-", r#""all""#, r#""""#, "null", "[\"all\"]"]),
    ("algorithm", &["-", r#""sha1""#, r#""SHA256""#, r#""RSA-SHA512/224""#, r#""md5""#, r#""none""#, "1", r#""shake128""#, r#""sha-384\u0000x""#]),
    ("encoding", &["-", r#""base64""#, r#""HEX""#, r#""base64url""#, r#""latin1""#, r#""utf8""#, r#""ascii""#, r#""ucs2""#, r#""buffer""#, r#""other""#, "{}", r#"{"toString":1}"#]),
    ("transport_udp_enable", &["-", "true", "false", r#""0""#, "null"]),
    ("transport_tcp_enable", &["-", "true", "false", r#""0""#, "0", "{}"]),
];

#[rustfmt::skip]
const VARIABLES: &[Dimension] = &[
    ("STUNNER_CONFIG_FILENAME", FILES),
    ("STUNNER_PUBLIC_ADDR", &["-", r#""203.0.113.1""#, r#""""#, r#""2001:db8::7""#]),
    ("STUNNER_PUBLIC_PORT", &["-", r#""3479""#, r#""""#, r#""0""#]),
    ("STUNNER_PROTOCOL", &["-", r#""tls""#, r#""""#]),
    ("STUNNER_AUTH_TYPE", &["-", r#""plaintext""#, r#""LONGTERM""#, r#""ephemeral""#, r#""""#]),
    ("STUNNER_REALM", &["-", r#""variable.example""#, r#""""#]),
    ("STUNNER_USERNAME", &["-", r#""vu""#, r#""""#]),
    ("STUNNER_PASSWORD", &["-", r#""vp""#, r#""""#]),
    ("STUNNER_SHARED_SECRET", &["-", r#""vs""#, r#""""#]),
    ("STUNNER_DURATION", &["-", r#""120""#, r#""""#, r#""0""#, r#""never""#, r#""1e3""#]),
    ("STUNNER_ICE_TRANSPORT_POLICY", &["-", r#""all""#, r#""""#]),
    ("STUNNER_TRANSPORT_UDP_ENABLE", &["-", r#""1""#, r#""0""#, r#""""#, r#""false""#]),
    ("STUNNER_TRANSPORT_TCP_ENABLE", &["-", r#""1""#, r#""0""#, r#""""#, r#""false""#]),
];

/// Names of files in `tests/node/files`, and others.
const FILES: &[&str] = &[
    "-",
    "good",
    "longterm",
    "longterm-upper",
    "static",
    "ephemeral",
    "no-type",
    "empty-listeners",
    "no-listeners",
    "listeners-null",
    "listeners-object",
    "listeners-text",
    "listener-null",
    "listener-odd",
    "no-address",
    "odd-types",
    "zeros",
    "no-text",
    "no-auth",
    "auth-null",
    "auth-text",
    "no-credentials",
    "credentials-null",
    "type-number",
    "secret-number",
    "v1",
    "null",
    "text",
    "array",
    "empty",
    "yaml",
    "yaml-comment",
    "cut",
    "comma",
    "variable",
    "bom",
    "not-utf8",
    "twice",
    "nested-v09",
    "none",
    r#""tests/node/files""#,
    r#""tests/node/files/good.conf/x""#,
    r#""""#,
];

#[rustfmt::skip]
const LONGTERM: &[Dimension] = &[
    ("timeStamp", &["1652173256", r#""1652173256:alice""#, "-", "null", "1.5", "[1,[2]]", r#"{"toString":1}"#]),
    ("secret", &[r#""my-secret""#, r#""""#, "-", "null", "-0", "true", "[]", "{}"]),
    ("realm", &[r#""stunner.l7mp.io""#, "-", "null", "[1]"]),
    ("algorithm", &[r#""sha1""#, r#""sha-224""#, r#""2.16.840.1.101.3.4.2.6""#, r#""sha384WithRSAEncryption""#, r#""SHA2-512""#, r#""""#, r#""sha9""#, "-", "null", "{}"]),
    ("encoding", &[r#""base64""#, r#""Base64URL""#, r#""binary""#, r#""UTF-16LE""#, r#""utf-8""#, "-", "null", "[\"hex\"]", r#""hex\u0000""#]),
];

/// Texts, good and bad, as a configuration file may hold them.
#[rustfmt::skip]
const TEXTS: &[&str] = &[
    "", " ", "{", "[", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "[1", "[1,", "[1 2]", "{a:1}", "{\"a\" 1}", "{\"a\":1,}",
    "[1,]", "{,}", "[,]", "\"abc", "\"a\nb\"", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\", "\"\\u", "-", "-a", "01", "1.", "1.a",
    "1e", "1e+", "1ex", "-01", "tru", "truX", "tru1", "tru\"", "tru-", "nul", "{}x", "{} {}", "1 2", "1,", "\"a\"\"b\"",
    "{\"a\":tru}", "undefined", "NaN", "Infinity", "[object Object]", "[NaN, \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"]",
    "{\"a\":\"xxxxxxxxxxxxxxxxxxxxxx\",\"b\":yyy,\"c\":\"xxxxxxxxxxxxxxxxxxxxxxxxx\"}", "{\"a\":\"xxxxxxxxxxxxxxxx\",\"b\":yyyyyy}",
    "[1234567890123456,x]", "[12345678901234567,x]", "[1,345678,x,23456789]", "[1,345678,x,234567890]", "[1,34567,x,123456789012]",
    "{1:2}", "{'a':1}", "{\"a\":1;}", "[1;2]", "\"\\ud800\"", "{\"b\":1,\"2\":1,\"a\":2,\"1\":0,\"b\":3}",
    "{\"__proto__\":1,\"a\":2}", "[1e999,-1e999,-0,1e21,1e-7,1.5e-10,5e-324,0.1e1,123456789012345678901234,0.000001]",
    "{\"4294967295\":1,\"4294967294\":2,\"01\":3,\"-1\":4}", "\u{a0}{}", "\t\r\n {}", "{\"a\":\"😀\" x}", "😀", "[😀, \"xxxxxxxxxxxxxxxxxx\"]",
    "[\"x😀\", \"xxxx\",yyyyyyyyyyyyyyyyyy😀]", "\"😀", "\u{feff}{}", "[\"\u{7f}\u{2028}\\/\\b\\f\\u00e9\\ud83d\\ude00\"]", "--1", "[1-2]", "[0x1]",
    "[+1]", "[.5]", "// x", "\0", "[\"a\":1]", "{\"a\":{\"b\":[{}]}}", "[[],{}]", "{\"a\":\"b\" \"c\"}", "[true false]", "\"\\ÿ\"", "\"\\Ā\"", "[\"\\😀\"]", "{\"a\":1,\"b\" 1}", "{\"a\":1,\"b\"}", "{\"a\":1,\"b\"", "{\"a\":1,\"b\" \"c\"}", "[1000000000000000.25,0.05,0.0000123,-123000]", "{\"\":null}",
];

/// All cases.
pub(crate) fn all() -> Vec<Case> {
    let function = ("function", FUNCTIONS);
    let dimensions: Vec<Dimension> =
        std::iter::once(function).chain(OPTIONS.iter().copied()).chain(VARIABLES.iter().copied()).collect();
    let mut crossed = choices(&dimensions);
    crossed[1].truncate(FILES_CROSSED);
    let mut rows = pairwise(&crossed);
    for ((_, values), chosen) in dimensions.iter().zip(&mut crossed) {
        chosen.retain(|&value| !FATAL.contains(&values[value]));
    }
    rows.extend(pairwise(&crossed));
    for (file, function) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        rows.extend(alone(&dimensions, file, function));
    }
    let longterm = pairwise(&choices(LONGTERM)).into_iter().chain(alone(LONGTERM, 0, 0)).map(|row| Case {
        function: "longterm",
        options: object(LONGTERM, &row),
        env: "{}".to_owned(),
    });
    let parse = TEXTS.iter().map(|&text| Case {
        function: "parse",
        options: stunner_auth::node::Value::from(text).to_string(),
        env: "{}".to_owned(),
    });
    let (options, variables) = (1..=OPTIONS.len(), 1 + OPTIONS.len());
    let case = |row: &Vec<usize>| Case {
        function: FUNCTIONS[row[0]],
        options: object(&dimensions[options.clone()], &row[options.clone()]),
        env: object(&dimensions[variables..], &row[variables..]),
    };
    rows.iter().map(case).chain(longterm).chain(parse).collect()
}

/// Rows in which one dimension takes each of its values, and all others are good.
fn alone(dimensions: &[Dimension], file: usize, function: usize) -> Vec<Vec<usize>> {
    let good = |(name, _): &Dimension| match *name {
        "STUNNER_PUBLIC_ADDR" => 1,
        "STUNNER_CONFIG_FILENAME" => file * 2,
        "STUNNER_AUTH_TYPE" => 2,
        "function" => function,
        _ => 0,
    };
    let base: Vec<usize> = dimensions.iter().map(good).collect();
    let mut rows = Vec::new();
    for (dimension, (_, values)) in dimensions.iter().enumerate() {
        for value in 0..values.len() {
            let mut row = base.clone();
            row[dimension] = value;
            rows.push(row);
        }
    }
    rows
}

/// The places of all values of each dimension.
fn choices(dimensions: &[Dimension]) -> Vec<Vec<usize>> {
    dimensions.iter().map(|(_, values)| (0..values.len()).collect()).collect()
}

/// Rows in which every pair of two dimensions' choices occurs: each row begins with a pair that is missing, and takes for
/// each other dimension the choice that adds the most pairs.
pub(crate) fn pairwise(choices: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut missing = BTreeSet::new();
    for second in 0..choices.len() {
        for first in 0..second {
            for &one in &choices[first] {
                missing.extend(choices[second].iter().map(|&other| (first, one, second, other)));
            }
        }
    }
    let mut rows = Vec::new();
    while let Some(&(first, one, second, other)) = missing.first() {
        let mut row = vec![None; choices.len()];
        (row[first], row[second]) = (Some(one), Some(other));
        for dimension in 0..choices.len() {
            if row[dimension].is_none() {
                let gain = |value: &usize| {
                    pairs(&row, dimension, *value).filter(|pair| missing.contains(pair)).count()
                };
                row[dimension] = choices[dimension].iter().copied().rev().max_by_key(gain);
            }
        }
        for (dimension, value) in row.iter().enumerate() {
            for pair in pairs(&row, dimension, value.expect("every dimension has a value")) {
                missing.remove(&pair);
            }
        }
        rows.push(row.into_iter().flatten().collect());
    }
    rows
}

/// The pairs that a value makes with those that a row has already.
fn pairs(
    row: &[Option<usize>],
    dimension: usize,
    value: usize,
) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    row.iter().enumerate().filter(move |(other, _)| *other != dimension).filter_map(move |(other, found)| {
        let found = (*found)?;
        Some(if other < dimension {
            (other, found, dimension, value)
        } else {
            (dimension, value, other, found)
        })
    })
}

/// The members of a row that are not left out, as a JSON object.
fn object(dimensions: &[Dimension], row: &[usize]) -> String {
    let member = |(&(name, values), &index): (&Dimension, &usize)| match values[index] {
        "-" => None,
        json if name == "STUNNER_CONFIG_FILENAME" && !json.starts_with('"') => {
            Some(format!(r#""{name}":"tests/node/files/{json}.conf""#))
        }
        json => Some(format!(r#""{name}":{json}"#)),
    };
    format!("{{{}}}", dimensions.iter().zip(row).filter_map(member).collect::<Vec<_>>().join(","))
}
