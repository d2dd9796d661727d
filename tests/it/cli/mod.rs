//! The command line itself: words, exit codes, keys, the store, the machine.

mod causes;
mod doctor;
mod keys;
mod store;
mod usage;
mod words;
