//! Bad input and bad luck: a clear sentence, the right exit code, nothing lost, nothing left.

mod buildroot;
mod inputs;
mod running;
