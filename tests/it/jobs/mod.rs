//! Whole jobs: build, rebuild, trace, as an engineer would run them.

pub(crate) mod buildroot;
mod check;
mod ci;
mod clock;
mod config;
pub(crate) mod copy;
mod drift;
mod failed;
mod fetch;
mod follow;
mod import;
mod inputs;
mod live;
mod log;
mod mirrors;
mod normalize;
mod offline;
pub(crate) mod packages;
mod plain;
mod private;
mod proxy;
mod remedy;
pub(crate) mod report;
mod shapes;
mod tamper;
mod vary;
mod vetted;
