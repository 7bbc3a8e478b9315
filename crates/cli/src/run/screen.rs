//! Where progress goes: stderr, as a bar on a terminal and as lines elsewhere.
//!
//! The driver's log goes to stdout through here too, so that bar and log do not overwrite each
//! other. A closed stdout (`| head`) is not an error: the job goes on and the rest is dropped.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::args::Progress;

/// The user's screen.
#[derive(Debug)]
pub struct Screen {
    bar: Option<ProgressBar>,
    lines: bool,
    started: Instant,
    stdout_open: bool,
}

impl Screen {
    /// Opens the screen in the way that was asked for.
    pub fn new(progress: Progress) -> Self {
        let bar = (progress == Progress::Auto && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed:>4} {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            bar,
            lines: progress != Progress::Off,
            started: Instant::now(),
            stdout_open: true,
        }
    }

    /// One thing that happened.
    pub fn line(&self, line: &str) {
        if !self.lines {
            return;
        }
        let text = format!("{:6.1}s  {line}", self.started.elapsed().as_secs_f64());
        match &self.bar {
            Some(bar) => bar.suspend(|| stderr(&text)),
            None => stderr(&text),
        }
    }

    /// What is going on right now; shown on a terminal only.
    pub fn headline(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }

    /// A piece of the driver's log.
    pub fn log(&mut self, bytes: &[u8]) {
        if !self.stdout_open {
            return;
        }
        let write = || {
            let mut out = std::io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        };
        let result = match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        };
        self.stdout_open = result.is_ok();
    }

    /// Removes the bar, to ask the user something or to end.
    pub fn pause(&self) {
        if let Some(bar) = &self.bar {
            bar.disable_steady_tick();
            bar.set_message(String::new());
            bar.finish_and_clear();
        }
    }

    /// A message that is shown whatever the progress setting.
    pub fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| stderr(text)),
            None => stderr(text),
        }
    }
}

/// Writes a line to stderr; that nobody reads it is no reason to fail.
fn stderr(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
