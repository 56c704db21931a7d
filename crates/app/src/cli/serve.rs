//! `cardea serve`: the roles of a configuration file, together or apart.

use std::path::PathBuf;

use anyhow::Context as _;
use base::Secret;
use base::time::SystemClock;
use clap::Args;
use identity::admin::AdminTokens;
use serde_json::json;

use crate::config::File;
use crate::exit::{Exit, usage};
use crate::handover::Inherited;
use crate::net;
use crate::out::Out;
use crate::process::{Sockets, Starting};
use crate::roles::Role;
use crate::wire::{self, GatewayParts};

/// As long as it is to be; `cardea doctor` says the same.
pub const ADMIN_TOKEN_BYTES: usize = 32;

#[derive(Debug, Args)]
pub struct Serve {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "cardea.yaml")]
    config: PathBuf,
    /// What to run, instead of what the file says
    #[arg(long, value_enum, value_delimiter = ',')]
    roles: Vec<Role>,
}

impl Serve {
    pub fn run(self, out: Out) -> anyhow::Result<Exit> {
        let file = File::load(&self.config)?;
        let roles = file.roles(&self.roles);
        if roles.is_empty() {
            return Err(usage("no role is to be run").hint("give `roles: [identity, gateway]`").into());
        }
        // Before any thread: it reads and clears what the environment says.
        let inherited = Inherited::take();
        super::server_runtime()?.block_on(Box::pin(serve(file, roles, inherited, out)))
    }
}

async fn serve(file: File, roles: Vec<Role>, mut inherited: Inherited, out: Out) -> anyhow::Result<Exit> {
    std::fs::create_dir_all(&file.data).with_context(|| format!("the data folder {}", file.data.display()))?;
    let token = admin_token(&file)?;
    let sockets = bind(&file, &roles, &mut inherited)?;
    let kept = sockets.copies()?;
    let mut starting = Starting::new(SystemClock::shared())?;
    if let (Some(section), Some(socket)) = (&file.entitlement, sockets.entitlement) {
        starting.entitlement(wire::entitlement_config(section, &file.data)?, socket).await?;
    }
    if let (Some(section), Some(socket)) = (&file.identity, sockets.identity) {
        starting.identity(wire::identity_config(section, &file.data)?, socket).await?;
    }
    if let (Some(section), Some(socket)) = (&file.management, sockets.management) {
        let config = wire::management_config(section, &file.data, starting.roles.peer())?;
        starting.management(config, socket).await?;
    }
    if let Some(section) = file.gateway.as_ref().filter(|_| !sockets.gateway.is_empty()) {
        let parts = GatewayParts::new(section, file.data.clone())?;
        starting.gateway(section, parts, sockets.gateway)?;
    }
    let tokens = AdminTokens::new(vec![("admin".to_owned(), token)]);
    let address = sockets.ops.local_addr()?;
    let process = starting.operations(sockets.ops, tokens).replaceable(kept)?;
    let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    tracing::info!(roles = names.join(","), ops = %address, "ready");
    if out.json {
        out.json(&json!({"ready": true, "roles": names, "ops": format!("http://{address}")}))?;
    }
    // Whoever started this process to take over lets go of the sockets now.
    inherited.ready().context("the old process cannot be told that this one serves")?;
    process.run().await?;
    Ok(Exit::Done)
}

/// The administration token, which stands alone between the network and everything: not one that can be guessed.
fn admin_token(file: &File) -> anyhow::Result<Secret<String>> {
    let token = file.ops.admin_token.read_text()?;
    let length = token.expose().len();
    if length < ADMIN_TOKEN_BYTES {
        let what = format!("`ops.adminToken` has {length} bytes; it needs {ADMIN_TOKEN_BYTES}");
        return Err(usage(what).hint("make it: openssl rand -base64 48").into());
    }
    Ok(token)
}

/// All sockets before anything starts, so that an address that is taken leaves everything as it was.
fn bind(file: &File, roles: &[Role], inherited: &mut Inherited) -> anyhow::Result<Sockets> {
    let missing = |role: Role| {
        usage(format!("the role `{0}` needs the section `{0}:` in the configuration", role.name()))
            .hint("`cardea schema config` describes it")
    };
    let ops = net::take_or_bind(inherited, file.ops.listen, "operations")?;
    let mut sockets = Sockets { identity: None, entitlement: None, management: None, gateway: Vec::new(), ops };
    for role in roles {
        match role {
            Role::Identity => {
                let section = file.identity.as_ref().ok_or_else(|| missing(*role))?;
                sockets.identity = Some(net::take_or_bind(inherited, section.listen, "the identity system")?);
            }
            Role::Entitlement => {
                let section = file.entitlement.as_ref().ok_or_else(|| missing(*role))?;
                sockets.entitlement = Some(net::take_or_bind(inherited, section.listen, "the entitlement system")?);
            }
            Role::Management => {
                let section = file.management.as_ref().ok_or_else(|| missing(*role))?;
                sockets.management = Some(net::take_or_bind(inherited, section.listen, "the management system")?);
            }
            Role::Gateway => {
                let section = file.gateway.as_ref().ok_or_else(|| missing(*role))?;
                for listen in &section.listen {
                    sockets.gateway.push(net::take_or_bind(inherited, listen.address, "the gateway")?);
                }
            }
        }
    }
    Ok(sockets)
}
