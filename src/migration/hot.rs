//! Bins that are too much for one instance: moving them helps nobody.

use serde::{Deserialize, Serialize};

use crate::id::BinId;

/// A bin that alone exceeds what one instance is to carry.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HotBin {
    /// The bin.
    pub bin: BinId,
    /// Its load, in the unit it was given in.
    pub load: f64,
    /// Its load over what one instance is to carry; more than 1.
    pub share: f64,
}

/// What can be done about a hot bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// To split it further, into at least so many parts.
    Split(u32),
    /// Nothing that is done with bins: one of its keys alone exceeds what an instance is to carry.
    SingleHotKey,
}

/// Bins of which each alone exceeds `carries`, what one instance is to carry: its capacity, or the mean load of instances. The hottest
/// first.
///
/// ```
/// use thalweg::migration::{Remedy, hot_bins};
///
/// let hot = hot_bins(&[3.0, 25.0, 1.0], 10.0);
/// assert_eq!((hot.len(), hot[0].bin.0, hot[0].share), (1, 1, 2.5));
/// assert_eq!(hot[0].remedy(4.0), Remedy::Split(3));
/// assert_eq!(hot[0].remedy(20.0), Remedy::SingleHotKey);
/// ```
///
/// # Panics
/// If an instance is to carry nothing.
pub fn hot_bins(loads: &[f64], carries: f64) -> Vec<HotBin> {
    assert!(carries > 0.0, "an instance carries something, not {carries}");
    let bins = (0..).map(BinId).zip(loads).filter(|(_, load)| **load > carries);
    let mut hot: Vec<HotBin> = bins.map(|(bin, &load)| HotBin { bin, load, share: load / carries }).collect();
    hot.sort_by(|a, b| b.load.total_cmp(&a.load).then(a.bin.cmp(&b.bin)));
    hot
}

impl HotBin {
    /// What can be done, if the most used of its keys has the load `heaviest_key`.
    pub fn remedy(&self, heaviest_key: f64) -> Remedy {
        let carries = self.load / self.share;
        if heaviest_key > carries { Remedy::SingleHotKey } else { Remedy::Split(self.share.ceil() as u32) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_comes_first_and_what_an_instance_just_carries_is_not_hot() {
        let hot: Vec<u32> = hot_bins(&[10.0, 11.0, 30.0, 11.0], 10.0).iter().map(|hot| hot.bin.0).collect();
        assert_eq!(hot, [2, 1, 3]);
    }
}
