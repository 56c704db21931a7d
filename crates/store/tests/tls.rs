#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

//! TLS to PostgreSQL.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use store::{Config, Db, StoreError};
use testkit::db::PostgresServer;

/// An authority, as a PEM file, and a server whose certificate it has signed for `db.test`.
struct Tls {
    roots: tempfile::NamedTempFile,
    server: PostgresServer,
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn file(pem: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pem).unwrap();
    file
}

fn start() -> Tls {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["db.test".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let server = PostgresServer::start_with_tls(&certificate.pem(), &key.serialize_pem());
    Tls { roots: file(&authority.pem()), server }
}

fn refused(opened: Result<Db, StoreError>) {
    let error = opened.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_when_asked_for_and_only_with_the_right_server() {
    let tls = start();
    let roots = tls.roots.path().display().to_string();
    let trusted = format!("sslmode=verify-full&sslrootcert={roots}");

    let db = Db::open(&tls.server.config_over_tcp("db.test", &trusted), &[]).await.unwrap();
    let sql = "SELECT ssl AS tls FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(db.begin().read_one(sql, &[]).await.unwrap().unwrap().int("tls").unwrap(), 1);
    assert_eq!(db.begin().one(sql, &[]).await.unwrap().unwrap().int("tls").unwrap(), 1);
    db.ping().await.unwrap();

    refused(Db::open(&tls.server.config_over_tcp("other.test", &trusted), &[]).await);

    let stranger = file(&authority().pem());
    let foreign = format!("sslmode=require&sslrootcert={}", stranger.path().display());
    refused(Db::open(&tls.server.config_over_tcp("db.test", &foreign), &[]).await);
}

/// The server without TLS is asked for it, and is not talked to in the clear.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_is_refused_where_tls_was_asked_for() {
    let tls = start();
    let server = PostgresServer::start();
    let Config::Postgres { url, schema } = server.config() else { unreachable!() };
    let asking = format!("{}?sslmode=require&sslrootcert={}", url.expose(), tls.roots.path().display());

    refused(Db::open(&Config::Postgres { url: asking.into(), schema }, &[]).await);
}
