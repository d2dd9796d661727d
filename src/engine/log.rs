//! What the lines of the engine's output mean.

/// A line that says where the build stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogLine<'a> {
    /// `[1/2] STEP 3/5: RUN …`: the instruction about to run.
    Step {
        /// Stage, from 0.
        stage: usize,
        /// Step in the stage, from 1; `FROM` is 1.
        number: u32,
        /// Steps of the stage.
        count: u32,
        /// The instruction as the engine shows it.
        text: &'a str,
    },
    /// `--> 1f2e…`: the image of the step just ended (a prefix of its id).
    Committed(&'a str),
    /// Anything else: output of a step.
    Output(&'a str),
}

/// Reads one line of buildah's output.
#[must_use]
pub fn read_line(line: &str) -> LogLine<'_> {
    step(line).or_else(|| committed(line)).unwrap_or(LogLine::Output(line))
}

fn step(line: &str) -> Option<LogLine<'_>> {
    let (stage, rest) = match line.strip_prefix('[') {
        Some(rest) => {
            let (position, rest) = rest.split_once("] ")?;
            (position.split_once('/')?.0.parse::<usize>().ok()?.checked_sub(1)?, rest)
        }
        None => (0, line),
    };
    let (position, text) = rest.strip_prefix("STEP ")?.split_once(": ")?;
    let (number, count) = position.split_once('/')?;
    Some(LogLine::Step { stage, number: number.parse().ok()?, count: count.parse().ok()?, text })
}

fn committed(line: &str) -> Option<LogLine<'_>> {
    let id = line.strip_prefix("--> ")?;
    let hex = id.len() >= 11 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex.then_some(LogLine::Committed(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_buildah_prints() {
        assert_eq!(
            read_line("STEP 2/4: RUN a: b"),
            LogLine::Step { stage: 0, number: 2, count: 4, text: "RUN a: b" }
        );
        assert_eq!(
            read_line("[2/2] STEP 1/15: FROM one AS two"),
            LogLine::Step { stage: 1, number: 1, count: 15, text: "FROM one AS two" }
        );
        assert_eq!(read_line("--> 035a7dc4951"), LogLine::Committed("035a7dc4951"));
        assert_eq!(read_line("--> not an id"), LogLine::Output("--> not an id"));
        assert_eq!(read_line("STEP x/4: y"), LogLine::Output("STEP x/4: y"));
    }
}
