//! TLS towards clients and upstreams.

use std::path::Path;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

fn write(folder: &Path, name: &str, names: &[&str]) -> (CertificateFiles, rustls::pki_types::CertificateDer<'static>) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let files = CertificateFiles { chain: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) };
    std::fs::write(&files.chain, cert.pem()).unwrap();
    std::fs::write(&files.key, signing_key.serialize_pem()).unwrap();
    (files, cert.der().clone())
}

async fn connect(
    address: SocketAddr,
    name: &str,
    trusted: &[rustls::pki_types::CertificateDer<'static>],
    alpn: &[&str],
) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.iter().cloned());
    let mut config = base::peer::client_config(roots);
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let stream = tokio::net::TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await
}

async fn ask(stream: &mut TlsStream<tokio::net::TcpStream>) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

fn whose(stream: &TlsStream<tokio::net::TcpStream>) -> rustls::pki_types::CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

#[tokio::test]
async fn certificates_are_chosen_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (first, first_der) = write(folder.path(), "first", &["first.example"]);
    let (second, second_der) = write(folder.path(), "second", &["second.example", "*.second.example"]);
    let certificates = Arc::new(Certificates::load(&[first, second]).unwrap());
    let edge = Edge::start(config(), Some(certificates), |head, _| {
        answer(200, if head.scheme == Scheme::Https { "secure" } else { "plain" })
    });
    let trusted = [first_der.clone(), second_der.clone()];

    for (name, expected) in
        [("first.example", &first_der), ("SECOND.example", &second_der), ("a.second.example", &second_der)]
    {
        let mut stream = connect(edge.address, name, &trusted, &["http/1.1"]).await.unwrap();
        assert_eq!(whose(&stream), *expected, "{name}");
        assert!(ask(&mut stream).await.ends_with("secure"));
    }
    for unknown in ["other.example", "a.b.second.example"] {
        assert!(connect(edge.address, unknown, &trusted, &[]).await.is_err(), "{unknown}");
    }
}

#[tokio::test]
async fn certificates_change_while_connections_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (old, old_der) = write(folder.path(), "old", &["a.example"]);
    let (new, new_der) = write(folder.path(), "new", &["a.example"]);
    let certificates = Arc::new(Certificates::load(&[old]).unwrap());
    let edge = Edge::start(config(), Some(Arc::clone(&certificates)), |_, _| answer(200, "yes"));
    let mut before = connect(edge.address, "a.example", std::slice::from_ref(&old_der), &[]).await.unwrap();

    let broken = CertificateFiles { key: folder.path().join("none"), ..new.clone() };
    assert!(certificates.replace(&[broken]).is_err());
    let swapped = CertificateFiles { key: folder.path().join("old.key"), ..new.clone() };
    assert!(matches!(certificates.replace(&[swapped]), Err(BadCertificate::Mismatch { .. })));
    assert!(certificates.replace(&[]).is_err());
    assert_eq!(whose(&connect(edge.address, "a.example", &[old_der], &[]).await.unwrap()), whose(&before));

    certificates.replace(&[new]).unwrap();
    let after = connect(edge.address, "a.example", std::slice::from_ref(&new_der), &[]).await.unwrap();
    assert_eq!(whose(&after), new_der);
    assert!(ask(&mut before).await.contains("200 OK"));
}

#[tokio::test]
async fn an_upstream_is_asked_over_tls_and_must_be_who_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let (files, _) = write(folder.path(), "up", &["orders.internal", "localhost"]);
    let ca_pem = std::fs::read_to_string(&files.chain).unwrap();
    let certificates = Arc::new(Certificates::load(&[files]).unwrap());
    // The upstream is an edge itself; it tells the version it was asked in.
    let behind = Edge::start(config(), Some(certificates), |head, _| {
        answer(200, if head.version == http::Version::HTTP_2 { "h2" } else { "http/1.1" })
    });
    let url = format!("https://{}", behind.address);
    let with = |adjust: &dyn Fn(&mut UpstreamSpec)| {
        let mut spec = spec(&[&url]);
        spec.tls.ca_pem = Some(ca_pem.clone());
        spec.tls.server_name = Some("orders.internal".to_owned());
        adjust(&mut spec);
        Edge::with(config(), Arc::new(Upstream::new(spec).unwrap()), |_| {})
    };
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    use crate::upstreams::Protocol;
    for (protocol, expected) in [(Protocol::Auto, "h2"), (Protocol::Http1, "http/1.1"), (Protocol::H2, "h2")] {
        let edge = with(&|spec| spec.protocol = protocol);
        let mut client = edge.connect().await;
        assert_eq!(client.ask(get).await.text(), expected);
        assert_eq!(client.ask(get).await.text(), expected);
    }
    let wrong_name = with(&|spec| spec.tls.server_name = Some("other.internal".to_owned()));
    let answer = wrong_name.connect().await.ask(get).await;
    assert_eq!(answer.status(), 502);
    assert!(answer.text().contains("upstream_tls_failed"));
    let stranger = with(&|spec| spec.tls.ca_pem = None);
    assert_eq!(stranger.connect().await.ask(get).await.status(), 502);
    let careless = with(&|spec| {
        spec.tls.ca_pem = None;
        spec.tls.verify = false;
    });
    assert_eq!(careless.connect().await.ask(get).await.status(), 200);
}
