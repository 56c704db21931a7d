//! Where the server is, and how it is reached.

use std::time::Duration;

use base::Secret;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, Connection, Socket};
use url::form_urlencoded;

use super::errors::meaning;
use super::tls::{Tls, TlsSocket};
use crate::StoreError;

const WRONG_URL: StoreError =
    StoreError::Settings("the URL of PostgreSQL cannot be read (postgres://user:password@host/name)");

pub(super) struct Server {
    config: Config,
    tls: Tls,
    /// How long an answer is waited for. The server's own limits should end a statement before.
    pub patience: Duration,
}

impl Server {
    /// From a URL as libpq has it. How it is wrong is not told in detail, since it holds a password.
    ///
    /// `sslmode=require`, `verify-ca` and `verify-full` all mean TLS with a certificate that is checked for the host's
    /// name, against the system's roots or those in the file `sslrootcert`. Without them there is no TLS.
    pub(super) fn new(url: &Secret<String>, patience: Duration) -> Result<Self, StoreError> {
        let (url, roots) = split(url);
        let mut config: Config = url.expose().parse().map_err(|_| WRONG_URL)?;
        let tls = match config.get_ssl_mode() {
            SslMode::Require => Tls::new(roots.as_deref())?,
            _ => {
                config.ssl_mode(SslMode::Disable);
                Tls::off()
            }
        };
        config.application_name("cardea").connect_timeout(Duration::from_secs(3));
        // A server that vanished without a word is noticed within seconds.
        config.keepalives_idle(Duration::from_secs(10)).keepalives_interval(Duration::from_secs(3));
        config.keepalives_retries(3).tcp_user_timeout(Duration::from_secs(15));
        Ok(Self { config, tls, patience })
    }

    pub(super) async fn connect(&self) -> Result<(Client, Connection<Socket, TlsSocket>), StoreError> {
        let connected = within(self.patience, self.config.connect(self.tls.clone())).await;
        connected.ok_or_else(no_answer)?.map_err(|error| meaning(&error))
    }
}

/// The URL as the driver takes it, and the `sslrootcert` that it does not know.
fn split(url: &Secret<String>) -> (Secret<String>, Option<String>) {
    let Some((place, query)) = url.expose().split_once('?') else { return (url.clone(), None) };
    let mut roots = None;
    let mut rest = form_urlencoded::Serializer::new(String::new());
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match (&*key, &*value) {
            ("sslrootcert", file) => roots = Some(file.to_owned()),
            ("sslmode", "verify-ca" | "verify-full") => {
                rest.append_pair("sslmode", "require");
            }
            (key, value) => {
                rest.append_pair(key, value);
            }
        }
    }
    // The driver takes `+` for itself, not for a space.
    (Secret::new(format!("{place}?{}", rest.finish().replace('+', "%20"))), roots)
}

pub(super) async fn within<T>(patience: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(patience, future).await.ok()
}

pub(super) fn no_answer() -> StoreError {
    StoreError::unavailable("PostgreSQL did not answer in time")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(url: &str) -> Result<Server, StoreError> {
        Server::new(&Secret::from(url), Duration::ZERO)
    }

    #[test]
    fn a_wrong_url_is_refused_without_repeating_it() {
        let error = new("postgres://u:hunter2@h:port/x").err().unwrap();

        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn tls_is_used_exactly_when_asked_for() {
        for mode in ["require", "verify-ca", "verify-full"] {
            let server = new(&format!("postgres://u@h/x?sslmode={mode}")).unwrap();
            assert_eq!(server.config.get_ssl_mode(), SslMode::Require, "{mode}");
        }
        for url in ["postgres://u@h/x", "postgres://u@h/x?sslmode=prefer", "postgres://u@h/x?sslmode=disable"] {
            assert_eq!(new(url).unwrap().config.get_ssl_mode(), SslMode::Disable, "{url}");
        }
        assert!(new("postgres://u@h/x?sslmode=perhaps").is_err());
    }

    #[test]
    fn roots_that_cannot_be_read_are_refused() {
        let error = new("postgres://u@h/x?sslmode=require&sslrootcert=%2Fnowhere%2Fca.pem").err().unwrap();

        assert!(matches!(error, StoreError::Settings(_)));
    }

    #[test]
    fn other_parameters_go_on_unchanged() {
        let server = new("postgres://u:p%2B@h/x?options=-c%20a%3Db%2Bc&sslrootcert=f&connect_timeout=9").unwrap();

        assert_eq!(server.config.get_options(), Some("-c a=b+c"));
        assert_eq!(server.config.get_password(), Some(&b"p+"[..]));
    }
}
