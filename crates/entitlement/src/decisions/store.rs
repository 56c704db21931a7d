use base::Time;
use base::ids::RequestId;
use store::{Row, StoreError, params};

use super::Record;
use crate::{Cx, SharedEntitlement};

/// Rows removed in one transaction.
const BATCH: i64 = 1_000;

pub(super) async fn append(entitlement: &SharedEntitlement, batch: &[Record]) -> Result<(), StoreError> {
    let sql = "INSERT INTO decisions (decision_id, decided_at, caller, request_id, subject_type, subject_id, action,
            resource_type, resource_id, decision, verdict, reasons, version)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        ON CONFLICT (decision_id) DO NOTHING";
    let mut tx = entitlement.db.begin();
    for record in batch {
        let values = params![
            &record.decision_id,
            record.decided_at,
            &record.caller,
            &record.request_id,
            &record.subject_type,
            &record.subject_id,
            &record.action,
            &record.resource_type,
            &record.resource_id,
            &record.decision,
            &record.verdict,
            serde_json::to_string(&record.reasons).unwrap_or_default(),
            record.version,
        ];
        tx.execute(sql, &values).await?;
    }
    tx.commit().await
}

/// Which decisions to list; newest first. Absent means any.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub from: Option<Time>,
    pub until: Option<Time>,
    pub subject: Option<String>,
    pub resource: Option<String>,
    /// `allow` or `deny`.
    pub decision: Option<String>,
    pub request_id: Option<String>,
    /// The last decision of the page before.
    pub after: Option<(Time, String)>,
}

pub async fn list(cx: &mut Cx, filter: &Filter, limit: u32) -> Result<Vec<Record>, StoreError> {
    let sql = "SELECT decision_id, decided_at, caller, request_id, subject_type, subject_id, action, resource_type,
            resource_id, decision, verdict, reasons, version
        FROM decisions
        WHERE decided_at >= $1 AND decided_at < $2
          AND (CAST($3 AS TEXT) IS NULL OR subject_id = $3)
          AND (CAST($4 AS TEXT) IS NULL OR resource_id = $4)
          AND (CAST($5 AS TEXT) IS NULL OR decision = $5)
          AND (CAST($6 AS TEXT) IS NULL OR request_id = $6)
          AND (decided_at < $7 OR (decided_at = $7 AND decision_id < $8))
        ORDER BY decided_at DESC, decision_id DESC
        LIMIT $9";
    let (at, id) = filter.after.clone().unwrap_or((Time::from_ms(i64::MAX), String::new()));
    let values = params![
        filter.from.unwrap_or(Time::from_ms(i64::MIN)),
        filter.until.unwrap_or(Time::from_ms(i64::MAX)),
        filter.subject.as_deref(),
        filter.resource.as_deref(),
        filter.decision.as_deref(),
        filter.request_id.as_deref(),
        at,
        id,
        limit.clamp(1, 1_000),
    ];
    cx.tx.read(sql, &values).await?.iter().map(record).collect()
}

/// Removes decisions whose time is over, in small batches so that nobody waits behind them.
pub async fn sweep(entitlement: &SharedEntitlement) -> Result<(), StoreError> {
    let sql = "DELETE FROM decisions WHERE decision_id IN
        (SELECT decision_id FROM decisions WHERE decided_at < $1 ORDER BY decided_at LIMIT $2)";
    let before = entitlement.clock.now().minus(entitlement.config.log.retention);
    loop {
        let mut tx = entitlement.db.begin();
        let gone = tx.execute(sql, &params![before, BATCH]).await?;
        tx.commit().await?;
        if gone < u64::try_from(BATCH).unwrap_or(u64::MAX) {
            return Ok(());
        }
    }
}

fn record(row: &Row) -> Result<Record, StoreError> {
    Ok(Record {
        decision_id: RequestId::from(row.string("decision_id")?),
        decided_at: row.time("decided_at")?,
        caller: row.string("caller")?,
        request_id: row.string("request_id")?,
        subject_type: row.string("subject_type")?,
        subject_id: row.string("subject_id")?,
        action: row.string("action")?,
        resource_type: row.string("resource_type")?,
        resource_id: row.string("resource_id")?,
        decision: row.string("decision")?,
        verdict: row.string("verdict")?,
        reasons: serde_json::from_str(row.text("reasons")?).unwrap_or_default(),
        version: row.int("version")?,
    })
}
