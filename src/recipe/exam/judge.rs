//! What was seen, held against what must be so.

use std::ops::Range;

use super::{
    ConfigExpectation, FileExpectation, Found, How, Kept, Pattern, Ran, Seen, Settings, Test, Wanted, Who,
};

/// Something that is not so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// Of what: `exit code`, `stdout`, `/etc/passwd`, `label a`.
    pub of: String,
    /// What must be so.
    pub expected: String,
    /// What is.
    pub seen: String,
}

/// Bytes of an output or a file that a miss repeats.
const SHOWN_BYTES_MAX: usize = 600;

/// Everything of `test` that is not as it must be; nothing: it passed.
#[must_use]
pub fn judge(test: &Test, seen: &Seen) -> Vec<Miss> {
    let mut misses = Misses::default();
    if let Some(ran) = &seen.ran {
        misses.ran(test, ran);
    }
    let begun = !matches!(seen.ran.as_ref().map(|ran| &ran.ended), Some(How::Unstarted));
    // Nobody looked at files if the command was cut off, which is said above.
    let looked =
        !matches!(seen.ran.as_ref().map(|ran| &ran.ended), Some(How::TimedOut(_) | How::Exceeded(_)));
    if begun && looked {
        for file in &test.expect.files {
            misses.file(file, seen.files.get(&file.path).unwrap_or(&Found::default()));
        }
    }
    if let Some(config) = &test.expect.config {
        misses.config(config, &seen.settings);
    }
    misses.0
}

#[derive(Default)]
struct Misses(Vec<Miss>);

impl Misses {
    fn add(&mut self, of: impl Into<String>, expected: impl Into<String>, seen: impl Into<String>) {
        self.0.push(Miss { of: of.into(), expected: expected.into(), seen: seen.into() });
    }

    fn ran(&mut self, test: &Test, ran: &Ran) {
        let expect = &test.expect;
        match (&ran.ended, expect.exit) {
            (How::Unstarted, _) => {
                return self.add("command", "it begins", format!("it could not: {}", shown(&ran.stderr)));
            }
            (How::TimedOut(s), _) => {
                self.add("time", format!("done within {s} s"), "still running, and ended");
            }
            (How::Exceeded(what), _) => self.add("limits", "kept", what.clone()),
            (How::Exited(code), Some(wanted)) if *code != wanted => {
                self.add("exit code", wanted.to_string(), code.to_string());
            }
            (How::Signal(signal), Some(wanted)) => {
                self.add("exit code", wanted.to_string(), format!("ended by signal {signal}"));
            }
            _ => {}
        }
        let absent: Vec<_> =
            expect.ports.iter().filter(|port| !ran.ports.contains(port)).map(u16::to_string).collect();
        if !absent.is_empty() {
            let ended = match ran.ended {
                How::Exited(code) => format!("the command ended with exit code {code} before"),
                How::Signal(signal) => format!("the command was ended by signal {signal} before"),
                _ => "nobody did while the command ran".to_owned(),
            };
            self.add("ports", format!("somebody listens on {}", absent.join(", ")), ended);
        }
        self.text("stdout", &ran.stdout, (&expect.stdout, &expect.stdout_not));
        self.text("stderr", &ran.stderr, (&expect.stderr, &expect.stderr_not));
        // What is not judged is shown where something failed, since it mostly says why.
        if let Some(last) = self.0.first_mut().filter(|miss| miss.of == "exit code") {
            for (name, kept) in [("stderr", &ran.stderr), ("stdout", &ran.stdout)] {
                if !kept.bytes.is_empty() {
                    last.seen.push_str(&format!("; {name}: {}", shown(kept)));
                    break;
                }
            }
        }
    }

    fn text(&mut self, of: &str, kept: &Kept, (wanted, unwanted): (&[Pattern], &[Pattern])) {
        let lost =
            || format!("the first {} of {} bytes, the rest is lost", kept.bytes.len(), kept.whole_bytes);
        for pattern in wanted.iter().filter(|pattern| !pattern.is_in(&kept.bytes)) {
            let seen = if kept.is_cut() { format!("not in {}", lost()) } else { shown(kept) };
            self.add(of, format!("matches `{}`", pattern.text()), seen);
        }
        for pattern in unwanted {
            let seen = match (pattern.found_in(&kept.bytes), kept.is_cut()) {
                (Some(at), _) => around(&kept.bytes, &at),
                (None, true) => format!("nobody can tell: it is not in {}", lost()),
                (None, false) => continue,
            };
            self.add(of, format!("does not match `{}`", pattern.text()), seen);
        }
    }

    fn file(&mut self, file: &FileExpectation, found: &Found) {
        let path = &file.path;
        if file.absent {
            if let Some(own) = &found.own {
                self.add(path, "nothing is there", format!("a {}", own.kind.name()));
            }
            return;
        }
        let Some(own) = &found.own else { return self.add(path, "it is there", "nothing is") };
        let facts = if file.own { own } else { found.led.as_ref().unwrap_or(own) };
        if file.executable_by.is_some() && found.led.is_none() {
            return self.add(path, "somebody may run it", "a link that leads nowhere"); // Anybody may run the link itself.
        }
        let mut differs = |wanted: Option<String>, seen: String, what: &str| {
            if let Some(wanted) = wanted.filter(|wanted| *wanted != seen) {
                self.0.push(Miss { of: path.clone(), expected: format!("{what} {wanted}"), seen });
            }
        };
        differs(file.kind.map(|kind| kind.name().to_owned()), facts.kind.name().to_owned(), "a");
        differs(file.mode.map(|mode| format!("{mode:04o}")), format!("{:04o}", facts.mode), "mode");
        differs(file.permissions.clone(), facts.permissions(), "permissions");
        differs(file.uid.map(|id| id.to_string()), facts.uid.to_string(), "owner");
        differs(file.gid.map(|id| id.to_string()), facts.gid.to_string(), "group");
        let link = found.link.as_ref().map(|link| String::from_utf8_lossy(link).into_owned());
        differs(file.link.clone(), link.unwrap_or_else(|| "it is no link".to_owned()), "a link to");
        if let Some(who) = file.executable_by {
            let (bits, name) = match who {
                Who::Owner => (0o100, "its owner"),
                Who::Group => (0o010, "its group"),
                Who::Other => (0o001, "others"),
                Who::Any => (0o111, "somebody"),
            };
            if facts.mode & bits == 0 {
                self.add(path, format!("{name} may run it"), facts.permissions());
            }
        }
        if file.contains.is_empty() && file.contains_not.is_empty() {
            return;
        }
        match (&found.content, &found.led) {
            (Some(content), _) => self.text(path, content, (&file.contains, &file.contains_not)),
            (None, Some(led)) => self.add(path, "a file", format!("a {}", led.kind.name())),
            (None, None) => self.add(path, "a file", "a link that leads nowhere"),
        }
    }

    fn config(&mut self, wanted: &ConfigExpectation, found: &Settings) {
        for (of, wanted, seen) in
            [("user", &wanted.user, &found.user), ("workdir", &wanted.workdir, &found.workdir)]
        {
            if let Some(wanted) = wanted.as_ref().filter(|wanted| *wanted != seen) {
                self.add(of, wanted, seen);
            }
        }
        for (of, wanted, seen) in
            [("entrypoint", &wanted.entrypoint, &found.entrypoint), ("cmd", &wanted.cmd, &found.cmd)]
        {
            if let Some(wanted) = wanted.as_ref().filter(|wanted| *wanted != seen) {
                self.add(of, format!("{wanted:?}"), format!("{seen:?}"));
            }
        }
        for (of, wanted, seen) in
            [("variable", &wanted.env, &found.env), ("label", &wanted.labels, &found.labels)]
        {
            for (name, wanted) in wanted {
                let (good, text) = match (wanted, seen.get(name)) {
                    (Wanted::Text(wanted), seen) => (seen == Some(wanted), wanted.clone()),
                    (Wanted::Pattern(pattern), seen) => (
                        seen.is_some_and(|seen| pattern.is_in(seen.as_bytes())),
                        format!("matches `{}`", pattern.text()),
                    ),
                };
                if !good {
                    let seen = seen.get(name).map_or("it is not set", String::as_str);
                    self.add(format!("{of} {name}"), text, seen);
                }
            }
        }
        for name in wanted.env_not.iter().filter(|name| found.env.contains_key(*name)) {
            self.add(format!("variable {name}"), "not set", "it is set"); // Its value may be what must not be seen.
        }
        let has = |list: &[String], wanted: &str| {
            list.iter().any(|one| one == wanted || one.split('/').next() == Some(wanted))
        };
        for port in wanted.ports.iter().filter(|port| !has(&found.ports, port)) {
            self.add(format!("port {port}"), "exposed", listed(&found.ports));
        }
        for port in wanted.ports_not.iter().filter(|port| has(&found.ports, port)) {
            self.add(format!("port {port}"), "not exposed", listed(&found.ports));
        }
        for volume in wanted.volumes.iter().filter(|volume| !found.volumes.contains(volume)) {
            self.add(format!("volume {volume}"), "a volume", listed(&found.volumes));
        }
        for volume in wanted.volumes_not.iter().filter(|volume| found.volumes.contains(volume)) {
            self.add(format!("volume {volume}"), "no volume", listed(&found.volumes));
        }
    }
}

fn listed(list: &[String]) -> String {
    if list.is_empty() { "there are none".to_owned() } else { list.join(", ") }
}

/// What stands at `at`, with some of what stands around it, and in which line it begins.
fn around(bytes: &[u8], at: &Range<usize>) -> String {
    let line = bytes[..at.start].split(|byte| *byte == b'\n').count();
    let room = SHOWN_BYTES_MAX.saturating_sub(at.len()) / 2;
    let from = at.start.saturating_sub(room);
    let to = at.end.min(at.start + SHOWN_BYTES_MAX).saturating_add(room).min(bytes.len());
    let text = String::from_utf8_lossy(&bytes[from..to]);
    let (before, after) = (if from > 0 { "…" } else { "" }, if to < bytes.len() { "…" } else { "" });
    format!("line {line}: {before}{}{after}", text.trim_end())
}

/// The end of what was kept, and that it is not all.
fn shown(kept: &Kept) -> String {
    if kept.bytes.is_empty() {
        return "nothing".to_owned();
    }
    let from = kept.bytes.len().saturating_sub(SHOWN_BYTES_MAX);
    let text = String::from_utf8_lossy(&kept.bytes[from..]);
    let text = text.trim_end();
    match (from > 0, kept.is_cut()) {
        (_, true) => format!("…{text}… ({} of {} bytes were kept)", kept.bytes.len(), kept.whole_bytes),
        (true, false) => format!("…{text}"),
        (false, false) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Expectations, Facts, FileKind, Run},
        *,
    };

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).unwrap()
    }

    fn test() -> Test {
        let run = Run {
            before: Vec::new(),
            command: vec!["x".into()],
            after: Vec::new(),
            user: None,
            workdir: None,
            env: Vec::new(),
            timeout_s: 5,
            memory_bytes: None,
        };
        Test { name: "t".into(), run: Some(run), expect: Expectations::default(), expands: None }
    }

    fn kept(text: &str, whole_bytes: u64) -> Kept {
        Kept { bytes: text.into(), whole_bytes }
    }

    fn ran(ended: How, stdout: Kept) -> Seen {
        let ran = Ran { ended, stdout, stderr: kept("why\n", 4), ports: vec![80] };
        Seen { ran: Some(ran), ..Seen::default() }
    }

    #[test]
    fn a_command_is_held_against_its_end_and_words() {
        let mut test = test();
        (test.expect.exit, test.expect.stdout) = (Some(0), vec![pattern("^ok$")]);
        test.expect.stdout_not = vec![pattern("bad")];
        assert_eq!(judge(&test, &ran(How::Exited(0), kept("ok", 2))), []);
        let misses = judge(&test, &ran(How::Exited(3), kept("bad", 3)));
        let said: Vec<_> = misses.iter().map(|miss| (miss.of.as_str(), miss.seen.as_str())).collect();
        assert_eq!(said, [("exit code", "3; stderr: why"), ("stdout", "bad"), ("stdout", "line 1: bad")]);
        for (ended, of) in [
            (How::TimedOut(5), "time"),
            (How::Exceeded("memory".into()), "limits"),
            (How::Signal(9), "exit code"),
            (How::Unstarted, "command"),
        ] {
            assert_eq!(judge(&test, &ran(ended, kept("ok", 2)))[0].of, of);
        }
        test.expect.exit = None;
        test.expect.ports = vec![80];
        assert_eq!(judge(&test, &ran(How::Listened, kept("ok", 2))), []);
        test.expect.ports = vec![80, 81];
        assert!(judge(&test, &ran(How::Exited(1), kept("ok", 2)))[0].expected.ends_with("on 81"));
    }

    #[test]
    fn what_is_lost_fails_only_those_who_need_it() {
        let mut test = test();
        let seen = ran(How::Exited(0), kept("ok", 1 << 30));
        assert_eq!(judge(&test, &seen), []);
        test.expect.stdout = vec![pattern("ok")];
        assert_eq!(judge(&test, &seen), []);
        test.expect.stdout_not = vec![pattern("bad")];
        assert!(judge(&test, &seen)[0].seen.contains("nobody can tell"));
        test.expect.stdout_not = vec![pattern("ok")];
        assert_eq!(judge(&test, &seen).len(), 1);
        (test.expect.stdout, test.expect.stdout_not) = (vec![pattern("end")], Vec::new());
        assert!(judge(&test, &seen)[0].seen.contains("is lost"));
    }

    #[test]
    fn what_must_not_be_there_is_shown_where_it_is() {
        let mut test = test();
        test.expect.stdout_not = vec![pattern("pass(word)?")];
        let seen = |text: &str| {
            let misses = judge(&test, &ran(How::Exited(0), kept(text, text.len() as u64)));
            misses.into_iter().map(|miss| miss.seen).collect::<Vec<_>>()
        };
        assert_eq!(seen("fine"), [""; 0]);
        assert_eq!(seen("a\nb password c\n"), ["line 2: a\nb password c"]);
        let padding = "0123456789\n".repeat(1000);
        let [shown] = &seen(&format!("{padding}my password\n{padding}"))[..] else { panic!("one miss") };
        assert!(shown.starts_with("line 1001: …") && shown.ends_with('…'), "{shown}");
        assert!(shown.contains("my password") && shown.len() < SHOWN_BYTES_MAX + 30, "{shown}");
        // What is found may be long itself: its beginning is shown.
        test.expect.stdout_not = vec![pattern("(?s)pass.*")];
        let long = format!("{padding}password\n{padding}");
        let shown = &judge(&test, &ran(How::Exited(0), kept(&long, long.len() as u64)))[0].seen;
        assert!(shown.starts_with("line 1001: …password\n") && shown.len() < SHOWN_BYTES_MAX + 30, "{shown}");
    }

    #[test]
    fn files_are_looked_at_through_links_or_not() {
        let facts = |kind, mode| Facts { kind, mode, uid: 1, gid: 2 };
        let found = Found {
            own: Some(facts(FileKind::Symlink, 0o777)),
            led: Some(facts(FileKind::File, 0o640)),
            link: Some(b"/b".to_vec()),
            content: Some(kept("hello", 5)),
        };
        let check = |file: FileExpectation| {
            let file = FileExpectation { path: "/a".into(), ..file };
            let mut test = test();
            (test.run, test.expect.files) = (None, vec![file]);
            let seen = Seen { files: [("/a".to_owned(), found.clone())].into(), ..Seen::default() };
            judge(&test, &seen).into_iter().map(|miss| miss.expected).collect::<Vec<_>>()
        };
        let none = FileExpectation::default;
        assert!(check(none()).is_empty());
        assert!(
            check(FileExpectation { mode: Some(0o640), uid: Some(1), gid: Some(2), ..none() }).is_empty()
        );
        assert!(
            check(FileExpectation { own: true, mode: Some(0o777), link: Some("/b".into()), ..none() })
                .is_empty()
        );
        assert!(check(FileExpectation { contains: vec![pattern("^hello$")], ..none() }).is_empty());
        assert_eq!(check(FileExpectation { absent: true, ..none() }), ["nothing is there"]);
        assert_eq!(check(FileExpectation { mode: Some(0o600), ..none() }), ["mode 0600"]);
        assert_eq!(check(FileExpectation { kind: Some(FileKind::Directory), ..none() }), ["a directory"]);
        assert_eq!(
            check(FileExpectation { executable_by: Some(Who::Any), ..none() }),
            ["somebody may run it"]
        );
        assert_eq!(
            check(FileExpectation { contains_not: vec![pattern("h")], ..none() }),
            ["does not match `h`"]
        );
        assert_eq!(check(FileExpectation { permissions: Some("-rw-------".into()), ..none() }).len(), 1);
    }

    #[test]
    fn a_config_is_held_against_all_that_is_named() {
        let text = |text: &str| text.to_owned();
        let found = Settings {
            user: text("app"),
            entrypoint: vec![text("/e")],
            env: [(text("A"), text("1"))].into(),
            labels: [(text("l"), text("v1.2"))].into(),
            ports: vec![text("80/tcp"), text("53/udp")],
            volumes: vec![text("/v")],
            ..Settings::default()
        };
        let wanted = ConfigExpectation {
            user: Some(text("app")),
            entrypoint: Some(vec![text("/e")]),
            cmd: Some(Vec::new()),
            env: vec![(text("A"), Wanted::Text(text("1")))],
            env_not: vec![text("B")],
            labels: vec![(text("l"), Wanted::Pattern(pattern("^v1")))],
            ports: vec![text("80"), text("53/udp")],
            ports_not: vec![text("81")],
            volumes: vec![text("/v")],
            volumes_not: vec![text("/w")],
            workdir: None,
        };
        let judged = |wanted: ConfigExpectation| {
            let mut test = test();
            (test.run, test.expect.config) = (None, Some(wanted));
            let seen = Seen { settings: found.clone(), ..Seen::default() };
            judge(&test, &seen).into_iter().map(|miss| miss.of).collect::<Vec<_>>()
        };
        assert!(judged(wanted).is_empty());
        let wrong = ConfigExpectation {
            user: Some(text("root")),
            workdir: Some(text("/")),
            cmd: Some(vec![text("x")]),
            env: vec![(text("A"), Wanted::Text(text("2"))), (text("B"), Wanted::Pattern(pattern("")))],
            env_not: vec![text("A")],
            ports: vec![text("54/udp")],
            ports_not: vec![text("80")],
            volumes: vec![text("/w")],
            volumes_not: vec![text("/v")],
            ..ConfigExpectation::default()
        };
        assert_eq!(
            judged(wrong),
            [
                "user",
                "workdir",
                "cmd",
                "variable A",
                "variable B",
                "variable A",
                "port 54/udp",
                "port 80",
                "volume /w",
                "volume /v"
            ]
        );
    }
}
