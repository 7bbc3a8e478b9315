//! Figures of the operator under many applications at once, on the embedded API server and on
//! kube-apiserver with etcd, for docs/benchmarks.md:
//!
//! ```text
//! cargo bench --workspace --bench operator -- WINDLASS [APPLICATIONS [ROUNDS]]
//! ```
//!
//! WINDLASS is a release build of the binary. There is no node: this program writes the status of
//! drivers as a kubelet would, and sees how far behind the applications' own statuses are.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the table is what this program is for, and whoever waits for it sees its progress"
)]

#[path = "../servers/contender.rs"]
mod contender;
mod crowd;
mod operator;
#[path = "../servers/table.rs"]
mod table;

use std::path::Path;

use anyhow::Context as _;

use contender::Contender;

/// How many applications there are where nobody says.
const APPLICATIONS: usize = 1_000;
/// How often each server is measured where nobody says.
const ROUNDS: usize = 3;

fn main() -> anyhow::Result<()> {
    // Cargo adds an option of its own.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let number = |at: usize, usual: usize| match arguments.get(at) {
        Some(text) => text
            .parse()
            .context("usage: operator WINDLASS [APPLICATIONS [ROUNDS]]"),
        None => Ok(usual),
    };
    let runtime = tokio::runtime::Runtime::new()?;
    match arguments.first().map(String::as_str) {
        Some(contender::SERVE) => {
            let directory = arguments.get(1).context("a directory to serve from")?;
            runtime.block_on(contender::serve(directory.as_ref()))
        }
        Some(windlass) => {
            let (applications, rounds) = (number(1, APPLICATIONS)?, number(2, ROUNDS)?);
            runtime.block_on(compare(windlass.as_ref(), applications, rounds))
        }
        None => anyhow::bail!("usage: operator WINDLASS [APPLICATIONS [ROUNDS]]"),
    }
}

async fn compare(windlass: &Path, applications: usize, rounds: usize) -> anyhow::Result<()> {
    let measure =
        async |contender: &Contender| crowd::measure(contender, windlass, applications).await;
    let table = contender::take_turns(rounds, measure).await?;
    print!("{table}");
    Ok(())
}
