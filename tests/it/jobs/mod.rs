//! Whole jobs: build, rebuild, trace, as an engineer would run them.

mod buildroot;
mod config;
mod drift;
mod fetch;
mod import;
mod inputs;
mod offline;
pub(crate) mod packages;
mod plain;
mod private;
mod proxy;
mod shapes;
mod tamper;
mod vetted;
