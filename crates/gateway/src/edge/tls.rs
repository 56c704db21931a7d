//! Certificates towards clients, chosen by the name asked for, changed while serving.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Where a certificate is: its chain and its private key, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    pub chain: PathBuf,
    pub key: PathBuf,
}

/// Why certificates cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BadCertificate {
    #[error("no certificate is named")]
    None,
    #[error("`{0}` cannot be read as PEM")]
    Unreadable(PathBuf),
    #[error("`{0}` holds no certificate")]
    Empty(PathBuf),
    #[error(
        "the key `{key}` does not belong to the certificate `{chain}`, or is of a kind that is not served: {cause}"
    )]
    Mismatch { chain: PathBuf, key: PathBuf, cause: rustls::Error },
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
}

/// The certificates of one or more listeners.
#[derive(Debug)]
pub struct Certificates {
    table: Arc<Table>,
    config: Arc<ServerConfig>,
}

impl Certificates {
    /// Loads certificates; the first is also for clients that ask for no name or an unknown one.
    pub fn load(files: &[CertificateFiles]) -> Result<Self, BadCertificate> {
        let table = Arc::new(Table { names: ArcSwap::from_pointee(Names::load(files)?) });
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(BadCertificate::Tls)?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Table>::clone(&table);
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { table, config: Arc::new(config) })
    }

    /// Takes these from now on. If one of them is bad, all stays as it is.
    pub fn replace(&self, files: &[CertificateFiles]) -> Result<(), BadCertificate> {
        self.table.names.store(Arc::new(Names::load(files)?));
        Ok(())
    }

    pub(super) fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }
}

#[derive(Debug)]
struct Table {
    names: ArcSwap<Names>,
}

impl ResolvesServerCert for Table {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.names.load().find(hello.server_name()))
    }
}

#[derive(Debug)]
struct Names {
    default: Arc<CertifiedKey>,
    by_name: HashMap<String, Arc<CertifiedKey>>,
}

impl Names {
    fn load(files: &[CertificateFiles]) -> Result<Self, BadCertificate> {
        let mut default = None;
        let mut by_name = HashMap::new();
        for files in files {
            let certified = Arc::new(load_pair(files)?);
            for name in dns_names(&certified) {
                by_name.entry(name).or_insert_with(|| Arc::clone(&certified));
            }
            default.get_or_insert(certified);
        }
        Ok(Self { default: default.ok_or(BadCertificate::None)?, by_name })
    }

    /// By the exact name, else by a wildcard for its first label (RFC 9525 §6.3), else the first.
    fn find(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        let found = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let wildcard = || name.split_once('.').and_then(|(_, parent)| self.by_name.get(&format!("*.{parent}")));
            self.by_name.get(&name).or_else(wildcard)
        });
        Arc::clone(found.unwrap_or(&self.default))
    }
}

fn load_pair(files: &CertificateFiles) -> Result<CertifiedKey, BadCertificate> {
    let unreadable = |path: &Path| BadCertificate::Unreadable(path.to_owned());
    let chain = CertificateDer::pem_file_iter(&files.chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|_| unreadable(&files.chain))?;
    if chain.is_empty() {
        return Err(BadCertificate::Empty(files.chain.clone()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|_| unreadable(&files.key))?;
    // Also compares the two public keys.
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|cause| BadCertificate::Mismatch {
        chain: files.chain.clone(),
        key: files.key.clone(),
        cause,
    })
}

fn dns_names(certified: &CertifiedKey) -> Vec<String> {
    let Some(leaf) = certified.cert.first() else { return Vec::new() };
    match webpki::EndEntityCert::try_from(leaf) {
        Ok(leaf) => leaf.valid_dns_names().map(str::to_ascii_lowercase).collect(),
        Err(_) => Vec::new(),
    }
}
