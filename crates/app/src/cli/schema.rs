//! `cardea schema`: the JSON Schema of the files, for editors.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use crate::config;
use crate::exit::Exit;
use crate::out::Out;

#[derive(Debug, Args)]
pub struct Schema {
    #[arg(value_enum)]
    file: File,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum File {
    /// Of `cardea.yaml`
    Config,
    /// Of each kind of resource
    Resources,
}

impl Schema {
    pub fn run(self, out: Out) -> anyhow::Result<Exit> {
        let schema = match self.file {
            File::Config => config::schema(),
            File::Resources => Value::Object(
                catalog::schemas().into_iter().map(|(kind, schema)| (kind.to_owned(), schema)).collect::<Map<_, _>>(),
            ),
        };
        out.line(serde_json::to_string_pretty(&schema)?)?;
        Ok(Exit::Done)
    }
}
