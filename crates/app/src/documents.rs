//! Resource files of all kinds, as `check`, `diff` and `apply` read them.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use catalog::{Fault, Resource};
use serde_json::{Map, Value, json};

use crate::config::Reference;
use crate::exit::{Exit, Failure, usage};

/// The resources of files and folders (`*.yaml`, `*.yml`, `*.json`, by name); `-` is stdin.
pub fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Resource>> {
    let mut resources: Vec<Resource> = Vec::new();
    let mut faults = Vec::new();
    for path in expand(paths)? {
        let name = path.display().to_string();
        match catalog::parse(&name, &text_of(&path)?) {
            Ok(found) => resources.extend(found),
            Err(found) => faults.extend(found),
        }
    }
    faults.extend(doubles(&resources));
    if faults.is_empty() { Ok(resources) } else { Err(refused(&faults).into()) }
}

/// All that is wrong with a set, without asking a server: the same compiler as the server's.
pub fn faults(resources: &[Resource]) -> Vec<Fault> {
    let mut faults = faults_of_each(resources);
    let gateway: Vec<Resource> = resources.iter().filter(|resource| resource.is_for_gateway()).cloned().collect();
    if !gateway.is_empty() {
        match catalog::Snapshot::compile(&gateway) {
            Ok(snapshot) => {
                let answers =
                    |resource: &Resource| ["answer", "mock"].iter().any(|key| resource.spec.get(key).is_some());
                let compositions = gateway.iter().filter(|resource| {
                    resource.kind == "Composition" || (resource.kind == "Route" && answers(resource))
                });
                let compiled = compositions.map(|resource| integration::Composition::compile(resource, &snapshot));
                faults.extend(compiled.filter_map(Result::err).flatten());
            }
            Err(found) => faults.extend(found),
        }
    }
    faults.sort();
    faults
}

/// What is wrong in each document by itself; what they refer to may be at the server.
pub fn faults_of_each(resources: &[Resource]) -> Vec<Fault> {
    resources.iter().flat_map(identity_faults).collect()
}

/// The set is refused: every fault on a line of its own.
pub fn refused(faults: &[Fault]) -> Failure {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    Failure::new(Exit::Usage, lines.join("\n"))
}

fn identity_faults(resource: &Resource) -> Vec<Fault> {
    let found = match resource.kind.as_str() {
        "Client" => whole(resource).read::<identity::clients::ClientSpec>().err(),
        "Scope" => whole(resource).read::<identity::scopes::ScopeSpec>().err(),
        "ResourceServer" => whole(resource).read::<identity::scopes::ResourceServerSpec>().err(),
        "User" => whole(resource).read::<identity::accounts::UserSpec>().err(),
        _ => None,
    };
    // Found in the document that the identity system reads; shown at its place in the one that was written.
    let shown = |fault: Fault| resource.fault(&fault.pointer, fault.message);
    let mut faults: Vec<Fault> = found.into_iter().flatten().map(shown).collect();
    if let Err(fault) = password(resource) {
        faults.push(fault);
    }
    faults
}

/// The resource with its name in its spec, as the identity system has it, and without what only we understand.
fn whole(resource: &Resource) -> Resource {
    let mut document = document(resource);
    let spec = document.get_mut("spec").map(Value::take).unwrap_or_default();
    let mut members = spec.as_object().cloned().unwrap_or_default();
    if let Some(key) = identity::admin::key_of(&resource.kind) {
        members.entry(key).or_insert_with(|| Value::from(resource.name.as_str()));
    }
    Resource::new(&resource.kind, &resource.name, Value::Object(members))
}

/// Where the password of a `User` is found, if its document says.
pub fn password(resource: &Resource) -> Result<Option<Reference>, Fault> {
    let Some(value) = resource.spec.get("password").filter(|_| resource.kind == "User") else { return Ok(None) };
    let text = value.as_str().unwrap_or_default();
    let folder = Path::new(&*resource.source.file).parent().unwrap_or(Path::new("")).to_owned();
    match Reference::parse(text) {
        Ok(reference) => Ok(Some(reference.within(&folder))),
        Err(reason) => Err(resource.fault("/spec/password", reason)),
    }
}

/// As the server takes it: without what only the command line understands.
pub fn document(resource: &Resource) -> Value {
    let mut spec = resource.spec.as_object().cloned().unwrap_or_else(Map::new);
    if resource.kind == "User" {
        spec.shift_remove("password");
    }
    json!({"kind": resource.kind, "name": resource.name, "spec": spec})
}

fn doubles(resources: &[Resource]) -> Vec<Fault> {
    let mut seen = std::collections::BTreeMap::new();
    let mut faults = Vec::new();
    for resource in resources {
        if let Some(first) = seen.insert((&resource.kind, &resource.name), &resource.source) {
            let message = format!("{} `{}` stands here a second time; first at {first}", resource.kind, resource.name);
            faults.push(resource.fault("/name", message));
        }
    }
    faults
}

fn expand(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut found: Vec<PathBuf> = std::fs::read_dir(path)
            .map_err(|error| usage(format!("{}: {error}", path.display())))?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json"))
            .collect();
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

fn text_of(path: &Path) -> anyhow::Result<String> {
    let read = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    Ok(read.map_err(|error| usage(format!("{}: {error}", path.display())))?)
}
