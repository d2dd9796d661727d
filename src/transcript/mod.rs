//! What the gateway saw: exchanges and events, their lines on the wire (WIRE.md §3), and lookups.
//! Knows no socket, file or clock.

mod event;
mod exchange;
mod lines;
#[cfg(test)]
mod tests;
mod url;

pub use self::{
    event::Event,
    exchange::{Exchange, Key, Transcript, TranscriptError},
    url::{UrlError, canonical_url, redact_url},
};
