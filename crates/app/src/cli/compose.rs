//! `cardea compose`: what a composition of resource files would do, and does, without a server.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use base::Secret;
use base::peer::HttpPeer;
use catalog::Resource;
use clap::{Args, Subcommand};
use integration::{
    Composition, Ending, Input, PeerCaller, Preview, Report, Runner, Subject, Timer, TokenEndpoint, TokenSource,
};
use serde_json::{Value, json};

use crate::config::Reference;
use crate::documents;
use crate::exit::{Exit, usage};
use crate::out::{Out, Table};

#[derive(Debug, Args)]
pub struct Compose {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Show which steps there are, what they wait for, and what they would send
    Plan(Given),
    /// Send the steps to their backends and show answer, parts and times
    Run {
        #[command(flatten)]
        given: Given,
        /// The caller's JWT, which steps forward or exchange: `file:PATH` or `env:NAME`
        #[arg(long, value_name = "REFERENCE")]
        token: Option<Reference>,
    },
    /// Describe the composed APIs (OpenAPI 3.1), as far as the compositions say
    Openapi {
        /// Resource files and folders, with the services that are called
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Only the compositions of this API
        #[arg(long, value_name = "NAME")]
        api: Option<String>,
        /// Where the gateway serves them
        #[arg(long, value_name = "URL", default_value = "/")]
        server: String,
        #[arg(long, default_value = "Composed APIs")]
        title: String,
    },
}

#[derive(Debug, Args)]
struct Given {
    /// The composition
    name: String,
    /// Resource files and folders, with the services that it calls
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A parameter of the path, `id=7`
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    param: Vec<(String, String)>,
    /// A parameter of the query
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    query: Vec<(String, String)>,
    /// A header
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    header: Vec<(String, String)>,
    /// The body, JSON
    #[arg(long, value_name = "JSON", value_parser = parse_json)]
    body: Option<Value>,
    /// The claims of the caller, JSON
    #[arg(long, value_name = "JSON", value_parser = parse_json)]
    claims: Option<Value>,
}

impl Compose {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        match self.act {
            Act::Plan(given) => {
                let composition = given.composition()?;
                show_plan(out, &composition.preview(Some(given.input()?)))?;
                Ok(Exit::Done)
            }
            Act::Run { given, token } => {
                let composition = given.composition()?;
                let mut input = given.input()?;
                if let Some(reference) = token {
                    let subject = Subject::new("command line".into(), &reference.read_text()?);
                    input.subject = Some(subject.ok_or_else(|| usage("the token holds signs that no token has"))?);
                }
                let answer = runner(&composition)?.run(&composition, input).await;
                show_answer(out, &answer)?;
                Ok(if answer.report.ending == Ending::Failed { Exit::Refused } else { Exit::Done })
            }
            Act::Openapi { files, api, server, title } => {
                out.json(&describe(&files, api.as_deref(), &title, &server)?)?;
                Ok(Exit::Done)
            }
        }
    }
}

/// The resources of these files, if nothing is wrong with them.
fn good(files: &[PathBuf]) -> anyhow::Result<Vec<Resource>> {
    let resources = documents::read(files)?;
    let faults = documents::faults(&resources);
    if faults.is_empty() { Ok(resources) } else { Err(documents::refused(&faults).into()) }
}

fn describe(files: &[PathBuf], api: Option<&str>, title: &str, server: &str) -> anyhow::Result<Value> {
    let resources = good(files)?;
    let snapshot = catalog::Snapshot::compile(&resources).map_err(|faults| documents::refused(&faults))?;
    let mut compositions = Vec::new();
    for resource in resources.iter().filter(|resource| resource.kind == "Composition") {
        if api.is_none_or(|api| resource.spec.get("api").and_then(Value::as_str) == Some(api)) {
            let compiled = Composition::compile(resource, &snapshot);
            compositions.push(compiled.map_err(|faults| documents::refused(&faults))?);
        }
    }
    if compositions.is_empty() {
        return Err(usage("there is no such composition in these files").into());
    }
    Ok(integration::openapi(title, server, &compositions))
}

impl Given {
    fn composition(&self) -> anyhow::Result<Composition> {
        let resources = good(&self.files)?;
        let found = resources.iter().find(|resource| resource.kind == "Composition" && resource.name == self.name);
        let found = found.ok_or_else(|| usage(format!("there is no composition `{}` in these files", self.name)))?;
        let snapshot = catalog::Snapshot::compile(&resources).map_err(|faults| documents::refused(&faults))?;
        Ok(Composition::compile(found, &snapshot).map_err(|faults| documents::refused(&faults))?)
    }

    fn input(&self) -> anyhow::Result<Input> {
        let mut headers = http::HeaderMap::new();
        for (name, value) in &self.header {
            let name = http::HeaderName::try_from(name).with_context(|| format!("`{name}` is not a header"))?;
            headers.append(name, http::HeaderValue::try_from(value)?);
        }
        Ok(Input {
            id: base::random::text::<16>(),
            params: self.param.clone(),
            query: self.query.clone(),
            headers,
            body: self.body.clone().unwrap_or_default(),
            claims: self.claims.clone().unwrap_or_default().into(),
            ..Input::default()
        })
    }
}

fn runner(composition: &Composition) -> anyhow::Result<Runner<PeerCaller>> {
    let timer = Timer::system();
    let folder = Path::new(&*composition.source.file).parent().unwrap_or(Path::new("")).to_owned();
    let mut endpoints = HashMap::new();
    for (name, spec) in &composition.tokens {
        let reference = Reference::parse(&spec.secret.to_string()).map_err(usage)?.within(&folder);
        let secret: Secret<String> = reference.read_text()?;
        let endpoint =
            TokenEndpoint { url: spec.url.as_str().into(), client_id: spec.client_id.as_str().into(), secret };
        endpoints.insert(name.clone(), endpoint);
    }
    let peer = HttpPeer::shared();
    let tokens = TokenSource::new(Arc::clone(&peer), Arc::clone(timer.clock()), 16).with(endpoints);
    Ok(Runner { caller: PeerCaller::new(peer), tokens, timer })
}

fn show_plan(out: Out, plan: &Preview) -> anyhow::Result<()> {
    let level =
        |name: &str| plan.levels.iter().position(|level| level.iter().any(|step| step == name)).unwrap_or(0) + 1;
    let row = |step: &integration::PreviewStep| {
        vec![
            level(&step.name).to_string(),
            step.name.clone(),
            format!("{} {}: {}", step.method, step.target, step.path),
            step.waits_for.join(" "),
            if step.required { "required" } else { "optional" }.to_owned(),
            step.identity.to_owned(),
            format!("{} ms", step.timeout_ms),
        ]
    };
    let table = Table {
        headings: vec!["level", "step", "request", "waits for", "part", "identity", "time"],
        rows: plan.steps.iter().map(row).collect(),
        empty: "no steps: the answer is made from the request alone",
    };
    out.table(&table, &serde_json::to_value(plan)?)
}

fn show_answer(out: Out, answer: &integration::Answer) -> anyhow::Result<()> {
    let text = String::from_utf8_lossy(&answer.body);
    let body = serde_json::from_slice(&answer.body).unwrap_or_else(|_| Value::from(text.as_ref()));
    if out.json {
        return out.json(&json!({"status": answer.status.as_u16(), "body": body, "report": answer.report}));
    }
    out.table(&parts(&answer.report), &Value::Null)?;
    out.line(format!("\n{} after {} ms", answer.status, answer.report.duration_ms))?;
    out.line(serde_json::to_string_pretty(&body)?)
}

fn parts(report: &Report) -> Table {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows = report.parts.iter().map(|part| {
        let json = serde_json::to_value(part).unwrap_or_default();
        let of = |key: &str| json.get(key).map(word).unwrap_or_default();
        vec![
            part.name.clone(),
            of("outcome"),
            part.status.map_or_else(String::new, |status| status.to_string()),
            of("error"),
            part.attempts.to_string(),
            format!("{} ms", part.started_ms),
            format!("{} ms", part.duration_ms),
        ]
    });
    Table {
        headings: vec!["part", "outcome", "status", "error", "attempts", "began", "took"],
        rows: rows.collect(),
        empty: "no parts",
    }
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn parse_json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}
