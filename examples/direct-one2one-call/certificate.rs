//! The certificate of the page: the operator's, or one that is made and kept.

use std::{
    fs,
    io::{self, Write},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use tokio_rustls::rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::{ice, options::Settings};

/// How long a certificate is good for; Apple's browsers refuse more than 825 days.
const DAYS: i64 = 397;

/// One that is older than this is made anew.
const RENEW: std::time::Duration = std::time::Duration::from_secs(360 * 24 * 3600);

/// Reads the operator's certificate, or the one that was made before, or makes one. Also returns where the made one is.
pub(crate) fn load(settings: &Settings) -> Result<(Arc<ServerConfig>, Option<PathBuf>), String> {
    let (files, made) = match &settings.tls_files {
        Some(files) => (files.clone(), false),
        None => (kept(settings)?, true),
    };
    let (certificate, key) = &files;
    let unreadable = |path: &Path, why: &dyn std::fmt::Display| {
        format!(
            "cannot use {}: {why}; give a PEM file with --tls-cert and --tls-key, or none to have one made",
            path.display()
        )
    };
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| unreadable(certificate, &error))?;
    if chain.is_empty() {
        return Err(unreadable(certificate, &"there is no certificate in it"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, private);
    let mut config = config.map_err(|error| unreadable(key, &error))?;
    // WebSockets need HTTP/1.1, and the page is too small for anything newer to matter.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(config), made.then_some(files.0)))
}

/// The files of a certificate for this machine's names and addresses, made unless they are there already.
fn kept(settings: &Settings) -> Result<(PathBuf, PathBuf), String> {
    let directory = &settings.state_dir;
    let (certificate, key, list) =
        (directory.join("server.crt"), directory.join("server.key"), directory.join("server.names"));
    let names = names(settings);
    let wanted = names.join("\n");
    let age =
        fs::metadata(&certificate).and_then(|data| data.modified()).ok().and_then(|made| made.elapsed().ok());
    let good = age.is_some_and(|age| age < RENEW) && key.exists();
    if good && fs::read_to_string(&list).is_ok_and(|kept| kept == wanted) {
        return Ok((certificate, key));
    }
    let (chain, private) = make(names).map_err(|error| format!("cannot make a certificate: {error}"))?;
    let written = fs::create_dir_all(directory)
        .and_then(|()| write_private(&key, &private))
        .and_then(|()| fs::write(&certificate, chain))
        .and_then(|()| fs::write(&list, wanted));
    written.map_err(|error| {
        format!(
            "cannot keep the certificate in {}: {error}; give another directory with --state-dir",
            directory.display()
        )
    })?;
    Ok((certificate, key))
}

/// What this machine may be called: its name, its addresses, and the public address.
fn names(settings: &Settings) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.extend(settings.environment.get("STUNNER_PUBLIC_ADDR").map(str::to_owned));
    names.extend(fs::read_to_string("/etc/hostname").ok().map(|name| name.trim().to_owned()));
    names.extend(ice::own_addresses().iter().filter(|ip| !ice::is_link_local(ip)).map(IpAddr::to_string));
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':');
    names.retain(|name| !name.is_empty() && name.bytes().all(letters));
    names.sort();
    names.dedup();
    names
}

fn make(names: Vec<String>) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, "stunner-rs one-to-one call");
    params.distinguished_name = subject;
    params.not_before = time::OffsetDateTime::now_utc() - time::Duration::days(1);
    params.not_after = params.not_before + time::Duration::days(DAYS);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Writes a file that nobody else can read.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}
