//! Runs a program and takes its time, that of its children included, and its own peak memory.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Timed runs of each kind.
pub(crate) const ROUNDS: usize = 3;

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall_s: f64,
    /// User and system, children included.
    pub(crate) cpu_s: f64,
    /// From the start to the engine's first step, if it said so.
    pub(crate) first_step_s: Option<f64>,
    /// Peak resident memory of the program itself.
    pub(crate) peak_mib: f64,
}

/// Runs `words`, which must succeed.
pub(crate) fn run(words: &[&str]) -> Cost {
    // The last line of standard error is bash's: wall, user and system seconds.
    let script = r#"TIMEFORMAT="%R %U %S"; time "$@" >&2"#;
    let mut command = Command::new("bash");
    command.args(["-c", script, "run"]).args(words).stdin(Stdio::null()).stderr(Stdio::piped());
    let start = Instant::now();
    let mut child = command.spawn().unwrap();
    let watch = Watch::start(child.id());
    let (mut lines, mut first_step_s) = (Vec::new(), None);
    for line in BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok) {
        if first_step_s.is_none() && line.contains("step 1/") {
            first_step_s = Some(start.elapsed().as_secs_f64());
        }
        lines.push(line);
    }
    assert!(child.wait().unwrap().success(), "{words:?}\n{}", lines.join("\n"));
    let times = lines.last().unwrap().split(' ').map(|word| word.parse::<f64>().unwrap()).collect::<Vec<_>>();
    Cost { wall_s: times[0], cpu_s: times[1] + times[2], first_step_s, peak_mib: watch.peak_mib() }
}

/// Runs that [`steady`] counts, and those before them that it does not.
const STEADY: (usize, usize) = (30, 3);

/// What a short run of `words` takes when it is repeated: the median of the wall time, the mean of the CPU time, which
/// the kernel tells in hundredths of a second. Memory is not looked at.
pub(crate) fn steady(words: &[&str]) -> Cost {
    let (counted, before) = STEADY;
    for _ in 0..before {
        once(words);
    }
    let cpu_before_s = of_children_s();
    let wall_s = median((0..counted).map(|_| once(words)));
    let cpu_s = (of_children_s() - cpu_before_s) / f64::from(u32::try_from(counted).unwrap());
    Cost { wall_s, cpu_s, first_step_s: None, peak_mib: 0.0 }
}

/// Seconds of one run of `words`, which says nothing.
pub(crate) fn once(words: &[&str]) -> f64 {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    assert!(command.status().unwrap().success(), "{words:?}");
    start.elapsed().as_secs_f64()
}

/// CPU seconds of all children that ended, user and system (proc(5), `cutime` and `cstime`).
fn of_children_s() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(") ").unwrap().1.split(' ').skip(13).take(2);
    fields.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

/// Looks at the memory of the first child of a process until told to stop.
struct Watch {
    done: Arc<AtomicBool>,
    thread: thread::JoinHandle<u64>,
}

impl Watch {
    fn start(parent: u32) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let stop = done.clone();
        let thread = thread::spawn(move || {
            let mut peak_kib = 0;
            while !stop.load(Ordering::Relaxed) {
                let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
                let child = children.unwrap_or_default().split(' ').next().unwrap_or_default().to_owned();
                peak_kib = peak_kib.max(peak(&child));
                thread::sleep(Duration::from_millis(10));
            }
            peak_kib
        });
        Self { done, thread }
    }

    fn peak_mib(self) -> f64 {
        self.done.store(true, Ordering::Relaxed);
        mib(self.thread.join().unwrap())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// Peak resident memory of a process, in KiB; 0 if it is gone.
pub(crate) fn peak(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// The middle one.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Median of what `work` takes, in seconds.
pub(crate) fn timed(mut work: impl FnMut()) -> f64 {
    let time = |()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    median([(); ROUNDS].map(time))
}
