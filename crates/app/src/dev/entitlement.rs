//! The entitlement system of development mode: one caller for each part that asks.

use std::net::SocketAddr;

use base::{Secret, handle, random};

use super::folder::Folder;
use crate::config::entitlement::{Caller, DecisionLog, Entitlement, Right};
use crate::config::{Database, Reference};
use crate::wire;

/// Name and rights; the secret lies in the folder under the name.
const CALLERS: &[(&str, &[Right])] = &[
    ("gateway", &[Right::Evaluate, Right::Snapshot]),
    ("identity", &[Right::Evaluate]),
    ("console", &[Right::Read, Right::Administer]),
];

pub struct Shown {
    pub name: &'static str,
    pub secret: Secret<String>,
}

pub fn secret_file(caller: &str) -> String {
    format!("secrets/entitlement.{caller}.caller")
}

/// Their secrets, made at the first start.
pub fn callers(folder: &Folder) -> anyhow::Result<Vec<Shown>> {
    let make = || handle::encode("cap_", &random::bytes::<32>());
    let shown = |name: &'static str| Ok(Shown { name, secret: folder.secret(&secret_file(name), make)? });
    CALLERS.iter().map(|(name, _)| shown(name)).collect()
}

pub fn config(url: &str, callers: &[Shown], folder: &Folder) -> anyhow::Result<entitlement::Config> {
    let rights = |name: &str| CALLERS.iter().find(|(known, _)| *known == name).map(|(_, rights)| rights.to_vec());
    let caller = |shown: &Shown| Caller {
        name: shown.name.to_owned(),
        secret: Reference::File(folder.at(&secret_file(shown.name))),
        rights: rights(shown.name).unwrap_or_default(),
    };
    let section = Entitlement {
        url: url.to_owned(),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        database: Database::Sqlite,
        callers: callers.iter().map(caller).collect(),
        source: None,
        log: DecisionLog::default(),
    };
    wire::entitlement_config(&section, &folder.at(""))
}
