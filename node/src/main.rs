//! The `lockgate` binary: reads the command line, hands it to its verb, and turns the result into an exit code.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use lockgate::cli::Cli;
use lockgate::commands::{self, Failure};
use lockgate::machine::logging;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let log = logging::start(cli.common.log.as_deref(), cli.verb.usual_log(), logging::Format::Human)
        .map_err(|error| Failure::usage(error, ""));
    match log.and_then(|()| commands::run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report(&mut io::stderr());
            failure.exit_code()
        }
    }
}
