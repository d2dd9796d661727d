//! `[[test]]` of a recipe → [`Test`]s.

use super::{
    super::{
        RecipeError, Timeout,
        written::{Value, Written},
    },
    ConfigExpectation, Expectations, FileExpectation, FileKind, Pattern, Run, Test, Wanted, Who,
};
use crate::model::limits::{
    PATH_SIZE_BYTES_MAX, TEST_MEMORY_BYTES_MIN, TEST_NAME_SIZE_BYTES_MAX, TEST_TIMEOUT_S, TESTS_MAX,
};

const TEST: [&str; 8] = ["name", "run", "user", "workdir", "env", "timeout", "memory", "expect"];
const EXPECT: [&str; 8] =
    ["exit", "stdout", "stdout-not", "stderr", "stderr-not", "files", "ports", "config"];
const FILE: [&str; 9] =
    ["path", "exists", "contains", "contains-not", "type", "mode", "owner", "executable-by", "link"];
const CONFIG: [&str; 11] = [
    "user",
    "workdir",
    "entrypoint",
    "cmd",
    "env",
    "env-not",
    "labels",
    "ports",
    "ports-not",
    "volumes",
    "volumes-not",
];
/// Keys that say something of a command.
const OF_RUN: [&str; 5] = ["user", "workdir", "env", "timeout", "memory"];
const OF_OUTCOME: [&str; 6] = ["exit", "stdout", "stdout-not", "stderr", "stderr-not", "ports"];

/// Reads all of them.
pub(in crate::recipe) fn tests(value: &Value<'_>) -> Result<Vec<Test>, RecipeError> {
    let mut tests: Vec<Test> = Vec::new();
    for value in value.array()? {
        let table = value.table("[[test]]", &TEST)?;
        let name = table.required("name")?;
        let test = test(&table)?;
        if tests.iter().any(|other| other.name == test.name) {
            return Err(name.refuse("two tests have this name; a result names tests by it"));
        }
        if tests.len() == TESTS_MAX {
            return Err(name.refuse(format!("a recipe may have {TESTS_MAX} tests")));
        }
        tests.push(test);
    }
    Ok(tests)
}

fn test(table: &Written<'_>) -> Result<Test, RecipeError> {
    let name = name(&table.required("name")?)?;
    let expect = table.get("expect").map(|value| value.table("expect", &EXPECT)).transpose()?;
    let run = table.get("run").map(|value| run(table, &value)).transpose()?;
    let mut expected = expect.as_ref().map(expectations).transpose()?.unwrap_or_default();
    if run.is_none() {
        let of_run = OF_RUN.into_iter().find_map(|key| table.get(key));
        let of_outcome =
            expect.as_ref().and_then(|expect| OF_OUTCOME.into_iter().find_map(|key| expect.get(key)));
        if let Some(value) = of_run.or(of_outcome) {
            return Err(value.refuse("there is nothing to `run` that this could be of"));
        }
        if expected == Expectations::default() {
            return Err(table
                .required("name")?
                .refuse("this test says nothing: write `run`, or `files` or `config` in `expect`"));
        }
    } else if expected.exit.is_none() && expected.ports.is_empty() {
        expected.exit = Some(0);
    }
    Ok(Test { name, run, expect: expected, expands: None })
}

fn name(value: &Value<'_>) -> Result<String, RecipeError> {
    let name = value.string()?;
    if name.trim().is_empty() || name.chars().any(char::is_control) || name.len() > TEST_NAME_SIZE_BYTES_MAX {
        return Err(
            value.refuse(format!("write a name of one line, of at most {TEST_NAME_SIZE_BYTES_MAX} bytes"))
        );
    }
    Ok(name.to_owned())
}

fn run(table: &Written<'_>, value: &Value<'_>) -> Result<Run, RecipeError> {
    let command = match value.string() {
        Ok(text) if text.trim().is_empty() => return Err(value.refuse("write what is run")),
        Ok(text) => ["/bin/sh", "-c", text].map(str::to_owned).to_vec(),
        Err(_) => strings(value)?,
    };
    if command.first().is_none_or(String::is_empty) {
        return Err(value.refuse("write the program first"));
    }
    if let Some(word) = command.iter().find(|word| word.contains('\0')) {
        return Err(value.refuse(format!("`{}` holds a NUL", word.escape_debug())));
    }
    let timeout_s = match table.get("timeout") {
        None => TEST_TIMEOUT_S,
        Some(value) => {
            let timeout: Timeout =
                value.string()?.parse().map_err(|error| value.refuse(format!("{error}")))?;
            timeout.duration().as_secs()
        }
    };
    let user = table.get("user").map(|value| text(&value)).transpose()?;
    let workdir = table.get("workdir").map(|value| absolute(&value)).transpose()?;
    let memory_bytes = table.get("memory").map(|value| size(&value)).transpose()?;
    let mut env = Vec::new();
    for value in
        table.get("env").map(|value| value.open_table("env")).transpose()?.iter().flat_map(Written::values)
    {
        if value.key.is_empty() || value.key.contains(['=', '\0']) {
            return Err(value.refuse("not the name of a variable"));
        }
        env.push((value.key.to_owned(), text(&value)?));
    }
    Ok(Run { before: Vec::new(), command, after: Vec::new(), user, workdir, env, timeout_s, memory_bytes })
}

fn expectations(table: &Written<'_>) -> Result<Expectations, RecipeError> {
    let patterns = |key: &str| table.get(key).map(|value| patterns(&value)).transpose();
    let exit = table.get("exit").map(|value| number(&value, 0, 255)).transpose()?;
    let mut ports = Vec::new();
    for value in table.get("ports").map(|value| value.array()).transpose()?.unwrap_or_default() {
        let port = u16::try_from(number(&value, 1, 65_535)?).unwrap_or_default();
        if ports.contains(&port) {
            return Err(value.refuse("it is named twice"));
        }
        ports.push(port);
    }
    let mut files = Vec::new();
    for value in table.get("files").map(|value| value.array()).transpose()?.unwrap_or_default() {
        files.push(file(&value.table("files", &FILE)?)?);
    }
    Ok(Expectations {
        exit: exit.and_then(|exit| i32::try_from(exit).ok()),
        stdout: patterns("stdout")?.unwrap_or_default(),
        stdout_not: patterns("stdout-not")?.unwrap_or_default(),
        stderr: patterns("stderr")?.unwrap_or_default(),
        stderr_not: patterns("stderr-not")?.unwrap_or_default(),
        files,
        ports,
        config: table.get("config").map(|value| config(&value.table("config", &CONFIG)?)).transpose()?,
    })
}

fn file(table: &Written<'_>) -> Result<FileExpectation, RecipeError> {
    let path = absolute(&table.required("path")?)?;
    let patterns = |key: &str| table.get(key).map(|value| patterns(&value)).transpose();
    let mut file = FileExpectation {
        path,
        contains: patterns("contains")?.unwrap_or_default(),
        contains_not: patterns("contains-not")?.unwrap_or_default(),
        ..FileExpectation::default()
    };
    for value in table.values() {
        match value.key {
            "exists" => file.absent = !value.boolean()?,
            "type" => {
                let names = FileKind::ALL.map(FileKind::name).join(", ");
                let kind = FileKind::named(value.string()?);
                file.kind = Some(kind.ok_or_else(|| value.refuse(format!("write one of {names}")))?);
            }
            "mode" => file.mode = Some(mode(&value)?),
            "owner" => (file.uid, file.gid) = owner(&value)?,
            "executable-by" => file.executable_by = Some(who(&value)?),
            "link" => file.link = Some(text(&value)?),
            _ => {}
        }
    }
    file.own = file.kind == Some(FileKind::Symlink);
    if file.absent && table.values().len() > 2 {
        return Err(table.required("path")?.refuse("of what is not there nothing else can be so"));
    }
    Ok(file)
}

/// `0644`, `"4755"`.
fn mode(value: &Value<'_>) -> Result<u32, RecipeError> {
    let mode = u32::from_str_radix(value.string()?, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| value.refuse("write permission bits in octal, as a text: \"0644\""))
}

/// `"0"`, `"1000:100"`, `":100"`.
fn owner(value: &Value<'_>) -> Result<(Option<u32>, Option<u32>), RecipeError> {
    let text = value.string()?;
    let (uid, gid) = text.split_once(':').unwrap_or((text, ""));
    let id = |text: &str| match text {
        "" => Ok(None),
        text => text
            .parse()
            .map(Some)
            .map_err(|_| value.refuse("write numbers: \"UID\", \"UID:GID\" or \":GID\"")),
    };
    Ok((id(uid)?, id(gid)?))
}

fn who(value: &Value<'_>) -> Result<Who, RecipeError> {
    match value.string()? {
        "owner" => Ok(Who::Owner),
        "group" => Ok(Who::Group),
        "other" => Ok(Who::Other),
        "any" => Ok(Who::Any),
        _ => Err(value.refuse("write owner, group, other or any")),
    }
}

fn config(table: &Written<'_>) -> Result<ConfigExpectation, RecipeError> {
    let text_of = |key: &str| table.get(key).map(|value| text(&value)).transpose();
    let list = |key: &str| table.get(key).map(|value| strings(&value)).transpose();
    Ok(ConfigExpectation {
        user: text_of("user")?,
        workdir: text_of("workdir")?,
        entrypoint: list("entrypoint")?,
        cmd: list("cmd")?,
        env: wanted(table, "env")?,
        env_not: list("env-not")?.unwrap_or_default(),
        labels: wanted(table, "labels")?,
        ports: list("ports")?.unwrap_or_default(),
        ports_not: list("ports-not")?.unwrap_or_default(),
        volumes: list("volumes")?.unwrap_or_default(),
        volumes_not: list("volumes-not")?.unwrap_or_default(),
    })
}

/// A table of values: a text is the value, `{ matches = "…" }` is found in it.
fn wanted(table: &Written<'_>, key: &'static str) -> Result<Vec<(String, Wanted)>, RecipeError> {
    let Some(value) = table.get(key) else { return Ok(Vec::new()) };
    let read = |value: &Value<'_>| {
        if let Ok(text) = value.string() {
            return Ok((value.key.to_owned(), Wanted::Text(text.to_owned())));
        }
        let matches = value.table("a value", &["matches"])?.required("matches")?;
        Ok((value.key.to_owned(), Wanted::Pattern(pattern(&matches)?)))
    };
    value.open_table(key)?.values().iter().map(read).collect()
}

/// One or several.
fn patterns(value: &Value<'_>) -> Result<Vec<Pattern>, RecipeError> {
    match value.string() {
        Ok(_) => Ok(vec![pattern(value)?]),
        Err(_) => value.array()?.iter().map(pattern).collect(),
    }
}

fn pattern(value: &Value<'_>) -> Result<Pattern, RecipeError> {
    Pattern::new(value.string()?).map_err(|why| value.refuse(format!("not a regular expression: {why}")))
}

fn strings(value: &Value<'_>) -> Result<Vec<String>, RecipeError> {
    value.array()?.iter().map(|value| value.string().map(str::to_owned)).collect()
}

fn text(value: &Value<'_>) -> Result<String, RecipeError> {
    let text = value.string()?;
    if text.contains('\0') { Err(value.refuse("it holds a NUL")) } else { Ok(text.to_owned()) }
}

fn absolute(value: &Value<'_>) -> Result<String, RecipeError> {
    let path = text(value)?;
    if path.starts_with('/') && path.len() <= PATH_SIZE_BYTES_MAX {
        Ok(path)
    } else {
        Err(value.refuse("write a path in the image that begins with `/`"))
    }
}

fn number(value: &Value<'_>, least: i64, most: i64) -> Result<i64, RecipeError> {
    let number = value.integer()?;
    if (least..=most).contains(&number) {
        Ok(number)
    } else {
        Err(value.refuse(format!("write a number from {least} to {most}")))
    }
}

/// `512M`, `2G`.
fn size(value: &Value<'_>) -> Result<u64, RecipeError> {
    let text = value.string()?;
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let power = match &text[digits.len()..] {
        "" => 0,
        "M" => 20,
        "G" => 30,
        _ => 64,
    };
    let bytes = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(1u64.checked_shl(power)?));
    bytes
        .filter(|bytes| *bytes >= TEST_MEMORY_BYTES_MIN)
        .ok_or_else(|| value.refuse("write a size with M or G, of 128M at least (the engine is in it): 512M"))
}

#[cfg(test)]
mod tests {
    use crate::{model::limits::TEST_TIMEOUT_S, recipe::Recipe};

    const ALL: &str = r#"
[[test]]
name = "starts"
run = "app --version"
user = "1000:100"
workdir = "/srv"
env = { A = "1" }
timeout = "10s"
memory = "256M"
expect = { exit = 3, stdout = "^app", stdout-not = ["a", "b"], stderr = [], ports = [80, 443] }

[[test]]
name = "files"
[[test.expect.files]]
path = "/etc/app.conf"
contains = ["x"]
contains-not = "y"
type = "file"
mode = "0640"
owner = "0:100"
executable-by = "any"
[[test.expect.files]]
path = "/etc/link"
type = "symlink"
link = "app.conf"
[[test.expect.files]]
path = "/tmp/x"
exists = false

[[test]]
name = "config"
[test.expect.config]
user = "app"
workdir = "/srv"
entrypoint = ["/app"]
cmd = []
env = { PATH = { matches = "/usr/bin" }, A = "1" }
env-not = ["SECRET"]
labels = { a = "b" }
ports = ["80"]
ports-not = ["81"]
volumes = ["/v"]
volumes-not = ["/w"]

[[test]]
name = "listens"
run = ["/server", "--port", "80"]
expect = { ports = [80] }

[[test]]
name = "true"
run = "true"
"#;

    #[test]
    fn all_of_it_is_read() {
        let tests = Recipe::parse(ALL).unwrap().tests;
        assert_eq!(
            tests.iter().map(|test| test.name.as_str()).collect::<Vec<_>>(),
            ["starts", "files", "config", "listens", "true"]
        );
        let run = tests[0].run.as_ref().unwrap();
        assert_eq!(run.command, ["/bin/sh", "-c", "app --version"]);
        assert_eq!((run.user.as_deref(), run.workdir.as_deref()), (Some("1000:100"), Some("/srv")));
        assert_eq!((run.timeout_s, run.memory_bytes), (10, Some(256 << 20)));
        assert_eq!((tests[0].expect.exit, &tests[0].expect.ports[..]), (Some(3), &[80, 443][..]));
        let files = &tests[1].expect.files;
        assert_eq!(
            (files[0].mode, files[0].uid, files[0].gid, files[0].own),
            (Some(0o640), Some(0), Some(100), false)
        );
        assert!(files[1].own && files[2].absent);
        let config = tests[2].expect.config.as_ref().unwrap();
        assert_eq!((config.cmd.as_deref(), config.env.len()), (Some(&[][..]), 2));
        assert_eq!((tests[3].expect.exit, tests[4].expect.exit), (None, Some(0)));
        assert_eq!(tests[4].run.as_ref().unwrap().timeout_s, TEST_TIMEOUT_S);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (text, expected) in [
            ("name = \"a\"", "says nothing"),
            ("run = \"x\"", "has no `name`"),
            ("name = \"a\"\nruns = \"x\"", "did you mean `run`"),
            ("name = \"a\"\nrun = \"x\"\nexpect = { stdou = \"x\" }", "did you mean `stdout`"),
            ("name = \"a\"\nrun = []", "the program first"),
            ("name = \"a\"\nrun = \"\"", "what is run"),
            ("name = \"a\"\nrun = \"x\"\nexpect = { stdout = \"(\" }", "not a regular expression"),
            ("name = \"a\"\nrun = \"x\"\nexpect = { exit = 256 }", "from 0 to 255"),
            ("name = \"a\"\nrun = \"x\"\nexpect = { ports = [0] }", "from 1 to 65535"),
            ("name = \"a\"\nrun = \"x\"\nexpect = { exit = \"0\" }", "write a number"),
            ("name = \"a\"\nexpect = { exit = 0 }", "nothing to `run`"),
            ("name = \"a\"\nuser = \"x\"\nexpect = { files = [{ path = \"/a\" }] }", "nothing to `run`"),
            ("name = \"a\"\nexpect = { files = [{ path = \"a\" }] }", "begins with `/`"),
            (
                "name = \"a\"\nexpect = { files = [{ path = \"/a\", exists = false, mode = \"0644\" }] }",
                "nothing else",
            ),
            ("name = \"a\"\nexpect = { files = [{ path = \"/a\", mode = \"0999\" }] }", "octal"),
            ("name = \"a\"\nexpect = { files = [{ path = \"/a\", owner = \"root\" }] }", "numbers"),
            ("name = \"a\"\nrun = \"x\"\nmemory = \"4\"", "512M"),
            ("name = \"a\"\nrun = \"x\"\nmemory = \"99999999999G\"", "512M"),
            ("name = \"a\"\nrun = \"x\"\ntimeout = \"0s\"", "timeout"),
            ("name = \"a\\nb\"\nrun = \"x\"", "one line"),
            ("name = \"a\"\nrun = \"x\"\n[[test]]\nname = \"a\"\nrun = \"x\"", "two tests"),
        ] {
            let error = Recipe::parse(&format!("[[test]]\n{text}\n")).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
