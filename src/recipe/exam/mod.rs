//! Tests of an image: what is run in it, and what must be so. `[[test]]` of reprov.toml and container-structure-test's
//! files are read into one type, [`Test`]; [`judge`] holds what was seen against it.

mod judge;
mod structure;
mod table;

use std::{collections::BTreeMap, ops::Range};

pub use judge::{Miss, judge};
pub use structure::{StructureError, structure};
pub(super) use table::tests;

use regex::bytes::{Regex, RegexBuilder};

use crate::model::limits::{TEST_PATTERN_PROGRAM_BYTES_MAX, TEST_PATTERN_SIZE_BYTES_MAX};

/// One test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// What it is called: a test result names it so.
    pub name: String,
    /// What is run; nothing: the image is looked at as it is.
    pub run: Option<Run>,
    /// What must be so.
    pub expect: Expectations,
    /// Whether `$NAME` in commands, values of variables and paths stands for a variable of the image, as in
    /// container-structure-test; and the variables that stand above the image's there.
    pub expands: Option<Vec<(String, String)>>,
}

/// Commands, one after the other in one fresh root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What is run before; how it ends does not matter, but it must begin.
    pub before: Vec<Vec<String>>,
    /// What is judged: program and arguments, no entrypoint.
    pub command: Vec<String>,
    /// What is run afterwards; how it ends does not matter.
    pub after: Vec<Vec<String>>,
    /// As whom; the image's user if none.
    pub user: Option<String>,
    /// Where; the image's directory if none.
    pub workdir: Option<String>,
    /// Variables beside the image's, the later of a name counts.
    pub env: Vec<(String, String)>,
    /// Longest run of all of it, in seconds.
    pub timeout_s: u64,
    /// Most memory; the machine's share of a build if none.
    pub memory_bytes: Option<u64>,
}

/// What must be so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expectations {
    /// The exit code; any if none.
    pub exit: Option<i32>,
    /// What must stand on standard output.
    pub stdout: Vec<Pattern>,
    /// What must not.
    pub stdout_not: Vec<Pattern>,
    /// What must stand on standard error.
    pub stderr: Vec<Pattern>,
    /// What must not.
    pub stderr_not: Vec<Pattern>,
    /// Files, as they are after the command.
    pub files: Vec<FileExpectation>,
    /// TCP ports that something listens on while the command runs.
    pub ports: Vec<u16>,
    /// The image's config.
    pub config: Option<ConfigExpectation>,
}

/// A regular expression, searched for in bytes; time is linear in their number.
#[derive(Debug, Clone)]
pub struct Pattern(String);

impl Pattern {
    /// Tries whether it compiles. The program is not kept: thousands of them would not fit into memory.
    ///
    /// # Errors
    /// A sentence: it is no expression, too long, or one that takes too much memory.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.len() > TEST_PATTERN_SIZE_BYTES_MAX {
            return Err(format!("it is longer than {TEST_PATTERN_SIZE_BYTES_MAX} bytes"));
        }
        compiled(text).map(|_| Self(text.to_owned())).map_err(|error| {
            let text = error.to_string();
            text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        })
    }

    /// Whether it is found.
    #[must_use]
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        compiled(&self.0).is_ok_and(|pattern| pattern.is_match(bytes)) // It was tried.
    }

    /// Where it is found first.
    #[must_use]
    pub fn found_in(&self, bytes: &[u8]) -> Option<Range<usize>> {
        compiled(&self.0).ok()?.find(bytes).map(|found| found.range()) // It was tried.
    }

    /// As written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

fn compiled(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text)
        .size_limit(TEST_PATTERN_PROGRAM_BYTES_MAX)
        .dfa_size_limit(TEST_PATTERN_PROGRAM_BYTES_MAX)
        .build()
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Pattern {}

/// What must be so of a path. What is said of the file is said of what links lead to, unless `own`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileExpectation {
    /// Where, absolute; links are followed in the image alone.
    pub path: String,
    /// Whether a link at its end is looked at itself.
    pub own: bool,
    /// Whether nothing may be there.
    pub absent: bool,
    /// What must be in it.
    pub contains: Vec<Pattern>,
    /// What must not.
    pub contains_not: Vec<Pattern>,
    /// `file`, `directory`, `symlink`, `fifo`, `socket`, `block`, `char`.
    pub kind: Option<FileKind>,
    /// Permission bits.
    pub mode: Option<u32>,
    /// As Go writes a mode: `-rw-r--r--`, `drwxr-xr-x`.
    pub permissions: Option<String>,
    /// Its owner.
    pub uid: Option<u32>,
    /// Its group.
    pub gid: Option<u32>,
    /// Who may run it.
    pub executable_by: Option<Who>,
    /// Where the link that it is leads.
    pub link: Option<String>,
}

/// What may be at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum FileKind {
    File,
    Directory,
    Symlink,
    Fifo,
    Socket,
    Block,
    Char,
}

impl FileKind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::File, Self::Directory, Self::Symlink, Self::Fifo, Self::Socket, Self::Block, Self::Char];

    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Symlink => "symlink",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Block => "block",
            Self::Char => "char",
        }
    }

    /// What the word `name` means.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Whose execute bit is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum Who {
    Owner,
    Group,
    Other,
    Any,
}

/// What a value must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Just this.
    Text(String),
    /// Something this is found in.
    Pattern(Pattern),
}

/// What the image's config must say; what is not named is not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigExpectation {
    /// The user.
    pub user: Option<String>,
    /// The directory.
    pub workdir: Option<String>,
    /// The entrypoint, whole.
    pub entrypoint: Option<Vec<String>>,
    /// The command, whole.
    pub cmd: Option<Vec<String>>,
    /// Variables.
    pub env: Vec<(String, Wanted)>,
    /// Variables that must not be set.
    pub env_not: Vec<String>,
    /// Labels.
    pub labels: Vec<(String, Wanted)>,
    /// Ports: `8080`, `53/udp`.
    pub ports: Vec<String>,
    /// Ports that must not be exposed.
    pub ports_not: Vec<String>,
    /// Volumes.
    pub volumes: Vec<String>,
    /// What must not be a volume.
    pub volumes_not: Vec<String>,
}

/// What an image's config says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what they are called")]
pub struct Settings {
    pub user: String,
    pub workdir: String,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    /// `8080/tcp`.
    pub ports: Vec<String>,
    pub volumes: Vec<String>,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// The command; nothing if none was run.
    pub ran: Option<Ran>,
    /// What is at each path that was asked for.
    pub files: BTreeMap<String, Found>,
    /// What the config says.
    pub settings: Settings,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// How it ended.
    pub ended: How,
    /// Standard output.
    pub stdout: Kept,
    /// Standard error.
    pub stderr: Kept,
    /// Ports that were seen listening.
    pub ports: Vec<u16>,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Signal(i32),
    /// It was ended once every port listened.
    Listened,
    /// It could not be begun.
    Unstarted,
    /// The time was up, in seconds.
    TimedOut(u64),
    /// It used more than it may: what, in words.
    Exceeded(String),
}

/// The first bytes of something, and how many there were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// What was kept.
    pub bytes: Vec<u8>,
    /// How many there were.
    pub whole_bytes: u64,
}

impl Kept {
    /// Whether some of it is lost.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        (self.bytes.len() as u64) < self.whole_bytes
    }
}

/// What is at a path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What is there itself; nothing if nothing is.
    pub own: Option<Facts>,
    /// What links lead to from there; itself if it is none.
    pub led: Option<Facts>,
    /// Where the link that it is leads.
    pub link: Option<Vec<u8>>,
    /// The content of what it leads to, if that is a file.
    pub content: Option<Kept>,
}

/// Of what is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// What it is.
    pub kind: FileKind,
    /// `mode & 07777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Facts {
    /// Its mode as Go's `os.FileMode` writes it, which container-structure-test compares with.
    #[must_use]
    pub fn permissions(&self) -> String {
        let mut text = String::new();
        for (set, letter) in [
            (self.kind == FileKind::Directory, 'd'),
            (self.kind == FileKind::Symlink, 'L'),
            (matches!(self.kind, FileKind::Block | FileKind::Char), 'D'),
            (self.kind == FileKind::Fifo, 'p'),
            (self.kind == FileKind::Socket, 'S'),
            (self.mode & 0o4000 != 0, 'u'),
            (self.mode & 0o2000 != 0, 'g'),
            (self.kind == FileKind::Char, 'c'),
            (self.mode & 0o1000 != 0, 't'),
        ] {
            text.extend(set.then_some(letter));
        }
        if text.is_empty() {
            text.push('-');
        }
        for (bit, letter) in (0..9).rev().zip("rwxrwxrwx".chars()) {
            text.push(if self.mode >> bit & 1 == 1 { letter } else { '-' });
        }
        text
    }
}

impl Test {
    /// The same, with every variable of the image (`env`) in its place where they are expanded.
    #[must_use]
    pub fn expanded(&self, env: &BTreeMap<String, String>) -> Self {
        let Some(above) = &self.expands else { return self.clone() };
        let mut known = env.clone();
        let own: Vec<_> = self.run.iter().flat_map(|run| &run.env).collect();
        for (name, value) in above.iter().chain(own.iter().copied()) {
            known.insert(name.clone(), expand(value, env));
        }
        let words = |words: &Vec<String>| words.iter().map(|word| expand(word, &known)).collect::<Vec<_>>();
        let mut test = Self { expands: None, ..self.clone() };
        if let Some(run) = &mut test.run {
            run.command = words(&run.command);
            // Setup and teardown are not expanded there either.
            let set = above.iter().chain(own).map(|(name, _)| name.clone());
            run.env = set.map(|name| (name.clone(), known.get(&name).cloned().unwrap_or_default())).collect();
        }
        for file in &mut test.expect.files {
            file.path = expand(&file.path, &known);
        }
        test
    }
}

/// As Go's `os.Expand`: `$NAME` and `${NAME}`, and one sign of `*#$@!?-0…9` as a name; what is not set is empty.
fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let special = |c: char| matches!(c, '*' | '#' | '$' | '@' | '!' | '?' | '-' | '0'..='9');
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let braced = after.strip_prefix('{').and_then(|after| after.split_once('}'));
        let first = after.chars().next();
        let (name, left) = match (braced, first) {
            (Some((name, left)), _) => (name, left),
            (None, Some('{')) => ("", &after[1..]), // Bad syntax is eaten.
            (None, Some(c)) if special(c) => after.split_at(1),
            (None, Some(c)) if word(c) => after.split_at(after.find(|c| !word(c)).unwrap_or(after.len())),
            _ => {
                out.push('$');
                rest = after;
                continue;
            }
        };
        out.push_str(env.get(name).map_or("", String::as_str));
        rest = left;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_expand_as_go_does_it() {
        let env = BTreeMap::from([("A".to_owned(), "1".to_owned()), ("AB".to_owned(), "2".to_owned())]);
        for (text, expected) in [
            ("$A/$AB/${A}B", "1/2/1B"),
            ("$NONE.", "."),
            ("cost $ and $", "cost $ and $"),
            ("$1$?x", "x"),
            ("${A", "A"),
            ("é$A", "é1"),
        ] {
            assert_eq!(expand(text, &env), expected, "{text}");
        }
    }

    #[test]
    fn modes_are_written_as_go_does_it() {
        for (kind, mode, expected) in [
            (FileKind::File, 0o644, "-rw-r--r--"),
            (FileKind::Directory, 0o1777, "dtrwxrwxrwx"),
            (FileKind::File, 0o4755, "urwxr-xr-x"),
            (FileKind::Symlink, 0o777, "Lrwxrwxrwx"),
            (FileKind::Char, 0o666, "Dcrw-rw-rw-"),
        ] {
            assert_eq!(Facts { kind, mode, uid: 0, gid: 0 }.permissions(), expected);
        }
    }

    #[test]
    fn patterns_are_bounded() {
        assert!(Pattern::new("^a+$").unwrap().is_in(b"aaa"));
        assert!(Pattern::new("(").unwrap_err().contains("unclosed"));
        assert!(Pattern::new("((a{1,1000}){1,1000}){1,1000}").is_err());
        assert!(Pattern::new(&"a".repeat(TEST_PATTERN_SIZE_BYTES_MAX + 1)).is_err());
    }
}
