//! What a running job says about itself; the edge decides whether it becomes a bar, a line or nothing.

use std::fmt;

/// One thing that happened.
#[derive(Debug, Clone, Copy)]
pub enum Update<'a> {
    /// A build began, and can be followed by this name.
    Begun(&'a str),
    /// The job entered a phase (`source`, `bases`, `build`, …) concerning something.
    Phase(&'static str, &'a str),
    /// The build is at this instruction.
    Step {
        /// Step in its stage, from 1.
        number: u32,
        /// Steps of the stage.
        count: u32,
        /// The instruction.
        text: &'a str,
    },
    /// A line the engine or a step printed.
    Output(&'a [u8]),
    /// Answers given by the gateway so far, and their bytes.
    Traffic {
        /// Answers.
        count: u64,
        /// Bytes of their bodies.
        bytes: u64,
    },
    /// Blobs sent so far, and their bytes.
    Sent {
        /// Blobs.
        count: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// Something the user should know though the job goes on.
    Warning(&'a str),
}

/// Where updates go.
pub trait Progress: Send + Sync + fmt::Debug {
    /// Takes one update; never fails, never blocks for long.
    fn update(&self, update: Update<'_>);
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn update(&self, _: Update<'_>) {}
}
