//! The command line itself: words, exit codes, keys, the store, the machine.

mod keys;
mod store;
mod doctor;
mod usage;
mod words;
