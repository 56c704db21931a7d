//! The binary `cardea`: configuration, roles, wiring, command line, development mode.

mod api;
mod cli;
mod config;
mod dev;
mod documents;
mod environment;
mod exit;
mod handover;
mod logs;
mod memory;
mod net;
mod ops;
mod out;
mod peer;
mod process;
mod roles;
mod wire;

use std::process::ExitCode;

use clap::Parser as _;

/// Chosen by measurement on the gateway.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    memory::set_up();
    let cli = cli::Cli::parse();
    let json = cli.json;
    match cli::run(cli) {
        Ok(exit) => exit.into(),
        Err(error) => out::report(&error, json).into(),
    }
}
