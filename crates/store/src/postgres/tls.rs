//! TLS to the server, by rustls.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, FutureExt as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as RustlsStream;

use crate::StoreError;

/// None where TLS is not used.
#[derive(Clone)]
pub(super) struct Tls(Option<Arc<ClientConfig>>);

pub(super) struct Handshake {
    config: Option<Arc<ClientConfig>>,
    host: String,
}

pub(super) struct TlsSocket(Box<RustlsStream<Socket>>);

impl Tls {
    pub(super) fn off() -> Self {
        Self(None)
    }

    /// Trusts the certificates in the file `roots`, or those that the system trusts.
    pub(super) fn new(roots: Option<&str>) -> Result<Self, StoreError> {
        const UNREADABLE: StoreError = StoreError::Settings("the file of `sslrootcert` holds no readable certificates");
        let trusted: Vec<CertificateDer<'static>> = match roots {
            Some(file) => {
                let certificates = CertificateDer::pem_file_iter(file).map_err(|_| UNREADABLE)?;
                certificates.collect::<Result<_, _>>().map_err(|_| UNREADABLE)?
            }
            None => rustls_native_certs::load_native_certs().certs,
        };
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(trusted);
        if store.is_empty() {
            return Err(match roots {
                Some(_) => UNREADABLE,
                None => StoreError::Settings("the system trusts no certificates: name a file by `sslrootcert`"),
            });
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = versions.map_err(|error| StoreError::bug(error.to_string()))?;
        Ok(Self(Some(Arc::new(config.with_root_certificates(store).with_no_client_auth()))))
    }
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = TlsSocket;
    type TlsConnect = Handshake;
    type Error = io::Error;

    /// The driver asks for this also where TLS is off; then it is not used.
    fn make_tls_connect(&mut self, host: &str) -> io::Result<Handshake> {
        Ok(Handshake { config: self.0.clone(), host: host.to_owned() })
    }
}

impl TlsConnect<Socket> for Handshake {
    type Stream = TlsSocket;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TlsSocket>>;

    fn connect(self, socket: Socket) -> Self::Future {
        async move {
            let config = self.config.ok_or_else(|| io::Error::other("TLS is off"))?;
            let name = ServerName::try_from(self.host).map_err(io::Error::other)?;
            let stream = TlsConnector::from(config).connect(name, socket).await?;
            Ok(TlsSocket(Box::new(stream)))
        }
        .boxed()
    }
}

impl TlsStream for TlsSocket {
    /// The certificate is checked, so the password exchange need not be bound to it.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for TlsSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}
