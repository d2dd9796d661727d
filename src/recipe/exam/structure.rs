//! container-structure-test's files (schema 2.0.0), YAML or JSON, read as they are.

use serde::Deserialize;
use serde_saphyr::{alias_limits, budget, options, options::DuplicateKeyPolicy};

use super::{ConfigExpectation, Expectations, FileExpectation, Pattern, Run, Test, Wanted, Who};
use crate::model::limits::{
    PATH_SIZE_BYTES_MAX, TEST_FILE_ALIASES_MAX, TEST_FILE_DEPTH_MAX, TEST_FILE_NODES_MAX,
    TEST_FILE_SIZE_BYTES_MAX, TEST_NAME_SIZE_BYTES_MAX, TEST_TIMEOUT_S, TESTS_MAX,
};

/// Why a file is not one of container-structure-test's that can be run.
#[derive(Debug, thiserror::Error)]
pub enum StructureError {
    /// Past [`TEST_FILE_SIZE_BYTES_MAX`].
    #[error("it has {0} bytes; {TEST_FILE_SIZE_BYTES_MAX} are allowed")]
    Size(usize),
    /// Neither YAML nor JSON of that shape.
    #[error("{0}")]
    Syntax(String),
    /// Another schema.
    #[error("its schemaVersion is `{0}`; 2.0.0 is known")]
    Version(String),
    /// A field that means nothing.
    #[error("{test}: {why}")]
    Test {
        /// Of which test.
        test: String,
        /// What is wrong.
        why: String,
    },
    /// What cannot be done here.
    #[error("{0}")]
    Unsupported(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "they are called so in the file")]
struct File {
    schema_version: String,
    #[serde(default)]
    global_env_vars: Vec<Variable>,
    #[serde(default)]
    command_tests: Vec<CommandTest>,
    #[serde(default)]
    file_existence_tests: Vec<ExistenceTest>,
    #[serde(default)]
    file_content_tests: Vec<ContentTest>,
    metadata_test: Option<MetadataTest>,
    #[serde(default)]
    license_tests: Vec<LicenseTest>,
    container_run_options: Option<RunOptions>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Variable {
    key: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    is_regex: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CommandTest {
    name: String,
    #[serde(default)]
    setup: Vec<Vec<String>>,
    #[serde(default)]
    teardown: Vec<Vec<String>>,
    #[serde(default)]
    env_vars: Vec<Variable>,
    #[serde(default)]
    exit_code: i32,
    command: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    expected_output: Vec<String>,
    #[serde(default)]
    excluded_output: Vec<String>,
    #[serde(default)]
    expected_error: Vec<String>,
    #[serde(default)]
    excluded_error: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ExistenceTest {
    name: String,
    path: String,
    #[serde(default = "yes")]
    should_exist: bool,
    #[serde(default)]
    permissions: String,
    uid: Option<i64>,
    gid: Option<i64>,
    #[serde(default)]
    is_executable_by: String,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ContentTest {
    name: String,
    path: String,
    #[serde(default)]
    expected_contents: Vec<String>,
    #[serde(default)]
    excluded_contents: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MetadataTest {
    #[serde(default, alias = "env")]
    env_vars: Vec<Variable>,
    #[serde(default)]
    unbound_env_vars: Vec<Variable>,
    #[serde(default)]
    labels: Vec<Variable>,
    #[serde(default)]
    exposed_ports: Vec<String>,
    #[serde(default)]
    unexposed_ports: Vec<String>,
    #[serde(default)]
    volumes: Vec<String>,
    #[serde(default)]
    unmounted_volumes: Vec<String>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    #[serde(default)]
    workdir: String,
    #[serde(default)]
    user: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LicenseTest {
    #[expect(dead_code, reason = "read to tell what cannot be done")]
    debian: Option<bool>,
    #[expect(dead_code, reason = "likewise")]
    files: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RunOptions {
    #[serde(default)]
    user: String,
    #[serde(default)]
    privileged: bool,
    #[serde(default)]
    allocate_tty: bool,
    #[serde(default)]
    env_file: String,
    #[serde(default)]
    env_vars: Vec<String>,
    #[serde(default)]
    capabilities: Vec<String>,
    #[serde(default)]
    bind_mounts: Vec<String>,
}

/// Reads a file of container-structure-test's.
///
/// # Errors
/// [`StructureError`].
pub fn structure(text: &str) -> Result<Vec<Test>, StructureError> {
    if text.len() as u64 > TEST_FILE_SIZE_BYTES_MAX {
        return Err(StructureError::Size(text.len()));
    }
    let options = options! {
        budget: budget! {
            max_events: TEST_FILE_NODES_MAX * 2,
            max_nodes: TEST_FILE_NODES_MAX,
            max_depth: TEST_FILE_DEPTH_MAX,
            flow_nesting_limit: TEST_FILE_DEPTH_MAX,
            max_aliases: TEST_FILE_ALIASES_MAX,
            max_anchors: TEST_FILE_ALIASES_MAX,
            max_documents: 1,
            max_inclusion_depth: 0,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        alias_limits: alias_limits! {
            max_total_replayed_events: TEST_FILE_NODES_MAX,
            max_replay_stack_depth: TEST_FILE_DEPTH_MAX,
        },
    };
    let file: File = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let text = error.without_snippet().to_string();
        StructureError::Syntax(crate::model::path::printable(&text))
    })?;
    file.tests()
}

impl File {
    fn tests(self) -> Result<Vec<Test>, StructureError> {
        if self.schema_version != "2.0.0" {
            let shown = self.schema_version.chars().take(20).collect();
            return Err(StructureError::Version(shown));
        }
        if !self.license_tests.is_empty() {
            let text = "it has licenseTests, which compare with a list of licenses that one company allows and are not \
                        run here; write fileContentTests for the copyright files that matter";
            return Err(StructureError::Unsupported(text.to_owned()));
        }
        let user = self.container_run_options.map(RunOptions::user).transpose()?.flatten();
        let count =
            self.command_tests.len() + self.file_existence_tests.len() + self.file_content_tests.len();
        if count > TESTS_MAX {
            return Err(StructureError::Unsupported(format!("it has {count} tests; {TESTS_MAX} may be")));
        }
        let globals = variables("globalEnvVars", &self.global_env_vars)?;
        let mut tests = Vec::new();
        for test in self.command_tests {
            tests.push(test.test(user.as_deref(), &globals)?);
        }
        for test in self.file_existence_tests {
            tests.push(test.test(&globals)?);
        }
        for test in self.file_content_tests {
            tests.push(test.test(&globals)?);
        }
        if let Some(test) = self.metadata_test {
            tests.push(test.test()?);
        }
        Ok(tests)
    }
}

impl RunOptions {
    /// As whom commands run; what would open the cage is refused.
    fn user(self) -> Result<Option<String>, StructureError> {
        let asked = [
            ("privileged", self.privileged),
            ("allocateTty", self.allocate_tty),
            ("envFile", !self.env_file.is_empty()),
            ("envVars", !self.env_vars.is_empty()),
            ("capabilities", !self.capabilities.is_empty()),
            ("bindMounts", !self.bind_mounts.is_empty()),
        ];
        if let Some((name, _)) = asked.into_iter().find(|(_, asked)| *asked) {
            return Err(StructureError::Unsupported(format!(
                "it asks for containerRunOptions.{name}; a test here runs in the cage of a build, which gives nobody \
                 rights, files, variables or a terminal of this machine"
            )));
        }
        Ok(Some(self.user).filter(|user| !user.is_empty()))
    }
}

/// Who says no.
fn refuse(test: &str, why: impl Into<String>) -> StructureError {
    StructureError::Test { test: crate::model::path::printable(test), why: why.into() }
}

fn named(kind: &str, name: &str) -> Result<String, StructureError> {
    if name.trim().is_empty() || name.chars().any(char::is_control) || name.len() > TEST_NAME_SIZE_BYTES_MAX {
        let why = format!("a test needs a name of one line, of at most {TEST_NAME_SIZE_BYTES_MAX} bytes");
        return Err(refuse(kind, why));
    }
    Ok(format!("{kind}: {name}"))
}

fn path(test: &str, path: &str) -> Result<String, StructureError> {
    if path.is_empty() || path.contains('\0') || path.len() > PATH_SIZE_BYTES_MAX {
        return Err(refuse(test, "its path is none"));
    }
    Ok(path.to_owned())
}

fn variables(test: &str, variables: &[Variable]) -> Result<Vec<(String, String)>, StructureError> {
    let read = |variable: &Variable| {
        let Variable { key, value, .. } = variable;
        if key.is_empty() || key.contains(['=', '\0']) || value.contains('\0') {
            return Err(refuse(test, format!("`{}` is not the name of a variable", key.escape_debug())));
        }
        Ok((key.clone(), value.clone()))
    };
    variables.iter().map(read).collect()
}

fn patterns(test: &str, texts: &[String]) -> Result<Vec<Pattern>, StructureError> {
    let read = |text: &String| {
        Pattern::new(text).map_err(|why| refuse(test, format!("`{text}` is no regular expression: {why}")))
    };
    texts.iter().map(read).collect()
}

impl CommandTest {
    fn test(self, user: Option<&str>, globals: &[(String, String)]) -> Result<Test, StructureError> {
        let name = named("Command Test", &self.name)?;
        let command: Vec<String> = [self.command].into_iter().chain(self.args).collect();
        for words in self.setup.iter().chain(&self.teardown).chain([&command]) {
            if words.first().is_none_or(String::is_empty) {
                return Err(refuse(&name, "one of its commands is empty"));
            }
            if words.iter().any(|word| word.contains('\0')) {
                return Err(refuse(&name, "one of its commands holds a NUL"));
            }
        }
        let run = Run {
            before: self.setup,
            command,
            after: self.teardown,
            user: user.map(str::to_owned),
            workdir: None,
            env: variables(&name, &self.env_vars)?,
            timeout_s: TEST_TIMEOUT_S,
            memory_bytes: None,
        };
        let expect = Expectations {
            exit: Some(self.exit_code),
            stdout: patterns(&name, &self.expected_output)?,
            stdout_not: patterns(&name, &self.excluded_output)?,
            stderr: patterns(&name, &self.expected_error)?,
            stderr_not: patterns(&name, &self.excluded_error)?,
            ..Expectations::default()
        };
        Ok(Test { name, run: Some(run), expect, expands: Some(globals.to_vec()) })
    }
}

fn of_file(name: String, file: FileExpectation, globals: &[(String, String)]) -> Test {
    let expect = Expectations { files: vec![file], ..Expectations::default() };
    Test { name, run: None, expect, expands: Some(globals.to_vec()) }
}

impl ExistenceTest {
    fn test(self, globals: &[(String, String)]) -> Result<Test, StructureError> {
        let name = named("File Existence Test", &self.name)?;
        // -1 is container-structure-test's own way to say that it does not matter.
        let id = |id: Option<i64>| match id {
            None | Some(-1) => Ok(None),
            Some(id) => u32::try_from(id).map(Some).map_err(|_| refuse(&name, format!("{id} is no id"))),
        };
        let executable_by = match self.is_executable_by.as_str() {
            "" => None,
            "owner" => Some(Who::Owner),
            "group" => Some(Who::Group),
            "other" => Some(Who::Other),
            "any" => Some(Who::Any),
            _ => return Err(refuse(&name, "isExecutableBy is owner, group, other or any")),
        };
        let file = FileExpectation {
            path: path(&name, &self.path)?,
            own: true,
            absent: !self.should_exist,
            permissions: Some(self.permissions).filter(|text| !text.is_empty()),
            uid: id(self.uid)?,
            gid: id(self.gid)?,
            executable_by,
            ..FileExpectation::default()
        };
        Ok(of_file(name, file, globals))
    }
}

impl ContentTest {
    fn test(self, globals: &[(String, String)]) -> Result<Test, StructureError> {
        let name = named("File Content Test", &self.name)?;
        let mut contains = patterns(&name, &self.expected_contents)?;
        let contains_not = patterns(&name, &self.excluded_contents)?;
        if contains.is_empty() && contains_not.is_empty() {
            // That it is a file is asked all the same.
            contains.push(Pattern::new("").map_err(|why| refuse(&name, why))?);
        }
        let file = FileExpectation {
            path: path(&name, &self.path)?,
            contains,
            contains_not,
            ..FileExpectation::default()
        };
        Ok(of_file(name, file, globals))
    }
}

impl MetadataTest {
    fn test(self) -> Result<Test, StructureError> {
        let name = "Metadata Test".to_owned();
        let wanted = |variable: &Variable| {
            let value = if variable.is_regex {
                patterns(&name, std::slice::from_ref(&variable.value))?.pop().map(Wanted::Pattern)
            } else {
                Some(Wanted::Text(variable.value.clone()))
            };
            match value.filter(|_| !variable.key.is_empty()) {
                Some(value) => Ok((variable.key.clone(), value)),
                None => Err(refuse(&name, "a variable or label without a key")),
            }
        };
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let config = ConfigExpectation {
            user: some(self.user),
            workdir: some(self.workdir),
            entrypoint: self.entrypoint,
            cmd: self.cmd,
            env: self.env_vars.iter().map(wanted).collect::<Result<_, _>>()?,
            env_not: self.unbound_env_vars.into_iter().map(|variable| variable.key).collect(),
            labels: self.labels.iter().map(wanted).collect::<Result<_, _>>()?,
            ports: self.exposed_ports,
            ports_not: self.unexposed_ports,
            volumes: self.volumes,
            volumes_not: self.unmounted_volumes,
        };
        let expect = Expectations { config: Some(config), ..Expectations::default() };
        Ok(Test { name, run: None, expect, expands: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENTED: &str = include_str!("../../../fixtures/structure/documented.yaml");

    #[test]
    fn what_is_documented_is_read() {
        let tests = structure(DOCUMENTED).unwrap();
        let kinds = ["Command Test: ", "File Existence Test: ", "File Content Test: ", "Metadata Test"];
        for kind in kinds {
            assert!(tests.iter().any(|test| test.name.starts_with(kind)), "{kind}");
        }
        assert!(tests.iter().any(|test| test.run.as_ref().is_some_and(|run| !run.before.is_empty())));
    }

    #[test]
    fn json_is_read_too() {
        let tests = structure(
            r#"{"schemaVersion": "2.0.0", "commandTests": [{"name": "a", "command": "echo", "args": ["$A"], "exitCode": 2,
                "envVars": [{"key": "A", "value": "$PATH:x"}]}], "globalEnvVars": [{"key": "B", "value": "b"}]}"#,
        )
        .unwrap();
        let env = [("PATH".to_owned(), "/bin".to_owned())].into();
        let test = tests[0].expanded(&env);
        let run = test.run.unwrap();
        assert_eq!((run.command, test.expect.exit), (vec!["echo".to_owned(), "/bin:x".to_owned()], Some(2)));
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(run.env, [pair("B", "b"), pair("A", "/bin:x")]);
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        let head = "schemaVersion: 2.0.0\n";
        for (text, expected) in [
            ("commandTests: []", "schemaVersion"),
            ("schemaVersion: 1.0.0", "2.0.0 is known"),
            ("schemaVersion: 2.0.0\nschemaVersion: 2.0.0", "duplicate"),
            ("schemaVersion: 2.0.0\nlicenseTests:\n- debian: true", "licenseTests"),
            ("schemaVersion: 2.0.0\ncontainerRunOptions: {privileged: true}", "privileged"),
            ("schemaVersion: 2.0.0\ncontainerRunOptions: {bindMounts: [/:/host]}", "bindMounts"),
            ("schemaVersion: 2.0.0\ncommandTest: []", "commandTest"),
            ("schemaVersion: 2.0.0\ncommandTests: [{name: a}]", "command"),
            ("schemaVersion: 2.0.0\ncommandTests: [{name: a, command: x, setup: [[]]}]", "empty"),
            ("schemaVersion: 2.0.0\ncommandTests: [{name: '', command: x}]", "name"),
            (
                "schemaVersion: 2.0.0\ncommandTests: [{name: a, command: x, expectedOutput: ['(']}]",
                "no regular",
            ),
            ("schemaVersion: 2.0.0\nfileExistenceTests: [{name: a, path: /, uid: -7}]", "no id"),
            (
                "schemaVersion: 2.0.0\nfileExistenceTests: [{name: a, path: /, isExecutableBy: me}]",
                "owner, group",
            ),
            ("schemaVersion: 2.0.0\nfileExistenceTests: [{name: a, path: ''}]", "path"),
            ("- 1", ""),
            ("schemaVersion: 2.0.0\n---\nschemaVersion: 2.0.0", ""),
        ] {
            let error = structure(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let deep = format!("{head}globalEnvVars: {}{}", "[".repeat(200), "]".repeat(200));
        assert!(structure(&deep).is_err());
        let bomb = format!(
            "{head}commandTests:\n- &a {{name: a, command: x}}\n{}",
            "- *a\n".repeat(TEST_FILE_ALIASES_MAX + 1)
        );
        assert!(structure(&bomb).is_err());
        assert!(matches!(structure(&" ".repeat(2 << 20)), Err(StructureError::Size(_))));
    }
}
