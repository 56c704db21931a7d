//! `cardea doctor`: what a production installation lacks, and what to do about each.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base::time::{Clock as _, SystemClock};
use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::serve::ADMIN_TOKEN_BYTES;
use crate::config::{Database, Entitlement, File, Gateway, Identity, Management, Reference};
use crate::documents;
use crate::exit::Exit;
use crate::out::{Out, Table};
use crate::roles::Role;
use crate::wire;

#[derive(Debug, Args)]
pub struct Doctor {
    /// The configuration file of the installation
    #[arg(long, value_name = "FILE", default_value = "cardea.yaml")]
    config: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Fault,
    Advice,
    Fine,
}

#[derive(Debug, Serialize)]
struct Finding {
    level: Level,
    what: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    todo: String,
}

impl Finding {
    fn fine(what: impl Into<String>) -> Self {
        Self { level: Level::Fine, what: what.into(), todo: String::new() }
    }

    fn fault(what: impl Into<String>, todo: &str) -> Self {
        Self { level: Level::Fault, what: what.into(), todo: todo.to_owned() }
    }

    fn advice(what: impl Into<String>, todo: &str) -> Self {
        Self { level: Level::Advice, what: what.into(), todo: todo.to_owned() }
    }
}

impl Doctor {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        let mut findings = if self.config.exists() {
            examine(&File::load(&self.config)?).await
        } else {
            let what = format!("there is no {}", self.config.display());
            let todo = "write one (`cardea schema config` describes it); `cardea dev` is for trying only: its issuer \
                        is plain HTTP, its secrets lie beside its data, its user has a password in a file";
            vec![Finding::fault(what, todo)]
        };
        findings.push(clock());
        findings.sort_by_key(|finding| finding.level);
        let faults = findings.iter().filter(|finding| finding.level == Level::Fault).count();
        let row = |finding: &Finding| {
            let level = match finding.level {
                Level::Fault => "FAULT",
                Level::Advice => "advice",
                Level::Fine => "fine",
            };
            vec![level.to_owned(), finding.what.clone(), finding.todo.clone()]
        };
        let table = Table {
            headings: vec!["is", "what", "to do"],
            rows: findings.iter().map(row).collect(),
            empty: "nothing to look at",
        };
        out.table(&table, &json!({"faults": faults, "findings": findings}))?;
        Ok(if faults == 0 { Exit::Done } else { Exit::Found })
    }
}

fn clock() -> Finding {
    // 2026-01-01: whatever runs this program runs later than that.
    if SystemClock::default().now().seconds() < 1_767_225_600 {
        return Finding::fault(
            "the clock of this machine is wrong",
            "set it, and keep it set (chrony or systemd-timesyncd)",
        );
    }
    Finding::fine("the clock looks right")
}

async fn examine(file: &File) -> Vec<Finding> {
    let mut findings = vec![secret("ops.adminToken", &file.ops.admin_token, ADMIN_TOKEN_BYTES, None)];
    if !file.ops.listen.ip().is_loopback() {
        findings.push(Finding::advice(
            format!("operations listen on {}", file.ops.listen),
            "see that only the management network reaches it: it speaks plain HTTP",
        ));
    }
    if std::fs::metadata(&file.data).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
        let what = format!("others can look into the data folder {}", file.data.display());
        findings.push(Finding::fault(what, "chmod 700"));
    }
    if let Some(identity) = &file.identity {
        findings.extend(examine_identity(identity, file).await);
    }
    if let Some(entitlement) = &file.entitlement {
        findings.extend(examine_entitlement(entitlement, file).await);
    }
    if let Some(management) = &file.management {
        findings.extend(examine_management(management, file).await);
    }
    if let Some(gateway) = &file.gateway {
        findings.extend(examine_gateway(gateway));
        findings.extend(set_aside(&file.data));
    }
    findings
}

async fn examine_identity(identity: &Identity, file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    if identity.issuer.starts_with("https://") {
        findings.push(Finding::fine("the issuer is https"));
    } else {
        findings.push(Finding::fault(
            format!("the issuer {} is plain HTTP", identity.issuer),
            "give it an https name: tokens and passwords travel over it",
        ));
    }
    if !identity.listen.ip().is_loopback() {
        findings.push(Finding::advice(
            format!("the identity system listens on {} without TLS", identity.listen),
            "put the gateway or a TLS proxy in front of it, and let nobody else reach it",
        ));
    }
    findings.extend(proxies("identity.trustedProxies", &identity.trusted_proxies));
    findings.extend(one_network(identity));
    findings.push(secret("identity.masterKey", &identity.master_key, 32, Some(&file.data)));
    findings.push(database(&identity.database, Role::Identity, file).await);
    findings
}

async fn examine_entitlement(entitlement: &Entitlement, file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !entitlement.listen.ip().is_loopback() {
        findings.push(Finding::advice(
            format!("the entitlement system listens on {} without TLS", entitlement.listen),
            "see that only a TLS proxy reaches it: secrets of callers travel over it",
        ));
    }
    for caller in &entitlement.callers {
        let key = format!("entitlement.callers: {}", caller.name);
        findings.push(secret(&key, &caller.secret, wire::CALLER_SECRET_BYTES, None));
    }
    if let Some(bearer) = entitlement.source.as_ref().and_then(|source| source.bearer.as_ref()) {
        findings.push(secret("entitlement.source.bearer", bearer, 1, None));
    }
    findings.push(database(&entitlement.database, Role::Entitlement, file).await);
    findings
}

async fn examine_management(management: &Management, file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (key, url) in
        [("url", &management.url), ("issuer", &management.issuer), ("gatewayUrl", &management.gateway_url)]
    {
        if !url.starts_with("https://") {
            findings.push(Finding::fault(
                format!("`management.{key}` {url} is plain HTTP"),
                "give it an https name: sessions, secrets and tokens travel over it",
            ));
        }
    }
    if !management.listen.ip().is_loopback() {
        findings.push(Finding::advice(
            format!("the management system listens on {} without TLS", management.listen),
            "put the gateway or a TLS proxy in front of it, and let nobody else reach it",
        ));
    }
    findings.extend(proxies("management.trustedProxies", &management.trusted_proxies));
    findings.push(secret("management.masterKey", &management.master_key, 32, Some(&file.data)));
    findings.push(secret("management.clientSecret", &management.client_secret, 32, None));
    for gateway in &management.gateways {
        let key = format!("management.gateways: {}", gateway.name);
        findings.push(secret(&key, &gateway.token, wire::GATEWAY_TOKEN_BYTES, None));
    }
    findings.push(database(&management.database, Role::Management, file).await);
    findings
}

/// Usage that is not counted until somebody looks at it.
fn set_aside(data: &Path) -> Vec<Finding> {
    let found = match gateway::set_aside_in(&data.join("gateway/usage")) {
        Ok(found) => found,
        Err(error) => {
            return vec![Finding::fault(format!("the usage log cannot be read: {error}"), "look at its disk")];
        }
    };
    let mut findings = Vec::new();
    for aside in found {
        let folder = aside.folder.display();
        if aside.records > 0 {
            findings.push(Finding::fault(
                format!("{} usage records were refused by management and lie in {folder}/set-aside", aside.records),
                "see the reason in the gateway's log and remove it; then rename `set-aside` to `retry`: they are \
                 shipped within seconds. To give them up, move the file away",
            ));
        }
        if aside.damaged_bytes > 0 {
            findings.push(Finding::fault(
                format!("{} bytes of the usage log could not be read: {folder}/*.damaged", aside.damaged_bytes),
                "look at the disk; the calls in them are not counted. Move the files away when you have",
            ));
        }
    }
    findings
}

async fn database(given: &Database, role: Role, file: &File) -> Finding {
    let name = role.name();
    let todo = format!("start it, or correct `{name}.database`");
    if matches!(given, Database::Sqlite) {
        let path = file.data.join(format!("{name}.db"));
        let keep = if role == Role::Entitlement { "back it up" } else { "back it up with its master key" };
        return if path.exists() {
            Finding::fine(format!("the database of {name} is a file: good for one node; {keep}"))
        } else {
            Finding::advice(format!("the database {} is not there yet", path.display()), "`cardea migrate` makes it")
        };
    }
    let config = match wire::database(given, role, &file.data) {
        Ok(config) => config,
        Err(error) => return Finding::fault(format!("{error:#}"), &todo),
    };
    // Knowing no migration it changes nothing; a database that has some says so, and is reached.
    match store::Db::open(&config, &[]).await {
        Ok(db) => {
            db.close().await;
            Finding::advice(format!("the database of {name} is reached and empty"), "`cardea migrate` makes its tables")
        }
        Err(store::StoreError::Newer { .. }) => Finding::fine(format!("the database of {name} is reached")),
        Err(error) => Finding::fault(format!("the database of {name}: {error}"), &todo),
    }
}

fn examine_gateway(gateway: &Gateway) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !gateway.public_url.starts_with("https://") {
        findings.push(Finding::fault(
            format!("the gateway's public URL {} is plain HTTP", gateway.public_url),
            "give it an https name and `tls` at `gateway.listen`: bearer tokens travel over it",
        ));
    }
    for listen in gateway.listen.iter().filter(|listen| listen.tls.is_none() && !listen.address.ip().is_loopback()) {
        findings.push(Finding::advice(
            format!("the gateway listens on {} without TLS", listen.address),
            "add `tls`, or see that only a TLS proxy reaches it",
        ));
    }
    for certificate in gateway.listen.iter().filter_map(|listen| listen.tls.as_ref()).flat_map(|tls| &tls.certificates)
    {
        findings.push(secret("a certificate's key", &certificate.key, 1, None));
    }
    findings.extend(proxies("gateway.trustedProxies", &gateway.trusted_proxies));
    match &gateway.resources {
        None => findings.push(Finding::fine("resources come by `cardea apply`")),
        Some(folder) => match documents::read(std::slice::from_ref(folder)) {
            Ok(resources) => {
                let faults = documents::faults(&resources);
                findings.extend(faults.iter().map(|fault| Finding::fault(fault.to_string(), "correct the file")));
                if faults.is_empty() {
                    findings.push(Finding::fine(format!("{} resources, valid", resources.len())));
                }
            }
            Err(error) => findings.push(Finding::fault(error.to_string(), "correct the file")),
        },
    }
    findings
}

fn proxies(key: &str, networks: &[ipnet::IpNet]) -> Option<Finding> {
    let all = networks.iter().any(|network| network.prefix_len() == 0);
    all.then(|| {
        Finding::fault(
            format!("`{key}` trusts everybody"),
            "name the addresses of your proxies: anyone can write X-Forwarded-For",
        )
    })
}

/// Nobody but a proxy reaches such an address. Where it is not named, everybody who logs in seems to come from its
/// address, and one guesser uses up the budget of all.
fn one_network(identity: &Identity) -> Option<Finding> {
    let inner = match identity.listen.ip().to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    (inner && identity.trusted_proxies.is_empty()).then(|| {
        Finding::fault(
            format!("identity listens on {}, and `identity.trustedProxies` is empty", identity.listen),
            "name the address of the gateway or proxy: without it all logins share the budget of one network",
        )
    })
}

/// A secret by reference: there, long enough, closed to others, and not beside what it protects.
fn secret(key: &str, reference: &Reference, least: usize, data: Option<&Path>) -> Finding {
    let length = match reference.read() {
        Ok(secret) => secret.expose().len(),
        Err(error) => return Finding::fault(format!("`{key}`: {error:#}"), "make it: openssl rand -base64 48"),
    };
    if length < least {
        let what = format!("`{key}` has {length} bytes; it needs {least}");
        return Finding::fault(what, "make it: openssl rand -base64 48");
    }
    let Reference::File(path) = reference else {
        return Finding::fine(format!("`{key}` comes from the environment"));
    };
    let open = std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
    if open {
        return Finding::fault(format!("others can read {}", path.display()), "chmod 600");
    }
    let beside = data.and_then(|data| data.canonicalize().ok()).zip(path.canonicalize().ok());
    if beside.is_some_and(|(data, path)| path.starts_with(data)) {
        return Finding::advice(
            format!("`{key}` lies in the data folder"),
            "keep it elsewhere: a copy of the folder would hold both lock and key",
        );
    }
    Finding::fine(format!("`{key}` is there and closed to others"))
}
