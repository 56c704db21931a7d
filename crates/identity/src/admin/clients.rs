use std::time::Duration;

use axum::extract::{Path, Query};
use axum::http::HeaderMap;
use base::ids::ClientId;
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{AdminCx, AdminError, Answer, Body, Paging, done, ok, page};
use super::documents::{read, written};
use crate::Cx;
use crate::applied::Applied;
use crate::clients::{self, Client, ClientSpec};

pub async fn list_clients(AdminCx(mut cx): AdminCx, Query(paging): Query<Paging>) -> Answer {
    let after = paging.cursor.as_deref().map(ClientId::from);
    let found = clients::list(&mut cx, after.as_ref(), paging.limit()).await?;
    let full = u32::try_from(found.len()).is_ok_and(|count| count == paging.limit());
    let next = found.last().filter(|_| full).map(|last| last.client_id.to_string());
    let items: Vec<Value> = found.iter().map(view).collect();
    Ok(page(&items, next))
}

pub async fn show_client(AdminCx(mut cx): AdminCx, Path(id): Path<ClientId>) -> Answer {
    let client = find(&mut cx, &id).await?;
    let secrets: Vec<Value> = clients::list_secrets(&mut cx, &id)
        .await?
        .into_iter()
        .map(|secret| {
            json!({
                "id": secret.secret_id, "hint": secret.hint, "createdAt": secret.created_at,
                "expiresAt": secret.expires_at, "lastUsedAt": secret.last_used_at,
            })
        })
        .collect();
    let mut shown = view(&client);
    if let Some(members) = shown.as_object_mut() {
        members.insert("secrets".to_owned(), Value::Array(secrets));
    }
    Ok(ok(&shown))
}

/// `If-None-Match: *` makes it only if it is not there (RFC 9110 §13.1.2).
pub async fn put_client(
    AdminCx(mut cx): AdminCx,
    Path(id): Path<ClientId>,
    headers: HeaderMap,
    Body(spec): Body<Value>,
) -> Answer {
    let spec: ClientSpec = read("Client", id.as_str(), &spec)?;
    let applied = clients::apply(&mut cx, &spec).await?;
    created_if_asked(&headers, applied, "client")?;
    cx.commit().await?;
    Ok(ok(&json!({"result": applied.as_str(), "spec": written("Client", &spec)})))
}

/// Dropping the context rolls back what was changed on the way here.
pub fn created_if_asked(headers: &HeaderMap, applied: Applied, what: &str) -> Result<(), AdminError> {
    let only_new = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value == "*");
    if only_new && applied != Applied::Created {
        let title = format!("that {what} exists already");
        return Err(AdminError::new(StatusCode::PRECONDITION_FAILED, "exists", &title));
    }
    Ok(())
}

pub async fn delete_client(AdminCx(mut cx): AdminCx, Path(id): Path<ClientId>) -> Answer {
    if !clients::delete(&mut cx, &id).await? {
        return Err(AdminError::not_found("client"));
    }
    cx.commit().await?;
    Ok(done())
}

pub async fn disable_client(AdminCx(mut cx): AdminCx, Path(id): Path<ClientId>) -> Answer {
    let changed = clients::disable(&mut cx, &id).await?;
    cx.commit().await?;
    Ok(ok(&json!({"changed": changed})))
}

pub async fn enable_client(AdminCx(mut cx): AdminCx, Path(id): Path<ClientId>) -> Answer {
    let changed = clients::enable(&mut cx, &id).await?;
    cx.commit().await?;
    Ok(ok(&json!({"changed": changed})))
}

pub async fn suspend_client(AdminCx(mut cx): AdminCx, Path(id): Path<ClientId>) -> Answer {
    let changed = clients::suspend(&mut cx, &id).await?;
    cx.commit().await?;
    Ok(ok(&json!({"changed": changed})))
}

pub async fn resume_client(AdminCx(mut cx): AdminCx, Path(id): Path<ClientId>) -> Answer {
    let changed = clients::resume(&mut cx, &id).await?;
    cx.commit().await?;
    Ok(ok(&json!({"changed": changed})))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewSecret {
    expires_in_s: Option<u64>,
}

/// The only answer that ever holds a client's secret.
pub async fn add_secret(AdminCx(mut cx): AdminCx, Path(id): Path<ClientId>, Body(new): Body<NewSecret>) -> Answer {
    let expires_at = new.expires_in_s.map(|seconds| cx.now.plus(Duration::from_secs(seconds)));
    let added = clients::add_secret(&mut cx, &id, expires_at).await?;
    cx.commit().await?;
    let secret = added.secret.expose();
    Ok(ok(&json!({"id": added.secret_id, "clientId": id, "secret": secret, "expiresAt": expires_at})))
}

pub async fn remove_secret(AdminCx(mut cx): AdminCx, Path((id, secret)): Path<(ClientId, String)>) -> Answer {
    if !clients::remove_secret(&mut cx, &id, &secret).await? {
        return Err(AdminError::not_found("secret of that client"));
    }
    cx.commit().await?;
    Ok(done())
}

async fn find(cx: &mut Cx, id: &ClientId) -> Result<Client, AdminError> {
    clients::find(cx, id).await?.ok_or_else(|| AdminError::not_found("client"))
}

fn view(client: &Client) -> Value {
    json!({
        "name": client.client_id,
        "spec": written("Client", &client.spec),
        "disabledAt": client.disabled_at,
    })
}
