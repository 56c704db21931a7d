//! The hash chain and its verification.

use std::collections::BTreeMap;

use ::store::StoreError;
use serde_json::json;

use super::checkpoint;
use super::store::{self, Entry};
use crate::Cx;

const PAGE: i64 = 500;

/// What verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    pub chains: usize,
    pub records: u64,
    pub checkpoints: u64,
    /// The first place of each chain that does not hold.
    pub breaks: Vec<Break>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    pub writer: String,
    pub seq: i64,
    pub what: &'static str,
}

/// SHA-256 over the record as a JSON array of its columns in their order, `previous` among them.
pub(super) fn hash_of(entry: &Entry) -> String {
    let canonical = json!([
        entry.writer,
        entry.seq,
        entry.occurred_at.ms(),
        entry.act,
        entry.outcome,
        entry.actor,
        entry.subject,
        entry.client_id,
        entry.object,
        entry.request_id,
        entry.detail,
        entry.previous,
    ]);
    jose::hash::base64url(&jose::hash::sha256(canonical.to_string().as_bytes()))
}

/// Walks every chain from its first record to its head, and compares with the signed checkpoints, which
/// show what a rewritten chain would hide.
pub async fn verify(cx: &mut Cx) -> Result<Report, StoreError> {
    let mut report = Report::default();
    // The heads first: records written meanwhile lie behind them and are left for the next time.
    let heads = store::heads(cx).await?;
    let mut writers: BTreeMap<String, Option<(i64, String)>> =
        store::writers(cx).await?.into_iter().map(|writer| (writer, None)).collect();
    for (writer, seq, hash) in heads {
        writers.insert(writer, Some((seq, hash)));
    }
    for (writer, head) in writers {
        report.chains += 1;
        match head {
            Some((seq, hash)) => verify_chain(cx, &writer, seq, &hash, &mut report).await?,
            None => report.breaks.push(Break { writer, seq: 0, what: "the chain has no head" }),
        }
    }
    checkpoint::verify(cx, &mut report).await?;
    Ok(report)
}

async fn verify_chain(
    cx: &mut Cx,
    writer: &str,
    head_seq: i64,
    head_hash: &str,
    report: &mut Report,
) -> Result<(), StoreError> {
    let broken = |seq: i64, what| Break { writer: writer.to_owned(), seq, what };
    let mut seq = 0;
    let mut previous = String::new();
    while seq < head_seq {
        let page = store::chain_page(cx, writer, seq, PAGE).await?;
        if page.is_empty() {
            report.breaks.push(broken(seq + 1, "records up to the head are missing"));
            return Ok(());
        }
        for entry in page {
            if entry.seq > head_seq {
                return Ok(());
            }
            let what = match () {
                () if entry.seq != seq + 1 => Some("a record is missing"),
                () if entry.previous != previous => Some("the record does not follow the one before it"),
                () if entry.hash != hash_of(&entry) => Some("the record was changed"),
                () => None,
            };
            if let Some(what) = what {
                report.breaks.push(broken(seq + 1, what));
                return Ok(());
            }
            seq = entry.seq;
            previous = entry.hash;
            report.records += 1;
        }
    }
    if previous != head_hash {
        report.breaks.push(broken(seq, "the head does not match the last record"));
    }
    Ok(())
}
