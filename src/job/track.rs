//! Where the build stands: the engine's lines tell people, the shim's announcements tell the gateway.
//!
//! A step writes into the same log as the engine and can imitate its lines; it cannot imitate the shim, which runs
//! outside the container. So a request belongs to the RUN that the shim started last.

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

/// An instruction of the build, and how its requests are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    /// The instruction.
    pub instruction: Instruction,
    /// What of it reaches the network.
    pub reach: Reach,
}

/// What of an instruction reaches the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// A RUN: its last argument as the engine runs it.
    Command(String),
    /// An ADD of a URL: the engine itself.
    Engine,
    /// Nothing.
    Nothing,
}

/// Follows the engine's output through the stages.
#[derive(Debug)]
pub struct Tracker {
    /// For each stage: `FROM`, then the instructions after it.
    stages: Vec<Vec<Tracked>>,
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone)]
struct State {
    /// By the log: stage and index in it.
    current: Option<(usize, usize)>,
    /// By the shim: where the last RUN that could be placed stands.
    started: Option<(usize, usize)>,
    /// Whether the RUN started last is none of the Dockerfile's.
    foreign: bool,
    /// Whether the RUN started last still runs.
    running: bool,
    /// Whether any RUN was started.
    announced: bool,
}

impl Tracker {
    /// A tracker at the start of `stages`.
    #[must_use]
    pub fn new(stages: Vec<Vec<Tracked>>) -> Self {
        Self { stages, state: Mutex::default() }
    }

    /// Whether the engine may print `line` once the RUN at hand has ended: its steps follow each other. A step that prints
    /// the words of another is told by that, also if its end is known before its words are read.
    pub fn may_follow(&self, line: &str) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match read_line(line) {
            LogLine::Step { stage, number, count, .. } => self.follows(&state, (stage, number, count)),
            LogLine::Committed(_) => true,
            LogLine::Output(_) => false,
        }
    }

    fn follows(&self, state: &State, (stage, number, count): (usize, u32, u32)) -> bool {
        match (state.current, self.find(stage, number, count)) {
            // A trigger of the base counts as a step, and is found where the one before it is.
            (Some((at, now)), Some((to, next))) if at == to => next == now || next == now + 1,
            (Some((at, _)), Some((to, next))) => to > at && next == 0,
            // The first triggers of several are found nowhere; they come right after FROM.
            (Some((_, now)), None) => now == 0,
            (None, _) => true,
        }
    }

    /// Takes a line of output; what it means.
    pub fn line<'a>(&self, line: &'a str) -> LogLine<'a> {
        let mut read = read_line(line);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let LogLine::Step { stage, number, count, .. } = read
            && state.running
            && !self.follows(&state, (stage, number, count))
        {
            read = LogLine::Output(line);
        }
        match read {
            LogLine::Step { stage, number, count, .. } => {
                state.current = self.find(stage, number, count);
            }
            LogLine::Committed(_) | LogLine::Output(_) => {}
        }
        read
    }

    /// Counted from the end, since an engine may or may not count the triggers a base brings.
    fn find(&self, stage: usize, number: u32, count: u32) -> Option<(usize, usize)> {
        let steps = self.stages.get(stage)?;
        if number == 1 {
            return (!steps.is_empty()).then_some((stage, 0));
        }
        let from_end = usize::try_from(count.checked_sub(number)?).ok()?;
        Some((stage, steps.len().checked_sub(from_end + 1)?))
    }

    fn at(&self, place: Option<(usize, usize)>) -> Option<&Tracked> {
        let (stage, index) = place?;
        self.stages.get(stage)?.get(index)
    }

    /// The instruction that runs now, by the log.
    #[must_use]
    pub fn current(&self) -> Option<Instruction> {
        let current = self.state.lock().unwrap_or_else(PoisonError::into_inner).current;
        self.at(current).map(|tracked| tracked.instruction.clone())
    }

    /// The shim started a RUN whose last word is `command`: the instruction that it is.
    pub fn began(&self, command: Option<&str>) -> Option<Instruction> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let found = command.and_then(|command| self.find_run(command, state.started));
        state.started = found.or(state.started);
        (state.foreign, state.running, state.announced) = (found.is_none(), true, true);
        self.at(found).map(|tracked| tracked.instruction.clone())
    }

    /// The RUN that the shim started last has ended: the instruction that it was.
    pub fn ended(&self) -> Option<Instruction> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running = false;
        self.at(state.started).filter(|_| !state.foreign).map(|tracked| tracked.instruction.clone())
    }

    /// Whether the engine's output has come to where a RUN of `command` would start next.
    #[must_use]
    pub fn expects(&self, command: Option<&str>) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let found = command.and_then(|command| self.find_run(command, state.started));
        found.is_some() && found == state.current
    }

    /// Whether a RUN is running.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).running
    }

    /// The instruction a request of this moment comes from. None if the RUN that was started is none of the
    /// Dockerfile's (a trigger of a base image).
    #[must_use]
    pub fn requester(&self) -> Option<Instruction> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // The engine's own fetches (`ADD https://…`) are announced by nobody.
        let by_log = self.at(state.current).filter(|tracked| tracked.reach == Reach::Engine);
        let engine_fetches = by_log.filter(|_| !state.running && state.current > state.started);
        let tracked = match engine_fetches {
            Some(tracked) => Some(tracked),
            None if state.foreign => None,
            None if state.announced => self.at(state.started),
            None => self.at(state.current),
        };
        tracked.map(|tracked| tracked.instruction.clone())
    }

    /// The instruction that is at work: the RUN that was started and did not end, else where the log is.
    #[must_use]
    pub fn at_work(&self) -> Option<Instruction> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let place = if state.running && !state.foreign { state.started } else { state.current };
        self.at(place).map(|tracked| tracked.instruction.clone())
    }

    /// The first RUN with this command after `after`; steps start in order.
    fn find_run(&self, command: &str, after: Option<(usize, usize)>) -> Option<(usize, usize)> {
        let places = self.stages.iter().enumerate().flat_map(|(stage, steps)| {
            steps.iter().enumerate().map(move |(index, tracked)| ((stage, index), tracked))
        });
        let same = |tracked: &Tracked| matches!(&tracked.reach, Reach::Command(own) if squeezed(own) == squeezed(command));
        let mut found = places.filter(|(_, tracked)| same(tracked)).map(|(place, _)| place);
        let all: Vec<_> = found.by_ref().collect();
        all.iter().find(|place| Some(**place) > after).or_else(|| all.last()).copied()
    }
}

/// Blanks do not count: parsers join continuation lines in their own ways.
fn squeezed(command: &str) -> Vec<&str> {
    command.split_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(line: u32, text: &str, reach: Reach) -> Tracked {
        Tracked { instruction: Instruction { line, text: text.into() }, reach }
    }

    fn run(line: u32, command: &str) -> Tracked {
        step(line, &format!("RUN {command}"), Reach::Command(command.into()))
    }

    fn other(line: u32, text: &str) -> Tracked {
        step(line, text, Reach::Nothing)
    }

    #[test]
    fn follows_stages_and_triggers() {
        let stages = vec![
            vec![other(1, "FROM a"), run(2, "x")],
            vec![other(3, "FROM b"), other(3, "ONBUILD RUN y"), other(4, "COPY c d")],
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
    }

    #[test]
    fn a_step_cannot_put_its_requests_on_another_line() {
        let tracker = Tracker::new(vec![vec![
            other(1, "FROM a"),
            run(2, "true"),
            run(3, "fetch   it"),
            step(4, "ADD https://mirror.example.org/x /", Reach::Engine),
            run(5, "true"),
        ]]);
        let line = || tracker.requester().map(|step| step.line);
        let began = |command: &str| {
            tracker.began(Some(command));
            line()
        };
        tracker.line("STEP 2/5: RUN true");
        assert!(tracker.expects(Some("true")) && !tracker.expects(Some("fetch it")));
        assert_eq!(began("true"), Some(2));
        tracker.line("STEP 3/5: RUN fetch it");
        assert_eq!(began("fetch it"), Some(3));
        tracker.line("STEP 2/5: RUN true"); // Printed by the step.
        assert_eq!(line(), Some(3));
        tracker.line("STEP 4/5: ADD https://mirror.example.org/x /"); // Likewise.
        assert_eq!(line(), Some(3));
        assert_eq!(tracker.at_work().map(|step| step.line), Some(3));
        assert_eq!(tracker.ended().map(|step| step.line), Some(3));
        assert!(!tracker.is_running());
        assert_eq!(tracker.at_work().map(|step| step.line), Some(4));
        tracker.line("STEP 4/5: ADD https://mirror.example.org/x /");
        assert_eq!(line(), Some(4));
        assert_eq!(began("true"), Some(5));
        assert_eq!(began("of a trigger"), None);
        assert_eq!(tracker.ended(), None);
    }
}
