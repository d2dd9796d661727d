//! An ordinary user, for tests that root runs.

use std::{fs, process::Command};

use super::must;

/// A user with subordinate ids.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

const MADE: &str = "reprov-test";

impl User {
    /// Any user who can already build, else a new one.
    pub(crate) fn find_or_make() -> Self {
        Self::find().unwrap_or_else(|| {
            must(Command::new("useradd").args(["--create-home", MADE]));
            Self::find().expect("useradd gives subordinate ids")
        })
    }

    /// The user who owns nothing.
    pub(crate) fn nobody() -> Self {
        Self { name: "nobody".to_owned(), uid: 65_534, gid: 65_534 }
    }

    fn find() -> Option<Self> {
        let subuids = fs::read_to_string("/etc/subuid").unwrap_or_default();
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        let user = |name: &str| {
            let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
            let id = |field| line.split(':').nth(field)?.parse().ok();
            Some(Self { name: name.to_owned(), uid: id(2)?, gid: id(3)? })
        };
        subuids.lines().filter_map(able).find_map(user)
    }

    /// A command that runs `program` as this user.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid",
            &self.name,
            "--regid",
            &self.gid.to_string(),
            "--init-groups",
            "--",
            program,
        ]);
        command
    }
}

/// The name in a line of /etc/subuid whose range is enough for a build; root is no ordinary user.
fn able(line: &str) -> Option<&str> {
    let (name, range) = line.split_once(':')?;
    let enough = range.split(':').nth(1)?.parse::<u32>().ok()? >= 65_536;
    (enough && name != "root").then_some(name)
}
