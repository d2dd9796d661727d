//! Whether a run of the engine failed, and why: the engine's word, init's, or the gateway's.

use super::{execute::Execution, track::Instruction};
use crate::{
    attest::{Clock, ExternalParameters, OnRefused},
    buildroot::Ended,
    engine::Hint,
    model::{Exceeded, Limit},
};

/// Exit code of the engine for a failure of its own, not of a step.
const ENGINE_FAILED: u8 = 125;
/// What a step may have waited for in vain.
const CLOCK_STANDS: &str = "; with `clock = \"commit\"` its clock stands still, so a step that waits for a time to come waits for ever";
/// A disk with less room than this after a failure is taken for a full one: the engine does not always say why.
const ROOM_BYTES_MIN: u64 = 16 << 20;

/// Why a build failed: the engine's word, not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In a sentence.
    pub reason: String,
    /// Where.
    pub instruction: Option<Instruction>,
    /// The last lines of the log.
    pub tail: String,
    /// What the end of the log says about limits of the buildroot.
    pub hints: Vec<Hint>,
    /// The limit that the build was ended for, if it was: that says little of the definition.
    pub exceeded: Option<Exceeded>,
    /// Whether the disk of the store was full, so that this says nothing of the build itself.
    pub full: bool,
}

impl Failure {
    /// Where a run ended and what its log says, before anything is known to have failed.
    pub(super) fn at(instruction: Option<Instruction>, tail: String, hints: Vec<Hint>) -> Self {
        Self { reason: String::new(), instruction, tail, hints, exceeded: None, full: false }
    }

    /// What is written down of it: a full disk says nothing of the build.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        if self.full { "unknown" } else { "failed" }
    }

    /// The same, because a limit was passed.
    pub(super) fn of(self, exceeded: Exceeded) -> Self {
        Self { reason: exceeded.to_string(), exceeded: Some(exceeded), ..self }
    }
}

/// Why there is no image, if there is none. `execution.outcome` holds where the run ended.
pub(super) fn judge(
    ended: Ended,
    execution: &Execution,
    external: &ExternalParameters,
    room_bytes: impl FnOnce() -> u64,
) -> Option<Failure> {
    let failure = execution.outcome.as_ref().err()?.clone();
    let refused = &execution.closed.refused;
    // A step may go on without what it could not fetch; the build may not.
    if let Some(of_gateway) = execution.closed.exceeded {
        return Some(failure.of(of_gateway));
    }
    match ended {
        // Too little left is this machine's trouble, as a full disk is, whichever is met first.
        Ended::Exceeded(of_init) => Some(Failure { full: of_init.limit.is_of_disk(), ..failure.of(of_init) }),
        // Cancelled without a limit of the gateway's is the caller's, who does not ask.
        Ended::TimedOut | Ended::Cancelled => {
            let timeout_s = execution.timeout_s;
            let mut failure =
                failure.of(Exceeded { limit: Limit::Time, allowed: timeout_s, found: timeout_s });
            if external.clock == Clock::Commit {
                failure.reason += CLOCK_STANDS;
            }
            Some(failure)
        }
        Ended::Exited(0) if refused.is_empty() || external.on_refused == OnRefused::Record => None,
        Ended::Exited(0) => {
            let asked = refused.iter().filter_map(|refusal| Some((refusal.line?, refusal.step.clone()?)));
            let first = asked.min().map(|(line, text)| Instruction { line, text });
            let reason = format!("{} refused request(s)", refused.len());
            Some(Failure { reason, instruction: first, ..failure })
        }
        Ended::Exited(code) => {
            // A step may say anything: the disk must really be full.
            let told = code == ENGINE_FAILED && refused.is_empty() || says_full(&failure.tail);
            let full = told && room_bytes() < ROOM_BYTES_MIN;
            Some(Failure { reason: format!("the engine ended with exit code {code}"), full, ..failure })
        }
    }
}

/// Whether `text`, of whatever program, says that a disk or quota is full.
#[must_use]
pub fn says_full(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["no space left on device", "disk quota exceeded"].iter().any(|words| text.contains(words))
}
