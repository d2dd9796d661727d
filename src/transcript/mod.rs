//! What the gateway saw: exchanges and events, their lines on the wire (WIRE.md §3), and lookups.
//! Knows no socket, file or clock.

mod compare;
mod event;
mod exchange;
mod lines;
mod package;
#[cfg(test)]
mod tests;
mod url;

pub use self::{
    compare::{Changed, Compared, Fetched, Moved, compare, index_dates},
    event::Event,
    exchange::{Exchange, Key, Transcript, TranscriptError},
    package::Package,
    url::{UrlError, canonical_url, redact_url},
};
