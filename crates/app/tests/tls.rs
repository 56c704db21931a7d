//! The gateway behind certificates, which change while it serves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test whose premise fails must fail loudly"
)]

mod support;

use std::path::Path;
use std::time::Duration;

use base::peer::{HttpPeer, Limits, Peer as _, PeerError, client_config};
use bytes::Bytes;
use http::{Request, StatusCode};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::CertificateDer;
use support::{Server, err, free_ports, run, write};

/// A new certificate in the folder, and whom a client has to trust for it.
fn certify(folder: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    write(&folder.join("cert.pem"), &cert.pem());
    write(&folder.join("key.pem"), &signing_key.serialize_pem());
    cert.der().clone()
}

async fn get_trusting(certificate: &CertificateDer<'static>, url: &str) -> Result<StatusCode, PeerError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let peer = HttpPeer::new(Some(client_config(roots)));
    let limits = Limits { time: Duration::from_secs(10), body_bytes: 1 << 20 };
    peer.call(Request::get(url).body(Bytes::new()).unwrap(), limits).await.map(|answer| answer.status())
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_change_without_a_restart_and_a_bad_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let port = free_ports();
    write(&at("admin.token"), &base::random::text::<32>());
    write(&at("all.yaml"), "");
    write(
        &at("cardea.yaml"),
        &format!(
            "data: ./data\ngateway:\n  listen:\n    - address: 127.0.0.1:{port}\n      \
             tls: {{ certificates: [{{ certificate: cert.pem, key: 'file:key.pem' }}] }}\n  \
             publicUrl: https://localhost:{port}\n  resources: ./all.yaml\n\
             ops: {{ listen: '127.0.0.1:{}', adminToken: 'file:admin.token' }}\n",
            port + 1
        ),
    );
    let config = at("cardea.yaml");
    let url = format!("https://localhost:{port}/");
    let (token, ops) = (format!("file:{}", at("admin.token").display()), format!("http://127.0.0.1:{}", port + 1));
    let reload = || run(&["reload", "--server", &ops, "--admin-token", &token], None);

    let first = certify(folder.path());
    let _server = Server::start(&["serve", "--json", "--config", config.to_str().unwrap(), "--roles", "gateway"]);
    assert_eq!(get_trusting(&first, &url).await.unwrap(), 404, "no route, but a connection");

    let second = certify(folder.path());
    assert!(reload().status.success());
    assert_eq!(get_trusting(&second, &url).await.unwrap(), 404);
    assert!(get_trusting(&first, &url).await.is_err(), "the old certificate is not served any more");

    write(&at("key.pem"), "no key");
    let refused = reload();
    assert_eq!(refused.status.code(), Some(5), "{}", err(&refused));
    assert!(err(&refused).contains("key.pem"), "{}", err(&refused));
    assert_eq!(get_trusting(&second, &url).await.unwrap(), 404, "what was good goes on");
}
