//! The program of an aggregator: see [`pando::aggregator`].

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pando::aggregator::main()
}
