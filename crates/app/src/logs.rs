//! Logs on stderr: JSON lines for machines, short lines for people at a terminal.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::environment;
use crate::exit::usage;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people at a terminal, JSON elsewhere.
    Auto,
    Json,
    Human,
}

/// `filter` as `RUST_LOG` writes it; the argument stands over the variable.
pub fn start(filter: Option<&str>, format: Format, default: &str) -> anyhow::Result<()> {
    let given = filter.map(str::to_owned).or_else(|| environment::variable("RUST_LOG"));
    let text = given.unwrap_or_else(|| default.to_owned());
    let filter = EnvFilter::builder()
        .parse(&text)
        .map_err(|_| usage(format!("`{text}` is no log filter")).hint("write a level, or e.g. `info,gateway=debug`"))?;
    let human = match format {
        Format::Auto => environment::stderr_is_terminal(),
        Format::Json => false,
        Format::Human => true,
    };
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let colour = environment::stderr_is_terminal() && !environment::no_color();
    // A second start (tests in one process) keeps the first one's settings.
    let _already = if human {
        tracing::subscriber::set_global_default(subscriber.with_ansi(colour).compact().finish())
    } else {
        tracing::subscriber::set_global_default(subscriber.json().flatten_event(true).finish())
    };
    Ok(())
}
