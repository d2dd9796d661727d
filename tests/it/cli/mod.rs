//! The command line itself: words, exit codes, keys, the machine.

mod keys;
mod usage;
