//! reprov: provenance and reproducibility auditor for container images.
//!
//! The map: each row imports only rows above it (`tests/it/tidy.rs` holds them to it).
//!
//! | row | modules | what they are |
//! |---|---|---|
//! | 0 | [`model`] | words: digests, names of images, verdicts, limits |
//! | 1 | [`oci`], [`layer`], [`attest`], [`dockerfile`], [`recipe`], [`transcript`], [`engine`], [`policy`], [`dossier`], [`entry`], [`inventory`] | formats: bytes ↔ values |
//! | 2 | [`diff`], [`pin`], [`verify`] | two images → what differs; bytes and keys → whether the signer vouches; evidence and policy → findings |
//! | 3 | [`drift`] | what differs → why, and what to do |
//! | 4 | [`report`] | answers → JSON and text |
//! | 5 | [`compute`], [`process`], [`host`], [`progress`] | tools: cores, children, clock, news |
//! | 6 | [`store`], then [`registry`], [`source`], [`buildroot`], [`gateway`], [`signing`], [`ledger`], [`notify`] | edges: disk, network, namespaces, databases |
//! | 7 | [`job`] | one verb each: gather → judge → commit |
//! | 9 | [`cli`] | argv → request, outcome → bytes and exit code |
//!
//! Rows 0 to 4 touch no file, network, clock, environment or process, and hold no `async`.

pub mod attest;
pub mod buildroot;
pub mod cli;
pub mod compute;
pub mod diff;
pub mod dockerfile;
pub mod dossier;
pub mod drift;
pub mod engine;
pub mod entry;
pub mod gateway;
pub mod host;
pub mod inventory;
pub mod job;
pub mod layer;
pub mod ledger;
pub mod model;
pub mod notify;
pub mod oci;
pub mod pin;
pub mod policy;
pub mod process;
pub mod progress;
pub mod recipe;
pub mod registry;
pub mod report;
pub mod signing;
pub mod source;
pub mod store;
pub mod transcript;
pub mod verify;
