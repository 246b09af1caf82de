//! The `gristmill` program: arguments in, exit code out.

use std::process::ExitCode;

// Gives memory back that a backlog took, also what librdkafka took: the system's own keeps it in its arenas.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    gristmill::cli::main()
}
