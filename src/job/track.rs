//! Where the build stands: the engine's lines tell, the gateway asks.

use std::sync::{Mutex, PoisonError};

use crate::engine::{LogLine, read_line};

/// One instruction as the tracker needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Its first line in the Dockerfile.
    pub line: u32,
    /// Its text for people, one line.
    pub text: String,
}

/// Follows the engine's output through the stages.
#[derive(Debug)]
pub struct Tracker {
    /// For each stage: `FROM`, then the instructions after it.
    stages: Vec<Vec<Instruction>>,
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone)]
struct State {
    current: Option<Instruction>,
    stage: usize,
    images: Vec<Option<String>>,
    steps: u32,
}

impl Tracker {
    /// A tracker at the start of `stages`.
    #[must_use]
    pub fn new(stages: Vec<Vec<Instruction>>) -> Self {
        Self { stages, state: Mutex::default() }
    }

    /// Takes a line of output; what it means.
    pub fn line<'a>(&self, line: &'a str) -> LogLine<'a> {
        let read = read_line(line);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            LogLine::Step { stage, number, count, .. } => {
                state.stage = stage;
                state.steps += 1;
                state.current = self.find(stage, number, count);
            }
            LogLine::Committed(id) => {
                let stage = state.stage;
                if state.images.len() <= stage {
                    state.images.resize(stage + 1, None);
                }
                state.images[stage] = Some(id.to_owned());
            }
            LogLine::Output(_) => {}
        }
        read
    }

    /// Counted from the end, since an engine may or may not count the triggers a base brings.
    fn find(&self, stage: usize, number: u32, count: u32) -> Option<Instruction> {
        let steps = self.stages.get(stage)?;
        if number == 1 {
            return steps.first().cloned();
        }
        let from_end = usize::try_from(count.checked_sub(number)?).ok()?;
        steps.get(steps.len().checked_sub(from_end + 1)?).cloned()
    }

    /// The instruction that runs now.
    #[must_use]
    pub fn current(&self) -> Option<Instruction> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).current.clone()
    }

    /// The engine's last image of each stage (a prefix of its id), as far as it came.
    #[must_use]
    pub fn images(&self) -> Vec<Option<String>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).images.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_stages_and_triggers() {
        let step = |line, text: &str| Instruction { line, text: text.into() };
        let stages = vec![
            vec![step(1, "FROM a"), step(2, "RUN x")],
            vec![step(3, "FROM b"), step(3, "ONBUILD RUN y"), step(4, "COPY c d")],
        ];
        let tracker = Tracker::new(stages);
        let at = |line: &str| {
            tracker.line(line);
            tracker.current().map(|step| step.line)
        };
        assert_eq!(at("[1/2] STEP 2/2: RUN x"), Some(2));
        assert_eq!(at("--> 0123456789a"), Some(2));
        assert_eq!(at("[2/2] STEP 1/2: FROM b"), Some(3));
        assert_eq!(at("[2/2] STEP 2/2: COPY c d"), Some(4));
        assert_eq!(at("[2/2] STEP 3/3: COPY c d"), Some(4));
        assert_eq!(at("[9/9] STEP 1/3: FROM z"), None);
        assert_eq!(tracker.images(), [Some("0123456789a".to_owned())]);
    }
}
