//! The examples with real Spark, as a user runs them.

use crate::common::{Answer, root, windlass};

fn run(example: &str) -> Answer {
    let file = root().join("examples").join(example).display().to_string();
    windlass(&["run", "--progress", "plain", "-f", &file])
}

#[test]
fn examples_do_what_their_comments_say() {
    for (example, code, printed) in [
        (
            "configmap-and-volumes.yaml",
            0,
            &["counted 9 words, 8 of them different"][..],
        ),
        (
            "env-and-secrets.yaml",
            0,
            &["hello ada in Madrid", "the key has 11 characters"],
        ),
        ("pod-template.yaml", 0, &["Pi is roughly 3.1"]),
        ("monitoring.yaml", 0, &["Pi is roughly 3.1"]),
        ("dynamic-allocation.yaml", 0, &["Pi is roughly 3.1"]),
        ("retries.yaml", 1, &["the source is not there yet"]),
    ] {
        let answer = run(example);
        let told = format!("{example}: {}\n{}", answer.stdout, answer.stderr);
        assert_eq!(answer.code, code, "{told}");
        for text in printed {
            assert!(answer.stdout.contains(text), "{text:?} {told}");
        }
        let third = answer.stderr.contains("attempt 3");
        assert_eq!(third, example == "retries.yaml", "{told}");
        assert!(!answer.stderr.contains("attempt 4"), "{told}");
    }
}
