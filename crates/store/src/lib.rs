//! Durable rows: one SQL text for SQLite and PostgreSQL.
//!
//! Statements are written with `$1` placeholders over columns that are TEXT or BIGINT, with
//! `ON CONFLICT` and `RETURNING`. `Db` and `Tx` are concrete; the engine is chosen by [`Config`],
//! and no other crate sees a database driver.
//!
//! - One-time things are one guarded statement (`UPDATE … WHERE used_at IS NULL RETURNING …`).
//! - [`Tx::commit`] returns only when the change is durable; dropping a [`Tx`] rolls it back.
//! - An answer that rests on what a writing transaction *saw* is given after its commit too, also if it
//!   changed nothing: under SQLite it may have seen a transaction that shares its commit.
//! - `sum(…)` is a decimal at PostgreSQL: write `CAST(sum(…) AS BIGINT)`.

mod config;
mod db;
mod error;
pub mod jobs;
mod migrate;
mod postgres;
mod row;
mod sqlite;
mod topics;
mod tx;
mod value;

pub use config::{Config, Limits};
pub use db::Db;
pub use error::{Cause, StoreError};
pub use migrate::Migration;
pub use row::Row;
pub use tx::Tx;
pub use value::Value;
