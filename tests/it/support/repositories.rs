//! Package repositories made at run time: signed by a key of their own, served over plain HTTP on loopback.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

use tempfile::TempDir;

use super::must;

/// An OpenPGP key pair and gpg's directory that holds it.
#[derive(Debug)]
pub(crate) struct Signer {
    home: TempDir,
}

impl Signer {
    /// Generates one.
    pub(crate) fn generate() -> Self {
        // A short path: gpg's agent listens there, and a socket's path is.
        let signer = Self { home: tempfile::Builder::new().prefix("gpg-").tempdir_in("/tmp").unwrap() };
        fs::set_permissions(signer.home.path(), fs::Permissions::from_mode(0o700)).unwrap();
        must(signer.gpg().args(["--quick-gen-key", "tests <tests@example.org>", "rsa2048", "sign", "never"]));
        signer
    }

    /// A gpg that asks nobody.
    pub(crate) fn gpg(&self) -> Command {
        let mut gpg = self.command("gpg");
        gpg.args(["--batch", "--quiet", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""]);
        gpg
    }

    /// A file of gpg's own directory.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("GNUPGHOME", self.home.path());
        command
    }

    /// The public key, armored.
    pub(crate) fn public(&self) -> String {
        must(self.gpg().args(["--armor", "--export"]))
    }

    /// Fingerprint of the primary key.
    pub(crate) fn fingerprint(&self) -> String {
        let listed = must(self.gpg().args(["--with-colons", "--list-keys"]));
        let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    /// `text`, clear-signed as `more` options say.
    pub(crate) fn signed(&self, text: &str, more: &[&str]) -> String {
        let path = self.file("text");
        fs::write(&path, text).unwrap();
        must(self.gpg().args(more).args(["--output", "-", "--clearsign"]).arg(path))
    }

    /// A clear-signed copy of the file `from` as `to`.
    pub(crate) fn clear_sign(&self, from: &Path, to: &Path) {
        must(self.gpg().arg("--clearsign").arg("--output").args([to, from]));
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        let _ = self.command("gpgconf").args(["--kill", "all"]).output();
    }
}

/// Makes `dir` an apt repository: suite `stable`, component `main`, the package `greeting` that holds `word`.
pub(crate) fn apt(dir: &Path, signer: &Signer, word: &str) {
    apt_of(dir, signer, word, "1+1");
}

/// The same, with the package in this version (and none else).
pub(crate) fn apt_of(dir: &Path, signer: &Signer, word: &str, version: &str) {
    let package = dir.join("package");
    fs::create_dir_all(package.join("DEBIAN")).unwrap();
    fs::create_dir_all(package.join("usr/share/greeting")).unwrap();
    let _ = fs::remove_dir_all(dir.join("pool"));
    fs::create_dir_all(dir.join("pool")).unwrap();
    fs::create_dir_all(dir.join("dists/stable/main/binary-amd64")).unwrap();
    let control = format!(
        "Package: greeting\nVersion: {version}\nArchitecture: all\nMaintainer: tests <tests@example.org>\n\
         Description: a word\n"
    );
    fs::write(package.join("DEBIAN/control"), control).unwrap();
    fs::write(package.join("usr/share/greeting/word"), format!("{word}\n")).unwrap();
    let deb = dir.join(format!("pool/greeting_{version}_all.deb"));
    must(Command::new("dpkg-deb").args(["--root-owner-group", "--build"]).args([&package, &deb]));
    let mut command = Command::new("apt-ftparchive");
    let packages = must(command.args(["packages", "pool"]).current_dir(dir));
    let packages = packages.replace("%2b", "+");
    fs::write(dir.join("dists/stable/main/binary-amd64/Packages"), packages).unwrap();
    must(
        Command::new("xz")
            .args(["--keep", "--force"])
            .arg(dir.join("dists/stable/main/binary-amd64/Packages")),
    );
    let field = |name: &str, value: &str| format!("APT::FTPArchive::Release::{name}={value}");
    let mut release = Command::new("apt-ftparchive");
    for (name, value) in [("Suite", "stable"), ("Architectures", "amd64"), ("Components", "main")] {
        release.args(["-o", &field(name, value)]);
    }
    let release = must(release.args(["release", "dists/stable"]).current_dir(dir));
    fs::write(dir.join("Release"), release).unwrap();
    signer.clear_sign(&dir.join("Release"), &dir.join("dists/stable/InRelease"));
}

/// Makes `dir` a yum repository of the signed package `greeting` that holds `word`; the package's path in it.
pub(crate) fn yum(dir: &Path, signer: &Signer, word: &str) -> PathBuf {
    let spec = format!(
        "Name: greeting\nVersion: 1\nRelease: 1\nSummary: a word\nLicense: none\nBuildArch: noarch\n%description\na word\n\
         %install\nmkdir -p %{{buildroot}}/usr/share/greeting\necho {word} > %{{buildroot}}/usr/share/greeting/word\n\
         %files\n/usr/share/greeting/word\n"
    );
    let (top, path) = (dir.join("top"), dir.join("greeting.spec"));
    fs::create_dir_all(dir.join("packages")).unwrap();
    fs::write(&path, spec).unwrap();
    let define = |name: &str, value: &str| ["--define".to_owned(), format!("{name} {value}")];
    let top_macro = define("_topdir", top.to_str().unwrap());
    must(Command::new("rpmbuild").args(top_macro).arg("-bb").arg(&path));
    let package = dir.join("packages/greeting-1-1.noarch.rpm");
    fs::rename(top.join("RPMS/noarch/greeting-1-1.noarch.rpm"), &package).unwrap();
    let mut sign = signer.command("rpmsign");
    // Debian's macros do not say where gpg is.
    sign.args(define("__gpg", "/usr/bin/gpg"))
        .args(define("_gpg_name", &signer.fingerprint()))
        .args(define("_gpg_path", signer.home.path().to_str().unwrap()));
    must(sign.arg("--addsign").arg(&package));
    must(Command::new("createrepo_c").args(["--quiet", "--no-database"]).arg(dir));
    package
}

/// The files under a directory, over HTTP/1.1, under any host's name: it answers as a proxy too.
#[derive(Debug)]
pub(crate) struct Served {
    /// `http://127.0.0.1:PORT`
    pub(crate) url: String,
    /// What is served; it may change meanwhile.
    pub(crate) dir: TempDir,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Served {
    /// Serves an empty directory until the tests end.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (dir, asked) = (tempfile::tempdir().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let (root, log) = (dir.path().to_owned(), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (root, log) = (root.clone(), Arc::clone(&log));
                thread::spawn(move || answer(stream, &root, &log));
            }
        });
        Self { url, dir, asked }
    }

    /// What was asked for so far, as it stood in the request.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, root: &Path, log: &Mutex<Vec<String>>) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    while !lines.next()?.ok()?.is_empty() {}
    let target = first.split(' ').nth(1)?.to_owned();
    log.lock().unwrap().push(target.clone());
    let path = match target.strip_prefix("http://") {
        Some(rest) => rest.split_once('/')?.1,
        None => target.trim_start_matches('/'),
    };
    let path = path.replace("%2b", "+").replace("%2B", "+");
    let file = root.join(path.trim_end_matches('/'));
    let file = if file.is_dir() { file.join("index.html") } else { file };
    let (status, body) = fs::read(file).map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
    let html = if path.ends_with('/') { "Content-Type: text/html\r\n" } else { "" };
    let head =
        format!("HTTP/1.1 {status}\r\nConnection: close\r\n{html}Content-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).ok()?;
    if !first.starts_with("HEAD") {
        stream.write_all(&body).ok()?;
    }
    Some(())
}
