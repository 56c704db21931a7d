//! The management system of development mode: portal and console.

use std::net::{Ipv4Addr, SocketAddr};

use base::peer::SharedPeer;
use base::random;

use super::folder::Folder;
use super::{Instance, sample};
use crate::config::management::{GatewayCaller, Registration, Usage};
use crate::config::{Database, Management, ManagementPeer, Reference};
use crate::wire;

/// What the gateway of this folder shows, and what opens what is sealed; the client's secret is made with the client.
const GATEWAY_TOKEN: &str = "secrets/gateway-management.token";
const MASTER_KEY: &str = "secrets/management.key";

/// How this folder's gateway finds it.
pub fn peer(instance: &Instance, folder: &Folder) -> ManagementPeer {
    let token = Reference::File(folder.at(GATEWAY_TOKEN));
    ManagementPeer { url: instance.portal.clone(), token, name: Some("dev".to_owned()) }
}

pub fn config(instance: &Instance, folder: &Folder, peer: SharedPeer) -> anyhow::Result<management::Config> {
    folder.secret(MASTER_KEY, random::text::<48>)?;
    folder.secret(GATEWAY_TOKEN, random::text::<32>)?;
    let secret = |name: &str| Reference::File(folder.at(name));
    let section = Management {
        url: instance.portal.clone(),
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        site: None,
        database: Database::Sqlite,
        master_key: secret(MASTER_KEY),
        issuer: instance.issuer.clone(),
        client_id: sample::PORTAL.to_owned(),
        client_secret: secret(&format!("secrets/{}.secret", sample::PORTAL)),
        registration: Registration::default(),
        gateways: vec![GatewayCaller { name: "dev".to_owned(), token: secret(GATEWAY_TOKEN) }],
        gateway_issuer: "main".to_owned(),
        gateway_url: instance.gateway.clone(),
        usage: Usage::default(),
        trusted_proxies: Vec::new(),
        templates: None,
    };
    wire::management_config(&section, &folder.at(""), peer)
}
