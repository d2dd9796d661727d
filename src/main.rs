//! The program `reprov`: hands everything to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Namespaces are entered by a process without threads, so these stages come before any runtime.
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(word) if word == "__cage" => return reprov::buildroot::cage::main(),
        Some(word) if word == reprov::buildroot::trial::STAGE => return reprov::buildroot::trial::main(args),
        _ => {}
    }
    reprov::cli::run(std::env::args_os())
}
