//! A reference that people read, made of the OpenAPI document (3.0 or 3.1) that consumers are given. The document is
//! somebody's: references are followed inside it only, so deep and so long.

use serde::Serialize;
use serde_json::{Map, Value};

use super::schema::{Row, cut, example, kind, members, plain, resolve, strings, written};
use super::snippets::{self, Snippet};

#[derive(Serialize)]
pub(super) struct Group {
    pub name: String,
    pub operations: Vec<Line>,
}

#[derive(Serialize, Clone)]
pub(super) struct Line {
    pub name: String,
    pub method: String,
    pub path: String,
    pub summary: String,
    pub deprecated: bool,
}

#[derive(Serialize)]
pub(super) struct Operation {
    #[serde(flatten)]
    pub line: Line,
    pub url: String,
    pub description: Vec<Block>,
    pub scopes: Vec<String>,
    pub public: bool,
    pub parameters: Vec<Parameter>,
    pub body: Option<Content>,
    pub body_required: bool,
    pub responses: Vec<Answer>,
    pub snippets: Vec<Snippet>,
}

#[derive(Serialize)]
pub(super) struct Parameter {
    pub name: String,
    pub place: String,
    pub required: bool,
    pub kind: String,
    pub description: String,
    pub example: String,
    pub options: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Content {
    pub media_type: String,
    pub rows: Vec<Row>,
    pub example: String,
    pub is_json: bool,
}

#[derive(Serialize)]
pub(super) struct Answer {
    pub status: String,
    pub description: String,
    pub content: Option<Content>,
}

/// References may lead to the same answer again and again.
const MOST_ANSWERS: usize = 40;
const MOST_PARAMETERS: usize = 200;

/// A piece of text: `p`, `li`, `h` or `code`.
#[derive(Serialize)]
pub(crate) struct Block {
    pub kind: &'static str,
    pub text: String,
}

/// Markdown as far as descriptions use it: paragraphs, lists, headings, fenced code. What it says beyond that is shown
/// as it was written; no HTML comes out of it.
pub(crate) fn prose(text: &str) -> Vec<Block> {
    let mut out: Vec<Block> = Vec::new();
    let mut fenced: Option<Vec<&str>> = None;
    let mut joined = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            match fenced.take() {
                Some(lines) => out.push(Block { kind: "code", text: lines.join("\n") }),
                None => fenced = Some(Vec::new()),
            }
            joined = false;
            continue;
        }
        if let Some(lines) = &mut fenced {
            lines.push(line);
            continue;
        }
        let line = line.trim();
        let item = line.strip_prefix("- ").or_else(|| line.strip_prefix("* "));
        let (kind, words) = match (item, line.strip_prefix('#')) {
            (Some(item), _) => ("li", item),
            (None, Some(head)) => ("h", head.trim_start_matches('#').trim()),
            (None, None) => ("p", line),
        };
        if line.is_empty() {
            joined = false;
        } else if let (true, "p", Some(last)) = (joined, kind, out.last_mut()) {
            last.text.push(' ');
            last.text.push_str(words);
        } else {
            out.push(Block { kind, text: words.to_owned() });
            joined = kind != "h";
        }
    }
    if let Some(lines) = fenced {
        out.push(Block { kind: "code", text: lines.join("\n") });
    }
    out
}

/// The operations by their first tag, in the document's order.
pub(super) fn groups(root: &Value) -> Vec<Group> {
    let mut out: Vec<Group> = Vec::new();
    for (path, method, spec) in operations(root) {
        let tag = spec.get("tags").and_then(Value::as_array).and_then(|tags| tags.first()).and_then(Value::as_str);
        let tag = tag.unwrap_or("Operations").to_owned();
        let line = line(path, method, spec);
        match out.iter_mut().find(|group| group.name == tag) {
            Some(group) => group.operations.push(line),
            None => out.push(Group { name: tag, operations: vec![line] }),
        }
    }
    out
}

pub(super) fn operation(root: &Value, name: &str) -> Option<Operation> {
    let (path, method, spec) = operations(root).find(|(path, method, spec)| line(path, method, spec).name == name)?;
    let server = root.pointer("/servers/0/url").and_then(Value::as_str).unwrap_or_default();
    let item = root.get("paths").and_then(|paths| paths.get(path)).and_then(Value::as_object);
    let shared = item.and_then(|item| item.get("parameters"));
    let own = spec.get("parameters");
    let mut parameters: Vec<Parameter> = Vec::new();
    for value in [shared, own].into_iter().flatten().filter_map(Value::as_array).flatten() {
        let Some(parameter) = parameter(root, value).filter(|_| parameters.len() < MOST_PARAMETERS) else { continue };
        // An operation's own stands in place of the path's (OpenAPI §4.8.10).
        parameters.retain(|known| (&known.name, &known.place) != (&parameter.name, &parameter.place));
        parameters.push(parameter);
    }
    let body = spec.get("requestBody").map(|body| resolve(root, body));
    let requirements = spec.get("security").and_then(Value::as_array);
    let scopes =
        requirements.and_then(|all| all.first()).and_then(Value::as_object).and_then(|one| one.values().next());
    let line = line(path, method, spec);
    let url = format!("{}{path}", server.trim_end_matches('/'));
    let content = body.and_then(|body| content(root, body));
    let answers = spec.get("responses").and_then(Value::as_object);
    Some(Operation {
        snippets: snippets::all(&line.method, &filled(&url, &parameters), content.as_ref()),
        url,
        description: prose(spec.get("description").and_then(Value::as_str).unwrap_or_default()),
        scopes: strings(scopes),
        public: requirements.is_some_and(Vec::is_empty),
        body_required: body.and_then(|body| body.get("required")).and_then(Value::as_bool).unwrap_or(false),
        body: content,
        responses: answers
            .into_iter()
            .flatten()
            .take(MOST_ANSWERS)
            .map(|(status, answer)| self::answer(root, status, answer))
            .collect(),
        parameters,
        line,
    })
}

pub(super) fn knows(root: &Value, name: &str) -> bool {
    operations(root).any(|(path, method, spec)| line(path, method, spec).name == name)
}

/// The scopes that the operations of a document ask for.
pub(super) fn scopes(root: &Value, name: Option<&str>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for (path, method, spec) in operations(root) {
        if name.is_some_and(|name| line(path, method, spec).name != name) {
            continue;
        }
        let first = spec.get("security").and_then(Value::as_array).and_then(|all| all.first());
        let scopes = first.and_then(Value::as_object).and_then(|one| one.values().next());
        out.extend(strings(scopes));
    }
    out.sort();
    out.dedup();
    out
}

fn operations(root: &Value) -> impl Iterator<Item = (&str, &str, &Map<String, Value>)> {
    const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];
    let paths = root.get("paths").and_then(Value::as_object).into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let methods = item.as_object().into_iter().flatten();
        methods.filter_map(move |(method, spec)| {
            let spec = spec.as_object().filter(|_| METHODS.contains(&method.as_str()))?;
            Some((path.as_str(), method.as_str(), spec))
        })
    })
}

fn line(path: &str, method: &str, spec: &Map<String, Value>) -> Line {
    let text = |name: &str| spec.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let id = text("operationId");
    Line {
        name: if id.is_empty() { format!("{method} {path}") } else { id },
        method: method.to_ascii_uppercase(),
        path: path.to_owned(),
        summary: text("summary"),
        deprecated: spec.get("deprecated").and_then(Value::as_bool).unwrap_or(false),
    }
}

fn parameter(root: &Value, value: &Value) -> Option<Parameter> {
    let value = resolve(root, value);
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let schema = value.get("schema").map_or(&Value::Null, |schema| resolve(root, schema));
    let shown = [value.get("example"), schema.get("example"), schema.get("default")].into_iter().flatten().next();
    let first = schema.pointer("/examples/0").or_else(|| schema.pointer("/enum/0"));
    let place = text("in")?;
    Some(Parameter {
        name: text("name")?,
        required: place == "path" || value.get("required").and_then(Value::as_bool).unwrap_or(false),
        place,
        kind: kind(root, schema),
        description: cut(&text("description").unwrap_or_default()),
        example: shown.or(first).map(plain).unwrap_or_default(),
        options: schema.get("enum").and_then(Value::as_array).into_iter().flatten().take(200).map(plain).collect(),
    })
}

/// The address with examples in place of the path's parameters, so that it can be copied.
fn filled(url: &str, parameters: &[Parameter]) -> String {
    let mut url = url.to_owned();
    for parameter in parameters.iter().filter(|one| one.place == "path") {
        let example = if parameter.example.is_empty() { "1" } else { &parameter.example };
        url = url.replace(&format!("{{{}}}", parameter.name), example);
    }
    let query: Vec<(&str, &str)> = parameters
        .iter()
        .filter(|one| one.place == "query" && one.required)
        .map(|one| (one.name.as_str(), one.example.as_str()))
        .collect();
    match serde_urlencoded::to_string(&query) {
        Ok(query) if !query.is_empty() => format!("{url}?{query}"),
        _ => url,
    }
}

fn answer(root: &Value, status: &str, value: &Value) -> Answer {
    let value = resolve(root, value);
    Answer {
        status: status.to_owned(),
        description: cut(value.get("description").and_then(Value::as_str).unwrap_or_default()),
        content: content(root, value),
    }
}

/// The first media type, JSON before others.
fn content(root: &Value, value: &Value) -> Option<Content> {
    let all = value.get("content")?.as_object()?;
    let (media_type, spec) = all.iter().find(|(name, _)| name.contains("json")).or_else(|| all.iter().next())?;
    let schema = spec.get("schema").map_or(&Value::Null, |schema| resolve(root, schema));
    let given = spec.get("example").or_else(|| {
        let first = spec.get("examples")?.as_object()?.values().next()?;
        resolve(root, first).get("value")
    });
    let made_up = given.is_none().then(|| example(root, schema));
    let example = given.or(made_up.as_ref()).unwrap_or(&Value::Null);
    let mut rows = Vec::new();
    members(root, schema, 0, &mut rows);
    let is_json = media_type.contains("json");
    let example = match example {
        Value::String(text) if !is_json => cut(text),
        other => written(other).unwrap_or_else(|| "…".to_owned()),
    };
    Some(Content { media_type: media_type.clone(), rows, example, is_json })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::schema::MOST_DEPTH;
    use super::*;

    #[test]
    fn a_document_that_runs_in_circles_has_an_end() {
        let root = json!({
            "paths": {"/a/{id}": {
                "parameters": [{"name": "id", "in": "path", "schema": {"type": "string", "example": "7"}}],
                "get": {
                    "operationId": "read", "tags": ["A"], "security": [{"x": ["a.read"]}],
                    "responses": {"200": {"description": "ok", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}}},
                },
            }},
            "servers": [{"url": "https://api.example/base"}],
            "components": {"schemas": {
                "Node": {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}, "next": {"$ref": "#/components/schemas/Node"}}},
                "Loop": {"$ref": "#/components/schemas/Loop"},
            }},
        });

        let read = operation(&root, "read").unwrap();

        assert_eq!(read.url, "https://api.example/base/a/{id}");
        assert!(read.snippets[0].text.contains("https://api.example/base/a/7"), "{}", read.snippets[0].text);
        assert_eq!((read.scopes.as_slice(), read.public), (["a.read".to_owned()].as_slice(), false));
        let content = read.responses[0].content.as_ref().unwrap();
        assert_eq!(content.rows.len(), 2 * MOST_DEPTH);
        assert!(content.rows[0].required && !content.rows[1].required);
        assert_eq!(
            resolve(&root, &json!({"$ref": "#/components/schemas/Loop"})),
            &root["components"]["schemas"]["Loop"]
        );
        assert!(operation(&root, "nothing").is_none());
        assert_eq!(scopes(&root, None), ["a.read"]);
    }

    #[test]
    fn prose_is_blocks_of_text() {
        let blocks = prose("# Orders\nAll of\nthem.\n\n- one\n- two\n\n```\n<b>\n```\n");
        let shown: Vec<(&str, &str)> = blocks.iter().map(|block| (block.kind, block.text.as_str())).collect();

        assert_eq!(shown, [("h", "Orders"), ("p", "All of them."), ("li", "one"), ("li", "two"), ("code", "<b>")]);
    }
}
