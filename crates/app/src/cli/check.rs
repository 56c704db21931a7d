//! `cardea check`: what is wrong in files, found by the server's own compiler, without a server.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::config::File;
use crate::documents;
use crate::exit::Exit;
use crate::out::Out;

#[derive(Debug, Args)]
pub struct Check {
    /// Resource files and folders
    #[arg(value_name = "FILE", required_unless_present = "config")]
    files: Vec<PathBuf>,
    /// A configuration file (`cardea.yaml`)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Check {
    pub fn run(self, out: Out) -> anyhow::Result<Exit> {
        let mut faults = Vec::new();
        if let Some(path) = &self.config {
            let text = std::fs::read_to_string(path)
                .map_err(|error| crate::exit::usage(format!("{}: {error}", path.display())))?;
            if let Err(fault) = File::parse(path, &text) {
                faults.push(fault.to_string());
            }
        }
        let mut count = 0;
        if !self.files.is_empty() {
            match documents::read(&self.files) {
                Ok(resources) => {
                    count = resources.len();
                    faults.extend(documents::faults(&resources).iter().map(ToString::to_string));
                }
                Err(error) => faults.extend(error.to_string().lines().map(str::to_owned)),
            }
        }
        if out.json {
            out.json(&json!({"valid": faults.is_empty(), "resources": count, "faults": faults}))?;
        } else if faults.is_empty() {
            out.line(match (count, &self.config) {
                (0, _) => "valid".to_owned(),
                (1, _) => "1 resource, valid".to_owned(),
                (count, _) => format!("{count} resources, valid"),
            })?;
        } else {
            for fault in &faults {
                out.line(fault)?;
            }
        }
        Ok(if faults.is_empty() { Exit::Done } else { Exit::Found })
    }
}
