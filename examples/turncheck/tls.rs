//! TLS to the server, with the certificate's faults in words.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
        client::{
            WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

use crate::{advice, certificate, link::Link, options::Plan, report::Finding};

/// Asks the usual verifier, remembers what it says, and goes on all the same if it is told to.
#[derive(Debug)]
struct Verifier {
    usual: Arc<WebPkiServerVerifier>,
    insecure: bool,
    fault: Mutex<Option<Error>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.usual.verify_server_cert(end_entity, intermediates, name, ocsp, now);
        let Err(error) = verified else { return verified };
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
        if self.insecure { Ok(ServerCertVerified::assertion()) } else { Err(error) }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// Trusts what the system trusts.
fn verifier(insecure: bool, provider: &Arc<CryptoProvider>) -> Result<Arc<Verifier>, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
        return Err(format!("this machine trusts no certificates: {why}"));
    }
    let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    let usual = usual.map_err(|error| error.to_string())?;
    Ok(Arc::new(Verifier { usual, insecure, fault: Mutex::default() }))
}

/// Shakes hands, and says what is wrong with the certificate.
pub(crate) async fn handshake(plan: &Plan, name: &str, tcp: TcpStream) -> Result<(Link, Finding), Finding> {
    let failed = |why: &dyn std::fmt::Display, advice| Finding::failed(why.to_string(), advice);
    let addresses = tcp.local_addr().and_then(|local| Ok((local, tcp.peer_addr()?)));
    let (local, server) = addresses.map_err(|error| failed(&error, advice::LOST))?;
    let provider = Arc::new(ring::default_provider());
    let verifier =
        verifier(plan.insecure, &provider).map_err(|why| Finding::failed(why, advice::NO_ROOTS))?;
    let name = ServerName::try_from(name.to_owned()).map_err(|error| failed(&error, advice::NAME))?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error, advice::TLS))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&verifier) as _)
        .with_no_client_auth();
    let connected =
        tokio::time::timeout(plan.timeout, TlsConnector::from(Arc::new(config)).connect(name, tcp)).await;
    let fault = verifier.fault.lock().unwrap_or_else(PoisonError::into_inner).take();
    let stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(_)) if fault.is_some() => {
            let (text, advice) = certificate::explain(fault.as_ref(), &plan.host);
            return Err(Finding::failed(text, advice));
        }
        Ok(Err(error)) => return Err(Finding::failed(format!("no TLS: {error}"), advice::TLS)),
        Err(_) => return Err(Finding::failed("no TLS in time", advice::TLS)),
    };
    let protocol =
        stream.get_ref().1.protocol_version().and_then(|version| version.as_str()).unwrap_or("TLS");
    let finding = match fault {
        None => Finding::ok(format!("{protocol}, the certificate is trusted")),
        Some(fault) => {
            let (text, advice) = certificate::explain(Some(&fault), &plan.host);
            Finding::warning(format!("{protocol}, though {text}"), advice)
        }
    };
    Ok((Link::stream(stream, local, server), finding))
}
