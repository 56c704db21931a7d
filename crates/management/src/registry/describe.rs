//! Its operations and what they answer, for the OpenAPI document.

use serde_json::{Value, json};

use crate::actor::Right;
use crate::admin::shape::{about, body, flag, list, moment, named, object, or_null, text, unless_said, whole, word};
use crate::admin::{Needs, Operation};

const LIFECYCLES: [&str; 4] = ["planned", "active", "deprecated", "retired"];

pub(crate) fn operations() -> Vec<Operation> {
    let tag = "apis";
    let (read, write) = (Needs::Right(Right::Read), Needs::Right(Right::Publish));
    vec![
        Operation::get("/management/v1/apis", "listApis", tag, Needs::Token)
            .summary("APIs by name")
            .query("q", text(), "In name, title and description")
            .query("lifecycle", word(&LIFECYCLES), "In this state only")
            .query("visibility", named("Visibility"), "Of this visibility only")
            .query("owner", text(), "Of this owner")
            .query("published", flag(), "`true`: as gateways are given them")
            .pages(named("Api")),
        Operation::post("/management/v1/apis", "createApi", tag, write)
            .summary("Makes an API; it is not published yet")
            .body(named("NewApi"))
            .example(sample())
            .answer(named("Api"))
            .creates()
            .tagged(),
        Operation::get("/management/v1/apis/{api}", "getApi", tag, Needs::Token)
            .summary("An API")
            .answer(named("Api"))
            .tagged(),
        Operation::put("/management/v1/apis/{api}", "putApi", tag, write)
            .summary("Makes the next revision of an API, or a new API")
            .field("If-Match", text(), "The `ETag` that it must have still (RFC 9110 §13.1.1)")
            .field("If-None-Match", word(&["*"]), "It must not be there yet (RFC 9110 §13.1.2)")
            .body(named("NewApi"))
            .example(sample())
            .answer(named("Api"))
            .tagged(),
        Operation::delete("/management/v1/apis/{api}", "deleteApi", tag, write)
            .summary("Removes an API that is not published, with its history")
            .answer(named("Done")),
        Operation::get("/management/v1/apis/{api}/operations", "listOperations", tag, Needs::Token)
            .summary("What can be called, and what it asks for")
            .pages(named("ApiOperation")),
        Operation::get("/management/v1/apis/{api}/openapi", "getOpenApi", tag, Needs::Token)
            .summary("The OpenAPI document for consumers: the gateway's address, what the gateway asks for")
            .answer(named("OpenApi")),
        Operation::get("/management/v1/apis/{api}/revisions", "listRevisions", tag, read)
            .summary("The history of an API, the newest first")
            .pages(named("Revision")),
        Operation::get("/management/v1/apis/{api}/revisions/{revision}", "getRevision", tag, read)
            .summary("A revision with all that it holds")
            .answer(named("WholeRevision")),
        Operation::get("/management/v1/apis/{api}/diff", "diffRevisions", tag, read)
            .summary("What differs between two revisions, and what of it clients would notice")
            .query("from", whole(), "A revision; default: the published one")
            .query("to", whole(), "A revision; default: the newest")
            .answer(object([
                ("from", whole()),
                ("to", whole()),
                ("differences", list(named("Difference"))),
                ("breaking", list(named("Breaking"))),
            ])),
        Operation::post("/management/v1/apis/{api}/rollback", "rollBackApi", tag, write)
            .summary("Makes a revision that says what an older one said; it is not published by that")
            .body(body([("revision", whole())]))
            .example(json!({"revision": 1}))
            .answer(named("Api"))
            .tagged(),
        Operation::post("/management/v1/import", "importOpenApi", tag, write)
            .summary("Makes an API of an OpenAPI document, or its next revision; what was changed by hand stays")
            .body(named("Import"))
            .example(json!({"document": "openapi: 3.1.0\ninfo: {title: Sample, version: '1'}\npaths: {}\n", "upstream": "http://127.0.0.1:1"}))
            .answer(named("Imported")),
    ]
}

fn sample() -> Value {
    json!({"name": "sample", "spec": {"title": "Sample", "version": "1"}})
}

pub(crate) fn shapes() -> Vec<(&'static str, Value)> {
    let strings = || list(text());
    let mut shapes = asked();
    shapes.extend(revisions());
    shapes.extend([
        (
            "Api",
            object([
                ("name", text()),
                ("revision", about(whole(), "The one that `spec` is of")),
                ("head", about(whole(), "The newest revision")),
                ("published", about(or_null(whole()), "The revision that gateways are given")),
                ("spec", named("ApiSpec")),
                ("createdAt", moment()),
                ("changedAt", moment()),
            ]),
        ),
        (
            "ApiOperation",
            object([
                ("name", text()),
                ("method", text()),
                ("path", about(text(), "At the gateway")),
                ("summary", text()),
                ("description", text()),
                ("tags", strings()),
                ("scopes", strings()),
                ("anyScope", strings()),
                ("public", about(flag(), "Callable without a token")),
                ("deprecated", flag()),
            ]),
        ),
        (
            "Imported",
            object([
                ("api", text()),
                ("title", text()),
                ("version", text()),
                ("revision", whole()),
                ("changed", about(flag(), "Whether there was something to change")),
                ("published", or_null(whole())),
                ("findings", list(named("Finding"))),
                ("breaking", list(named("Breaking"))),
                ("conflicts", about(strings(), "Where hand and document disagree")),
                ("kept", about(strings(), "What stays as people made it")),
                ("differences", list(named("Difference"))),
                ("routes", list(named("ImportedRoute"))),
                ("scopes", strings()),
                ("audience", text()),
                ("upstream", text()),
                ("address", about(text(), "Where it is served")),
                ("portal", text()),
            ]),
        ),
        (
            "ImportedRoute",
            object([
                ("operation", text()),
                ("method", text()),
                ("path", text()),
                ("public", flag()),
                ("scopes", strings()),
            ]),
        ),
        (
            "Finding",
            object([
                ("level", word(&["error", "warning", "note"])),
                ("rule", text()),
                ("pointer", about(text(), "Into the document (RFC 6901)")),
                ("message", text()),
            ]),
        ),
    ]);
    shapes
}

/// What is sent.
fn asked() -> Vec<(&'static str, Value)> {
    let maybe = || or_null(text());
    let document = || json!({"type": "object", "additionalProperties": true});
    vec![
        (
            "NewApi",
            body([
                ("name?", about(maybe(), "For a new one")),
                ("spec", named("ApiSpec")),
                (
                    "resources?",
                    about(
                        or_null(list(named("Resource"))),
                        "Upstreams, services, routes, compositions; left out: as they are",
                    ),
                ),
                ("openapi?", about(or_null(document()), "The document; left out: as it is")),
                ("note?", maybe()),
            ]),
        ),
        (
            "Import",
            body([
                ("document", about(text(), "OpenAPI 3.0 or 3.1, JSON or YAML")),
                ("name?", maybe()),
                ("upstream?", about(maybe(), "The address of the API itself")),
                ("basePath?", maybe()),
                ("audience?", maybe()),
                ("visibility?", or_null(named("Visibility"))),
                ("subscription?", or_null(named("Needed"))),
                ("owner?", maybe()),
                ("publish?", unless_said(false)),
                ("allowBreaking?", unless_said(false)),
                ("dryRun?", unless_said(false)),
                ("note?", maybe()),
            ]),
        ),
        ("OpenApi", about(document(), "A document of the OpenAPI Specification 3.0 or 3.1")),
    ]
}

fn revisions() -> Vec<(&'static str, Value)> {
    let line = || {
        [
            ("api", text()),
            ("revision", whole()),
            ("at", moment()),
            ("actor", text()),
            ("note", text()),
            ("spec", named("ApiSpec")),
        ]
    };
    let [api, revision, at, actor, note, spec] = line();
    let resources = ("resources", list(named("Resource")));
    vec![
        ("Revision", object(line())),
        (
            "WholeRevision",
            object([api, revision, at, actor, note, spec, resources, ("openapi", or_null(named("OpenApi")))]),
        ),
        (
            "Difference",
            object([
                ("kind", text()),
                ("name", text()),
                ("change", word(&["add", "modify", "remove"])),
                ("pointer", about(text(), "Into the spec; empty: the whole of it")),
                ("before?", about(json!({}), "What stood there")),
                ("after?", about(json!({}), "What stands there")),
            ]),
        ),
        ("Breaking", object([("rule", text()), ("operation", text()), ("message", text())])),
    ]
}
