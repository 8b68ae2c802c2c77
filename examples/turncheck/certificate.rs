//! What is wrong with a certificate, in words.

use tokio_rustls::rustls::{CertificateError, Error};

/// What a browser would stumble on, and what to do.
pub(crate) fn explain(error: Option<&Error>, host: &str) -> (String, String) {
    let Some(Error::InvalidCertificate(fault)) = error else {
        let text = error.map_or_else(|| "the certificate is bad".to_owned(), ToString::to_string);
        return (text, RENEW.to_owned());
    };
    match fault {
        CertificateError::Expired => ("the certificate has expired".to_owned(), RENEW.to_owned()),
        CertificateError::ExpiredContext { time, not_after } => {
            let days = time.as_secs().saturating_sub(not_after.as_secs()) / 86_400;
            (format!("the certificate expired {days} days ago"), RENEW.to_owned())
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ("the certificate is not valid yet".to_owned(), EARLY.to_owned())
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            format!("the certificate is not for {host}"),
            format!(
                "Browsers refuse a certificate of another name: use the name that the certificate has in the turns: URI, or \
                 get a certificate for {host}. One for an address is rare; a name is better."
            ),
        ),
        // An authority of the same name, and another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            ("the issuer of the certificate is unknown".to_owned(), ISSUER.to_owned())
        }
        other => (format!("the certificate is refused: {other}"), RENEW.to_owned()),
    }
}

const RENEW: &str = "Browsers refuse this certificate, and say no more than that the server cannot be reached (701): renew \
                     it, let the server load the new one, and see that this machine's clock is right.";

const EARLY: &str = "Browsers refuse a certificate before its time: see that the clocks of this machine and of the machine \
                     that issued it are right.";

const ISSUER: &str = "Browsers trust no certificate that is self-signed or lacks its chain, and nobody can click that away \
                      for turns: URIs: serve the whole chain (fullchain.pem) of a public authority, or install the private \
                      one on every device. SSL_CERT_FILE tells this program of it; --insecure goes on without.";
