//! The account that `windlass run` ends with.

use std::fmt;

use jiff::SignedDuration;

/// Times and memory of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSummary {
    /// From creation to being scheduled.
    pub waiting: Option<SignedDuration>,
    /// From being scheduled to the start of the Spark container: the image and the volumes.
    pub pulling: Option<SignedDuration>,
    /// From the start of the Spark container to its end.
    pub running: Option<SignedDuration>,
    /// The most memory the pod's processes held, in bytes, where the node measured it.
    pub peak_memory: Option<u64>,
    /// The memory the container may use, in bytes.
    pub memory_limit: Option<u64>,
}

/// What became of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The final state, in the API's word.
    pub state: String,
    /// How many times it was run.
    pub attempts: i64,
    /// Why it failed.
    pub error: Option<String>,
    /// From the first sight of the application to its end.
    pub total: SignedDuration,
    /// The last driver.
    pub driver: Option<PodSummary>,
    /// The executors of the last attempt.
    pub executors: Vec<PodSummary>,
    /// How many of them ended before they were told to.
    pub executors_lost: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.state, seconds(self.total))?;
        if self.attempts > 1 {
            write!(f, " after {} attempts", self.attempts)?;
        }
        if let Some(error) = &self.error {
            write!(f, ": {error}")?;
        }
        if let Some(driver) = &self.driver {
            write!(
                f,
                "\n  waiting    {}\n  pulling    {}\n  driver     {}{}",
                optional(driver.waiting),
                optional(driver.pulling),
                optional(driver.running),
                memory(driver.peak_memory, driver.memory_limit)
            )?;
        }
        if !self.executors.is_empty() {
            let time = self
                .executors
                .iter()
                .filter_map(|executor| executor.running)
                .fold(SignedDuration::ZERO, |sum, time| sum + time);
            let peak = self
                .executors
                .iter()
                .filter_map(|executor| executor.peak_memory)
                .max();
            let limit = self
                .executors
                .iter()
                .filter_map(|executor| executor.memory_limit)
                .max();
            write!(
                f,
                "\n  executors  {} in all, {} started{}{}",
                seconds(time),
                self.executors.len(),
                match self.executors_lost {
                    0 => String::new(),
                    lost => format!(", {lost} lost"),
                },
                memory(peak, limit)
            )?;
        }
        Ok(())
    }
}

fn seconds(duration: SignedDuration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn optional(duration: Option<SignedDuration>) -> String {
    duration.map_or_else(|| "never".to_owned(), seconds)
}

fn memory(peak: Option<u64>, limit: Option<u64>) -> String {
    let mib = |bytes: u64| format!("{} MiB", bytes / (1024 * 1024));
    match (peak, limit) {
        (Some(peak), Some(limit)) => format!(", peak memory {} of {}", mib(peak), mib(limit)),
        (Some(peak), None) => format!(", peak memory {}", mib(peak)),
        (None, Some(limit)) => format!(", memory {} (use not measured)", mib(limit)),
        (None, None) => String::new(),
    }
}
