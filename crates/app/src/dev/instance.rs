//! What a running development instance leaves in its folder, so that commands find it.

use std::path::Path;

use base::Secret;
use serde::{Deserialize, Serialize};

use super::Ports;
use super::folder::{Folder, read_secret};
use crate::exit::usage;

const FILE: &str = "instance.json";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Instance {
    pub gateway: String,
    pub issuer: String,
    pub portal: String,
    pub entitlement: String,
    pub ops: String,
    /// Where its secrets are.
    #[serde(skip)]
    folder: std::path::PathBuf,
}

impl Instance {
    pub fn new(ports: &Ports) -> Self {
        Self {
            gateway: ports.url(ports.gateway),
            issuer: ports.url(ports.issuer),
            portal: ports.url(ports.portal),
            entitlement: ports.url(ports.entitlement),
            ops: ports.url(ports.ops),
            folder: Default::default(),
        }
    }

    pub fn write(&self, folder: &Folder) -> anyhow::Result<()> {
        folder.write(FILE, &serde_json::to_string_pretty(self)?)
    }

    /// The instance of a data folder; `None` if none has been started there.
    pub fn read(data: &Path) -> anyhow::Result<Option<Self>> {
        let text = match std::fs::read_to_string(data.join(FILE)) {
            Ok(text) => text,
            Err(_) => return Ok(None),
        };
        let mut instance: Self = serde_json::from_str(&text).map_err(|_| {
            usage(format!("{} is not understood", data.join(FILE).display())).hint("start `cardea dev` again")
        })?;
        instance.folder = data.to_owned();
        Ok(Some(instance))
    }

    pub fn admin_token(&self) -> anyhow::Result<Secret<String>> {
        self.secret("secrets/admin.token")?
            .ok_or_else(|| usage("the administration token of this folder is gone").into())
    }

    /// The sample's application has a name here and another one at the identity system.
    pub fn client_id(&self, client: &str) -> String {
        let plain = !client.contains(['/', '\\']) && !client.starts_with('.');
        let kept = plain.then(|| self.secret(&format!("{client}.id")).ok().flatten()).flatten();
        kept.map_or_else(|| client.to_owned(), |id| id.expose().clone())
    }

    pub fn client_secret(&self, client: &str) -> anyhow::Result<Secret<String>> {
        // A name from the command line must not lead out of the folder.
        let plain = !client.contains(['/', '\\']) && !client.starts_with('.');
        let kept = if plain { self.secret(&format!("secrets/{client}.secret"))? } else { None };
        kept.ok_or_else(|| {
            usage(format!("no secret of client `{client}` is kept here")).hint("give it: --secret file:PATH").into()
        })
    }

    fn secret(&self, name: &str) -> anyhow::Result<Option<Secret<String>>> {
        read_secret(&self.folder.join(name))
    }
}
