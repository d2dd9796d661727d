//! Against a real sshd on a loopback port, which speaks git's old protocol: it hands out tips only.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{fake::Fake, submodules::link};
use crate::source::{Checkout, Options, SourceError};

/// Where `program` is.
fn have(program: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("no `{program}`: apt-get install --yes --no-install-recommends openssh-server openssh-client")
    })
}

/// Ended when dropped.
struct Sshd {
    child: Child,
    dir: PathBuf,
    port: u16,
    user: String,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn keygen(path: &Path) -> String {
    let mut command = Command::new(have("ssh-keygen"));
    command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path);
    assert!(command.status().unwrap().success());
    fs::read_to_string(path.with_extension("pub")).unwrap()
}

impl Sshd {
    fn start(fake: &Fake) -> Self {
        let dir = fake.dir.path().join("ssh");
        fs::create_dir(&dir).unwrap();
        let user = Command::new("id").arg("-un").output().unwrap();
        let user = String::from_utf8(user.stdout).unwrap().trim().to_owned();
        let host_key = keygen(&dir.join("host"));
        fs::write(dir.join("authorized"), keygen(&dir.join("user"))).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let here = dir.display();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {here}/host\nAuthorizedKeysFile {here}/authorized\n\
             PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\n"
        );
        fs::write(dir.join("config"), config).unwrap();
        fs::write(dir.join("known"), format!("[127.0.0.1]:{port} {host_key}")).unwrap();
        // What a user has in ~/.ssh; ssh itself does not look at HOME.
        let client =
            format!("UserKnownHostsFile {here}/known\nGlobalKnownHostsFile none\nIdentityFile {here}/user\n");
        fs::write(dir.join("client"), client).unwrap();
        let ssh = have("ssh");
        fs::create_dir(dir.join("bin")).unwrap();
        let wrapper = format!("#!/bin/sh\nenv >{here}/env\nexec {} -F {here}/client \"$@\"\n", ssh.display());
        write(&dir.join("bin/ssh"), &wrapper, 0o755);
        let child = Self::spawn(&dir);
        let sshd = Self { child, dir, port, user };
        sshd.wait();
        sshd
    }

    /// As root, sshd wants /run/sshd: it gets one of its own.
    fn spawn(dir: &Path) -> Child {
        let (sshd, dir) = (have("sshd"), dir.display());
        let sshd = format!("exec {} -D -f {dir}/config -E {dir}/log", sshd.display());
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c"]);
            command.arg(format!("mount -t tmpfs none /run && mkdir -m 755 /run/sshd && {sshd}"));
            command
        } else {
            let mut command = Command::new("sh");
            command.args(["-c", &sshd]);
            command
        };
        command.stdin(Stdio::null()).spawn().unwrap()
    }

    fn wait(&self) {
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = || fs::read_to_string(self.dir.join("log"));
            assert!(Instant::now() < end, "sshd did not start: {:?}", log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn url(&self, fake: &Fake) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", self.user, self.port, fake.source())
    }

    fn options<'a>(&self, fake: &'a Fake) -> Options<'a> {
        let path = format!("{}:/usr/bin:/bin", self.dir.join("bin").display());
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let env = vec![
            variable("PATH", &path),
            variable("HOME", "/home/of/caller"),
            variable("SSH_AUTH_SOCK", "/nonexistent/agent"),
            variable("GIT_SSH", "/bin/false"),
            variable("GIT_SSH_COMMAND", "/bin/false"),
        ];
        Options { env, ..fake.options() }
    }
}

#[test]
fn fetches_through_ssh_from_known_hosts() {
    let fake = Fake::with(&[("a", "1")]);
    let first = fake.repo.head().unwrap().peel_to_commit().unwrap();
    fake.repo.tag("v1", first.as_object(), &first.author(), "annotated", false).unwrap();
    let first = first.id().to_string();
    let lib = Fake::with(&[("l", "lib")]);
    let pinned = lib.repo.head().unwrap().target().unwrap();
    lib.file("l", "2");
    lib.commit();
    let sshd = Sshd::start(&fake);
    link(&fake, &[("lib", &format!("ssh://{}@127.0.0.1:{}{}", sshd.user, sshd.port, lib.source()), pinned)]);
    let second = fake.repo.head().unwrap().target().unwrap().to_string();
    let (url, options) = (sshd.url(&fake), sshd.options(&fake));
    let public = format!("git+ssh://127.0.0.1:{}{}", sshd.port, fake.source());
    for (rev, expected) in [("main", &second), ("v1", &first), (&first, &first), (&first[..9], &first)] {
        let checkout = Checkout::open(&url, rev, &options).unwrap();
        assert_eq!((checkout.commit(), checkout.uri()), (expected.clone(), Some(public.as_str())), "{rev}");
    }
    let env = fs::read_to_string(sshd.dir.join("env")).unwrap();
    assert!(env.contains("HOME=/home/of/caller\n") && env.contains("SSH_AUTH_SOCK=/nonexistent/agent\n"));

    let mut checkout = Checkout::open(&url, "main", &options).unwrap();
    checkout.fetch_submodules(".", "Dockerfile", &options).unwrap();
    let found = checkout.submodules().remove(0);
    assert_eq!(found.uri, Some(format!("git+ssh://127.0.0.1:{}{}", sshd.port, lib.source())));
    assert_eq!(fake.export_of(&checkout).unwrap()["lib/l"], "644 lib");
    let mut checkout = Checkout::open(&url, "v1", &options).unwrap();
    checkout.take_tags(None, &options).unwrap();
    assert_eq!(checkout.tags().len(), 1);

    fs::write(sshd.dir.join("known"), "").unwrap();
    let error = Checkout::open(&url, "main", &options).unwrap_err();
    assert!(matches!(error, SourceError::HostKey { .. }) && error.unavailable(), "{error}");
    assert!(error.to_string().contains("add it to known_hosts"), "{error}");
    fs::write(sshd.dir.join("authorized"), "").unwrap();
    let host_key = fs::read_to_string(sshd.dir.join("host.pub")).unwrap();
    fs::write(sshd.dir.join("known"), format!("[127.0.0.1]:{} {host_key}", sshd.port)).unwrap();
    let error = Checkout::open(&url, "main", &options).unwrap_err();
    assert!(matches!(error, SourceError::Fetch { .. }), "{error}");
    assert!(error.to_string().contains("Permission denied (publickey"), "{error}");
}
