//! The table `try_clients`.

use store::{StoreError, params};

use crate::Cx;

pub(super) struct Held {
    pub application: String,
    pub client: Option<String>,
    pub secret: Option<String>,
}

pub(super) async fn find(cx: &mut Cx, organisation: &str) -> Result<Option<Held>, StoreError> {
    let sql = "SELECT application, client, secret FROM try_clients WHERE organisation = $1";
    let row = cx.tx.read_one(sql, &params![organisation]).await?;
    row.map(|row| {
        Ok(Held {
            application: row.string("application")?,
            client: row.opt_string("client")?,
            secret: row.opt_string("secret")?,
        })
    })
    .transpose()
}

/// False: somebody was faster. `again`: the one before has been deleted.
pub(super) async fn insert(
    cx: &mut Cx,
    organisation: &str,
    application: &str,
    again: bool,
) -> Result<bool, StoreError> {
    if again {
        cx.tx.execute("DELETE FROM try_clients WHERE organisation = $1", &params![organisation]).await?;
    }
    let sql = "INSERT INTO try_clients (organisation, application, made_at, asked_at) VALUES ($1, $2, $3, 0)
        ON CONFLICT (organisation) DO NOTHING";
    Ok(cx.tx.execute(sql, &params![organisation, application, cx.now]).await? == 1)
}

pub(super) async fn keep(cx: &mut Cx, organisation: &str, client: &str, sealed: &str) -> Result<(), StoreError> {
    let sql = "UPDATE try_clients SET client = $2, secret = $3 WHERE organisation = $1";
    cx.tx.execute(sql, &params![organisation, client, sealed]).await?;
    Ok(())
}
