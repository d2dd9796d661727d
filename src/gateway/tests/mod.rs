//! The gateway between real sockets on loopback.

mod faults;
mod hostile;
mod private;
mod recording;
mod replaying;
mod support;
mod tls;
