//! What can be wrong with a Dockerfile, and where.

use super::{ExpandError, Keyword};

/// A fault at a line of the Dockerfile.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the Dockerfile: {fault}")]
pub struct DockerfileError {
    /// Physical line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong at a line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More bytes, instructions, stages or heredocs than allowed.
    #[error("more than {max} {what}")]
    Limit {
        /// Of what there are too many.
        what: &'static str,
        /// How many are allowed.
        max: usize,
    },
    /// Bytes that are not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// `# escape=` twice, for example.
    #[error("directive `{0}` may be given only once")]
    DirectiveTwice(String),
    /// `# escape=` with another value than `\` or a backtick.
    #[error("escape token `{0}` is neither a backslash nor a backtick")]
    Escape(String),
    /// A frontend that reads another grammar.
    #[error("frontend `{0}` is not supported; only `docker/dockerfile` is")]
    Frontend(String),
    /// No such instruction.
    #[error("unknown instruction `{0}`")]
    UnknownInstruction(String),
    /// No stage at all.
    #[error("no FROM instruction")]
    NoFrom,
    /// Only ARG may come before FROM.
    #[error("{0} before the first FROM")]
    BeforeFrom(Keyword),
    /// Arguments missing or of the wrong form.
    #[error("{keyword} {problem}")]
    Arguments {
        /// Whose arguments.
        keyword: Keyword,
        /// Why they are wrong.
        problem: &'static str,
    },
    /// No line with the delimiter before the end of the file.
    #[error("heredoc `{0}` has no end")]
    HeredocEnd(String),
    /// Two stages of one name.
    #[error("stage name `{0}` is used twice")]
    StageTwice(String),
    /// A name that could be taken for a number, for `scratch` or for our own context.
    #[error("`{0}` cannot be the name of a stage")]
    StageName(String),
    /// FROM, ONBUILD or MAINTAINER as a trigger.
    #[error("{0} is not allowed after ONBUILD")]
    Trigger(Keyword),
    /// A word could not be expanded.
    #[error("cannot expand `{word}`: {problem}")]
    Expand {
        /// The word, cut for display.
        word: String,
        /// Why not.
        problem: ExpandError,
    },
    /// The expanded word is not fit to name an image.
    #[error("`{0}` does not name an image")]
    NotAnImage(String),
    /// No such stage.
    #[error("no stage `{wanted}`; there are: {}", known.join(", "))]
    NoStage {
        /// What was asked for.
        wanted: String,
        /// Numbers and names of the stages that could be meant.
        known: Vec<String>,
    },
    /// Quoting inside `--mount=` that hides the place of its image.
    #[error("quotes inside a `--mount=` with `from=` are not supported; leave them out")]
    QuotedMount,
    /// The instruction has no such flag.
    #[error("{keyword} has no flag `--{flag}`")]
    UnknownFlag {
        /// The instruction.
        keyword: Keyword,
        /// The flag without dashes.
        flag: String,
    },
    /// Something this engine lacks.
    #[error("`{keyword} --{flag}` needs a newer engine; BuildKit has it as of docker/dockerfile {since}")]
    NewerEngine {
        /// The instruction.
        keyword: Keyword,
        /// The flag without dashes, with its value if that is what matters.
        flag: String,
        /// The Dockerfile syntax version that brought it.
        since: &'static str,
    },
    /// ONBUILD of something this engine lacks.
    #[error("ONBUILD with {0} needs a newer engine; move it out of ONBUILD")]
    OnbuildLowering(String),
    /// A base image's trigger that cannot be taken over as it is.
    #[error("the base image's trigger `{trigger}` {problem}")]
    BaseTrigger {
        /// The trigger as the base has it.
        trigger: String,
        /// What is wrong with it.
        problem: String,
    },
    /// COPY of heredocs in a form that cannot be lowered.
    #[error("{0}")]
    HeredocCopy(&'static str),
    /// The delimiter becomes a file name and is not fit for it.
    #[error("heredoc delimiter `{0}` is not a plain file name (letters, digits, `.`, `_`, `-`)")]
    HeredocName(String),
    /// Longer than a line the engine reads.
    #[error("heredoc is longer than {0} bytes; put it into a file of the repository")]
    HeredocSize(usize),
    /// `--checksum=` on something else than one URL, or not a SHA-256.
    #[error("`--checksum` {0}")]
    Checksum(String),
    /// `ADD` of a git repository.
    #[error(
        "ADD of the git repository `{0}` is not supported; use a submodule, or RUN git clone over https from an allowed repository"
    )]
    Git(String),
    /// `\\` at the end of a line, which older parsers take for a continuation.
    #[error(
        "ends in a doubled escape token, which the engine would take for a continuation; put something after it"
    )]
    DoubledEscape,
    /// A pin that does not fit the source or another edit.
    #[error("cannot put `{0}` there: the place is not a token of its own")]
    Pin(String),
}

impl Fault {
    pub(super) fn at(self, line: usize) -> DockerfileError {
        DockerfileError { line, fault: self }
    }

    pub(super) fn arguments(keyword: Keyword, problem: &'static str) -> Self {
        Self::Arguments { keyword, problem }
    }

    pub(super) fn limit(what: &'static str, max: usize) -> Self {
        Self::Limit { what, max }
    }
}
