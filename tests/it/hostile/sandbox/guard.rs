//! The canaries of one user, as `fixtures/sandbox/guard.c` keeps them.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Stdio},
};

use crate::support::{Lab, must};

/// Ends with the value.
#[derive(Debug)]
pub(super) struct Guard {
    child: Child,
    said: BufReader<ChildStdout>,
    canaries: Vec<(String, String)>,
    dir: PathBuf,
    /// What nobody may learn.
    pub(super) secret: String,
}

impl Guard {
    /// Starts as the lab's user.
    pub(super) fn start(lab: &Lab, probe: &Path) -> Self {
        let made = must(lab.command("mktemp").args(["-d", "/var/tmp/reprov-it-canary-XXXXXX"]));
        let dir = PathBuf::from(made.trim());
        must(lab.command("chmod").arg("755").arg(&dir));
        let mut random = [0; 16];
        fs::File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
        let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let secret = format!("reprov-canary-{hex}");
        let mut command = lab.command(probe.to_str().unwrap());
        command.arg("guard").arg(&dir).arg(&secret).env("CANARY", &secret).current_dir("/");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut guard = Self {
            said: BufReader::new(child.stdout.take().unwrap()),
            child,
            canaries: Vec::new(),
            dir,
            secret,
        };
        loop {
            let mut line = String::new();
            assert!(guard.said.read_line(&mut line).unwrap() > 0, "the canaries died: {:?}", guard.canaries);
            match line.trim_end().split_once(' ') {
                Some((name, value)) => guard.canaries.push((name.to_owned(), value.to_owned())),
                None => return guard,
            }
        }
    }

    /// The value of one, empty if this machine does not have it.
    pub(super) fn canary(&self, name: &str) -> &str {
        self.canaries.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Writes for `run` where they are, with some told otherwise; the file.
    pub(super) fn write(&self, run: &str, otherwise: &[(&str, &str)]) -> PathBuf {
        let told = otherwise.iter().map(|(name, value)| format!("{name} {value}\n"));
        let others = self.canaries.iter().map(|(name, value)| format!("{name} {value}\n"));
        let path = self.dir.join(run);
        fs::write(&path, told.chain(others).collect::<String>()).unwrap(); // The first of a name counts.
        path
    }

    /// Ends; who touched what, a line each. What lies on disk must be as it was.
    pub(super) fn finish(mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        let mut text = String::new();
        self.said.read_to_string(&mut text).unwrap();
        assert!(self.child.wait().unwrap().success());
        assert_eq!(fs::read_to_string(self.canary("file")).unwrap(), self.secret);
        assert_eq!(fs::read_to_string(self.dir.join("ca.pem")).unwrap(), "no certificate\n");
        let mut names: Vec<_> =
            fs::read_dir(&self.dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.retain(|name| {
            !name.to_string_lossy().contains('-') || name == "canary-new" || name == "canary-node"
        });
        names.sort();
        assert_eq!(names, ["ca.pem", "control", "setuid", "swap"], "something was left there");
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir); // It is the test's alone.
    }
}
