//! `cardea migrate`: brings the databases to this version's schema. `serve` does the same when it starts.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::config::{Database, File};
use crate::exit::{Exit, usage};
use crate::out::Out;
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
        let section = file
            .identity
            .as_ref()
            .ok_or_else(|| usage("the configuration has no section `identity:`, so there is no database to migrate"))?;
        let config = wire::identity_config(section, &file.data)?;
        if matches!(section.database, Database::Sqlite) {
            std::fs::create_dir_all(&file.data)?;
        }
        let db = store::Db::open(&config.database, identity::MIGRATIONS).await?;
        db.close().await;
        let version = identity::MIGRATIONS.last().map_or(0, |migration| migration.version);
        let answer = json!({"identity": {"version": version}});
        out.done(&answer, format!("identity: schema is at migration {version}"))?;
        Ok(Exit::Done)
    }
}
