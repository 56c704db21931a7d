#![allow(dead_code, reason = "each test uses some of it")]

//! An identity system on a fresh database, with a clock that tests move.

use std::sync::Arc;
use std::time::Duration;

use base::ids::{ClientId, RequestId, UserId};
use base::peer::{Limits, Peer, PeerError};
use base::{Secret, Time};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use jose::Algorithm;
use testkit::ManualClock;
use testkit::db::TestDb;

use crate::clients::{self, ClientSpec};
use crate::config::{Budgets, Config, KeySchedule, Lifetimes, Passwords, Peers};
use crate::{Cx, Identity, SharedIdentity};

pub const ISSUER: &str = "https://id.example";

pub struct Platform {
    pub identity: SharedIdentity,
    pub clock: ManualClock,
    pub db: TestDb,
}

pub fn config(db: &TestDb, node: &str) -> Config {
    Config {
        issuer: ISSUER.to_owned(),
        database: db.config.clone(),
        master_key: Secret::new(b"a master key of the tests, 32 bytes+".to_vec()),
        node: node.to_owned(),
        lifetimes: Lifetimes::default(),
        // RSA keys take long to find.
        keys: KeySchedule { algorithms: vec![Algorithm::Es256], ..KeySchedule::default() },
        passwords: Passwords::default(),
        budgets: Budgets::default(),
        trusted_proxies: Vec::new(),
        templates: None,
        open_registration: None,
        statement_issuers: Vec::new(),
        policy: None,
        peers: Peers { egress: Arc::new(Nowhere), policy: Arc::new(Nowhere) },
    }
}

impl Platform {
    pub async fn on(db: TestDb) -> Self {
        let config = config(&db, "a");
        Self::with(db, config).await
    }

    pub async fn with(db: TestDb, config: Config) -> Self {
        let clock = ManualClock::new();
        let identity = Identity::with_db(config, clock.shared(), db.db.clone()).await.unwrap();
        Self { identity, clock, db }
    }

    pub fn cx(&self) -> Cx {
        Cx::new(&self.identity, RequestId::random(), "192.0.2.1".parse().unwrap())
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub async fn apply(&self, spec: &ClientSpec) {
        let mut cx = self.cx();
        clients::apply(&mut cx, spec).await.unwrap();
        cx.commit().await.unwrap();
    }

    pub async fn secret_of(&self, client_id: &str) -> String {
        let mut cx = self.cx();
        let secret = clients::add_secret(&mut cx, &ClientId::from(client_id), None).await.unwrap();
        cx.commit().await.unwrap();
        secret.secret.expose().clone()
    }

    /// A user's row, with the account document `spec`.
    pub async fn user(&self, username: &str, spec: &serde_json::Value) -> UserId {
        let user_id = UserId::random();
        let mut tx = self.identity.db.begin();
        let sql = "INSERT INTO users (user_id, username, spec, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)";
        let now: Time = self.identity.clock.now();
        tx.execute(sql, &store::params![&user_id, username, spec.to_string(), now]).await.unwrap();
        tx.commit().await.unwrap();
        user_id
    }
}

/// There is no network in these tests.
pub struct Nowhere;

impl Peer for Nowhere {
    fn call(&self, _: http::Request<Bytes>, _: Limits) -> BoxFuture<'_, Result<http::Response<Bytes>, PeerError>> {
        Box::pin(async { Err(PeerError::Unreachable) })
    }
}
