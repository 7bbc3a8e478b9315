//! What existing users have: the cases are those that Go's robfig/cron decides, computed by hand
//! from its rules.

use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const NEW_YORK: &str = "America/New_York";
const BERLIN: &str = "Europe/Berlin";
/// Half an hour of daylight saving time.
const LORD_HOWE: &str = "Australia/Lord_Howe";
/// Midnight was skipped in spring.
const SAO_PAULO: &str = "America/Sao_Paulo";

fn schedule(text: &str, zone: &str) -> Schedule {
    Schedule::new(text, Zone::new(zone).unwrap()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn at(text: &str) -> Timestamp {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn the_next_time_is_the_one_go_would_take() {
    let cases = [
        (
            "0/15 * * * *",
            "UTC",
            "2012-07-09T14:59:59Z",
            "2012-07-09T15:00:00Z",
        ),
        (
            "20-35/15 * * * *",
            "UTC",
            "2012-07-09T23:45:00Z",
            "2012-07-10T00:20:00Z",
        ),
        (
            "*/15 * * * *",
            "",
            "2012-07-09T23:46:00Z",
            "2012-07-10T00:00:00Z",
        ),
        (
            "0 0 9 Apr-Oct ?",
            "",
            "2012-07-09T23:35:00Z",
            "2012-08-09T00:00:00Z",
        ),
        // Stepped stars restrict, so these are alternatives.
        (
            "0 0 */5 Apr,Aug,Oct Mon",
            "",
            "2012-07-09T23:35:00Z",
            "2012-08-01T00:00:00Z",
        ),
        (
            "0 0 1,15 * Sun",
            "",
            "2012-06-11T00:00:00Z",
            "2012-06-15T00:00:00Z",
        ),
        (
            "0 0 1,15 * Sun",
            "",
            "2012-06-16T00:00:00Z",
            "2012-06-17T00:00:00Z",
        ),
        // With a star both must match.
        (
            "0 0 * Feb Mon",
            "",
            "2012-07-09T23:35:00Z",
            "2013-02-04T00:00:00Z",
        ),
        (
            "0 0 13 * *",
            "",
            "2012-07-09T23:35:00Z",
            "2012-07-13T00:00:00Z",
        ),
        (
            "0 0 * * Mon/2",
            "",
            "2012-07-09T23:35:00Z",
            "2012-07-11T00:00:00Z",
        ),
        (
            "0 0 29 Feb ?",
            "",
            "2012-07-09T23:35:00Z",
            "2016-02-29T00:00:00Z",
        ),
        (
            "0 0 29 2 *",
            "",
            "2097-01-01T00:00:00Z",
            "2104-02-29T00:00:00Z",
        ),
        (
            "* * * * *",
            "",
            "2012-12-31T23:59:45Z",
            "2013-01-01T00:00:00Z",
        ),
        (
            "* * * * *",
            "",
            "2012-12-31T23:59:00.5Z",
            "2013-01-01T00:00:00Z",
        ),
        (
            "@hourly",
            "",
            "2012-07-09T15:00:00Z",
            "2012-07-09T16:00:00Z",
        ),
        ("@daily", "", "2012-07-09T15:00:00Z", "2012-07-10T00:00:00Z"),
        (
            "@midnight",
            BERLIN,
            "2012-07-09T15:00:00Z",
            "2012-07-09T22:00:00Z",
        ),
        (
            "@weekly",
            "",
            "2012-07-09T15:00:00Z",
            "2012-07-15T00:00:00Z",
        ),
        (
            "@monthly",
            "",
            "2012-07-09T15:00:00Z",
            "2012-08-01T00:00:00Z",
        ),
        (
            "@yearly",
            "",
            "2012-07-09T15:00:00Z",
            "2013-01-01T00:00:00Z",
        ),
        (
            "@annually",
            "",
            "2012-07-09T15:00:00Z",
            "2013-01-01T00:00:00Z",
        ),
        // The schedule's own zone wins.
        (
            "CRON_TZ=Asia/Tokyo 0 5 * * ?",
            BERLIN,
            "2012-07-09T00:00:00Z",
            "2012-07-09T20:00:00Z",
        ),
        (
            "TZ=Asia/Tokyo  0  5 * * ?",
            "",
            "2012-07-09T00:00:00Z",
            "2012-07-09T20:00:00Z",
        ),
        (
            "0 5 * * ?",
            "Asia/Tokyo",
            "2012-07-09T00:00:00Z",
            "2012-07-09T20:00:00Z",
        ),
        (
            "0 5 * * ?",
            "Local",
            "2012-07-09T00:00:00Z",
            "2012-07-09T05:00:00Z",
        ),
    ];
    for (text, zone, after, expected) in cases {
        let next = schedule(text, zone).next(at(after), at(after));
        assert_eq!(next, Some(at(expected)), "{text} {zone} after {after}");
    }
}

#[test]
fn a_time_that_the_clock_skips_does_not_occur_and_one_it_shows_twice_occurs_twice() {
    let cases = [
        // Spring: 02:00 EST is followed by 03:00 EDT.
        (
            "30 2 11 Mar ?",
            NEW_YORK,
            "2012-03-11T00:00:00-05",
            "2013-03-11T02:30:00-04",
        ),
        (
            "0 2 * * *",
            NEW_YORK,
            "2012-03-11T00:00:00-05",
            "2012-03-12T02:00:00-04",
        ),
        (
            "0 3 * * *",
            NEW_YORK,
            "2012-03-11T00:00:00-05",
            "2012-03-11T03:00:00-04",
        ),
        (
            "0 * * * *",
            NEW_YORK,
            "2012-03-11T01:00:00-05",
            "2012-03-11T03:00:00-04",
        ),
        // Autumn: 02:00 EDT is followed by 01:00 EST.
        (
            "30 1 04 Nov ?",
            NEW_YORK,
            "2012-11-04T00:00:00-04",
            "2012-11-04T01:30:00-04",
        ),
        (
            "30 1 04 Nov ?",
            NEW_YORK,
            "2012-11-04T01:45:00-04",
            "2012-11-04T01:30:00-05",
        ),
        (
            "0 1 * * *",
            NEW_YORK,
            "2012-11-04T01:00:00-05",
            "2012-11-05T01:00:00-05",
        ),
        (
            "0 2 * * *",
            NEW_YORK,
            "2012-11-04T00:00:00-04",
            "2012-11-04T02:00:00-05",
        ),
        (
            "0 * * * *",
            NEW_YORK,
            "2012-11-04T01:00:00-04",
            "2012-11-04T01:00:00-05",
        ),
        // 02:00 is followed by 02:30, and in autumn by 01:30.
        (
            "*/15 2 * * *",
            LORD_HOWE,
            "2024-10-05T12:00:00Z",
            "2024-10-05T15:30:00Z",
        ),
        (
            "45 1 * * *",
            LORD_HOWE,
            "2024-04-06T14:45:00Z",
            "2024-04-06T15:15:00Z",
        ),
        // There is no midnight on that day.
        (
            "0 0 * * *",
            SAO_PAULO,
            "2018-11-03T12:00:00-03",
            "2018-11-05T00:00:00-02",
        ),
        (
            "30 * 4 11 *",
            SAO_PAULO,
            "2018-11-03T12:00:00-03",
            "2018-11-04T01:30:00-02",
        ),
    ];
    for (text, zone, after, expected) in cases {
        let next = schedule(text, zone).next(at(after), at(after));
        assert_eq!(next, Some(at(expected)), "{text} {zone} after {after}");
    }
}

#[test]
fn an_interval_counts_from_its_anchor() {
    let anchor = at("2024-01-01T00:00:10Z");
    let cases = [
        (
            "@every 1h30m",
            "2024-01-01T00:00:10Z",
            "2024-01-01T01:30:10Z",
        ),
        (
            "@every 1h30m",
            "2024-01-01T01:30:09Z",
            "2024-01-01T01:30:10Z",
        ),
        ("@every 90s", "2024-01-02T00:00:10Z", "2024-01-02T00:01:40Z"),
        (
            "@every 1500ms",
            "2024-01-01T00:00:10Z",
            "2024-01-01T00:00:11Z",
        ),
        ("@every 1ms", "2024-01-01T00:00:10Z", "2024-01-01T00:00:11Z"),
        ("@every 1m", "2023-12-31T23:59:30Z", "2024-01-01T00:00:10Z"),
    ];
    for (text, after, expected) in cases {
        let next = schedule(text, "").next(anchor, at(after));
        assert_eq!(next, Some(at(expected)), "{text} after {after}");
    }
}

#[test]
fn what_is_no_schedule_is_told_with_the_part_that_is_wrong() {
    let cases = [
        "",
        " ",
        "* * * *",
        "0 2 * * * *",
        "nightly",
        "@nightly",
        "@every",
        "@every 10",
        "@every 0s",
        "@every -1h",
        "@every 1d",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * * 7",
        "* * * * Sunday",
        "*/0 * * * *",
        "*/x * * * *",
        "1/2/3 * * * *",
        "5-1 * * * *",
        "1-2-3 * * * *",
        "-1 * * * *",
        "1- * * * *",
        ", * * * *",
        "*-5 * * * *",
        "+1 * * * *",
        "0 0 30 2 *",
        "0 0 31 4,6,9,11 ?",
        "TZ=Europe/Berlin",
        "TZ=Mars/Olympus 0 2 * * *",
        "CRON_TZ=UTC @nightly",
        "TZ=UTC ",
    ];
    let told: Vec<String> = cases
        .iter()
        .map(|text| match Schedule::new(text, Zone::utc()) {
            Ok(schedule) => panic!("{text:?} was accepted as {schedule}"),
            Err(error) => format!("{text:?} {error}"),
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
    assert_eq!(
        Zone::new("Berlin").unwrap_err().to_string(),
        "\"Berlin\" is no time zone; give a name of the IANA database, for example Europe/Berlin"
    );
}

#[test]
fn what_go_accepts_is_accepted() {
    for text in [
        "1,,2 * * * *",
        "5 4 ? * ?",
        "* * * JAN-mar Mon-FRI",
        "0 0 31 2 1",
        "0 0 30 2 */2",
        "  0 2 * * *  ",
        "0\t2\t*\t*\t*",
        "@every 1us",
        "0-59/20,7 * * * *",
        "00 08 * * *",
        "TZ= 0 2 * * *",
        "CRON_TZ=Local @daily",
    ] {
        assert!(Schedule::new(text, Zone::utc()).is_ok(), "{text}");
    }
}

#[test]
fn one_text_stands_for_schedule_and_zone() {
    let cases = [
        ("0 2 * * *", "", "CRON_TZ=UTC 0 2 * * *"),
        (" 0  2 * * * ", "Local", "CRON_TZ=UTC 0 2 * * *"),
        (
            "TZ=Europe/Berlin @daily",
            "UTC",
            "CRON_TZ=Europe/Berlin @daily",
        ),
        ("@daily", "europe/berlin", "CRON_TZ=Europe/Berlin @daily"),
    ];
    for (text, zone, expected) in cases {
        assert_eq!(schedule(text, zone).to_string(), expected);
    }
}

#[test]
fn the_latest_times_are_found_however_long_the_span() {
    let every_minute = schedule("* * * * *", BERLIN);
    let (from, until) = (at("2000-01-01T00:00:00Z"), at("2024-06-01T12:00:30Z"));
    let times = every_minute.times(from, from, until, 2);
    assert_eq!(
        times.latest,
        [at("2024-06-01T11:59:00Z"), at("2024-06-01T12:00:00Z")]
    );
    assert!(times.more);

    let yearly = schedule("@yearly", "");
    let times = yearly.times(from, from, until, 100);
    assert_eq!(times.latest.len(), 25);
    assert_eq!(times.latest.first(), Some(&from), "both ends are within");
    assert!(!times.more);
    assert_eq!(
        yearly.times(until, at("2024-05-01T00:00:00Z"), until, 9),
        Times::default()
    );

    let often = schedule("@every 1s", "");
    let times = often.times(from, from, until, 3);
    assert_eq!(times.latest.len(), 3);
    assert_eq!(times.latest.last(), Some(&until));
}

/// The law of cron, minute by minute.
fn by_looking(schedule: &Schedule, after: Timestamp, hours: i64) -> Option<Timestamp> {
    let Recurrence::Cron(cron) = &schedule.recurrence else {
        return None;
    };
    let begin = after.as_second().div_euclid(60) + 1;
    (begin..begin + hours * 60).find_map(|minute| {
        let at = Timestamp::from_second(minute * 60).ok()?;
        let local = schedule.zone.rules.to_datetime(at);
        cron.matches(local).then_some(at)
    })
}

fn any_field(least: u32, most: u32) -> impl Strategy<Value = String> {
    let number = least..=most;
    prop_oneof![
        Just("*".to_owned()),
        Just("?".to_owned()),
        number.clone().prop_map(|n| n.to_string()),
        (number.clone(), number.clone()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        (number.clone(), 1..9_u32).prop_map(|(n, step)| format!("{n}/{step}")),
        (1..9_u32).prop_map(|step| format!("*/{step}")),
        (number.clone(), number).prop_map(|(a, b)| format!("{a},{b}")),
    ]
}

fn any_cron() -> impl Strategy<Value = String> {
    (
        any_field(0, 59),
        any_field(0, 23),
        any_field(1, 28),
        any_field(0, 6),
    )
        .prop_map(|(minute, hour, day, weekday)| format!("{minute} {hour} {day} * {weekday}"))
}

/// Moments shortly before the clocks of these zones change, and others.
fn any_moment() -> impl Strategy<Value = (&'static str, Timestamp)> {
    let changes = vec![
        (NEW_YORK, at("2024-03-10T07:00:00Z")),
        (NEW_YORK, at("2024-11-03T06:00:00Z")),
        (BERLIN, at("2024-03-31T01:00:00Z")),
        (LORD_HOWE, at("2024-04-06T15:00:00Z")),
        (SAO_PAULO, at("2018-11-04T03:00:00Z")),
        (SAO_PAULO, at("2019-02-17T02:00:00Z")),
        ("Pacific/Apia", at("2011-12-30T10:00:00Z")),
        ("UTC", at("2024-02-28T23:00:00Z")),
    ];
    (select(changes), -200_000..4000_i64)
        .prop_map(|((zone, change), offset)| (zone, minus(change, -offset)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_next_time_is_the_first_the_clock_shows((zone, after) in any_moment(), text in any_cron()) {
        let schedule = schedule(&text, zone);
        let next = schedule.next(after, after).unwrap();
        prop_assert!(next > after);
        match by_looking(&schedule, after, 72) {
            Some(expected) => prop_assert_eq!(next, expected, "{}", schedule),
            None => prop_assert!(next.duration_since(after) > SignedDuration::from_hours(72)),
        }
        prop_assert!(schedule.is_time(next));
    }

    #[test]
    fn times_are_those_that_next_walks_through(
        (zone, from) in any_moment(),
        text in any_cron(),
        hours in 0..72_i64,
        limit in 1..40_usize,
    ) {
        let schedule = schedule(&text, zone);
        let until = minus(from, -3600 * hours);
        let mut all = Vec::new();
        let mut at = just_before(from);
        while let Some(next) = schedule.next(from, at).filter(|next| *next <= until) {
            all.push(next);
            at = next;
        }
        let times = schedule.times(from, from, until, limit);
        let expected = all[all.len().saturating_sub(limit)..].to_vec();
        prop_assert_eq!(times.more, all.len() > limit);
        prop_assert_eq!(times.latest, expected);
    }
}
