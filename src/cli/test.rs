//! `reprov test`.

use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    time::Instant,
};

use super::{
    Context,
    failure::{Exit, Failure},
    global::image_name,
    ledger::{Places, note, opened},
    report,
    sign::SignArgs,
};
use crate::{
    entry::Entry,
    job::{
        Ports,
        bases::{Base, BaseError},
        builder::{Builder, BuilderError},
        evidence::Trust,
        test::{self, Given, Outcome, SourceOfTests, Suite, TestError, Tested},
    },
    ledger::Place,
    model::{
        limits::{TEST_FILE_SIZE_BYTES_MAX, TEST_FILES_MAX, read_bounded},
        names,
    },
    recipe::Buildroot,
    report::test as view,
    signing,
};

/// Arguments of `test`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The image, by tag or digest
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The tests: a recipe (its [[test]]s) if it ends in .toml, else a file of container-structure-test's in YAML or JSON
    /// (repeat for several); --config behind `test` means the same, and reprov's own stands before `test`
    /// [default: the recipe's at the commit that the image was built from]
    #[arg(long, value_name = "FILE", env = "REPROV_TEST_TESTS", value_delimiter = '\n')]
    tests: Vec<PathBuf>,
    /// Without --tests: whose provenance to believe of which commit it was built (repeat for several)
    #[arg(
        long,
        value_name = "KEY.pub",
        required_unless_present_any = ["insecure_skip_verify", "tests"],
        env = "REPROV_TEST_TRUST",
        value_delimiter = '\n'
    )]
    trust: Vec<PathBuf>,
    /// Believe anybody's provenance, signed or not
    #[arg(long, conflicts_with_all = ["trust", "tests"])]
    insecure_skip_verify: bool,
    /// Without --tests: where the source is, if not where the provenance says
    #[arg(long, value_name = "DIR|URL", conflicts_with = "tests", env = "REPROV_TEST_SOURCE")]
    source: Option<String>,
    /// Which manifest of a multi-platform image
    #[arg(long, default_value = "linux/amd64", env = "REPROV_TEST_PLATFORM")]
    platform: String,
    /// What runs the tests: an image that holds buildah and runc, or the machine's own
    #[arg(long, value_name = "IMAGE@DIGEST|host", default_value = "host", env = "REPROV_TEST_BUILDROOT")]
    buildroot: Buildroot,
    /// Write the answer to this file too; its ending says how: .xml (for those who show tests), .json, .txt
    #[arg(long, value_name = "FILE", value_parser = parse_report, env = "REPROV_TEST_REPORT", value_delimiter = '\n')]
    report: Vec<PathBuf>,
    #[command(flatten)]
    sign: SignArgs,
    /// tester.id in the signed result
    #[arg(long, value_name = "URI", default_value = names::BUILDER_LOCAL, env = "REPROV_TEST_TESTER_ID")]
    tester_id: String,
    /// Note the result in this ledger too: a file, or `postgres://USER@HOST/DATABASE`
    #[arg(long, value_name = "PATH|URL", value_parser = Places, env = "REPROV_LEDGER", hide_env_values = true)]
    ledger: Option<Place>,
}

/// `--config` behind `test` becomes `--tests`: there it is container-structure-test's flag, and everywhere else reprov's own.
/// `valued` tells the flags before a command that take a value of their own.
pub(super) fn own_config(mut args: Vec<OsString>, valued: impl FnOnce() -> Vec<String>) -> Vec<OsString> {
    if args.iter().all(|word| word != "test") {
        return args;
    }
    let (mut at, valued) = (1, valued());
    while let Some(word) = args.get(at).and_then(|word| word.to_str()).filter(|word| word.starts_with('-')) {
        at += if valued.iter().any(|flag| flag == word) { 2 } else { 1 };
    }
    if args.get(at).is_none_or(|word| word != "test") {
        return args;
    }
    for word in args.iter_mut().skip(at + 1).take_while(|word| **word != "--") {
        let own = word.to_str().and_then(|word| word.strip_prefix("--config"));
        if let Some(rest) = own.filter(|rest| rest.is_empty() || rest.starts_with('=')) {
            *word = format!("--tests{rest}").into();
        }
    }
    args
}

/// Endings of reports.
const ENDINGS: [&str; 3] = ["xml", "json", "txt"];

fn ending(path: &Path) -> &str {
    path.extension().and_then(|ending| ending.to_str()).unwrap_or_default()
}

fn parse_report(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if !ENDINGS.contains(&ending(&path)) {
        return Err("the name of a report ends in one of .xml, .json, .txt".to_owned());
    }
    super::report::writable(&path)?;
    Ok(path)
}

impl From<TestError> for Failure {
    fn from(error: TestError) -> Self {
        match &error {
            TestError::Base(BaseError::Name(_) | BaseError::Ambiguous { .. }) => Self::usage(error),
            TestError::Builder(BuilderError::Untrusted { .. }) => Self::findings(error),
            _ => Self::unavailable(error),
        }
    }
}

impl Args {
    pub(super) async fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        match self.tried(context).await {
            Err(failure) if matches!(failure.exit, Exit::Findings | Exit::Unavailable) => {
                context.console.complain(&failure);
                let answer = view::Test::failed(self.image.clone(), failure.messages().join(": "));
                self.reports(&answer)?;
                context.console.answer(&answer, "");
                Ok(failure.exit)
            }
            tried => tried,
        }
    }

    async fn tried(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        let started = Instant::now();
        let name = image_name("", &self.image)?;
        let key = self.sign.signer()?;
        let given = self.given()?;
        let trust = if self.insecure_skip_verify {
            context
                .console
                .warn("--insecure-skip-verify: provenance is believed without looking who signed it");
            Trust::AnyoneUnsafe
        } else {
            Trust::Keys(signing::load_trust(&self.trust).map_err(Failure::usage)?)
        };
        let ports = context.ports(context.console.job("test"))?;
        let base = test::image(&ports, &name, &self.platform).await?;
        let suite = match given {
            Some(suite) => suite,
            None => self.recorded(context, &ports, &base, &trust).await?,
        };
        let builder = Builder::of(&ports, &self.buildroot, None).await.map_err(TestError::from)?;
        // A ledger that cannot be used is known before there is something to note.
        let ledger = opened(self.ledger.as_ref()).await?;
        let mut outcome = test::test(&ports, &base, &suite, &builder.tools).await?;
        let mut error = None;
        if let Some(key) = &key
            && let Err(unattached) = outcome.attach(&ports, &base, &self.tester_id, key).await
        {
            let failure = Failure::from(unattached);
            context.console.complain(&failure);
            error = Some(format!("the result is not attached: {}", failure.messages().join(": ")));
        }
        let exit = if outcome.passed() { Exit::Ok } else { Exit::Findings };
        let exit = if error.is_some() { exit.worse(Exit::Unavailable) } else { exit };
        let answer = view::Test {
            schema: "reprov.test/v1",
            image: base.name.to_string(),
            manifest: Some(base.manifest.digest),
            results: results(&outcome),
            error,
            seconds: tenths(started.elapsed().as_secs_f64()),
        };
        self.reports(&answer)?;
        context.console.answer(&answer, &answer.text());
        let entry = outcome.entry(&base, &self.tester_id, key.as_ref());
        let entry = entry.map(|entry| Entry { tag: name.selector.tag.clone(), ..entry });
        Ok(exit.worse(note(context, ledger, entry).await))
    }

    /// The tests of the files that are given, if any is.
    fn given(&self) -> Result<Option<Suite>, Failure> {
        if self.tests.is_empty() {
            return Ok(None);
        }
        if self.tests.len() > TEST_FILES_MAX {
            return Err(Failure::usage_text(format!("--tests: {TEST_FILES_MAX} files may be given at once")));
        }
        let mut suite = Suite::default();
        for path in &self.tests {
            let hint = |failure: Failure| failure.hint(format!("--tests {}", path.display()));
            let failed = |error: std::io::Error| hint(Failure::usage(error));
            let file = File::open(path).map_err(failed)?;
            let bytes = read_bounded(file, TEST_FILE_SIZE_BYTES_MAX, "file of tests").map_err(failed)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let read: Result<Suite, Given> = test::given(&name, &bytes);
            let read = read.map_err(|error| hint(Failure::usage(error)))?;
            suite.tests.extend(read.tests);
            suite.configuration.extend(read.configuration);
        }
        Ok(Some(suite))
    }

    /// The recipe's at the image's commit.
    async fn recorded(
        &self,
        context: &Context<'_>,
        ports: &Ports,
        base: &Base,
        trust: &Trust,
    ) -> Result<Suite, Failure> {
        let env = context.global.git_environment()?;
        match test::of_recipe(ports, base, trust, self.source.as_deref(), &env).await? {
            SourceOfTests::Suite(suite) => Ok(suite),
            SourceOfTests::Unverifiable(why) => Err(Failure::findings(format!(
                "nobody who is trusted says which commit it was built of: {why}"
            ))),
            SourceOfTests::Missing(why) => {
                Err(Failure::unavailable(format!("the recipe with the tests cannot be had: {why}")))
            }
            SourceOfTests::None(why) => {
                let hint = "write [[test]] in reprov.toml, or give a file of tests with --tests";
                Err(Failure::usage_text(format!("there is nothing to test it by: {why}"))
                    .hint(hint.to_owned()))
            }
        }
    }

    fn reports(&self, answer: &view::Test) -> Result<(), Failure> {
        for path in &self.report {
            let text = match ending(path) {
                "xml" => answer.junit(),
                "json" => serde_json::to_string_pretty(answer).map_err(Failure::internal)? + "\n",
                _ => answer.text(),
            };
            report::file("--report", path, &text)?;
        }
        Ok(())
    }
}

/// What came of tests, for an answer.
pub(super) fn results(outcome: &Outcome) -> view::Results {
    let case = |test: &Tested| view::Case {
        name: test.name.clone(),
        passed: test.misses.is_empty(),
        misses: test.misses.iter().map(view::Miss::from).collect(),
        seconds: tenths(test.took.as_secs_f64()),
    };
    let configuration = outcome.configuration.iter().map(|file| view::Configuration {
        name: file.name.clone(),
        uri: Some(file.uri.clone()).filter(|uri| !uri.is_empty()),
        digest: file.sha256(),
    });
    view::Results {
        result: Some(if outcome.passed() { "passed" } else { "failed" }),
        configuration: configuration.collect(),
        tests: outcome.tests.iter().map(case).collect(),
        attestation: outcome.attestation,
    }
}

fn tenths(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_is_the_tests_behind_test_alone() {
        let check = |given: &str, expected: &str| {
            let words = given.split(' ').map(OsString::from).collect();
            let valued = ["--config", "--format"].map(str::to_owned);
            let found = own_config(words, || valued.into()).join(std::ffi::OsStr::new(" "));
            assert_eq!(found, expected);
        };
        check("reprov test x --config a.yaml", "reprov test x --tests a.yaml");
        check(
            "reprov --config r --format json -q test --config=a",
            "reprov --config r --format json -q test --tests=a",
        );
        check("reprov --config test build --config a", "reprov --config test build --config a");
        check("reprov build test --config a", "reprov build test --config a");
        check("reprov test x --configure --trust k", "reprov test x --configure --trust k");
        check("reprov", "reprov");
    }
}
