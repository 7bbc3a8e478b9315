//! The power fails: nothing that was acknowledged is lost. The long tests do this a thousand
//! times.

use windlass_apiserver::store::Durability;

use crate::common::lives::{Tally, live};

/// A history of its own.
fn history(seed: u64, cuts: usize, durability: Durability) -> std::thread::Result<Tally> {
    let history = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(live(seed, cuts, durability))
    };
    std::thread::spawn(history).join()
}

#[test]
fn acknowledged_writes_survive_power_cuts_and_nothing_is_half_there() {
    let tally = history(20_260, 120, Durability::Immediate).unwrap();
    assert_eq!(tally.cuts, 120);
    // All the interesting things have happened.
    assert!(tally.acknowledged > 2000, "{tally:?}");
    for times in [tally.glitches, tally.in_opening, tally.kept, tally.lost] {
        assert!(times > 5, "{tally:?}");
    }
}

#[test]
fn a_seed_decides_everything() {
    let [once, again] = [0, 0].map(|_| history(7, 10, Durability::Immediate).unwrap());
    assert_eq!(once, again);
}

#[test]
fn a_store_that_does_not_synchronise_is_found_out() {
    assert!(history(3, 40, Durability::None).is_err());
}
