//! Every figure that can be reproduced, by name, with the definition of its experiment.

use super::definition::Definition;
use super::fidelity::FidelityDefinition;
use super::migration::MigrationDefinition;
use super::nexmark_overhead::OverheadDefinition;
use super::ranking::RankingDefinition;
use super::simulated_figure::SimulatedDefinition;
use super::suite::SuiteDefinition;
use super::window_latency::WindowLatencyDefinition;

/// The definition of an experiment of any kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// Policies on the word count.
    Policies(Box<Definition>),
    /// Whether a measure ranks a known bottleneck first.
    Ranking(Box<RankingDefinition>),
    /// What a migration does to latency and memory.
    Migration(Box<MigrationDefinition>),
    /// How long the analysis of a window takes.
    WindowLatency(Box<WindowLatencyDefinition>),
    /// Policies on scenarios in virtual time.
    Simulated(Box<SimulatedDefinition>),
    /// Every policy in every case of a suite, in virtual time.
    Suite(Box<SuiteDefinition>),
    /// What elastic operators cost.
    Overhead(Box<OverheadDefinition>),
    /// One run on both hosts.
    Fidelity(Box<FidelityDefinition>),
}

/// A definition's kind and text.
type Entry = (&'static str, fn(&str) -> Figure, &'static str);

/// Names of all figures, with how their definitions are read. The files are part of the program, so that it runs from anywhere.
const FIGURES: [Entry; 25] = [
    ("beyondmr-fig2", migration, include_str!("../../experiments/definitions/beyondmr-fig2.toml")),
    ("contune-curve", simulated, include_str!("../../experiments/definitions/contune-curve.toml")),
    ("ds2-fig10", overhead, include_str!("../../experiments/definitions/ds2-fig10.toml")),
    ("ds2-fig6", policies, include_str!("../../experiments/definitions/ds2-fig6.toml")),
    ("ds2-fig7", simulated, include_str!("../../experiments/definitions/ds2-fig7.toml")),
    ("ds2-skew", simulated, include_str!("../../experiments/definitions/ds2-skew.toml")),
    ("ds2-table4", simulated, include_str!("../../experiments/definitions/ds2-table4.toml")),
    ("loop", suite, include_str!("../../experiments/definitions/loop.toml")),
    ("loop-scale", simulated, include_str!("../../experiments/definitions/loop-scale.toml")),
    ("loop-skew", policies, include_str!("../../experiments/definitions/loop-skew.toml")),
    ("loop-under", policies, include_str!("../../experiments/definitions/loop-under.toml")),
    ("megaphone-fig1", migration, include_str!("../../experiments/definitions/megaphone-fig1.toml")),
    ("megaphone-fig13", migration, include_str!("../../experiments/definitions/megaphone-fig13.toml")),
    ("megaphone-fig16", migration, include_str!("../../experiments/definitions/megaphone-fig16.toml")),
    ("megaphone-fig17", migration, include_str!("../../experiments/definitions/megaphone-fig17.toml")),
    ("megaphone-fig18", migration, include_str!("../../experiments/definitions/megaphone-fig18.toml")),
    ("megaphone-fig20", migration, include_str!("../../experiments/definitions/megaphone-fig20.toml")),
    ("megaphone-nexmark", migration, include_str!("../../experiments/definitions/megaphone-nexmark.toml")),
    ("nexmark-converge", suite, include_str!("../../experiments/definitions/nexmark-converge.toml")),
    ("nexmark-overhead", overhead, include_str!("../../experiments/definitions/nexmark-overhead.toml")),
    ("sim-fidelity", fidelity, include_str!("../../experiments/definitions/sim-fidelity.toml")),
    ("snailtrail-fig10", ranking, include_str!("../../experiments/definitions/snailtrail-fig10.toml")),
    ("snailtrail-fig11", ranking, include_str!("../../experiments/definitions/snailtrail-fig11.toml")),
    ("snailtrail-table2", window_latency, include_str!("../../experiments/definitions/snailtrail-table2.toml")),
    ("stability", simulated, include_str!("../../experiments/definitions/stability.toml")),
];

fn policies(text: &str) -> Figure {
    Figure::Policies(toml::from_str(text).expect("definitions are tested"))
}

fn migration(text: &str) -> Figure {
    Figure::Migration(toml::from_str(text).expect("definitions are tested"))
}

fn simulated(text: &str) -> Figure {
    Figure::Simulated(toml::from_str(text).expect("definitions are tested"))
}

fn suite(text: &str) -> Figure {
    Figure::Suite(Box::new(SuiteDefinition::read(text).expect("definitions are tested")))
}

fn overhead(text: &str) -> Figure {
    Figure::Overhead(toml::from_str(text).expect("definitions are tested"))
}

fn fidelity(text: &str) -> Figure {
    Figure::Fidelity(toml::from_str(text).expect("definitions are tested"))
}

fn ranking(text: &str) -> Figure {
    Figure::Ranking(toml::from_str(text).expect("definitions are tested"))
}

fn window_latency(text: &str) -> Figure {
    Figure::WindowLatency(toml::from_str(text).expect("definitions are tested"))
}

/// No figure has that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a figure, one of {}, found '{found}'", FIGURES.map(|(name, ..)| format!("'{name}'")).join(", "))]
pub struct UnknownFigure {
    /// The name that was given.
    pub found: String,
}

impl Figure {
    /// The figure of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(figure: &str) -> Result<Figure, UnknownFigure> {
        let found = FIGURES.iter().find(|(name, ..)| *name == figure);
        let (_, read, text) = found.ok_or_else(|| UnknownFigure { found: figure.to_owned() })?;
        Ok(read(text))
    }

    /// Names of all figures.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FIGURES.iter().map(|(name, ..)| *name)
    }

    /// Title of the figure.
    pub fn title(&self) -> &str {
        match self {
            Figure::Policies(definition) => &definition.title,
            Figure::Migration(definition) => &definition.title,
            Figure::Ranking(definition) => &definition.title,
            Figure::WindowLatency(definition) => &definition.title,
            Figure::Simulated(definition) => &definition.title,
            Figure::Suite(definition) => &definition.title,
            Figure::Fidelity(definition) => &definition.title,
            Figure::Overhead(definition) => &definition.title,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::definition::Scale;
    use crate::experiment::migration::NO_MIGRATION;
    use crate::experiment::policies::Setting;
    use crate::experiment::scenario::Scenario;

    #[test]
    fn every_figure_is_defined_under_its_name() {
        for name in Figure::names() {
            let defined = match Figure::named(name).unwrap() {
                Figure::Policies(definition) => definition.figure,
                Figure::Ranking(definition) => {
                    let labels: Vec<&String> = definition.runs.iter().map(|run| &run.label).collect();
                    assert!(definition.expect.iter().all(|expected| labels.contains(&&expected.label)), "{name}");
                    assert!(
                        definition.runs.iter().flat_map(|run| &run.instances).all(|all| all.len() == definition.stages.len()),
                        "{name}"
                    );
                    definition.figure
                }
                Figure::Migration(definition) => {
                    for (setting, strategy) in definition.runs() {
                        let run = definition.run(setting, strategy, Scale::Quick, 0).unwrap();
                        assert_eq!((run.strategy.is_none(), run.job.keys() > 0), (strategy == NO_MIGRATION, true), "{name}");
                    }
                    definition.figure
                }
                Figure::WindowLatency(definition) => definition.figure,
                Figure::Fidelity(definition) => definition.figure,
                Figure::Overhead(definition) => definition.figure,
                Figure::Suite(definition) => {
                    for case in &definition.cases {
                        let text = toml::to_string(&case.scenario).unwrap();
                        assert!(Scenario::read(&text).is_ok(), "{name} {}: {}", case.name, Scenario::read(&text).unwrap_err());
                    }
                    let policies: Vec<&str> = definition.policies.iter().map(|policy| policy.label()).collect();
                    let cases: Vec<&str> = definition.cases.iter().map(|case| case.name.as_str()).collect();
                    assert!(definition.policies.iter().flat_map(|policy| &policy.set).all(|text| text.parse::<Setting>().is_ok()));
                    for expected in &definition.expect {
                        assert!(policies.contains(&expected.policy.as_str()), "{name}: {expected:?}");
                        assert!(expected.cases.iter().all(|case| cases.contains(&case.as_str())), "{name}: {expected:?}");
                    }
                    definition.figure
                }
                Figure::Simulated(definition) => {
                    for run in definition.runs(Scale::Full, 0, &[]).iter().filter(|run| run.seed == 0) {
                        let scenario = run.case.scenario(run.start, run.seed);
                        // A large one takes its time, and is of the same make as the small ones.
                        if scenario.operators.len() < 2000 {
                            let text = toml::to_string(&scenario).unwrap();
                            assert!(Scenario::read(&text).is_ok(), "{name}: {}", Scenario::read(&text).unwrap_err());
                        }
                        assert!(run.case.paper.is_empty() || run.start < run.case.paper.len(), "{name}: a paper's row a start");
                        assert!(run.policy.set.iter().all(|text| text.parse::<Setting>().is_ok()), "{name}");
                    }
                    let policies: Vec<&str> = definition.policies.iter().map(|policy| policy.name.as_str()).collect();
                    let cases: Vec<&str> = definition.cases.iter().map(|case| case.label.as_str()).collect();
                    for expected in &definition.expect {
                        assert!(policies.contains(&expected.policy.as_str()), "{name}: {expected:?}");
                        assert!(cases.iter().any(|case| case.starts_with(&expected.case)), "{name}: {expected:?}");
                    }
                    definition.figure
                }
            };
            assert_eq!(defined, name);
        }
        let error = Figure::named("fig0").unwrap_err().to_string();
        assert!(
            error.starts_with("expected a figure, one of 'beyondmr-fig2', 'contune-curve', 'ds2-fig10', ")
                && error.ends_with(", found 'fig0'"),
            "{error}"
        );
    }
}
