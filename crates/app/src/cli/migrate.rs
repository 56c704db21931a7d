//! `cardea migrate`: brings the databases to this version's schema. `serve` does the same when it starts.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::config::{Database, File};
use crate::exit::{Exit, usage};
use crate::out::Out;
use crate::roles::Role;
use crate::wire;

#[derive(Debug, Args)]
pub struct Migrate {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "cardea.yaml")]
    config: PathBuf,
}

impl Migrate {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        let file = File::load(&self.config)?;
        let identity = file.identity.as_ref().map(|section| (Role::Identity, &section.database, identity::MIGRATIONS));
        let entitlement =
            file.entitlement.as_ref().map(|section| (Role::Entitlement, &section.database, entitlement::MIGRATIONS));
        let management =
            file.management.as_ref().map(|section| (Role::Management, &section.database, management::MIGRATIONS));
        let databases: Vec<_> = identity.into_iter().chain(entitlement).chain(management).collect();
        if databases.is_empty() {
            return Err(
                usage("the configuration has no section with a database, so there is nothing to migrate").into()
            );
        }
        let mut answer = serde_json::Map::new();
        let mut lines = Vec::new();
        for (role, database, migrations) in databases {
            if matches!(database, Database::Sqlite) {
                std::fs::create_dir_all(&file.data)?;
            }
            let db = store::Db::open(&wire::database(database, role, &file.data)?, migrations).await?;
            db.close().await;
            let version = migrations.last().map_or(0, |migration| migration.version);
            answer.insert(role.name().to_owned(), json!({"version": version}));
            lines.push(format!("{}: schema is at migration {version}", role.name()));
        }
        out.done(&answer.into(), lines.join("\n"))?;
        Ok(Exit::Done)
    }
}
