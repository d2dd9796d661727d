//! The program `reprov`: hands everything to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Namespaces are entered by a process without threads, so this stage comes before any runtime.
    if std::env::args_os().nth(1).is_some_and(|word| word == "__cage") {
        return reprov::buildroot::cage::main();
    }
    reprov::cli::run(std::env::args_os())
}
