//! Whole jobs: build, rebuild, trace, as an engineer would run them.

mod buildroot;
mod clock;
mod config;
mod drift;
mod fetch;
mod import;
mod inputs;
mod mirrors;
mod offline;
pub(crate) mod packages;
mod plain;
mod private;
mod proxy;
mod shapes;
mod tamper;
