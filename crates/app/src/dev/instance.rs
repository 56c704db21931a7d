//! What a running development instance leaves in its folder, so that commands find it.

use std::path::Path;

use base::Secret;
use serde::{Deserialize, Serialize};

use super::Ports;
use super::folder::{Folder, read_secret};
use crate::exit::usage;
use crate::net;

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

    fn addresses(&self) -> [&str; 5] {
        [&self.gateway, &self.issuer, &self.portal, &self.entitlement, &self.ops]
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
        // A folder may have come with somebody's files; the administration token of the environment goes nowhere else
        // on its word.
        if !instance.addresses().iter().all(|address| is_here(address)) {
            let message = format!("{} names another machine than this one", data.join(FILE).display());
            return Err(usage(message).hint("`cardea dev` runs on this machine only; start it again").into());
        }
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

fn is_here(address: &str) -> bool {
    let parsed = url::Url::parse(address).ok().filter(|url| url.username().is_empty() && url.password().is_none());
    parsed.is_some_and(|url| url.host_str().is_some_and(net::is_this_machine))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_names_another_machine_is_no_instance() {
        let folder = tempfile::tempdir().unwrap();
        let write = |ops: &str| {
            let own = "http://localhost:8080";
            let text =
                serde_json::json!({"gateway": own, "issuer": own, "portal": own, "entitlement": own, "ops": ops});
            std::fs::write(folder.path().join(FILE), text.to_string()).unwrap();
        };

        for here in ["http://localhost:8084", "http://[::1]:8084", "http://127.0.0.1:8084"] {
            write(here);
            assert!(Instance::read(folder.path()).unwrap().is_some(), "{here}");
        }
        for elsewhere in
            ["https://evil.example", "http://localhost@evil.example", "https://localhost.evil.example", "x"]
        {
            write(elsewhere);
            let refused = Instance::read(folder.path()).unwrap_err();
            assert!(refused.to_string().contains("another machine"), "{elsewhere}: {refused}");
        }
    }
}
