//! A test in an image, as the shim runs it (`src/shim/exam.rs`): what it is told, and what it left.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    path::Path,
    time::Duration,
};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{BuildrootError, Ended, Profile, Workspace, cage::Spec, enter, workspace::write};
use crate::{
    engine::Command,
    model::limits::{PATH_SIZE_BYTES_MAX, TEST_KEPT_SIZE_BYTES_MAX, TEST_PROCESSES_MAX, read_bounded},
    recipe::exam::{Facts, FileKind, Found, How, Kept, Ran},
};

/// Most of what the shim says of all paths that is read.
const SAID_SIZE_BYTES_MAX: u64 = 1 << 20;
/// What the shim says of one path, of itself and of where it leads.
const FILE_LINES_SIZE_BYTES_MAX: u64 = 256;

/// What is asked of an image.
#[derive(Debug, Clone, Default)]
pub struct Exam {
    /// Commands, one after the other.
    pub commands: Vec<Vec<String>>,
    /// Which of them is judged.
    pub judged: usize,
    /// Variables above the image's, of all of them.
    pub env: Vec<(String, String)>,
    /// Ports that are looked for while the judged one runs.
    pub ports: Vec<u16>,
    /// Whether it is ended as soon as all of them listen.
    pub until_listening: bool,
    /// Paths that are looked at afterwards, links followed in the image alone.
    pub files: Vec<String>,
}

/// What came of it.
#[derive(Debug)]
pub struct Examined {
    /// How the cage ended.
    pub ended: Ended,
    /// Whether the shim came to its end, and so what follows is all there is.
    pub done: bool,
    /// The last that the engine said.
    pub said: String,
    /// The judged command, if it was begun.
    pub ran: Option<Ran>,
    /// The command that could not be begun, and what the runtime said.
    pub unstarted: Option<(usize, String)>,
    /// What is at the paths.
    pub files: BTreeMap<String, Found>,
}

impl Workspace {
    /// Runs `plan`, whose last command has the engine start a step in the image, in a cage without a network: the step is `exam`.
    ///
    /// # Errors
    /// Those of the disk, and of entering and waiting.
    pub async fn examine(
        &self,
        exam: &Exam,
        plan: &[Command],
        timeout: Duration,
        cancel: &CancellationToken,
    ) -> Result<Examined, BuildrootError> {
        self.write_profile(&Profile::default())?;
        let dir = self.dir().join("profile");
        write(&dir.join("exam"), exam.spec().as_bytes(), 0o644)?;
        let files: Vec<u8> = exam.files.iter().flat_map(|path| path.bytes().chain([0])).collect();
        write(&dir.join("exam-files"), &files, 0o644)?;
        self.hand_over()?;
        let spec = Spec { loopback: true, ..self.spec(plan, false, &[])? };
        let mut said = String::new();
        let cage = enter(spec, self.ids()).await?;
        let ended = cage.wait(sleep(timeout), cancel, |line| {
            said.push_str(&String::from_utf8_lossy(line));
            let over = said.len().saturating_sub(8 << 10);
            let at = (over..said.len()).find(|at| said.is_char_boundary(*at)).unwrap_or_default();
            said.drain(..at);
            Ok(())
        });
        let ended = ended.await?;
        let out = Out(self.dir());
        // Without the list of files nobody can tell what is not there.
        let files = out.files(exam);
        let done = files.is_some() && out.read("done", 1).is_some();
        let files = files.unwrap_or_default();
        let mut examined = Examined { ended, done, said, ran: None, unstarted: None, files };
        examined.commands(&out, exam);
        Ok(examined)
    }
}

impl Exam {
    /// As the shim reads it.
    fn spec(&self) -> String {
        json!({
            "commands": self.commands,
            "judged": self.judged,
            "env": self.env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
            "kept": TEST_KEPT_SIZE_BYTES_MAX,
            "processes": TEST_PROCESSES_MAX,
            "ports": self.ports,
            "until_listening": self.until_listening,
        })
        .to_string()
    }
}

impl Examined {
    fn commands(&mut self, out: &Out<'_>, exam: &Exam) {
        for index in 0..exam.commands.len() {
            let end = out.read(&format!("{index}.end"), SAID_SIZE_BYTES_MAX);
            let end = end.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            let begun =
                end.is_some() || out.read(&format!("{index}.stdout"), TEST_KEPT_SIZE_BYTES_MAX).is_some();
            if end.as_deref().is_some_and(|end| end.starts_with("unstarted")) && self.unstarted.is_none() {
                let why = out.read(&format!("{index}.stderr"), TEST_KEPT_SIZE_BYTES_MAX).unwrap_or_default();
                self.unstarted = Some((index, String::from_utf8_lossy(&why).trim().to_owned()));
            }
            if index == exam.judged && begun {
                self.ran = Some(out.ran(index, end.as_deref().unwrap_or_default()));
            }
        }
    }
}

/// What the shim left. The engine may write there too: a link or pipe of its own is not followed.
struct Out<'a>(&'a Path);

impl Out<'_> {
    fn read(&self, name: &str, most: u64) -> Option<Vec<u8>> {
        let open = || -> io::Result<File> {
            let dir =
                rustix::fs::open(self.0, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            Ok(File::from(rustix::fs::openat2(dir, format!("out/{name}"), flags, Mode::empty(), resolve)?))
        };
        read_bounded(open().ok()?.take(most + 1), most, "what a test left").ok()
    }

    fn ran(&self, index: usize, end: &str) -> Ran {
        let mut ran = Ran {
            ended: How::Unstarted,
            stdout: Kept::default(),
            stderr: Kept::default(),
            ports: Vec::new(),
        };
        for (name, kept) in [("stdout", &mut ran.stdout), ("stderr", &mut ran.stderr)] {
            kept.bytes = self.read(&format!("{index}.{name}"), TEST_KEPT_SIZE_BYTES_MAX).unwrap_or_default();
            kept.whole_bytes = kept.bytes.len() as u64;
        }
        for line in end.lines() {
            let (word, value) = line.split_once(' ').unwrap_or((line, ""));
            let number = value.parse::<u64>().unwrap_or_default();
            let small = || i32::try_from(number).unwrap_or(-1);
            match word {
                "exited" => ran.ended = How::Exited(small()),
                "signal" => ran.ended = How::Signal(small()),
                "listened" => ran.ended = How::Listened,
                "stdout" => ran.stdout.whole_bytes = number,
                "stderr" => ran.stderr.whole_bytes = number,
                "port" => ran.ports.extend(u16::try_from(number)),
                _ => {}
            }
        }
        ran
    }

    /// What is at the paths that were asked for; none if that cannot be read.
    fn files(&self, exam: &Exam) -> Option<BTreeMap<String, Found>> {
        let mut found: BTreeMap<String, Found> = BTreeMap::new();
        let said = self.read("files", FILE_LINES_SIZE_BYTES_MAX * exam.files.len() as u64)?;
        for line in String::from_utf8_lossy(&said).lines() {
            let Some((index, own, facts, size)) = facts(line) else { continue };
            let Some(path) = exam.files.get(index) else { continue };
            let found = found.entry(path.clone()).or_default();
            if own {
                found.own = Some(facts);
                found.link = self.read(&format!("link-{index}"), PATH_SIZE_BYTES_MAX as u64);
                continue;
            }
            found.led = Some(facts);
            if facts.kind == FileKind::File {
                let bytes = self.read(&format!("file-{index}"), TEST_KEPT_SIZE_BYTES_MAX).unwrap_or_default();
                found.content = Some(Kept { bytes, whole_bytes: size });
            }
        }
        Some(found)
    }
}

/// A line of the shim's: number, whether it is of the path itself, what is there, how large.
fn facts(line: &str) -> Option<(usize, bool, Facts, u64)> {
    let mut words = line.split(' ');
    let mut word = || words.next();
    let index = word()?.parse().ok()?;
    let own = word()? == "own";
    let kind = FileKind::named(word()?)?;
    let mode = u32::from_str_radix(word()?, 8).ok()?;
    let (uid, gid) = (word()?.parse().ok()?, word()?.parse().ok()?);
    Some((index, own, Facts { kind, mode, uid, gid }, word()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_the_shim_left_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        fs::create_dir(&out).unwrap();
        for (name, text) in [
            ("0.end", "exited 1\nstdout 0\nstderr 0\n"),
            ("1.end", "exited 3\nstdout 9\nstderr 2\nport 80\n"),
            ("1.stdout", "out"),
            ("1.stderr", "er"),
            (
                "files",
                "0 own symlink 777 0 0 3\n0 led file 640 1 2 7\n9 own file 1 1 1 1\n1 own x\nnonsense\n",
            ),
            ("link-0", "/b"),
            ("file-0", "content"),
        ] {
            fs::write(out.join(name), text).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", out.join("link-1")).unwrap();
        let exam = Exam {
            commands: vec![vec!["a".into()], vec!["b".into()]],
            judged: 1,
            files: vec!["/a".into(), "/c".into()],
            ..Exam::default()
        };
        let left = Out(dir.path());
        let mut examined = Examined {
            ended: Ended::Exited(0),
            done: true,
            said: String::new(),
            ran: None,
            unstarted: None,
            files: left.files(&exam).unwrap(),
        };
        examined.commands(&left, &exam);
        let ran = examined.ran.unwrap();
        assert_eq!((ran.ended, ran.stdout.is_cut(), ran.stderr.is_cut()), (How::Exited(3), true, false));
        assert_eq!(ran.ports, [80]);
        let found = &examined.files["/a"];
        assert_eq!((found.own.unwrap().kind, found.led.unwrap().mode), (FileKind::Symlink, 0o640));
        assert_eq!(found.link.as_deref(), Some(&b"/b"[..]));
        assert_eq!(examined.files.len(), 1);
        assert_eq!(left.read("link-1", 100), None, "a link is not followed");
        fs::remove_file(out.join("files")).unwrap();
        assert!(left.files(&exam).is_none(), "what nobody listed is not absent");
    }
}
