//! What auditors are given: layouts of supply chains, trees of where an image came from, evidence that stands alone.

mod archive;
mod keyless;
mod layouts;
mod sources;
mod trace;
