//! Sequences of requests, sent to the embedded API and to a real kube-apiserver.

#![expect(
    clippy::panic,
    reason = "a wrong assumption of a test is a failed test"
)]

use windlass_conformance::{
    embedded::Embedded,
    kind::Kind,
    real::Real,
    runner::Pair,
    suite::{self, Settings},
};

/// The sequences of the usual run.
const SEED: u64 = 20_260_102;
const SEQUENCES: u64 = 1000;
/// What that run has to compare at least.
const REQUESTS: usize = 20_000;

fn number(variable: &str, usual: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable} has to be a number, but is {text:?}")),
        Err(_) => usual,
    }
}

fn kinds() -> Vec<Kind> {
    let Ok(names) = std::env::var("WINDLASS_CONFORMANCE_KINDS") else {
        return Kind::ALL.to_vec();
    };
    names
        .split(',')
        .map(|name| {
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
            kind.unwrap_or_else(|| {
                panic!(
                    "WINDLASS_CONFORMANCE_KINDS names {name:?}, which is no kind of the sequences"
                )
            })
        })
        .collect()
}

#[test]
fn the_embedded_api_answers_as_a_real_one() {
    let settings = Settings {
        seed: number("WINDLASS_CONFORMANCE_SEED", SEED),
        sequences: number("WINDLASS_CONFORMANCE_SEQUENCES", SEQUENCES),
        kinds: kinds(),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // The servers are started on this thread, which stays until the end.
    let summary = runtime.block_on(async {
        let (embedded, real) = (
            Embedded::start().await.unwrap(),
            Real::start().await.unwrap(),
        );
        let pair = Pair {
            embedded: embedded.client(),
            real: real.client(),
        };
        suite::define(&pair).await.unwrap();
        suite::run(&pair, &settings).await.unwrap()
    });
    eprintln!(
        "seed {}: {} requests in {} sequences; allowed differences met: {:?}",
        settings.seed, summary.requests, summary.sequences, summary.allowed
    );
    assert!(
        summary.different.is_empty(),
        "{} differences in {} sequences:\n{:#?}\n\n{}",
        summary.different.values().sum::<usize>(),
        summary.sequences,
        summary.different,
        summary.report
    );
    let usual = settings.sequences >= SEQUENCES && settings.kinds == Kind::ALL;
    assert!(
        !usual || summary.requests >= REQUESTS,
        "only {} requests",
        summary.requests
    );
}
