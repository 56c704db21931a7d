use axum::extract::Path;
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::answer::{AdminCx, AdminError, Answer, Body, done, ok, page};
use super::clients::created_if_asked;
use super::documents::{read, written};
use crate::Cx;
use crate::scopes::{self, ResourceServerSpec, ScopeSpec};

pub async fn list_scopes(AdminCx(mut cx): AdminCx) -> Answer {
    let items: Vec<Value> = scopes::list(&mut cx).await?.iter().map(scope_view).collect();
    Ok(page(&items, None))
}

pub async fn show_scope(AdminCx(mut cx): AdminCx, Path(name): Path<String>) -> Answer {
    let found = scopes::list(&mut cx).await?.into_iter().find(|scope| scope.name == name);
    Ok(ok(&scope_view(&found.ok_or_else(|| AdminError::not_found("scope"))?)))
}

pub async fn put_scope(
    AdminCx(mut cx): AdminCx,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body(spec): Body<Value>,
) -> Answer {
    let spec: ScopeSpec = read("Scope", &name, &spec)?;
    let applied = scopes::apply(&mut cx, &spec).await?;
    created_if_asked(&headers, applied, "scope")?;
    cx.commit().await?;
    Ok(ok(&json!({"result": applied.as_str(), "spec": written("Scope", &spec)})))
}

pub async fn delete_scope(AdminCx(mut cx): AdminCx, Path(name): Path<String>) -> Answer {
    if !scopes::delete(&mut cx, &name).await? {
        return Err(AdminError::not_found("scope"));
    }
    cx.commit().await?;
    Ok(done())
}

pub async fn list_resource_servers(AdminCx(mut cx): AdminCx) -> Answer {
    let items: Vec<Value> = scopes::list_resource_servers(&mut cx).await?.iter().map(server_view).collect();
    Ok(page(&items, None))
}

pub async fn show_resource_server(AdminCx(mut cx): AdminCx, Path(name): Path<String>) -> Answer {
    Ok(ok(&server_view(&find_server(&mut cx, &name).await?)))
}

pub async fn put_resource_server(
    AdminCx(mut cx): AdminCx,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body(spec): Body<Value>,
) -> Answer {
    let spec: ResourceServerSpec = read("ResourceServer", &name, &spec)?;
    let applied = scopes::apply_resource_server(&mut cx, &spec).await?;
    created_if_asked(&headers, applied, "resource server")?;
    cx.commit().await?;
    Ok(ok(&json!({"result": applied.as_str(), "spec": written("ResourceServer", &spec)})))
}

pub async fn delete_resource_server(AdminCx(mut cx): AdminCx, Path(name): Path<String>) -> Answer {
    let audience = find_server(&mut cx, &name).await?.audience;
    if !scopes::delete_resource_server(&mut cx, &audience).await? {
        return Err(AdminError::not_found("resource server"));
    }
    cx.commit().await?;
    Ok(done())
}

async fn find_server(cx: &mut Cx, name: &str) -> Result<ResourceServerSpec, AdminError> {
    let found = scopes::list_resource_servers(cx).await?.into_iter().find(|server| server.name == name);
    found.ok_or_else(|| AdminError::not_found("resource server"))
}

fn scope_view(spec: &ScopeSpec) -> Value {
    json!({"name": spec.name, "spec": written("Scope", spec)})
}

fn server_view(spec: &ResourceServerSpec) -> Value {
    json!({"name": spec.name, "spec": written("ResourceServer", spec)})
}
