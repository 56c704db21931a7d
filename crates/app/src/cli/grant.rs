//! `cardea grant`: revokes what was granted, with all tokens under it.

use clap::{Args, Subcommand};
use serde_json::json;

use super::connection::Connection;
use crate::exit::Exit;
use crate::out::Out;
use crate::roles::Role;

#[derive(Debug, Args)]
pub struct Grant {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Revoke a grant: all its tokens stop at once
    Revoke {
        /// The id of the grant, from `cardea user grants`
        grant: String,
        #[command(flatten)]
        connection: Connection,
    },
}

impl Grant {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        let Act::Revoke { grant, connection } = self.act;
        let server = connection.with(Role::Identity).await?;
        let answer = server.post(&format!("/admin/v1/grants/{}/revoke", super::segment(&grant)), &json!({})).await?;
        out.done(&answer, format!("revoked grant {grant}"))?;
        Ok(Exit::Done)
    }
}
