use proptest::prelude::*;

use super::*;

const DELAY: i64 = 300;

fn bounds(min: u32, max: u32) -> Bounds {
    Bounds {
        min,
        max,
        scale_down_delay: SignedDuration::from_secs(DELAY),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn shown(decision: Decision, lull: Option<Lull>) -> String {
    let seconds = |time: Timestamp| time.as_second() - at(0).as_second();
    let decision = match decision {
        Decision::Hold { until: None } => "hold".to_owned(),
        Decision::Hold { until: Some(until) } => format!("hold until {}", seconds(until)),
        Decision::Grow(members) => format!("grow to {members}"),
        Decision::Shrink(members) => format!("shrink to {members}"),
    };
    let lull = lull.map(|lull| format!(", at most {} since {}", lull.highest, seconds(lull.since)));
    decision + &lull.unwrap_or_default()
}

#[test]
fn each_answer_leads_to_a_decision() {
    let since = |second, highest| {
        Some(Lull {
            since: at(second),
            highest,
        })
    };
    let table = [
        ("more is wanted", 1, None, Some(3)),
        ("much more is wanted", 1, None, Some(99)),
        ("as many are wanted", 2, None, Some(2)),
        ("as many are wanted after a lull", 2, since(900, 1), Some(2)),
        ("fewer are wanted", 3, None, Some(2)),
        ("fewer are still wanted", 3, since(800, 1), Some(2)),
        ("fewer were wanted all the time", 3, since(700, 1), Some(1)),
        ("two were wanted in between", 3, since(700, 2), Some(1)),
        ("two are wanted in the end", 3, since(700, 1), Some(2)),
        ("none are wanted", 3, since(700, 0), Some(0)),
        ("a lull of another time", 3, since(100, 3), Some(1)),
        ("a clock that was set back", 3, since(5000, 1), Some(1)),
        ("nobody knows", 3, since(700, 1), None),
        ("nobody knows, and there are too many", 9, None, None),
        ("nobody knows, and there are too few", 0, None, None),
        ("there are too many, and more are wanted", 9, None, Some(12)),
        ("there are too few, and none are wanted", 0, None, Some(0)),
    ];
    let lines = table.map(|(what, current, lull, wanted)| {
        let (decision, lull) = decide(bounds(1, 6), lull, wanted, at(1000), current);
        format!("{what}: {}", shown(decision, lull))
    });
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn an_answer_is_a_number_or_an_object() {
    let table = [
        "3",
        " 2.5\n",
        "0",
        "-1",
        "1e99",
        r#"{"members": 4}"#,
        r#"{"units": 7, "unitsPerMember": 2}"#,
        r#"{"units": 0.3, "unitsPerMember": 0.1}"#,
        r#"{"units": 7, "unitsPerMember": 2, "message": " 5 cores\n wait "}"#,
        r#"{"units": 7, "unitsPerMember": 0}"#,
        r#"{"units": 7}"#,
        r#"{"members": 1, "units": 7, "unitsPerMember": 2}"#,
        r#"{"member": 1}"#,
        r#"{"members": "1"}"#,
        "{}",
        "[1]",
        "null",
        "",
        "Traceback (most recent call last)",
    ];
    let lines = table.map(|text| match Answer::read(text) {
        Ok(answer) => format!("{text:?}: {} {:?}", answer.members, answer.message),
        Err(error) => format!("{text:?}: {error}"),
    });
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn an_answer_holds_until_the_next_one_should_have_come() {
    let half = SignedDuration::from_millis(500);
    let sample = Sample::new(at(100) + half, Err(String::new()));
    let (period, timeout) = (SignedDuration::from_secs(15), SignedDuration::from_secs(10));
    assert_eq!(sample.next(period), at(115));
    for (second, fresh) in [
        (100, true),
        (115, true),
        (140, true),
        (141, false),
        (0, false),
    ] {
        let is = sample.is_fresh(period, timeout, at(second));
        assert_eq!(is, fresh, "{second}");
    }
}

fn any_bounds() -> impl Strategy<Value = Bounds> {
    (0_u32..5, 1_u32..6).prop_map(|(min, more)| bounds(min, min + more))
}

fn any_lull() -> impl Strategy<Value = Option<Lull>> {
    let lull = (0_i64..2000, 0_u32..12).prop_map(|(second, highest)| Lull {
        since: at(second),
        highest,
    });
    prop::option::of(lull)
}

proptest! {
    #[test]
    fn the_number_comes_within_the_bounds_and_stays_there(
        bounds in any_bounds(), lull in any_lull(), wanted in prop::option::of(0_u32..20), current in 0_u32..12,
    ) {
        let (decision, _) = decide(bounds, lull, wanted, at(1000), current);
        let members = decision.members(current);
        prop_assert!((bounds.min..=bounds.max).contains(&members));
        prop_assert_eq!(matches!(decision, Decision::Grow(_)), members > current);
        prop_assert_eq!(matches!(decision, Decision::Shrink(_)), members < current);
    }

    #[test]
    fn the_same_answer_again_asks_for_nothing_more(
        bounds in any_bounds(), lull in any_lull(), wanted in prop::option::of(0_u32..20), current in 0_u32..12,
    ) {
        let (decision, kept) = decide(bounds, lull, wanted, at(1000), current);
        // Until something is done, the same is decided.
        prop_assert_eq!(decide(bounds, kept, wanted, at(1000), current), (decision, kept));
        // Once it is done, nothing is: a lull of fewer begins anew.
        let members = decision.members(current);
        let (again, _) = decide(bounds, None, wanted, at(1000), members);
        prop_assert_eq!(again.members(members), members);
    }

    #[test]
    fn with_more_demand_there_are_never_fewer(
        bounds in any_bounds(), lull in any_lull(), wanted in 0_u32..20, more in 0_u32..20, current in 0_u32..12,
    ) {
        let members = |wanted| decide(bounds, lull, Some(wanted), at(1000), current).0.members(current);
        prop_assert!(members(wanted) <= members(wanted + more));
    }

    #[test]
    fn some_go_only_after_a_whole_delay_in_which_all_answers_were_lower(
        bounds in any_bounds(),
        answers in prop::collection::vec((prop_oneof![4 => (0_u32..8).prop_map(Some), 1 => Just(None)], 1_i64..8), 0..60),
        first in 0_u32..8,
    ) {
        // A demand lasts for some answers in a row.
        let answers: Vec<Option<u32>> =
            answers.into_iter().flat_map(|(wanted, times)| (0..times).map(move |_| wanted)).collect();
        let period = 60;
        let (mut current, mut lull) = (bounds.clamp(first), None);
        let mut last_shrink: Option<i64> = None;
        for (index, wanted) in answers.iter().enumerate() {
            let second = index as i64 * period;
            let (decision, kept) = decide(bounds, lull, *wanted, at(second), current);
            lull = kept;
            match decision {
                Decision::Hold { .. } => {}
                Decision::Grow(members) => {
                    prop_assert_eq!(Some(members), wanted.map(|it| bounds.clamp(it)));
                }
                Decision::Shrink(members) => {
                    let window = (DELAY / period) as usize;
                    prop_assert!(index >= window);
                    for seen in &answers[index - window..=index] {
                        let seen = seen.map(|it| bounds.clamp(it));
                        prop_assert!(seen.is_some_and(|it| it <= members), "{:?}", seen);
                    }
                    prop_assert!(last_shrink.is_none_or(|last| second - last >= DELAY));
                    last_shrink = Some(second);
                    // They are marked: the next lull begins.
                    lull = None;
                }
            }
            current = decision.members(current);
        }
    }
}
