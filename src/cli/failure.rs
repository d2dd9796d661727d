//! Kinds of failure, their exit codes and their words.

use std::error::Error;

use serde_json::{Value, json};

use crate::job::{
    assemble::AssembleError, bases::BaseError, build::BuildError, builder::BuilderError,
    configured::SignerError, execute::ExecuteError, failure::says_full, plan::PlanError,
    rebuild::RebuildError, remains::RemainsError,
};
use crate::report::explain::ErrorKind;

/// What the process ends with (CLI.md, "Exit codes").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Yes.
    Ok,
    /// No.
    Findings,
    /// Wrong usage or configuration.
    Usage,
    /// Could not tell.
    Unavailable,
    /// Our own bug.
    Internal,
}

impl Exit {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Findings => 1,
            Self::Usage => 2,
            Self::Unavailable => 3,
            Self::Internal => 70,
        }
    }

    /// The exit code of several images: 70, else 1, else 3, else 0.
    pub(super) fn worse(self, other: Self) -> Self {
        let rank = |exit: Self| match exit {
            Self::Ok => 0,
            Self::Unavailable => 1,
            Self::Usage => 2,
            Self::Findings => 3,
            Self::Internal => 4,
        };
        if rank(other) > rank(self) { other } else { self }
    }

    fn kind(self) -> ErrorKind {
        match self {
            Self::Usage => ErrorKind::Usage,
            Self::Internal => ErrorKind::Internal,
            _ => ErrorKind::Unavailable,
        }
    }
}

/// What helps against a full disk.
const MAKE_ROOM: &str = "make room on that disk (`reprov store gc` and `reprov store prune` free what the store \
                               can miss), or name a directory on another one with --store";

/// A command that gave no answer.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    source: Box<dyn Error + Send + Sync>,
    hints: Vec<String>,
}

impl Failure {
    fn new(exit: Exit, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let failure = Self { exit, source: source.into(), hints: Vec::new() };
        let full = failure.messages().iter().any(|message| says_full(message));
        if full { failure.hint(MAKE_ROOM.to_owned()) } else { failure }
    }

    pub(super) fn usage(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Exit::Usage, source)
    }

    pub(super) fn usage_text(text: String) -> Self {
        Self::new(Exit::Usage, text)
    }

    pub(super) fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Exit::Unavailable, source)
    }

    pub(super) fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Exit::Internal, source)
    }

    /// A plain no, where no object of the command's own can be made.
    pub(super) fn findings(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Exit::Findings, source)
    }

    pub(super) fn cancelled() -> Self {
        Self::new(Exit::Unavailable, "cancelled")
    }

    pub(super) fn hint(mut self, hint: String) -> Self {
        self.hints.push(hint);
        self
    }

    /// The error and its causes, outermost first.
    pub(super) fn messages(&self) -> Vec<String> {
        let mut messages = vec![self.source.to_string()];
        let mut source = self.source.source();
        while let Some(cause) = source {
            messages.push(cause.to_string());
            source = cause.source();
        }
        messages.dedup();
        messages
    }

    pub(super) fn hints(&self) -> &[String] {
        &self.hints
    }

    /// `reprov.error/v1`.
    pub(super) fn json(&self) -> Value {
        let messages = self.messages();
        json!({
            "schema": "reprov.error/v1",
            "kind": self.exit.kind().name(),
            "message": messages[0],
            "causes": messages[1..],
            "hints": self.hints,
        })
    }
}

impl From<RemainsError> for Failure {
    fn from(error: RemainsError) -> Self {
        let exit = match &error {
            RemainsError::Refused { .. } => Exit::Findings,
            RemainsError::Other(_) => Exit::Usage,
            RemainsError::Registry { .. } | RemainsError::Read { .. } | RemainsError::Store(_) => {
                Exit::Unavailable
            }
        };
        Self::new(exit, error)
    }
}

fn of_base(error: &BaseError) -> Exit {
    match error {
        BaseError::Name(_) | BaseError::Ambiguous { .. } => Exit::Usage,
        _ => Exit::Unavailable,
    }
}

fn of_execute(error: &ExecuteError) -> Exit {
    match error {
        ExecuteError::Plan(error) => of_plan(error),
        ExecuteError::Source(error) => of_source(error),
        ExecuteError::Signer(error) => of_signer(error),
        ExecuteError::Base(error) => of_base(error),
        ExecuteError::Definition(_) | ExecuteError::Layer(_) => Exit::Usage,
        ExecuteError::Assemble(AssembleError::Layers { .. } | AssembleError::Base) => Exit::Internal,
        _ => Exit::Unavailable,
    }
}

fn of_plan(error: &PlanError) -> Exit {
    match error {
        PlanError::NoBase { .. } => Exit::Unavailable,
        PlanError::Source(error) => of_source(error),
        _ => Exit::Usage,
    }
}

fn of_signer(error: &SignerError) -> Exit {
    match error {
        SignerError::Source(error) => of_source(error),
        _ => Exit::Usage,
    }
}

pub(super) fn of_source(error: &crate::source::SourceError) -> Exit {
    if error.unavailable() { Exit::Unavailable } else { Exit::Usage }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        let exit = match &error {
            BuildError::Source(source) => of_source(source),
            BuildError::Recipe { .. }
            | BuildError::NoRecipe(_)
            | BuildError::NoCredential(_)
            | BuildError::NoTests
            | BuildError::Repositories(_)
            | BuildError::Builder(BuilderError::Unasked { .. })
            | BuildError::Layer(_) => Exit::Usage,
            BuildError::Plan(source) => of_plan(source),
            BuildError::Base { source, .. } | BuildError::Bases(source) => of_base(source),
            BuildError::Execute(source) => of_execute(source),
            BuildError::Signer(source) => of_signer(source),
            BuildError::Unvetted(_) | BuildError::Builder(BuilderError::Untrusted { .. }) => Exit::Findings,
            BuildError::Builder(_)
            | BuildError::Publish(_)
            | BuildError::Test(_)
            | BuildError::Store(_)
            | BuildError::Evidence(_) => Exit::Unavailable,
        };
        let hint = match &error {
            BuildError::Plan(PlanError::NoDockerfile(_)) => {
                Some("name another with --file, or with `dockerfile` under [image] in reprov.toml")
            }
            BuildError::NoTests => Some("docs/testing.md says how to write one"),
            BuildError::Unvetted(_) => Some(
                "map it with [from] in reprov.toml or --from OLD=NEW, or say with --trust KEY.pub whose base images \
                 to believe",
            ),
            _ => None,
        };
        let failure = Self::new(exit, error);
        hint.into_iter().fold(failure, |failure, hint| failure.hint(hint.to_owned()))
    }
}

impl From<RebuildError> for Failure {
    fn from(error: RebuildError) -> Self {
        let exit = match &error {
            RebuildError::Execute(source) => match of_execute(source) {
                Exit::Usage => Exit::Unavailable, // The definition was recorded: nobody used it wrongly now.
                exit => exit,
            },
            _ => Exit::Unavailable,
        };
        Self::new(exit, error)
    }
}

impl From<BaseError> for Failure {
    fn from(error: BaseError) -> Self {
        Self::new(of_base(&error), error)
    }
}

impl From<crate::source::SourceError> for Failure {
    fn from(error: crate::source::SourceError) -> Self {
        Self::new(of_source(&error), error)
    }
}
