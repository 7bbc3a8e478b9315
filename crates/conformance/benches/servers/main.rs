//! Figures of the embedded API server beside kube-apiserver with etcd, for docs/benchmarks.md:
//!
//! ```text
//! cargo bench --workspace --bench servers [-- ROUNDS]
//! ```
//!
//! Each server runs as processes of its own, waits for the disk with every write, and is asked the
//! same by the same client over TLS. They take turns, and are compared round by round, since the
//! speed of a machine that is shared changes from one minute to the next.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the table is what this program is for, and whoever waits for it sees its progress"
)]

mod contender;
mod load;
mod table;

use anyhow::Context as _;

use contender::Contender;

/// How often each server is measured where nobody says.
const ROUNDS: usize = 3;

fn main() -> anyhow::Result<()> {
    // Cargo adds an option of its own.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let runtime = tokio::runtime::Runtime::new()?;
    match arguments.as_slice() {
        [serve, directory] if serve == contender::SERVE => {
            runtime.block_on(contender::serve(directory.as_ref()))
        }
        [] => runtime.block_on(compare(ROUNDS)),
        [rounds] => {
            let rounds = rounds.parse().context("ROUNDS has to be a number")?;
            runtime.block_on(compare(rounds))
        }
        _ => anyhow::bail!("usage: servers [ROUNDS]"),
    }
}

async fn compare(rounds: usize) -> anyhow::Result<()> {
    let measure = async |contender: &Contender| load::measure(contender).await;
    let table = contender::take_turns(rounds, measure).await?;
    print!("{table}");
    Ok(())
}
