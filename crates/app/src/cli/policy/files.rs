//! Policies as files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use policy::{Directory, Engine, EntitySpec, Faults, File, PolicySet, Source, Suite};
use serde::Deserialize;

use crate::exit::usage;

/// Policies, schema and tests of some files and folders.
#[derive(Debug, Default)]
pub struct Set {
    pub source: Source,
    pub tests: Suite,
}

/// A file of tests may as well hold entities alone.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Yaml {
    #[serde(default)]
    entities: Vec<EntitySpec>,
    #[serde(default)]
    tests: Vec<policy::Case>,
}

const ENDS: [&str; 5] = ["cedar", "cedarschema", "yaml", "yml", "json"];

impl Set {
    pub fn read(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut set = Self::default();
        for path in expand(paths)? {
            let text = std::fs::read_to_string(&path).map_err(|error| usage(format!("{}: {error}", path.display())))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match end(&path) {
                "cedar" => set.source.files.push(File { name, text }),
                "cedarschema" => {
                    if !set.source.schema.is_empty() {
                        let what = format!("{} is a second schema", path.display());
                        return Err(usage(what).hint("put all declarations into one file").into());
                    }
                    set.source.schema = text;
                }
                "yaml" | "yml" | "json" => {
                    let Yaml { entities, tests } = yaml(&path, &text)?;
                    set.tests.entities.extend(entities);
                    set.tests.tests.extend(tests);
                }
                _ => {
                    let what = format!("{} is neither policies, schema nor tests", path.display());
                    return Err(usage(what).hint("name it *.cedar, *.cedarschema or *.yaml").into());
                }
            }
        }
        if set.source.files.is_empty() {
            return Err(usage("there are no policies (*.cedar) among these files").into());
        }
        Ok(set)
    }

    pub fn compile(&self) -> Result<PolicySet, Faults> {
        PolicySet::compile(&self.source)
    }

    /// # Errors
    /// All faults, each on a line of its own.
    pub fn compiled(&self) -> anyhow::Result<Arc<PolicySet>> {
        Ok(Arc::new(self.compile().map_err(|faults| usage(faults.to_string()))?))
    }

    /// With the entities of the tests.
    pub fn engine(&self) -> anyhow::Result<Engine> {
        let policies = self.compiled()?;
        let directory = Directory::new(&policies, &self.tests.entities).map_err(|faults| usage(faults.join("\n")))?;
        Ok(Engine::new(policies, Arc::new(directory)))
    }
}

/// The entities of YAML files.
pub fn entities(paths: &[PathBuf]) -> anyhow::Result<Vec<EntitySpec>> {
    let mut all = Vec::new();
    for path in paths {
        let text = super::files::text_of(path)?;
        all.extend(yaml(path, &text)?.entities);
    }
    Ok(all)
}

pub fn text_of(path: &Path) -> anyhow::Result<String> {
    let read = match path == Path::new("-") {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(path),
    };
    Ok(read.map_err(|error| usage(format!("{}: {error}", path.display())))?)
}

fn yaml(path: &Path, text: &str) -> anyhow::Result<Yaml> {
    let read = serde_saphyr::from_str(text);
    Ok(read.map_err(|error| usage(crate::config::Fault::of_yaml(path, &error).to_string()))?)
}

fn end(path: &Path) -> &str {
    path.extension().and_then(|end| end.to_str()).unwrap_or_default()
}

/// Folders stand for the files in them, by name.
fn expand(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).with_context(|| path.display().to_string())?;
        let mut found: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| ENDS.contains(&end(path))).collect();
        found.sort();
        files.extend(found);
    }
    Ok(files)
}
