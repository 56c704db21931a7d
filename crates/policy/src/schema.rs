//! The schema: what the product knows of itself, and what an organisation adds or says otherwise.

use std::collections::BTreeSet;

use cedar_policy::{Schema, SchemaFragment, schema_str_to_json_with_resolved_types};
use serde_json::Value;

use crate::fault::Fault;

/// The name that faults give to the organisation's schema.
pub(crate) const FILE: &str = "schema";

/// Declarations of the base schema by name. A schema that declares the same name replaces that one.
pub const BASE_SCHEMA: &[(&str, &str)] = &[
    ("Group", "entity Group in [Group];"),
    ("Role", "entity Role in [Role];"),
    (
        "User",
        "entity User in [Group, Role] {
            username?: String, name?: String, email?: String,
            department?: String, organization?: String, clearance?: Long,
        };",
    ),
    ("Client", "entity Client in [Group, Role] { name?: String, organization?: String };"),
    ("Device", "entity Device { owner?: User, enrolled?: Bool, platform?: String };"),
    ("Api", "entity Api { name?: String, owner?: String, organization?: String, classification?: String };"),
    ("Operation", "entity Operation in [Api] { method?: String, path?: String, classification?: String };"),
    ("Scope", "entity Scope in [Api];"),
    ("Authentication", "type Authentication = { auth_time?: Long, acr?: String, amr?: Set<String> };"),
    ("DeviceFacts", "type DeviceFacts = { id?: String, enrolled?: Bool, platform?: String, owner?: User };"),
    ("Network", "type Network = { address?: ipaddr, zone?: String };"),
    // Seconds since the epoch; hour 0–23 and weekday 1 (Monday) – 7, both in UTC.
    ("Time", "type Time = { now: Long, hour: Long, weekday: Long };"),
    (
        "HttpRequest",
        "type HttpRequest = {
            method?: String, path?: String, host?: String, scopes?: Set<String>, grant_type?: String,
        };",
    ),
    // Of the token; an organisation declares those that its policies read.
    ("Claims", "type Claims = {};"),
    (
        "Facts",
        "type Facts = {
            client?: Client, authentication: Authentication, device: DeviceFacts, network: Network, time: Time,
            request: HttpRequest, claims: Claims,
        };",
    ),
    ("call", "action call appliesTo { principal: [User, Client], resource: [Operation], context: Facts };"),
    ("issue_token", "action issue_token appliesTo { principal: [User, Client], resource: [Client], context: Facts };"),
    ("grant_scope", "action grant_scope appliesTo { principal: [User, Client], resource: [Scope], context: Facts };"),
];

/// The schema that policies are checked against, and its JSON form with every type resolved.
pub(crate) fn read(own: &str) -> Result<(Schema, Value), Vec<Fault>> {
    let declared = match own.trim() {
        "" => BTreeSet::new(),
        _ => names(own)?,
    };
    let base = BASE_SCHEMA.iter().filter(|(name, _)| !declared.contains(*name));
    // The organisation's text stands first, so that places in it are places in the whole.
    let whole = base.fold(own.to_owned(), |text, (_, declaration)| text + "\n" + declaration);

    let fault = |error: &dyn miette::Diagnostic| vec![Fault::of(FILE, &whole, error)];
    let (schema, _warnings) = Schema::from_cedarschema_str(&whole).map_err(|error| fault(&error))?;
    let (json, _warnings) = schema_str_to_json_with_resolved_types(&whole).map_err(|error| fault(&error))?;
    Ok((schema, json))
}

/// The names that a schema declares outside namespaces.
fn names(text: &str) -> Result<BTreeSet<String>, Vec<Fault>> {
    let (fragment, _warnings) =
        SchemaFragment::from_cedarschema_str(text).map_err(|error| vec![Fault::of(FILE, text, &error)])?;
    let json = fragment.to_json_value().map_err(|error| vec![Fault::of(FILE, text, &error)])?;
    let sections = ["entityTypes", "actions", "commonTypes"];
    let global = json.get("").cloned().unwrap_or_default();
    let names = sections.iter().filter_map(|section| global.get(section)?.as_object().cloned());
    Ok(names.flatten().map(|(name, _)| name).collect())
}
