//! Where the rows are, and how much of the engine one process may use.

use std::path::PathBuf;
use std::time::Duration;

use base::Secret;

#[derive(Debug, Clone)]
pub enum Config {
    /// A file; its folder must exist. Good for one process.
    Sqlite { path: PathBuf },
    /// A server. The schema is made if it is missing.
    Postgres { url: Secret<String>, schema: String },
}

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a transaction may stay open after its first write.
    pub hold: Duration,
    /// How long a transaction waits for its turn to write, or for a connection.
    pub wait: Duration,
    /// Reading threads (SQLite) or shared reading connections (PostgreSQL).
    pub readers: usize,
    /// Writing connections (PostgreSQL).
    pub writers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { hold: Duration::from_secs(5), wait: Duration::from_secs(10), readers: 4, writers: 16 }
    }
}
