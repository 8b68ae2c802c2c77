//! Certificates, good and bad.

use crate::{
    between::Certificate,
    run::{Run, check_with},
    server::Own,
};

/// Checks a server behind a certificate, by a name, with or without trust in its authority.
async fn checked(certificate: &Certificate, host: &str, trusted: bool, arguments: &'static [&str]) -> Run {
    let server = Own::start();
    let port = certificate.serve(&server.tcp).await;
    let other = Certificate::new("other.example", [-1, 1]).authority;
    let authority = if trusted { certificate.authority.clone() } else { other };
    let uri = format!("turns:{host}:{port}?transport=tcp");
    let run = move || {
        let authority = authority.to_str().expect("a path in UTF-8");
        check_with(&uri, arguments, &[("SSL_CERT_FILE", authority)])
    };
    tokio::task::spawn_blocking(run).await.expect("it ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_certificate_is_good() {
    let run = checked(&Certificate::new("localhost", [-1, 1]), "localhost", true, &["-4"]).await;
    run.is_good();
    assert_eq!(run.steps()[..4], ["name", "connect", "tls", "answer"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_told_with_its_age() {
    let certificate = Certificate::new("localhost", [-10, -3]);
    let run = checked(&certificate, "localhost", true, &["-4"]).await;
    run.fails("tls", "expired 3 days ago", "renew it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_tomorrow_is_a_matter_of_clocks() {
    let run = checked(&Certificate::new("localhost", [1, 9]), "localhost", true, &["-4"]).await;
    run.fails("tls", "not valid yet", "the clocks");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_name_is_told() {
    let certificate = Certificate::new("turn.example.com", [-1, 1]);
    let run = checked(&certificate, "127.0.0.1", true, &[]).await;
    run.fails("tls", "the certificate is not for 127.0.0.1", "use the name that the certificate has");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_issuer_is_told_and_insecure_goes_on() {
    let certificate = Certificate::new("localhost", [-1, 1]);
    let run = checked(&certificate, "localhost", false, &["-4"]).await;
    run.fails("tls", "the issuer of the certificate is unknown", "serve the whole chain");

    let run = checked(&certificate, "localhost", false, &["-4", "--insecure"]).await;
    assert_eq!((run.status, run.step("tls").0, run.step("data").0), (0, "warning", "ok"));
    run.advises("serve the whole chain");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_with_tls_is_told_from_one_without() {
    let server = Own::start();
    let certificate = Certificate::new("localhost", [-1, 1]);
    let port = certificate.serve(&server.tcp).await;
    let authority = certificate.authority.to_str().expect("a path in UTF-8").to_owned();
    let plain = format!("turns:{}?transport=tcp", server.tcp);
    let runs = move || {
        let with = check_with(&format!("turn:127.0.0.1:{port}?transport=tcp"), &[], &[]);
        (with, check_with(&plain, &[], &[("SSL_CERT_FILE", authority.as_str())]))
    };
    let (with, without) = tokio::task::spawn_blocking(runs).await.expect("they end");

    with.fails("answer", "speaks no TURN, but TLS", "write turns: in place of turn:");
    without.fails("tls", "no TLS", "is it the port for turns:");
}
