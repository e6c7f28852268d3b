//! Scenarios that are part of the program can be read, others are refused by line.

use super::*;
use crate::id::OperatorId;
use crate::time::Timestamp;

#[test]
fn every_scenario_of_the_program_is_one_and_reads_back() {
    for name in Scenario::names() {
        let text = Scenario::text(name).unwrap();
        let scenario = Scenario::read(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let again = toml::to_string(&scenario).unwrap();
        assert_eq!(Scenario::read(&again).unwrap(), scenario, "{name}");
        assert_eq!(scenario.job().duration, scenario.duration(), "{name}");
    }
}

#[test]
fn needs_follow_from_the_true_parameters() {
    let needed = |name: &str, seconds: f64| {
        let job = Scenario::read(Scenario::text(name).unwrap()).unwrap().job();
        job.needed(Timestamp::from_secs_f64(seconds)).into_iter().map(|(OperatorId(id), instances)| (id, instances)).collect::<Vec<_>>()
    };
    assert_eq!(needed("heron-wordcount", 0.0), [(1, 10), (2, 20)]);
    assert_eq!(needed("heron-wordcount", 50.0), [(1, 10), (2, 20)]);
}

const SMALL: &str = "title = 'x'\nseconds = 10\n\n[[operators]]\nname = 'in'\nrole = 'source'\nrate = 100\n\n[[operators]]\nname = 'map'\nrole = 'stateless'\ninputs = ['in']\nlimit = '10/s'\n";

#[test]
fn what_is_wrong_is_named_with_its_line() {
    assert!(Scenario::read(SMALL).is_ok());
    let error = |from: &str, to: &str| Scenario::read(&SMALL.replace(from, to)).unwrap_err().to_string();
    for (from, to, message) in [
        ("['in']", "['out']", "line 10: operator 'map': expected inputs among the operators before it, found 'out'"),
        ("'10/s'", "'10/fortnight'", "line 13: expected a rate such as"),
        ("'10/s'", "0", "line 10: operator 'map': expected limit from 0.000001 to 1000000000000, found 0"),
        ("rate = 100", "rates = 100", "line 7: unknown field `rates`"),
        ("rate = 100", "", "line 5: operator 'in': expected either 'rate' or 'load'"),
        ("'in'\nrole", "'map'\nrole", "line 10: operator 'map': expected a name that no other"),
        ("seconds = 10", "seconds = nan", "line 1: expected seconds from 0.001"),
        ("seconds = 10", "seconds = -1", "line 1: expected seconds from 0.001"),
        ("inputs = ['in']", "", "line 1: operator 'map' is a Stateless and has 0 inputs"),
        ("limit = '10/s'", "selectivity = inf", "line 10: operator 'map': expected selectivity from 0 to 1000000, found inf"),
        ("limit = '10/s'", "counted_output = 1.5", "line 10: operator 'map': expected counted_output from 0 to 1, found 1.5"),
        ("limit = '10/s'", "capacity = { curve = 'power', exponent = 9 }", "line 10: operator 'map': capacity: expected an exponent"),
        ("limit = '10/s'", "instances = 0", "line 10: operator 'map': expected instances from 1 to 128, found 0"),
        (
            "limit = '10/s'",
            "feedback = [{ from = 'in', share = 0.5 }]",
            "line 10: operator 'map': expected feedback from itself or operators after it, found 'in'",
        ),
        (
            "limit = '10/s'",
            "feedback = [{ from = 'map', share = 1 }]",
            "line 1: expected less to come back by 'feedback' than goes round, found a cycle that never empties",
        ),
        ("limit = '10/s'", "external_limit = 0", "line 10: operator 'map': expected external_limit from 0.000001 to"),
        ("limit = '10/s'", "external_limit = '1/fortnight'", "line 13: expected a rate such as"),
        (
            "limit = '10/s'",
            "skew = { kind = 'hot-bins', bins = 256, share = 0.5 }",
            "line 10: operator 'map': expected hot bins from 1 to 255, found 256",
        ),
        (
            "limit = '10/s'",
            "skew = { kind = 'hot-bins', bins = 0, share = 0.5 }",
            "line 10: operator 'map': expected hot bins from 1 to 255, found 0",
        ),
        (
            "limit = '10/s'",
            "bins = 1\nskew = { kind = 'hot-bins', bins = 1, share = 0.5 }",
            "line 10: operator 'map': expected hot bins from 1 to 0, found 1",
        ),
        (
            "limit = '10/s'",
            "skew = { kind = 'hot-bins', bins = 2, share = 1.5 }",
            "line 10: operator 'map': expected share from 0 to 1, found 1.5",
        ),
        (
            "limit = '10/s'",
            "skew = { kind = 'hot-bins', bins = 6, share = 0.5, step = 52 }",
            "line 10: operator 'map': expected step from 1 to 51, found 52",
        ),
        ("limit = '10/s'", "skew = { kind = 'hot-bins', share = 0.5 }", "line 13: missing field `bins`"),
        ("title", "tite", "line 1: unknown field `tite`"),
    ] {
        let found = error(from, to);
        assert!(found.starts_with(message), "{to}: {found}");
    }
}
