//! Debian's PostgreSQL on a socket of its own.

use std::{
    io::{BufRead, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use super::{fixtures, must};

/// A server; ends with the value, or with the test program.
#[derive(Debug)]
pub(crate) struct Postgres {
    socket: String,
    child: Child,
    talk: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
}

impl Postgres {
    /// Starts one.
    pub(crate) fn start() -> Self {
        let mut command = Command::new(fixtures("postgres"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let socket = line.trim().to_owned();
        assert!(!socket.is_empty(), "fixtures/postgres prints where it listens");
        Self { socket, child, talk: Mutex::new(Some((stdin, stdout))) }
    }

    /// The one that most tests share; each has databases of its own there.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// The URL of a new database.
    pub(crate) fn database(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("d{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-h", &self.socket, "-U", "reprov", "-d", "postgres"]);
        must(command.arg("-c").arg(format!("CREATE DATABASE {name}")));
        format!("postgres://reprov@localhost/{name}?host={}", self.socket)
    }

    /// Stops it in the middle of whatever it does, and starts it again.
    pub(crate) fn restart(&self) {
        let mut talk = self.talk.lock().unwrap();
        let (stdin, stdout) = talk.as_mut().unwrap();
        writeln!(stdin, "restart").unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "again");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.talk.lock().unwrap().take()); // Its standard input ends.
        let _ = self.child.wait(); // Then its directory is gone.
    }
}
