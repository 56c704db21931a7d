//! Pointers without a client, clients without a pointer: the two ways in which both sides can differ, found and, if
//! asked for, put right.

use serde::Serialize;
use serde_json::json;

use super::registrar::{Desk, Listed, Trouble};
use super::store::Pointer;
use super::{State, document, enqueue, settle, store as table, tell};
use crate::actor::Right;
use crate::error::Refused;
use crate::{Cx, SharedManagement};

const PAGE: i64 = 500;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// `pointer_without_client`, `client_without_pointer`, `unfinished`, `foreign_client`, `not_known`.
    pub kind: &'static str,
    pub application: Option<String>,
    pub client: Option<String>,
    pub detail: String,
    pub repaired: bool,
}

#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Applications that were looked at.
    pub applications: usize,
    /// Clients that the identity system lists as ours; nothing if it has no list.
    pub clients: Option<usize>,
    pub findings: Vec<Finding>,
}

/// Compares both sides. With `repair`, clients that nothing points to are deleted there, and applications whose client
/// is gone get another one.
pub async fn reconcile(cx: &Cx, repair: bool) -> Result<Report, Refused> {
    cx.need(Right::Administer)?;
    let management = cx.management.clone();
    let desk = Desk::open(&management).await.map_err(said)?;
    // Those of the other side first: what is registered meanwhile has its pointer then.
    let listed = desk.list(None).await.map_err(said)?;
    let pointers = pointers(cx).await?;
    let mut report = Report {
        applications: pointers.iter().filter(|pointer| pointer.state != State::Deleted).count(),
        clients: listed.as_ref().map(Vec::len),
        findings: Vec::new(),
    };
    for pointer in &pointers {
        if let Some(finding) = look_at_pointer(cx, &desk, pointer, listed.as_deref(), repair).await? {
            report.findings.push(finding);
        }
    }
    for client in listed.unwrap_or_default() {
        if let Some(finding) = look_at_client(cx, &desk, &client, &pointers, repair).await? {
            report.findings.push(finding);
        }
    }
    Ok(report)
}

async fn pointers(cx: &Cx) -> Result<Vec<Pointer>, Refused> {
    let mut all: Vec<Pointer> = Vec::new();
    loop {
        let after = all.last().map(|last| last.id.clone()).unwrap_or_default();
        let page = table::pointers(&mut cx.again(), &after, PAGE).await?;
        let full = i64::try_from(page.len()).is_ok_and(|many| many == PAGE);
        all.extend(page);
        if !full {
            return Ok(all);
        }
    }
}

async fn look_at_pointer(
    cx: &Cx,
    desk: &Desk<'_>,
    pointer: &Pointer,
    listed: Option<&[Listed]>,
    repair: bool,
) -> Result<Option<Finding>, Refused> {
    let finding = |kind, detail: &str, repaired| {
        let (application, client) = (Some(pointer.id.clone()), pointer.client.clone());
        Ok(Some(Finding { kind, application, client, detail: detail.to_owned(), repaired }))
    };
    let Some(client) = pointer.client.as_deref().filter(|_| pointer.state == State::Registered) else {
        return match pointer.state {
            State::Intended => finding("unfinished", "is being registered", false),
            State::Deleting => finding("unfinished", "is being deleted", false),
            State::Failed => finding("unfinished", "could not be registered", false),
            State::Registered | State::Deleted => Ok(None),
        };
    };
    // One that is not on the list is asked for: it may have been registered since.
    let is_listed = listed.is_some_and(|listed| listed.iter().any(|listed| listed.client == client));
    let is_there = if is_listed { Ok(true) } else { ask(cx, desk, pointer).await };
    match is_there {
        Ok(true) => Ok(None),
        Err(why) => finding("not_known", &why, false),
        Ok(false) if !repair => finding("pointer_without_client", "the identity system has no such client", false),
        Ok(false) => {
            let repaired = register_anew(cx, pointer, client).await?;
            finding(
                "pointer_without_client",
                "the identity system has no such client; another one is registered",
                repaired,
            )
        }
    }
}

async fn ask(cx: &Cx, desk: &Desk<'_>, pointer: &Pointer) -> Result<bool, String> {
    let Some(uri) = &pointer.client_uri else {
        return Err("the identity system tells nothing about clients".to_owned());
    };
    let token =
        pointer.client_token.as_deref().and_then(|token| settle::open(&cx.management, &pointer.id, "token", token));
    match desk.read_client(uri, token.as_ref()).await {
        Ok(read) => Ok(Some(&read.client) == pointer.client.as_ref()),
        Err(Trouble::Unauthorized) => Ok(false),
        Err(Trouble::No(why) | Trouble::Later(why) | Trouble::Unsure(why)) => Err(why),
        Err(Trouble::KeyUsedUp) => Err("the identity system is busy with it".to_owned()),
    }
}

async fn register_anew(cx: &Cx, pointer: &Pointer, client: &str) -> Result<bool, Refused> {
    let mut cx = cx.again();
    let asked = document(&pointer.id, &pointer.wanted);
    if !table::want_anew(&mut cx, &pointer.id, client, &asked).await? {
        return Ok(false);
    }
    let now = cx.now;
    enqueue(&mut cx, &pointer.id, now).await?;
    let detail = json!({"client": client});
    tell(&mut cx, "application.client_lost", &pointer.id, &pointer.organisation, detail).await?;
    cx.commit().await?;
    Ok(true)
}

async fn look_at_client(
    cx: &Cx,
    desk: &Desk<'_>,
    client: &Listed,
    pointers: &[Pointer],
    repair: bool,
) -> Result<Option<Finding>, Refused> {
    if pointers
        .iter()
        .any(|pointer| pointer.client.as_deref() == Some(&client.client) && pointer.state != State::Deleted)
    {
        return Ok(None);
    }
    let of = pointers.iter().find(|pointer| pointer.id == client.software_id);
    // Its answer may be on the way: the next attempt gets this very client.
    if of.is_some_and(|of| matches!(of.state, State::Intended | State::Deleting)) {
        return Ok(None);
    }
    let ours =
        of.is_some() || (client.software_id.len() == 32 && client.software_id.bytes().all(|b| b.is_ascii_hexdigit()));
    let mut finding = Finding {
        kind: if ours { "client_without_pointer" } else { "foreign_client" },
        application: of.map(|of| of.id.clone()),
        client: Some(client.client.clone()),
        detail: match ours {
            true => format!("no application points to the client `{}`", shown(&client.name)),
            false => "registered with our credentials by something else; it is left alone".to_owned(),
        },
        repaired: false,
    };
    if let (true, true, Some(uri)) = (repair, ours, &client.uri) {
        match desk.delete(uri, None).await {
            Ok(()) => {
                finding.repaired = true;
                let mut cx = cx.again();
                let organisation = of.map_or(crate::PROVIDER, |of| of.organisation.as_str()).to_owned();
                let detail = json!({"client": client.client});
                tell(&mut cx, "application.orphan_deleted", &client.software_id, &organisation, detail).await?;
                cx.commit().await?;
            }
            Err(trouble) => finding.detail = format!("could not be deleted: {}", words(trouble)),
        }
    }
    Ok(Some(finding))
}

fn shown(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control()).take(100).collect()
}

fn words(trouble: Trouble) -> String {
    match trouble {
        Trouble::Later(why) | Trouble::Unsure(why) | Trouble::No(why) => why,
        Trouble::Unauthorized | Trouble::KeyUsedUp => "the identity system does not allow it".to_owned(),
    }
}

fn said(trouble: Trouble) -> Refused {
    match trouble {
        Trouble::No(why) => Refused::Conflict(why),
        other => Refused::Upstream(words(other)),
    }
}

/// What was put under way by a repair, now.
pub(crate) async fn finish(management: &SharedManagement) -> Result<(), Refused> {
    while settle::run_due(management).await? > 0 {}
    Ok(())
}
