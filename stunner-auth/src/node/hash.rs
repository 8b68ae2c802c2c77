//! `getLongtermForTimeStamp`, with Node's hash functions and encodings.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512, Sha512_224, Sha512_256};

use super::{Stop, Text, Value, convert, received};

pub(super) fn longterm(
    time_stamp: Option<&Value>,
    secret: Option<&Value>,
    realm: Option<&Value>,
    algorithm: Option<&Value>,
    encoding: Option<&Value>,
) -> Result<Value, Stop> {
    let Some(Value::String(algorithm)) = algorithm else {
        return Err(wrong_type("hmac", "type string", algorithm));
    };
    let Some(Value::String(secret)) = secret else {
        let types = "type string or an instance of ArrayBuffer, Buffer, TypedArray, DataView, KeyObject, or CryptoKey";
        return Err(wrong_type("key", types, secret));
    };
    let hash = named(algorithm)?;
    let username = convert::text(time_stamp)?;
    let code = hash(secret.to_utf8().as_bytes(), username.to_utf8().as_bytes());
    let credential = encoded(&code, &convert::text(encoding)?);
    Ok(Value::object([
        ("username", Some(Value::String(username))),
        ("credential", Some(credential)),
        ("realm", realm.cloned()),
    ]))
}

fn wrong_type(argument: &str, types: &str, found: Option<&Value>) -> Stop {
    let message = |what| {
        format!(
            "TypeError [ERR_INVALID_ARG_TYPE]: The \"{argument}\" argument must be of {types}. Received {what}"
        )
    };
    received(found).map_or_else(|stop| stop, |what| Stop::Throws(message(what)))
}

/// An HMAC: key and message in, code out.
type Hash = fn(&[u8], &[u8]) -> Vec<u8>;

/// The names that OpenSSL has for a hash function, in lower case.
#[rustfmt::skip]
const HASHES: [(&[&str], Hash); 8] = [
    (&["sha1", "sha-1", "rsa-sha1", "rsa-sha1-2", "sha1withrsaencryption", "ssl3-sha1", "1.3.14.3.2.26"],
        code::<Hmac<Sha1>>),
    (&["sha256", "sha-256", "sha2-256", "rsa-sha256", "sha256withrsaencryption", "2.16.840.1.101.3.4.2.1"],
        code::<Hmac<Sha256>>),
    (&["md5", "rsa-md5", "md5withrsaencryption", "ssl3-md5", "1.2.840.113549.2.5"], code::<Hmac<Md5>>),
    (&["sha224", "sha-224", "sha2-224", "rsa-sha224", "sha224withrsaencryption", "2.16.840.1.101.3.4.2.4"],
        code::<Hmac<Sha224>>),
    (&["sha384", "sha-384", "sha2-384", "rsa-sha384", "sha384withrsaencryption", "2.16.840.1.101.3.4.2.2"],
        code::<Hmac<Sha384>>),
    (&["sha512", "sha-512", "sha2-512", "rsa-sha512", "sha512withrsaencryption", "2.16.840.1.101.3.4.2.3"],
        code::<Hmac<Sha512>>),
    (&["sha512-224", "sha-512/224", "sha2-512/224", "rsa-sha512/224", "sha512-224withrsaencryption", "2.16.840.1.101.3.4.2.5"],
        code::<Hmac<Sha512_224>>),
    (&["sha512-256", "sha-512/256", "sha2-512/256", "rsa-sha512/256", "sha512-256withrsaencryption", "2.16.840.1.101.3.4.2.6"],
        code::<Hmac<Sha512_256>>),
];

/// The hash function of an OpenSSL name.
fn named(algorithm: &Text) -> Result<Hash, Stop> {
    let name = c_string(algorithm);
    let lower = name.to_ascii_lowercase();
    if let Some((_, hash)) = HASHES.iter().find(|(names, _)| names.contains(&lower.as_str())) {
        return Ok(*hash);
    }
    Err(match lower.as_str() {
        // These are known, and give no HMAC.
        "shake128" | "shake256" | "shake-128" | "shake-256" => {
            Stop::Throws("Error: error:00000000:lib(0)::reason(0)".to_owned())
        }
        other if is_known_elsewhere(other) => Stop::Unsupported(format!("the hash function '{name}'")),
        _ => Stop::Throws(format!("TypeError: Invalid digest: {name}")),
    })
}

/// Hash functions that OpenSSL has and this crate has not.
fn is_known_elsewhere(name: &str) -> bool {
    let families = ["sha3-", "blake2", "ripemd", "rmd160", "sm3", "md5-sha1", "md4", "mdc2", "whirlpool"];
    let name = name.trim_start_matches("rsa-").trim_start_matches("id-rsassa-pkcs1-v1_5-with-");
    families.iter().any(|family| name.starts_with(family))
        || name.contains("1.2.840.")
        || name.contains("2.16.840.")
}

fn code<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mac = <M as KeyInit>::new_from_slice(key).expect("an HMAC takes a key of any length");
    mac.chain_update(message).finalize().into_bytes().to_vec()
}

/// What `digest(encoding)` returns: text, or a Buffer for an encoding that Node does not know.
fn encoded(code: &[u8], encoding: &Text) -> Value {
    let units = |units: &mut dyn Iterator<Item = u16>| Value::String(Text(units.collect()));
    match c_string(encoding).to_ascii_lowercase().as_str() {
        "base64" => STANDARD.encode(code).as_str().into(),
        "base64url" => URL_SAFE_NO_PAD.encode(code).as_str().into(),
        "hex" => code.iter().map(|byte| format!("{byte:02x}")).collect::<String>().as_str().into(),
        "latin1" | "binary" => units(&mut code.iter().map(|&byte| byte.into())),
        "ascii" => units(&mut code.iter().map(|&byte| u16::from(byte & 0x7F))),
        "utf8" | "utf-8" => String::from_utf8_lossy(code).as_ref().into(),
        "ucs2" | "ucs-2" | "utf16le" | "utf-16le" => {
            units(&mut code.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])))
        }
        _ => {
            let data = code.iter().map(|&byte| Value::Number(byte.into())).collect();
            Value::object([("type", Some("Buffer".into())), ("data", Some(Value::Array(data)))])
        }
    }
}

/// Text as a C function sees it: up to the first NUL.
fn c_string(text: &Text) -> String {
    text.to_utf8().split('\0').next().unwrap_or_default().to_owned()
}
