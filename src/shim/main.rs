//! The part of reprov that runs inside the cage: a static program without dependencies, so that it runs whatever
//! libc surrounds it. Compiled by the build script, embedded in reprov, written to the store.
//!
//! Two roles: `init PLAN BOUNDS [VARIED…]` is pid 1 of the cage; anything else is the OCI runtime that the engine calls, which edits
//! the bundle's `config.json` and then becomes runc.

mod answer;
mod cover;
mod exam;
mod filter;
mod init;
mod json;
mod reach;
mod runtime;
mod seccomp;
mod strays;
mod vary;
mod view;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    let outcome = match args.get(1).and_then(|word| word.to_str()) {
        Some("init") if args.len() >= 4 => {
            let words: Vec<_> = args[3..].iter().map(|word| word.to_string_lossy().into_owned()).collect();
            init::run(args[2].as_ref(), Some(words[0].as_str()).filter(|bounds| !bounds.is_empty()), &words[1..])
        }
        _ => runtime::run(&args[1..]),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            eprintln!("reprov-shim: {message}");
            ExitCode::from(125)
        }
    }
}
