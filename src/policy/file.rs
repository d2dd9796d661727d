//! Text → [`Policy`].

use std::collections::BTreeSet;

use toml::Spanned;

use super::{
    Allowed, Bases, Closed, Parameters, Pattern, Policy, PolicyError, Promote, Promoted, Rebuild, Refused,
    RefusedInput, Repository, Rule, Sbom, Severity, Signer, Source, Summaries, Tests, Trust, Waiver,
    tables::{
        BasesTable, File, InputsTable, ParametersTable, PromoteTable, PromotedTable, RebuildTable,
        RefusedTable, RepositoryTable, RuleTable, SbomTable, SourceTable, SummariesTable, TestsTable, Text,
        TrustTable, WaiverTable,
    },
    when,
};
use crate::model::{
    Digest, Verdict,
    limits::POLICY_SIZE_BYTES_MAX,
    names::{SLSA_PROVENANCE, SOURCE_LEVEL_MAX},
    nearest::distance,
    syntax::{Syntax, line_of, shown},
};

impl Policy {
    /// Reads `policy.toml`. `codes` are the codes that a rule or waiver may name.
    ///
    /// # Errors
    /// [`PolicyError`]: not TOML, a key or code nobody knows, a value that means nothing, nobody who may have built.
    pub fn parse(text: &str, codes: &[&str]) -> Result<Self, PolicyError> {
        let size_bytes = text.len() as u64;
        if size_bytes > POLICY_SIZE_BYTES_MAX {
            return Err(PolicyError::Size { size_bytes, max_bytes: POLICY_SIZE_BYTES_MAX });
        }
        let file: File = toml::from_str(text).map_err(|error| Syntax::of(text, &error))?;
        Reader { text, codes }.policy(file)
    }
}

/// The text, for lines of errors, and the codes there are.
struct Reader<'a> {
    text: &'a str,
    codes: &'a [&'a str],
}

impl Reader<'_> {
    fn policy(&self, file: File) -> Result<Policy, PolicyError> {
        let own_trust = !file.trust.is_empty() && file.trust.iter().all(|trust| trust.builders.is_some());
        let builders = match file.builders {
            Some(builders) if !builders.is_empty() => allowed(builders),
            _ if own_trust => Allowed::These(BTreeSet::new()),
            _ => return Err(PolicyError::NoBuilder),
        };
        let level = self.number("level", file.level, 0..=3)?.unwrap_or(1);
        let strict = match &file.external_parameters {
            None => false,
            Some(word) if word.get_ref() == "any" => false,
            Some(word) if word.get_ref() == "strict" => true,
            Some(word) => return Err(self.refuse("external-parameters", word, "write `strict` or `any`")),
        };
        let parameters = self.parameters(strict, file.parameters)?;
        let identity = file
            .trust
            .iter()
            .position(|trust| trust.identity.is_some() && trust.issuer.is_some() && trust.key.is_none());
        if let Some(at) = identity.filter(|_| file.trusted_root.is_none()) {
            return Err(PolicyError::NoTrustedRoot { number: at + 1 });
        }
        let trust = file.trust.into_iter().enumerate();
        Ok(Policy {
            name: file.name.unwrap_or_default(),
            uri: file.uri,
            digest: Some(Digest::of(self.text.as_bytes())),
            level: small(level),
            least_level: small(self.number("least-level", file.least_level, 0..=3)?.unwrap_or(0)),
            predicates: file
                .predicates
                .map_or_else(|| BTreeSet::from([SLSA_PROVENANCE.to_owned()]), BTreeSet::from_iter),
            max_age_s: self.span("max-age", file.max_age)?,
            trusted_root: file.trusted_root,
            trust: trust
                .map(|(index, table)| self.trust(index, table, &builders))
                .collect::<Result<_, _>>()?,
            builders,
            sources: self.patterns("sources", file.sources)?,
            refs: self.patterns("refs", file.refs)?,
            clean_source: file.clean_source.unwrap_or(false),
            source: file.source.map(|table| self.source(table)).transpose()?,
            build_types: file.build_types.map(BTreeSet::from_iter),
            parameters,
            depth: usize::try_from(self.number("depth", file.depth, 0..=16)?.unwrap_or(0))
                .unwrap_or_default(),
            bases: self.bases(file.bases)?,
            repositories: file.repository.map(|tables| self.repositories(tables)).transpose()?,
            refused: self.refused(file.inputs)?,
            hermetic: file.hermetic.unwrap_or(false),
            log: file.log.unwrap_or(false),
            evidence: file.evidence.unwrap_or(false),
            rebuild: file.rebuild.map(|table| self.rebuild(table)).transpose()?,
            sbom: file.sbom.map(|table| self.sbom(table)).transpose()?,
            tests: file.tests.map(|table| self.tests(table)).transpose()?,
            closed: self.closed(file.closed)?,
            promote: file.promote.map(|table| self.promote(table)).transpose()?,
            promoted: file.promoted.map(|table| self.promoted(table)).transpose()?,
            summaries: file.summaries.map(|table| self.summaries(table)).transpose()?,
            rules: file.rule.iter().map(|table| self.rule(table)).collect::<Result<_, _>>()?,
            waivers: self.waivers(file.waiver)?,
        })
    }

    fn refuse(&self, key: &'static str, value: &Text, reason: impl Into<String>) -> PolicyError {
        let line = line_of(self.text, value.span().start);
        PolicyError::Value { line, key, value: shown(value.get_ref()), reason: reason.into() }
    }

    fn number(
        &self,
        key: &'static str,
        value: Option<Spanned<i64>>,
        allowed: std::ops::RangeInclusive<i64>,
    ) -> Result<Option<i64>, PolicyError> {
        let Some(value) = value else { return Ok(None) };
        let number = *value.get_ref();
        if allowed.contains(&number) {
            return Ok(Some(number));
        }
        Err(PolicyError::Value {
            line: line_of(self.text, value.span().start),
            key,
            value: number.to_string(),
            reason: format!("write {} to {}", allowed.start(), allowed.end()),
        })
    }

    fn span(&self, key: &'static str, value: Option<Text>) -> Result<Option<i64>, PolicyError> {
        let read = |value: Text| {
            let refuse = || self.refuse(key, &value, "write a number with m, h, d or w: `30d`");
            when::span_s(value.get_ref()).ok_or_else(refuse)
        };
        value.map(read).transpose()
    }

    fn pattern(&self, key: &'static str, value: &Text) -> Result<Pattern, PolicyError> {
        Pattern::parse(value.get_ref()).map_err(|reason| self.refuse(key, value, reason))
    }

    fn patterns(
        &self,
        key: &'static str,
        values: Option<Vec<Text>>,
    ) -> Result<Option<Vec<Pattern>>, PolicyError> {
        let read = |values: Vec<Text>| values.iter().map(|value| self.pattern(key, value)).collect();
        values.map(read).transpose()
    }

    fn trust(&self, index: usize, table: TrustTable, builders: &Allowed) -> Result<Trust, PolicyError> {
        let signer = match (table.key, table.identity, table.issuer) {
            (Some(key), None, None) => Signer::Key(key),
            (None, Some(identity), Some(issuer)) => {
                let pattern = self.pattern("identity", &identity)?;
                if pattern.to_string().bytes().all(|byte| byte == b'*') {
                    return Err(self.refuse("identity", &identity, "anybody is nobody; name who may sign"));
                }
                Signer::Identity { identity: pattern, issuer }
            }
            _ => return Err(PolicyError::Signer { number: index + 1 }),
        };
        Ok(Trust {
            signer,
            builders: table.builders.map_or_else(|| builders.clone(), allowed),
            level: small(self.number("level", table.level, 0..=3)?.unwrap_or(1)),
            predicates: self.patterns("predicates", table.predicates)?,
            verifiers: table.verifiers,
            source_level: self
                .number("source-level", table.source_level, 0..=i64::from(SOURCE_LEVEL_MAX))?
                .map_or(SOURCE_LEVEL_MAX, small),
            rebuilders: table.rebuilders.map_or(Allowed::Any, allowed),
        })
    }

    fn source(&self, table: SourceTable) -> Result<Source, PolicyError> {
        Ok(Source {
            level: small(self.number("level", table.level, 1..=i64::from(SOURCE_LEVEL_MAX))?.unwrap_or(1)),
            max_age_s: self.span("max-age", table.max_age)?,
            refs: self.patterns("refs", table.refs)?,
        })
    }

    fn parameters(&self, strict: bool, table: Option<ParametersTable>) -> Result<Parameters, PolicyError> {
        let Some(table) = table else { return Ok(Parameters { strict, ..Parameters::default() }) };
        let expected = table.expected.into_iter();
        let expected = expected.map(|(name, value)| Ok((name, self.pattern("expected", &value)?)));
        Ok(Parameters { strict, known: table.known, expected: expected.collect::<Result<_, PolicyError>>()? })
    }

    fn bases(&self, table: Option<BasesTable>) -> Result<Bases, PolicyError> {
        let Some(table) = table else { return Ok(Bases::default()) };
        Ok(Bases {
            registries: self.patterns("registries", table.registries)?,
            pinned: table.pinned.unwrap_or(false),
            buildroot: table.buildroot.unwrap_or(false),
        })
    }

    fn repositories(&self, tables: Vec<RepositoryTable>) -> Result<Vec<Repository>, PolicyError> {
        let key = |value: &Text| {
            value.get_ref().parse::<Digest>().map_err(|error| self.refuse("keys", value, error.to_string()))
        };
        let read = |table: RepositoryTable| {
            let keys = table.keys.map(|keys| keys.iter().map(key).collect()).transpose()?;
            Ok(Repository { url: self.pattern("url", &table.url)?, keys })
        };
        tables.into_iter().map(read).collect()
    }

    fn refused(&self, table: Option<InputsTable>) -> Result<Vec<Refused>, PolicyError> {
        let read = |table: RefusedTable| {
            let what = match (&table.url, &table.package) {
                (Some(url), None) => RefusedInput::Url(self.pattern("url", url)?),
                (None, Some(package)) => self.package(package)?,
                _ => {
                    return Err(self.refuse(
                        "because",
                        &table.because,
                        "name either `url` or `package` with it",
                    ));
                }
            };
            Ok(Refused { what, because: table.because.into_inner() })
        };
        table.into_iter().flat_map(|table| table.refuse).map(read).collect()
    }

    fn package(&self, text: &Text) -> Result<RefusedInput, PolicyError> {
        let refuse = |reason| self.refuse("package", text, reason);
        // Scoped names begin with one.
        let (name, version) = match text.get_ref().char_indices().skip(1).filter(|(_, c)| *c == '@').last() {
            Some((at, _)) => (&text.get_ref()[..at], Some(&text.get_ref()[at + 1..])),
            None => (text.get_ref().as_str(), None),
        };
        let version = version.map(Pattern::parse).transpose().map_err(refuse)?;
        Ok(RefusedInput::Package { name: Pattern::parse(name).map_err(refuse)?, version })
    }

    fn rebuild(&self, table: RebuildTable) -> Result<Rebuild, PolicyError> {
        let verdict = |word: &Text| {
            let found = Verdict::ALL.into_iter().find(|verdict| verdict.name() == word.get_ref());
            found.ok_or_else(|| {
                let names = Verdict::ALL.map(Verdict::name).join(", ");
                self.refuse("verdicts", word, format!("write some of {names}"))
            })
        };
        let verdicts = table.verdicts.map(|words| words.iter().map(verdict).collect()).transpose()?;
        Ok(Rebuild {
            verdicts: verdicts.unwrap_or_else(|| vec![Verdict::Reproduced]),
            max_age_s: self.span("max-age", table.max_age)?,
            by: table.by,
            quorum: usize::try_from(self.number("quorum", table.quorum, 1..=100)?.unwrap_or(1)).unwrap_or(1),
        })
    }

    fn sbom(&self, table: SbomTable) -> Result<Sbom, PolicyError> {
        let packages = self.number("packages-min", table.packages_min, 0..=i64::from(i32::MAX))?.unwrap_or(1);
        Ok(Sbom {
            max_age_s: self.span("max-age", table.max_age)?,
            packages_min: usize::try_from(packages).unwrap_or(1),
        })
    }

    fn tests(&self, table: TestsTable) -> Result<Tests, PolicyError> {
        let max_age_s = self.span("max-age", table.max_age)?;
        Ok(Tests { max_age_s, strict: table.strict.unwrap_or(false), required: table.required })
    }

    fn promote(&self, table: PromoteTable) -> Result<Promote, PolicyError> {
        Ok(Promote {
            from: self.patterns("from", table.from)?,
            to: self.patterns("to", table.to)?,
            index: table.index.unwrap_or(false),
        })
    }

    fn promoted(&self, table: PromotedTable) -> Result<Promoted, PolicyError> {
        let to = table.to.iter().map(|value| self.pattern("to", value)).collect::<Result<_, _>>()?;
        Ok(Promoted { to, max_age_s: self.span("max-age", table.max_age)? })
    }

    fn summaries(&self, table: SummariesTable) -> Result<Summaries, PolicyError> {
        let max_age_s = self.span("max-age", Some(table.max_age))?.unwrap_or_default();
        let resource = table.resource.map(|value| self.pattern("resource", &value)).transpose()?;
        Ok(Summaries { max_age_s, resource })
    }

    fn closed(&self, values: Option<Vec<Text>>) -> Result<Vec<Closed>, PolicyError> {
        let read = |value: Text| {
            let text = value.get_ref().as_str();
            if let Some(day) = when::weekday(text) {
                return Ok(Closed::Weekday(day));
            }
            let (from, to) = text.split_once("..").unwrap_or((text, text));
            let days = when::first_s(from).zip(when::last_s(to)).filter(|(from, to)| from <= to);
            let refuse =
                || self.refuse("closed", &value, "write `sat`, `2026-12-24` or `2026-12-24..2027-01-01`");
            days.map(|(from_s, to_s)| Closed::Days { from_s, to_s }).ok_or_else(refuse)
        };
        values.into_iter().flatten().map(read).collect()
    }

    fn code(&self, value: &Text) -> Result<String, PolicyError> {
        let code = value.get_ref();
        if self.codes.contains(&code.as_str()) {
            return Ok(code.clone());
        }
        let nearest =
            self.codes.iter().min_by_key(|known| distance(known, code)).copied().unwrap_or_default();
        let reason = format!("no finding that a policy may change has this code; did you mean `{nearest}`?");
        Err(self.refuse("code", value, reason))
    }

    fn rule(&self, table: &RuleTable) -> Result<Rule, PolicyError> {
        let severity = |word: &Text| match word.get_ref().as_str() {
            "deny" => Ok(Severity::Deny),
            "warn" => Ok(Severity::Warn),
            "info" => Ok(Severity::Info),
            _ => Err(self.refuse("severity", word, "write `deny`, `warn` or `info`")),
        };
        let first = |value: &Text| self.first("effective-on", value);
        Ok(Rule {
            code: self.code(&table.code)?,
            severity: table.severity.as_ref().map(severity).transpose()?,
            effective_s: table.effective_on.as_ref().map(first).transpose()?,
        })
    }

    fn first(&self, key: &'static str, value: &Text) -> Result<i64, PolicyError> {
        let refuse =
            || self.refuse(key, value, "write a day (`2027-06-30`) or a time (`2027-06-30T12:00:00Z`)");
        when::first_s(value.get_ref()).ok_or_else(refuse)
    }

    fn waivers(&self, tables: Vec<WaiverTable>) -> Result<Vec<Waiver>, PolicyError> {
        tables.into_iter().enumerate().map(|(index, table)| self.waiver(index + 1, table)).collect()
    }

    fn waiver(&self, number: usize, table: WaiverTable) -> Result<Waiver, PolicyError> {
        let lacks = |key| PolicyError::Waiver { number, key };
        let said = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let code = table.code.ok_or(lacks("code"))?;
        let owner = said(table.owner).ok_or(lacks("owner"))?;
        let reason = said(table.reason).ok_or(lacks("reason"))?;
        let until = table.until.ok_or(lacks("until"))?;
        let refuse =
            || self.refuse("until", &until, "write a day (`2027-06-30`) or a time (`2027-06-30T12:00:00Z`)");
        Ok(Waiver {
            code: self.code(&code)?,
            image: table.image.map(|value| self.pattern("image", &value)).transpose()?,
            about: table.about,
            owner,
            reason,
            from_s: table.from.as_ref().map(|value| self.first("from", value)).transpose()?,
            until_s: when::last_s(until.get_ref()).ok_or_else(refuse)?,
            until: until.into_inner(),
        })
    }
}

fn allowed(names: Vec<String>) -> Allowed {
    if names.iter().any(|name| name == "*") {
        Allowed::Any
    } else {
        Allowed::These(names.into_iter().collect())
    }
}

/// A level that was held against its range.
fn small(number: i64) -> u8 {
    u8::try_from(number).unwrap_or_default()
}
