//! Mail, to a real server of SMTP (Debian's python3-aiosmtpd), in the clear, by STARTTLS and by TLS.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use super::{Nights, rebuilt};
use crate::support::{Lab, Ran, fixtures, must};

/// The server, which prints what it is handed.
struct Server {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    port: u16,
}

impl Server {
    fn start(lab: &Lab, mode: &str) -> Self {
        let mut command = Command::new("/usr/bin/python3");
        command.arg(fixtures("smtp/server.py")).args([
            mode,
            &lab.path("server.pem"),
            &lab.path("server.key"),
        ]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        Self { child, lines, port }
    }

    /// The next mail, line by line: who it is from and to, then itself.
    fn mail(&mut self) -> Vec<String> {
        let lines = self.lines.by_ref().map(Result::unwrap);
        lines.take_while(|line| line != "END").collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // It may have ended by itself.
        let _ = self.child.wait();
    }
}

/// An authority, and a certificate of it for `localhost`.
fn certificates(lab: &Lab) {
    let openssl = |args: &[&str]| drop(must(Command::new("openssl").args(args)));
    let path = |name: &str| lab.path(name);
    for name in ["ca", "other"] {
        let (key, pem) = (path(&format!("{name}.key")), path(&format!("{name}.pem")));
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            &format!("/CN={name}"),
            "-keyout",
            &key,
            "-out",
            &pem,
        ]);
    }
    let (csr, key) = (path("server.csr"), path("server.key"));
    openssl(&[
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-keyout",
        &key,
        "-out",
        &csr,
    ]);
    std::fs::write(path("ext"), "subjectAltName=DNS:localhost\n").unwrap();
    openssl(&[
        "x509",
        "-req",
        "-in",
        &csr,
        "-CA",
        &path("ca.pem"),
        "-CAkey",
        &path("ca.key"),
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        &path("ext"),
        "-out",
        &path("server.pem"),
    ]);
    for name in ["ca", "other"] {
        std::fs::write(
            path(&format!("{name}.toml")),
            format!("[network]\nca = \"{}\"\n", path(&format!("{name}.pem"))),
        )
        .unwrap();
    }
}

impl Nights {
    fn mailing(&self, server: &Server, tls: &str, login: bool) -> String {
        let login = if login { "user = \"reprov\"\npassword = \"env:MAIL_PASSWORD\"\n" } else { "" };
        self.inventory(&format!(
            "[[notify]]\nname = \"mail\"\nkind = \"email\"\nserver = \"localhost:{}\"\ntls = \"{tls}\"\n\
             from = \"reprov@example.org\"\nto = [\"base@example.org\", \"second@example.org\"]\n\
             on = [\"all\"]\n{login}",
            server.port
        ))
    }

    fn mail(&self, inventory: &str, config: &str, password: &str) -> Ran {
        let mut command = self.lab.command(self.lab.program());
        command.args(["notify", inventory, "--format", "json", "--ledger", &self.ledger()]);
        command.args(["--store", &self.lab.path("store"), "--config", &self.lab.path(config)]);
        command.env("MAIL_PASSWORD", password);
        Lab::run(command)
    }
}

/// Sends one over `tls`; what the server got.
#[track_caller]
fn check(tls: &str) {
    let nights = Nights::new();
    certificates(&nights.lab);
    nights.run(0, &[rebuilt("1", "explained", &["mtime"])]);
    let mut server = Server::start(&nights.lab, tls);
    let inventory = nights.mailing(&server, tls, tls != "none");
    if tls != "none" {
        // Neither a server that nobody vouches for nor a wrong password gets, or takes, anything.
        nights.mail(&inventory, "other.toml", "pass word").exits(3).says("the mail server did not take it");
        super::telling::later(&nights);
        nights.mail(&inventory, "ca.toml", "wrong").exits(3).says("535");
        super::telling::later(&nights);
    }
    let told = nights.mail(&inventory, "ca.toml", "pass word").exits(0).json();
    let delivery = told["messages"][0]["delivery"].as_str().unwrap().to_owned();
    let mail = server.mail();
    let has = |line: &str| assert!(mail.iter().any(|found| found == line), "{line}: {mail:#?}");
    has("FROM reprov@example.org");
    has("TO base@example.org second@example.org");
    has(if tls == "none" { "TLS False" } else { "TLS True" });
    has(&format!("X-Reprov-Delivery: {delivery}"));
    has("Subject: reprov: 1 drift, 1 new-image (base-team)");
    has("    registry.example.org/app:1");
    let id = delivery.trim_start_matches("sha256:");
    assert!(mail.iter().any(|line| line.contains(&format!("{id}@example.org"))), "{mail:#?}");
}

#[test]
fn to_this_machine_in_the_clear() {
    check("none");
}

#[test]
fn by_starttls() {
    check("starttls");
}

#[test]
fn by_tls() {
    check("tls");
}
