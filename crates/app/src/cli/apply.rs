//! `cardea apply`: brings a server to what resource files say. A second time changes nothing.

use clap::Args;
use serde_json::{Value, json};

use super::connection::Connection;
use super::plan::{self, Files, Plan, Step};
use crate::documents;
use crate::exit::{Exit, usage};
use crate::out::Out;

#[derive(Debug, Args)]
pub struct Apply {
    #[command(flatten)]
    files: Files,
    /// Show what would change and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Remove without asking, with --prune
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Apply {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        let plan = Plan::read(&self.files, &self.connection).await?;
        if self.dry_run {
            plan::print(out, &plan.run(true).await?, false)?;
            return Ok(Exit::Done);
        }
        if self.files.prune && !self.yes {
            refuse_removal(&plan.run(true).await?)?;
        }
        let steps = plan.run(false).await?;
        set_passwords(&plan, out).await?;
        plan::print(out, &steps, true)?;
        Ok(Exit::Done)
    }
}

fn refuse_removal(steps: &[Step]) -> anyhow::Result<()> {
    let gone: Vec<String> = steps
        .iter()
        .filter(|step| step.change == "remove")
        .map(|step| format!("{} {}", step.kind, step.name))
        .collect();
    if gone.is_empty() {
        return Ok(());
    }
    let message = format!("nothing was changed: {} would be removed:\n  {}", gone.len(), gone.join("\n  "));
    Err(usage(message).hint("add --yes to remove them, with all that was granted to them").into())
}

/// The password in a file is for a user that has none yet: it never overwrites one that its owner has changed.
async fn set_passwords(plan: &Plan, out: Out) -> anyhow::Result<()> {
    let Some(server) = plan.identity() else { return Ok(()) };
    for resource in &plan.resources {
        let Ok(Some(reference)) = documents::password(resource) else { continue };
        let path = super::user::path(&resource.name);
        let user = server.get(&path).await?;
        if user.get("hasPassword").and_then(Value::as_bool) == Some(false) {
            let password = reference.read_text()?;
            server.post(&format!("{path}/password"), &json!({"password": password.expose()})).await?;
            out.note(format!("set the password of user {}", resource.name));
        }
    }
    Ok(())
}
