//! What is found to be wrong with an object, whoever has found it.

use serde::Serialize;
use windlass_director::diagnosis as director;
use windlass_spark::diagnosis as spark;

/// One thing that is not well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The stable word.
    pub cause: &'static str,
    /// What is not well, on one line.
    pub what: String,
    /// What was seen that says so.
    pub evidence: Vec<String>,
    /// What to do.
    pub next: String,
}

impl From<spark::Finding> for Finding {
    fn from(found: spark::Finding) -> Self {
        Self {
            cause: found.cause.as_str(),
            what: found.what,
            evidence: found.evidence,
            next: found.next,
        }
    }
}

impl From<director::Finding> for Finding {
    fn from(found: director::Finding) -> Self {
        Self {
            cause: found.cause.as_str(),
            what: found.what,
            evidence: found.evidence,
            next: found.next,
        }
    }
}

impl Finding {
    /// For people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{}: {}", self.cause, self.what)];
        lines.extend(self.evidence.iter().map(|line| format!("  seen  {line}")));
        lines.push(format!("  next  {}", self.next));
        lines
    }
}

/// For people, each behind an empty line.
pub fn paragraphs(findings: &[Finding]) -> impl Iterator<Item = String> {
    let told = |finding: &Finding| [vec![String::new()], finding.lines()].concat();
    findings.iter().flat_map(told)
}
