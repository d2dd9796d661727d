//! What a run of the program said.

use serde_json::Value;

/// Exit code and output.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) command: String,
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Fails the test, showing everything, if the exit code is another.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert!(self.code == Some(code), "exit {:?} instead of {code}: {self}", self.code);
        self
    }

    /// The one JSON object on standard output, which follows its schema.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let answer = serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self}"));
        let wrong = super::schemas::violations(&answer);
        assert!(wrong.is_empty(), "{wrong:#?}: {self}");
        answer
    }

    /// Fails the test if neither stream has `words`.
    #[track_caller]
    pub(crate) fn says(self, words: &str) -> Self {
        assert!(self.out.contains(words) || self.err.contains(words), "does not say `{words}`: {self}");
        self
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{}\nstdout:\n{}\nstderr:\n{}", self.command, self.out, self.err)
    }
}
