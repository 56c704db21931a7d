use axum::extract::{Path, Query};
use axum::http::HeaderMap;
use base::Secret;
use base::ids::SessionId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{AdminCx, AdminError, Answer, Body, Paging, done, ok, page};
use super::clients::created_if_asked;
use super::documents::{read, written};
use crate::Cx;
use crate::accounts::{self, User, UserSpec};
use crate::sessions::{self, Session};

pub async fn list_users(AdminCx(mut cx): AdminCx, Query(paging): Query<Paging>) -> Answer {
    let after = paging.cursor.as_deref().unwrap_or_default();
    let found = accounts::list(&mut cx, after, paging.limit()).await?;
    let full = u32::try_from(found.len()).is_ok_and(|count| count == paging.limit());
    let next = found.last().filter(|_| full).map(|last| last.spec.username.clone());
    let items: Vec<Value> = found.iter().map(view).collect();
    Ok(page(&items, next))
}

pub async fn show_user(AdminCx(mut cx): AdminCx, Path(name): Path<String>) -> Answer {
    let user = find(&mut cx, &name).await?;
    let has_password = accounts::password_of(&mut cx, &user.user_id).await?.is_some();
    let mut shown = view(&user);
    if let Some(members) = shown.as_object_mut() {
        members.insert("hasPassword".to_owned(), Value::Bool(has_password));
    }
    Ok(ok(&shown))
}

pub async fn put_user(
    AdminCx(mut cx): AdminCx,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body(spec): Body<Value>,
) -> Answer {
    let spec: UserSpec = read("User", &name, &spec)?;
    let (user_id, applied) = accounts::apply(&mut cx, &spec).await?;
    created_if_asked(&headers, applied, "user")?;
    cx.commit().await?;
    Ok(ok(&json!({"result": applied.as_str(), "userId": user_id, "spec": written("User", &spec)})))
}

pub async fn delete_user(AdminCx(mut cx): AdminCx, Path(name): Path<String>) -> Answer {
    let user = find(&mut cx, &name).await?;
    accounts::delete(&mut cx, &user.user_id).await?;
    cx.commit().await?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    password: Secret<String>,
}

pub async fn set_password(AdminCx(mut cx): AdminCx, Path(name): Path<String>, Body(new): Body<NewPassword>) -> Answer {
    let user = find(&mut cx, &name).await?;
    accounts::set_password(&mut cx, &user.user_id, new.password).await?;
    cx.commit().await?;
    Ok(done())
}

pub async fn disable_user(AdminCx(mut cx): AdminCx, Path(name): Path<String>) -> Answer {
    let user = find(&mut cx, &name).await?;
    accounts::disable(&mut cx, &user.user_id).await?;
    cx.commit().await?;
    Ok(done())
}

pub async fn enable_user(AdminCx(mut cx): AdminCx, Path(name): Path<String>) -> Answer {
    let user = find(&mut cx, &name).await?;
    accounts::enable(&mut cx, &user.user_id).await?;
    cx.commit().await?;
    Ok(done())
}

pub async fn list_sessions(AdminCx(mut cx): AdminCx, Path(name): Path<String>) -> Answer {
    let user = find(&mut cx, &name).await?;
    let found = sessions::list_of_user(&mut cx, &user.user_id).await?;
    let items: Vec<Value> = found.iter().map(session_view).collect();
    Ok(page(&items, None))
}

pub async fn end_sessions(AdminCx(mut cx): AdminCx, Path(name): Path<String>) -> Answer {
    let user = find(&mut cx, &name).await?;
    sessions::end_of_user(&mut cx, &user.user_id, None, "ended by an administrator").await?;
    cx.commit().await?;
    Ok(done())
}

pub async fn end_session(AdminCx(mut cx): AdminCx, Path(session): Path<SessionId>) -> Answer {
    if !sessions::end(&mut cx, &session, "ended by an administrator").await? {
        return Err(AdminError::not_found("session"));
    }
    cx.commit().await?;
    Ok(done())
}

pub async fn find(cx: &mut Cx, name: &str) -> Result<User, AdminError> {
    let found = accounts::find_by_username(cx, name).await?;
    found.ok_or_else(|| AdminError::not_found("user"))
}

fn view(user: &User) -> Value {
    json!({
        "name": user.spec.username,
        "userId": user.user_id,
        "spec": written("User", &user.spec),
        "createdAt": user.created_at,
        "disabledAt": user.disabled_at,
    })
}

fn session_view(session: &Session) -> Value {
    json!({
        "id": session.session_id, "authTime": session.auth_time, "acr": session.acr,
        "network": session.network, "userAgent": session.user_agent, "lastSeenAt": session.last_seen_at,
        "expiresAt": session.expires_at,
    })
}
