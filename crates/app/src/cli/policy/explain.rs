use std::path::PathBuf;

use base::Time;
use base::time::{Clock as _, SystemClock};
use clap::Args;
use policy::{Action, Party, Question};
use serde_json::{Map, Value, json};

use super::super::connection::Connection;
use super::super::text;
use super::files::{Set, text_of};
use crate::exit::{Exit, usage};
use crate::out::Out;
use crate::roles::Role;

#[derive(Debug, Args)]
pub struct Explain {
    /// Policies, schema, and the entities of tests; without any the server is asked
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The whole question as JSON in the words of AuthZEN; `-` is stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["subject", "action", "resource", "context"])]
    question: Option<PathBuf>,
    /// Who: `user:ann`
    #[arg(long, value_name = "TYPE:ID", value_parser = party, required_unless_present = "question")]
    subject: Option<Party>,
    /// Wants to do what
    #[arg(long, required_unless_present = "question")]
    action: Option<String>,
    /// To what: `operation:orders/listOrders`
    #[arg(long, value_name = "TYPE:ID", value_parser = party, required_unless_present = "question")]
    resource: Option<Party>,
    /// In which context
    #[arg(long, value_name = "JSON", value_parser = object)]
    context: Option<Map<String, Value>>,
    /// By this version of the server's policies instead of the one in force
    #[arg(long, value_name = "NUMBER", conflicts_with = "files")]
    version: Option<i64>,
    /// At which time, in seconds since the epoch; now, if it is not given (files only)
    #[arg(long, value_name = "SECONDS", requires = "files")]
    now: Option<i64>,
    #[command(flatten)]
    connection: Connection,
}

impl Explain {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        let mut question = self.asked()?;
        let answer = if self.files.is_empty() {
            let server = self.connection.with(Role::Entitlement).await?;
            let body = json!({"question": question, "version": self.version});
            server.post("/admin/v1/policies/explain", &body).await?
        } else {
            question.now = self.now.map_or_else(|| SystemClock::default().now(), Time::from_seconds);
            let explanation = Set::read(&self.files)?.engine()?.explain(&question);
            json!({"missing": explanation.missing(), "explanation": explanation})
        };
        let allow = answer.pointer("/explanation/decision/allow") == Some(&Value::Bool(true));
        if out.json {
            out.json(&answer)?;
        } else {
            out.raw(&told(&answer))?;
        }
        Ok(if allow { Exit::Done } else { Exit::Found })
    }

    fn asked(&self) -> anyhow::Result<Question> {
        if let Some(path) = &self.question {
            let text = text_of(path)?;
            return Ok(serde_json::from_str(&text).map_err(|error| usage(format!("{}: {error}", path.display())))?);
        }
        let (Some(subject), Some(action), Some(resource)) = (&self.subject, &self.action, &self.resource) else {
            return Err(usage("give --subject, --action and --resource, or --question").into());
        };
        Ok(Question {
            subject: subject.clone(),
            action: Action { name: action.clone(), properties: Map::new() },
            resource: resource.clone(),
            context: self.context.clone().unwrap_or_default(),
            now: Time::from_ms(0),
        })
    }
}

/// The decision, then each policy that could have applied with its conditions.
fn told(answer: &Value) -> String {
    let explanation = answer.get("explanation").cloned().unwrap_or_default();
    let decision = explanation.get("decision").cloned().unwrap_or_default();
    let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let allowed = decision.get("allow") == Some(&Value::Bool(true));
    let mut lines = vec![format!("{}: {}", if allowed { "ALLOWED" } else { "DENIED" }, text(&decision, "verdict"))];
    lines.extend(list(&decision, "errors").iter().map(|error| format!("  {}", error.as_str().unwrap_or_default())));
    for reason in list(&decision, "reasons") {
        let words = reason.get("reason").and_then(Value::as_str).map(|words| format!(": {words}")).unwrap_or_default();
        lines.push(format!("  by {}{words}", text(&reason, "id")));
    }
    let considered = list(&explanation, "considered");
    if !considered.is_empty() {
        lines.push("Policies that could apply (+ holds, - does not, . not reached, ! error):".to_owned());
    }
    for one in considered {
        let policy = one.get("policy").cloned().unwrap_or_default();
        let place = format!("{}:{}", text(&policy, "file"), text(&policy, "line"));
        let applies = if one.get("applies") == Some(&Value::Bool(true)) { "applies" } else { "does not apply" };
        lines.push(format!("  {} {} ({place}) {applies}", text(&policy, "effect"), text(&policy, "id")));
        lines.push(format!("    {} scope", mark(&text(&one, "scope"))));
        for condition in list(&one, "conditions") {
            lines.push(format!("    {} {}", mark(&text(&condition, "outcome")), text(&condition, "text")));
        }
    }
    lines.join("\n") + "\n"
}

fn mark(outcome: &str) -> char {
    match outcome {
        "holds" => '+',
        "fails" => '-',
        "not_reached" => '.',
        _ => '!',
    }
}

fn party(text: &str) -> Result<Party, &'static str> {
    let (kind, id) = text.split_once(':').ok_or("write TYPE:ID")?;
    Ok(Party::new(kind, id))
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("not a JSON object: {error}"))
}
