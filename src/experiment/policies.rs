//! Policies by name, and the pacing that all of them get.

use std::time::Duration;

use crate::controller::ControllerConfig;
use crate::migration::Strategy;
pub use crate::policy::registry::{POLICIES, policy, policy_with};
pub use crate::policy::{Given, PolicyError, Setting};

/// Metrics are taken, and DS2 decides, over 60 s of the paper's time on Heron.
// papers/ds2-osdi18.md#fig1-fig6
const METRIC_INTERVAL: Duration = Duration::from_secs(60);

/// The pacing that every policy gets: a window of 60 s (compressed), no warm-up, one window of agreement.
///
/// Dhalion, Heron and the Flink autoscaler wait longer between decisions; those waits are part of the policies.
pub fn pacing(time_factor: f64, strategy: Strategy) -> ControllerConfig {
    let policy_interval = METRIC_INTERVAL.div_f64(time_factor);
    ControllerConfig { policy_interval, warm_up_windows: 0, activation_windows: 1, strategy }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::{Configuration, Role, Topology};
    use crate::time::Timestamp;

    fn make(name: &str, settings: &[&str]) -> Result<(), String> {
        let topology = Topology::new(&[("source", Role::Source, 1), ("map", Role::Stateless, 8)], &[(0, 1)]).unwrap();
        let settings = settings.iter().map(|text| text.parse().unwrap()).collect();
        let given = Given { settings, best: vec![(Timestamp::ZERO, Configuration::ones(&topology))] };
        let made = policy_with(name, &topology, 30.0, &given).map_err(|why| why.to_string())?;
        assert_eq!(made.name(), name);
        Ok(())
    }

    #[test]
    fn every_policy_is_made_and_takes_its_parameters() {
        for name in POLICIES {
            make(name, &[]).unwrap();
        }
        make("threshold", &["target_utilisation=0.6", "tolerance=0"]).unwrap();
        make("dhalion", &["settle_wait=60", "noise_share=0.05"]).unwrap();
        make("heron", &["given_up_runs=3"]).unwrap();
        make("critical-path", &["goal_ms=100", "budget=40"]).unwrap();
        make("ds2", &["target_rate_ratio=inf"]).unwrap();
        make("flink-autoscaler", &["alignment=off", "metrics_window_s=180", "max_parallelism=64"]).unwrap();
        make("aws", &["busy_s=300", "idle_utilisation=0.2"]).unwrap();
        assert!(policy("oracle", &Topology::new(&[], &[]).unwrap(), 1.0).is_err_and(|why| why == PolicyError::NothingKnown));
    }

    #[test]
    fn a_parameter_that_is_none_is_named_with_what_was_expected() {
        for (name, settings, expected) in [
            ("threshold", &["target=0.6"][..], "target=0.6: expected a parameter, one of scale_down_stabilisation_s, scale_up"),
            ("threshold", &["tolerance=0.2", "target_utilisation=2"], "expected target_utilisation: expected 0.01 to 1, found 2"),
            ("threshold", &["tolerance=-1"], "tolerance=-1: expected a number of at least 0, found '-1'"),
            ("threshold", &["tolerance=NaN"], "tolerance=NaN: expected a number of at least 0, found 'NaN'"),
            ("dhalion", &["settle_wait=inf"], "settle_wait=inf: expected seconds"),
            ("heron", &["given_up_runs=1.5"], "given_up_runs=1.5: expected a whole number"),
            ("flink-autoscaler", &["alignment=some"], "alignment=some: expected another value: unknown variant `some`"),
            ("hold", &["x=1"], "x=1: expected no parameter"),
            (
                "ds3",
                &[],
                "expected one of 'hold', 'oracle', 'threshold', 'dhalion', 'heron', 'ds2', 'flink-autoscaler', 'aws', 'critical-path', found 'ds3'",
            ),
        ] {
            let error = make(name, settings).unwrap_err();
            assert!(error.contains(expected), "{error}\n{expected}");
        }
        assert!("tolerance".parse::<Setting>().is_err());
    }
}
