//! The `lockgate` binary: reads the command line, hands it to its verb, and turns the result into an exit code.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use lockgate::cli::Cli;
use lockgate::commands::{self, Failure};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start_log(cli.common.log.as_deref()).and_then(|()| commands::run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report(&mut io::stderr());
            failure.exit_code()
        }
    }
}

/// Logs go to stderr, so that stdout stays what was asked for.
fn start_log(filter: Option<&str>) -> Result<(), Failure> {
    let filter = filter.unwrap_or("info");
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Failure::usage(format!("--log {filter}: {error}"), "write info, debug or lockgate=debug")
    })?;
    let colour = io::IsTerminal::is_terminal(&io::stderr());
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(colour).with_env_filter(filter).init();
    Ok(())
}
