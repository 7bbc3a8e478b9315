//! A thousand power cuts.

use windlass_apiserver::store::Durability;

use crate::common::lives::live;

/// `WINDLASS_SEED` names another history to try.
#[tokio::test]
async fn acknowledged_writes_survive_a_thousand_power_cuts() {
    let seed = std::env::var("WINDLASS_SEED").map_or(1, |seed| seed.parse().unwrap());
    let tally = live(seed, 1000, Durability::Immediate).await;
    println!("seed {seed}: {tally:?}");
    assert_eq!(tally.cuts, 1000);
    assert!(tally.acknowledged > 10_000, "{tally:?}");
    for times in [tally.glitches, tally.in_opening, tally.kept, tally.lost] {
        assert!(times > 50, "{tally:?}");
    }
}
