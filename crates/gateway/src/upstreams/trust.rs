//! TLS towards upstreams: which certificates are trusted.

use std::sync::Arc;

use base::peer::{client_config, system_trust};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{BadSpec, ClientTls, Protocol, UpstreamSpec};

pub(super) fn client_tls(spec: &UpstreamSpec) -> Result<ClientTls, BadSpec> {
    let mut config = match &spec.tls.ca_pem {
        None => system_trust(),
        Some(pem) => client_config(roots(pem)?),
    };
    if !spec.tls.verify {
        let verifier = Unverified(Arc::new(aws_lc_rs::default_provider()));
        config.dangerous().set_certificate_verifier(Arc::new(verifier));
    }
    let with_alpn = |protocols: &[&[u8]]| -> Arc<ClientConfig> {
        let mut config = config.clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    };
    let negotiated = match spec.protocol {
        Protocol::Auto => with_alpn(&[b"h2", b"http/1.1"]),
        Protocol::Http1 => with_alpn(&[b"http/1.1"]),
        Protocol::H2 => with_alpn(&[b"h2"]),
    };
    Ok(ClientTls { negotiated, http1_only: with_alpn(&[b"http/1.1"]) })
}

fn roots(pem: &str) -> Result<RootCertStore, BadSpec> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| BadSpec::NoCertificate)?;
        roots.add(certificate).map_err(|error| BadSpec::Tls(error.to_string()))?;
    }
    if roots.is_empty() { Err(BadSpec::NoCertificate) } else { Ok(roots) }
}

/// `verify: false`: any certificate is taken; the handshake's signatures are still checked.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
