//! The program as its users meet it: the real binary against a real registry, real base images and real git
//! repositories, all made at run time. `tidy` is about the source text itself.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test may fail by panicking, may touch files and start programs, and says what it measured or skipped"
)]

mod acceptance;
mod audit;
mod auditors;
mod bundles;
mod cli;
mod corpus;
mod ecosystems;
mod hostile;
mod interop;
mod jobs;
mod ledger;
mod night;
mod pairs;
mod pins;
mod signers;
mod support;
mod tidy;
mod verify;
