//! The one line of a failed program's last output that says why it failed.
//!
//! The error is rarely the last line, because Spark logs its own shutdown after it, and where the
//! status of the pod is all there is, at most 2 KiB, the beginning may be cut off.

use super::health::one_line;

/// Output of this length has lost its beginning: its first line may be half of one.
const CUT_OFF: usize = 2000;

/// The line, if there is one that says more than that something ended.
///
/// In this order: the error of the last Python traceback; the exception a JVM ended with and its
/// deepest cause; the last line that reads like an error and is neither a log record nor part of
/// a stack trace; the last record of an error. Any other last words of a job are its output, not
/// its reason.
pub fn of(output: &str) -> Option<String> {
    let mut lines: Vec<&str> = output.lines().map(str::trim_end).collect();
    if output.len() >= CUT_OFF && lines.len() > 1 {
        lines.remove(0);
    }
    python_error(&lines)
        .or_else(|| jvm_exception(&lines))
        .or_else(|| plain_error(&lines))
        .or_else(|| logged_error(&lines))
        .map(|line| one_line(&line))
        .filter(|line| !line.is_empty())
}

/// `ValueError: boom`, the first line after a traceback's frames.
fn python_error(lines: &[&str]) -> Option<String> {
    let start = lines.iter().rposition(|line| line.starts_with(TRACEBACK))?;
    let (error, after) = end_of_traceback(&lines[start + 1..])?;
    // Py4J puts the exception of the JVM on a line of its own.
    let continued = after.first().filter(|line| line.starts_with(": "));
    match continued {
        // A task of the job failed in Python, whose own traceback this line begins.
        Some(line) if line.contains(TRACEBACK) => end_of_traceback(&after[1..])
            .map(|(of_the_task, _)| of_the_task.to_owned())
            .or_else(|| Some(format!("{error}{line}"))),
        Some(line) => Some(format!("{error}{line}")),
        None => Some(error.to_owned()),
    }
}

/// The first line after the frames of a traceback, and what follows it.
fn end_of_traceback<'a>(lines: &'a [&'a str]) -> Option<(&'a str, &'a [&'a str])> {
    let at = lines
        .iter()
        .position(|line| !line.is_empty() && !line.starts_with(char::is_whitespace))?;
    Some((lines[at], &lines[at + 1..]))
}

/// `java.lang.IllegalStateException: boom`, and what caused it in the end.
fn jvm_exception(lines: &[&str]) -> Option<String> {
    let thrown = |line: &str| {
        let rest = line.strip_prefix("Exception in thread \"")?;
        Some(rest.split_once("\" ")?.1.to_owned())
    };
    let at = lines.iter().rposition(|line| thrown(line).is_some());
    let after = at.map_or(lines, |at| &lines[at + 1..]);
    let root = after
        .iter()
        .rev()
        .find_map(|line| line.trim_start().strip_prefix("Caused by: "));
    match (at.and_then(|at| thrown(lines[at])), root) {
        (Some(exception), Some(root)) => Some(format!("{exception} (caused by {root})")),
        (Some(exception), None) => Some(exception),
        (None, root) => root.map(str::to_owned),
    }
}

fn plain_error(lines: &[&str]) -> Option<String> {
    lines
        .iter()
        .rev()
        .find(|line| {
            let lower = line.to_lowercase();
            COMPLAINTS.iter().any(|word| lower.contains(word))
                && record(line).is_none()
                && !is_stack_frame(line)
                && !NOISE.iter().any(|noise| line.starts_with(noise))
        })
        .map(|line| (*line).to_owned())
}

fn logged_error(lines: &[&str]) -> Option<String> {
    lines
        .iter()
        .rev()
        .filter_map(|line| record(line))
        .find(|(level, _)| matches!(*level, "ERROR" | "FATAL"))
        .map(|(_, message)| message.to_owned())
}

/// Level and text of a record in the layout of Spark's logging: `26/01/31 12:00:00 INFO Name: text`.
fn record(line: &str) -> Option<(&str, &str)> {
    let mut words = line.splitn(4, ' ');
    let is_time = |word: &str, separator: char| {
        word.contains(separator)
            && word
                .chars()
                .all(|c| c.is_ascii_digit() || c == separator || matches!(c, '.' | ','))
    };
    let (date, time) = (words.next()?, words.next()?);
    let level = words.next()?;
    let known = matches!(
        level,
        "TRACE" | "DEBUG" | "INFO" | "WARN" | "ERROR" | "FATAL"
    );
    let dated = is_time(date, '/') || is_time(date, '-');
    (known && dated && is_time(time, ':')).then(|| (level, words.next().unwrap_or_default()))
}

fn is_stack_frame(line: &str) -> bool {
    let inner = line.trim_start();
    inner.len() < line.len() && (inner.starts_with("at ") || inner.starts_with("... "))
}

/// What Python begins the way to an error with.
const TRACEBACK: &str = "Traceback (most recent call last)";

/// What a line that complains has in it, in lower case.
const COMPLAINTS: [&str; 14] = [
    "error",
    "exception",
    "fatal",
    "fail",
    "cannot",
    "can't",
    "could not",
    "unable",
    "denied",
    "refused",
    "no such",
    "not found",
    "invalid",
    "usage:",
];

/// What launchers print whatever happens.
const NOISE: [&str; 4] = [
    "WARNING: ",
    "Picked up ",
    "NOTE: ",
    "Using Spark's default log4j",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_says_why_is_found_in_what_spark_prints() {
        let shutdown = "\
26/11/20 12:27:54 INFO SparkContext: SparkContext is stopping with exitCode 1.
26/11/20 12:27:54 INFO ShutdownHookManager: Shutdown hook called
";
        let cases = [
            (
                "a Python error",
                format!(
                    "26/11/20 12:27:51 INFO BlockManager: ok\nTraceback (most recent call last):\n  \
                     File \"/job.py\", line 3, in <module>\n    raise ValueError(\"empty\")\n\
                     ValueError: the input is empty\n{shutdown}"
                ),
            ),
            (
                "an error of the JVM seen from Python",
                format!(
                    "Traceback (most recent call last):\n  File \"/job.py\", line 3, in <module>\n\
                     py4j.protocol.Py4JJavaError: An error occurred while calling o31.parquet.\n\
                     : org.apache.spark.SparkException: Job aborted.\n\tat a.B.c(B.scala:1)\n{shutdown}"
                ),
            ),
            (
                "an error of a task in Python",
                format!(
                    "Traceback (most recent call last):\n  File \"/job.py\", line 5, in <module>\n    \
                     print(prices.sum())\n\
                     py4j.protocol.Py4JJavaError: An error occurred while calling z:PythonRDD.collectAndServe.\n\
                     : org.apache.spark.SparkException: Job aborted due to stage failure: Task 1 in stage 0.0 failed \
                     4 times, most recent failure: Lost task 1.3 in stage 0.0 (TID 4) (127.42.128.2 executor 1): \
                     org.apache.spark.api.python.PythonException: Traceback (most recent call last):\n  \
                     File \"/opt/spark/python/lib/pyspark.zip/pyspark/worker.py\", line 1247, in main\n    process()\n\
                     ValueError: could not convert string to float: 'three'\n\n\
                     \tat org.apache.spark.api.python.BasePythonRunner$ReaderIterator.handle(PythonRunner.scala:572)\n\n\
                     Driver stacktrace:\n\tat a.B.c(B.scala:1)\n\
                     Caused by: org.apache.spark.api.python.PythonException: Traceback (most recent call last):\n  \
                     File \"/opt/spark/python/lib/pyspark.zip/pyspark/worker.py\", line 1247, in main\n    process()\n\
                     ValueError: could not convert string to float: 'three'\n\n\t... 1 more\n{shutdown}"
                ),
            ),
            (
                "a JVM exception",
                format!(
                    "Exception in thread \"main\" java.lang.IllegalStateException: boom\n\
                     \tat org.example.Main.main(Main.java:7)\n{shutdown}"
                ),
            ),
            (
                "a JVM exception with causes",
                "Exception in thread \"main\" a.Outer: no\n\tat a.B.c(B.java:1)\n\
                 Caused by: a.Middle: why\n\t... 3 more\nCaused by: a.Root: because\n\t... 5 more\n"
                    .to_owned(),
            ),
            (
                "a stack trace whose head was cut off",
                format!(
                    "ample.Main.main(Main.java:7)\n\tat a.B.c(B.java:1)\nCaused by: a.Root: because\n{shutdown}"
                ),
            ),
            (
                "a missing class",
                format!(
                    "WARNING: Using incubator modules: jdk.incubator.vector\n\
                 Error: Failed to load class org.example.Nope.\n{shutdown}"
                ),
            ),
            (
                "a missing file",
                "26/11/20 12:25:39 WARN NativeCodeLoader: Unable to load\n\
                 python3: can't open file '/opt/none.py': [Errno 2] No such file or directory\n"
                    .to_owned(),
            ),
            (
                "output of the job itself",
                format!("started at noon\nCWD /opt/spark/work-dir True\n{shutdown}"),
            ),
            (
                "only records",
                format!("26/11/20 12:25:39 ERROR Utils: Aborting task\n{shutdown}"),
            ),
            (
                "only half a line",
                format!("tructorAccessor.newInstance0\n{}", shutdown.repeat(20)),
            ),
            ("nothing to go by", shutdown.to_owned()),
            ("nothing", "\n\n".to_owned()),
        ];
        let found: Vec<String> = cases
            .iter()
            .map(|(what, text)| format!("{what}: {}", of(text).unwrap_or_else(|| "-".to_owned())))
            .collect();
        insta::assert_snapshot!(found.join("\n"));
    }
}
