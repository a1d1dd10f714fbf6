//! The `trivote` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    trivote::cli::main()
}
