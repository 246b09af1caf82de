//! The `gristmill` program: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    gristmill::cli::main()
}
