//! What a user may ask for in a word, as parameters of the policy.
//!
//! Chosen on the generated loads of `days` (docs/loads.md has what each costs there).

/// Parameters for a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is for, for help.
    pub summary: &'static str,
    /// Parameters that differ from the standard ones, as `name=value`.
    pub settings: &'static [&'static str],
}

/// The presets of `critical-path`.
pub const PRESETS: [Preset; 3] = [
    Preset {
        name: "cost",
        summary: "fewest instance-hours; more often late and more changes",
        settings: &["utilisation=1.0", "look_back_s=60", "least_saving=0.05"],
    },
    Preset { name: "balanced", summary: "as without it", settings: &[] },
    Preset {
        name: "latency",
        summary: "least often late and fewer changes; more instance-hours",
        settings: &["utilisation=0.9", "look_back_s=1800"],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::settings::set;
    use crate::policy::{CriticalPathConfig, Setting};

    #[test]
    fn presets_are_parameters_that_differ_from_the_standard_ones() {
        for preset in PRESETS {
            let settings: Vec<Setting> = preset.settings.iter().map(|text| text.parse().unwrap()).collect();
            let config = set(CriticalPathConfig::standard(), &settings, CriticalPathConfig::check).unwrap();
            assert_eq!(config == CriticalPathConfig::standard(), preset.settings.is_empty(), "{preset:?}");
        }
    }
}
