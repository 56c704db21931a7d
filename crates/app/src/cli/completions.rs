//! `cardea completions`: for the shells that people have.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::exit::Exit;
use crate::out::Out;

#[derive(Debug, Args)]
pub struct Completions {
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub fn run(self, out: Out) -> anyhow::Result<Exit> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut super::Cli::command(), "cardea", &mut text);
        out.raw(&String::from_utf8(text)?)?;
        Ok(Exit::Done)
    }
}
