//! What was reached where, held against `docs/sandbox.md`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use crate::support::must;

/// The runs in the order of the table's columns.
const RUNS: [&str; 4] = ["root-host", "user-host", "root-image", "user-image"];
const TITLES: [(&str, &str); 4] = [
    ("network", "The network, around the gateway"),
    ("gateway", "The network, through the gateway"),
    ("host", "Files, devices, processes, and what processes share"),
    ("kernel", "The machine and its kernel"),
];
/// Set, the document is written instead of compared.
const WRITE: &str = "REPROV_WRITE_SANDBOX";
const UNTRIED: &str = "not tried";

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Reached,
    Refused,
    NotThere,
}

impl Outcome {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Reached, "reached"), (Self::Refused, "refused"), (Self::NotThere, "not there")];

    fn word(self) -> &'static str {
        Self::ALL.into_iter().find(|(outcome, _)| *outcome == self).unwrap().1
    }
}

/// A line of the program.
#[derive(Debug, Clone)]
pub(super) struct Row {
    group: String,
    name: String,
    what: String,
    pub(super) outcome: Outcome,
    detail: String,
}

impl Row {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn read(line: &str) -> Option<Self> {
        let [group, name, what, outcome, detail] =
            line.splitn(5, '\t').collect::<Vec<_>>().try_into().ok()?;
        let outcome = Outcome::ALL.into_iter().find(|(_, word)| *word == outcome)?.0;
        let [group, name, what, detail] = [group, name, what, detail].map(str::to_owned);
        Some(Self { group, name, what, outcome, detail })
    }
}

/// All users and modes.
#[derive(Debug, Default)]
pub(super) struct Settings(Mutex<Found>);

#[derive(Debug, Default)]
struct Found {
    rows: Vec<Row>,
    controlled: BTreeSet<String>,
    cells: BTreeMap<(String, String), &'static str>,
}

impl Settings {
    /// Takes what was reached outside.
    pub(super) fn controlled(&self, rows: &[Row]) {
        let mut found = self.0.lock().unwrap();
        for row in rows.iter().filter(|row| row.outcome == Outcome::Reached) {
            found.controlled.insert(row.name.clone());
        }
        for row in rows.iter().filter(|row| row.outcome != Outcome::Reached) {
            println!("control: {}: {} {}", row.name, row.outcome.word(), row.detail);
        }
        if found.rows.is_empty() {
            found.rows = rows.to_vec();
        }
    }

    /// Takes what came of it in a build; the first that tried in a run (its root) fills the cell.
    pub(super) fn tried(&self, run: &str, rows: &[Row]) {
        let mut found = self.0.lock().unwrap();
        for row in rows {
            found.cells.entry((row.name.clone(), run.to_owned())).or_insert(row.outcome.word());
        }
    }

    /// An attempt that fails outside too shows nothing inside.
    #[track_caller]
    pub(super) fn all_controlled_but(&self, lacking: &[&str]) {
        let found = self.0.lock().unwrap();
        let without = found.rows.iter().filter(|row| !found.controlled.contains(&row.name));
        let wrong: Vec<_> = without.filter(|row| !lacking.contains(&&*row.name)).collect();
        assert!(wrong.is_empty(), "not reached outside either, so nothing is shown: {wrong:#?}");
        for name in lacking {
            assert!(found.rows.iter().any(|row| row.name == *name), "no attempt is called {name}");
        }
    }

    /// Compares with the committed table, or writes it. A setting that was not run here, and a row that this machine's
    /// kernel could not control, are taken from there.
    #[track_caller]
    pub(super) fn agree_with_the_document(&self) {
        let found = self.0.lock().unwrap();
        let document = fs::read_to_string(path()).unwrap();
        let write = std::env::var_os(WRITE).is_some();
        let mut text = String::new();
        for (group, title) in TITLES {
            text.push_str(&format!(
                "\n### {title}\n\n| attempt | root, host's programs | user, host's programs | root, buildroot image | user, buildroot image |\n|---|---|---|---|---|\n"
            ));
            for row in found.rows.iter().filter(|row| row.group == group) {
                let known = document.lines().find(|line| line.starts_with(&format!("| {} |", row.what)));
                let known: Vec<_> = known.map(|line| line.split(" | ").skip(1).collect()).unwrap_or_default();
                let tried = found.controlled.contains(&row.name) && (write || known != [UNTRIED; 4]);
                let cells = RUNS.iter().enumerate().map(|(column, run)| {
                    let here = found.cells.get(&(row.name.clone(), (*run).to_owned())).filter(|_| tried);
                    let there = known.get(column).map(|cell| cell.trim_end_matches(" |"));
                    here.copied().or(there).unwrap_or(UNTRIED).to_owned()
                });
                text.push_str(&format!("| {} | {} |\n", row.what, cells.collect::<Vec<_>>().join(" | ")));
            }
        }
        text.push_str(&elsewhere());
        let (head, rest) = document.split_once(BEGIN).unwrap();
        let (_, tail) = rest.split_once(END).unwrap();
        let made = format!("{head}{BEGIN}\n{text}\n{END}{tail}");
        if write {
            fs::write(path(), made).unwrap();
        } else {
            for (ours, theirs) in made.lines().zip(document.lines()) {
                assert_eq!(ours, theirs, "docs/sandbox.md is out of date; {WRITE}=1 writes it");
            }
            assert_eq!(made.len(), document.len());
        }
    }
}

const BEGIN: &str = "<!-- what follows is made by the test: REPROV_WRITE_SANDBOX=1 cargo test --test it -- hostile::sandbox -->";
const END: &str = "<!-- end of what is made -->";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn path() -> PathBuf {
    root().join("docs/sandbox.md")
}

/// The attempt, what shows that it would succeed otherwise, the test.
type Elsewhere = (&'static str, &'static str, &'static str);

/// What has tests of its own, by titles.
const ELSEWHERE: &[(&str, &[Elsewhere])] = &[
    (
        "What would use up the machine",
        &[
            ("memory of processes", "found beyond the limit", "hostile::limits::a_step_that_takes_memory"),
            (
                "memory in a tmpfs and in /dev/shm",
                "found beyond the limit",
                "hostile::limits::a_step_that_takes_memory_that_no_process_has",
            ),
            ("a fork bomb", "found beyond the limit", "hostile::limits::a_step_that_forks_without_end"),
            ("the disk", "found beyond the limit", "hostile::limits::a_step_that_fills_the_disk"),
            (
                "the disk, by a file without a name",
                "found beyond the limit",
                "hostile::limits::a_step_that_fills_the_disk_with_a_file_without_a_name",
            ),
            (
                "empty files without end",
                "found beyond the limit",
                "hostile::limits::a_step_that_makes_files_without_end",
            ),
            (
                "downloads without end, one or many",
                "found beyond the limit",
                "hostile::limits::a_step_that_fetches_without_end",
            ),
            (
                "time, deaf to signals",
                "found beyond the limit",
                "hostile::limits::a_step_that_ignores_signals_and_its_time",
            ),
            (
                "a disk that is full already",
                "the same build on a disk with room",
                "hostile::full::a_disk_that_is_full_at_once_or_while_the_base_or_a_step_is_written",
            ),
            ("the log", "lines beyond the limit", "job::log::a_full_log_says_so_and_keeps_no_more"),
            (
                "everything of the image, deleted",
                "the layer says so; the next build finds its base whole",
                "hostile::limits::a_step_that_deletes_everything",
            ),
            (
                "daemons that outlive their step",
                "they run when it ends",
                "hostile::limits::a_step_that_leaves_daemons",
            ),
        ],
    ),
    (
        "Contexts, base images and layers",
        &[
            (
                "a mount of a step through a link or `..`",
                "the same mount without it",
                "buildroot::shim::runtime::a_mount_does_not_lead_out_of_what_it_names",
            ),
            (
                "links of context and stages to a file of the host, copied, bound and written through",
                "read through outside",
                "hostile::contexts::links_lead_to_nothing_of_the_host",
            ),
            (
                "links, pipes, sockets and devices beside the source",
                "they are there",
                "hostile::contexts::what_git_does_not_have_never_comes_along",
            ),
            (
                "a file that becomes a pipe",
                "it is one",
                "hostile::contexts::a_file_that_became_a_pipe_is_refused",
            ),
            (
                "owners that no build has",
                "the last id that one has",
                "hostile::contexts::a_base_with_ids_that_no_buildroot_has_is_named",
            ),
            (
                "a layer with paths that lead out",
                "the same paths without `..`",
                "layer::read_tests::refuses_hostile_paths",
            ),
            (
                "a layer that can be read in two ways",
                "the reader's other tests",
                "layer::read_tests::refuses_what_can_be_read_two_ways",
            ),
            (
                "a root file system that would unpack to something else",
                "one that would not",
                "layer::root_tests::refuses_hostile_archives",
            ),
            (
                "a buildroot image that unpacks through links, upwards, onto others' files",
                "the link is followed within",
                "hostile::buildroot::nothing_is_written_outside",
            ),
            (
                "a buildroot image whose engine leaves links for what is written next",
                "it leaves them",
                "hostile::buildroot::links_that_an_engine_leaves_are_not_followed",
            ),
        ],
    ),
    (
        "A package mirror",
        &[
            (
                "a header with control bytes",
                "the same answer without",
                "gateway::tests::faults::a_header_with_control_bytes_is_no_answer",
            ),
            (
                "a header after a bare line feed",
                "the others are kept",
                "gateway::tests::faults::a_bare_line_feed_starts_a_header_that_is_not_kept",
            ),
            ("a huge header", "an ordinary one", "gateway::tests::faults::a_huge_header_is_refused"),
            ("thousands of headers", "a few", "gateway::tests::faults::thousands_of_headers_are_refused"),
            (
                "a body without end",
                "found beyond the limit",
                "hostile::limits::a_step_that_fetches_without_end",
            ),
            (
                "a body a byte at a time",
                "it is asked, and sends",
                "hostile::limits::a_mirror_that_sends_a_byte_at_a_time",
            ),
            (
                "lengths that contradict each other",
                "one length",
                "gateway::tests::faults::lengths_that_contradict_each_other_are_no_answer",
            ),
            (
                "bytes after the end",
                "none",
                "gateway::tests::faults::bytes_after_the_promised_end_belong_to_nobody",
            ),
            ("half a body", "it comes", "hostile::mirror::half_a_file_fails_the_build"),
            (
                "chunks of nonsense",
                "chunks that are none",
                "gateway::tests::faults::a_chunk_of_nonsense_breaks_the_answer",
            ),
        ],
    ),
];

fn elsewhere() -> String {
    let mut text = String::new();
    for (title, rows) in ELSEWHERE {
        text.push_str(&format!(
            "\n### {title}\n\n| attempt | that it would succeed | test |\n|---|---|---|\n"
        ));
        for (what, control, test) in *rows {
            text.push_str(&format!("| {what} | {control} | `{test}` |\n"));
        }
    }
    text
}

/// Each test that is named is a function of the file that its path names.
pub(super) fn names_exist() {
    let text = must(
        std::process::Command::new("grep")
            .args(["-rn", "--include=*.rs", "-A3", "#\\[.*test", "src", "tests"])
            .current_dir(root()),
    );
    for (_, _, test) in ELSEWHERE.iter().flat_map(|(_, rows)| *rows) {
        let (module, name) = test.rsplit_once("::").unwrap();
        let module = module.rsplit("::").next().unwrap();
        let files = [format!("{module}.rs"), format!("{module}_tests.rs")];
        let there = |line: &str| {
            files.iter().any(|file| line.contains(file)) && line.contains(&format!("fn {name}("))
        };
        assert!(text.lines().any(there), "no test is called {test}");
    }
}
