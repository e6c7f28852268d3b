//! What the files say, and every way in which they can be wrong: each error by its file, line, what
//! was expected and what was found.

use std::path::Path;

use super::*;

const TOPOLOGY: &str = "# edges\na,a,1,b,b,2\nb,b,2,c,c,1\n";
const RATES: &str = "a,0,1,10,0,100,0,50\nb,0,2,10,30,300,20,200\nb,1,2,11,40,400,30,300\nc,0,1,12,900,0,500,0\n";

fn files(system: System, texts: [&[u8]; 2], sources: Option<&str>, operators: Option<&str>) -> Result<Measured, String> {
    let content = |name: &'static str, bytes| Content { path: Path::new(name), bytes };
    let files = Files {
        topology: content("topology", texts[0]),
        rates: content("rates", texts[1]),
        source_rates: sources.map(|text| Content { path: Path::new("sources"), bytes: text.as_bytes() }),
        operator_rates: operators.map(|text| Content { path: Path::new("operators"), bytes: text.as_bytes() }),
    };
    read(system, &files).map_err(|why| why.to_string())
}

fn flink(topology: &str, rates: &str) -> Result<Measured, String> {
    files(System::Flink, [topology.as_bytes(), rates.as_bytes()], None, None)
}

#[test]
fn rates_are_sums_by_operator_in_the_order_of_the_graph() {
    let measured = flink(TOPOLOGY, RATES).unwrap();
    let names: Vec<&str> = measured.topology.operators().iter().map(|operator| operator.name.as_str()).collect();
    assert_eq!((names, measured.instances.as_slice(), measured.epochs.len()), (vec!["a", "b", "c"], &[1, 2, 1][..], 1));
    let b = OperatorRates { true_processing: 70.0, true_output: 700.0, observed_processing: 50.0, observed_output: 500.0 };
    assert_eq!(measured.epochs[0].1[1], b);
    // The same whatever the order of lines, with blanks, another end of line, a mark at the
    // beginning and a comment.
    let mut lines: Vec<&str> = RATES.lines().collect();
    lines.reverse();
    let other = format!("\u{feff}#x\r\n\r\n{}", lines.join("  \r\n").replace(',', " , "));
    assert_eq!(flink(TOPOLOGY, &other).unwrap(), measured);
    // Edges in any order, and twice.
    assert_eq!(flink("b,b,2,c,c,1\na,a,1,b,b,2\na,a,1,b,b,2", RATES).unwrap().epochs, measured.epochs);
}

#[test]
fn rows_of_an_instance_are_epochs_in_the_order_of_their_times() {
    let rates = "a,0,1,20,0,2,0,0\na,0,1,10,0,1,0,0\nb,0,1,7,1,1,1,1\nb,0,1,6,2,2,2,2\nb,0,1,8,3,3,3,3\n";
    let measured = flink("a,a,1,b,b,1", rates).unwrap();
    let of = |place: usize| measured.epochs.iter().map(|(_, epoch)| epoch[place].true_output).collect::<Vec<_>>();
    assert_eq!((of(0), of(1)), (vec![1.0, 2.0], vec![2.0, 1.0]));
    assert_eq!(measured.missing, [MissingRow { epoch: 2, operator: "a".into(), instance: "0".into() }]);
}

#[test]
fn a_missing_row_is_told_by_its_epoch_and_shifts_no_other() {
    // Two instances of b, five epochs about 10 apart; b[1] has no row of epoch 2.
    let row = |operator: &str, instance: u32, of: u32, epoch: u32| {
        let at = 10 * epoch + instance;
        format!("{operator},{instance},{of},{at},{0},{0},{0},{0}\n", f64::from(epoch + 1))
    };
    let rows = (0..5).flat_map(|epoch| [row("a", 0, 1, epoch), row("b", 0, 2, epoch), row("b", 1, 2, epoch)]);
    let rates: String = rows.enumerate().filter(|(place, _)| *place != 3 * 2 + 2).map(|(_, row)| row).collect();
    let measured = flink("a,a,1,b,b,2", &rates).unwrap();
    let found: Vec<_> = measured.epochs.iter().map(|(epoch, rates)| (*epoch, rates[0].true_output, rates[1].true_output)).collect();
    assert_eq!(found, [(0, 1.0, 2.0), (1, 2.0, 4.0), (3, 4.0, 8.0), (4, 5.0, 10.0)]);
    assert_eq!(measured.missing, [MissingRow { epoch: 2, operator: "b".into(), instance: "1".into() }]);
}

#[test]
fn an_instance_whose_rates_are_no_numbers_is_idle() {
    let with = |b1: &str| flink(TOPOLOGY, &RATES.replace("b,1,2,11,40,400,30,300", &format!("b,1,2,11,{b1}")));
    let rates = with("NaN,nan,0,0").unwrap().epochs.remove(0).1;
    // It could do what the other does.
    assert_eq!((rates[1].true_processing, rates[1].true_output, rates[1].observed_processing), (60.0, 600.0, 20.0));
    assert_eq!(with("NaN,NaN,NaN,NaN").unwrap().epochs.remove(0).1, rates);
    assert!(with("NaN,NaN,1,0").unwrap_err().contains("expected a true processing rate"));
    assert!(with("1,1,NaN,0").unwrap_err().contains("expected an observed processing rate"));
}

#[test]
fn given_rates_are_by_instance_and_minus_one_stands_for_what_was_observed() {
    let with = |sources, operators| {
        let measured = files(System::Heron, [TOPOLOGY.as_bytes(), RATES.as_bytes()], sources, operators).unwrap();
        {
            let rates = &measured.epochs[0].1;
            (rates[0].true_output, rates[1].true_processing, rates[1].true_output)
        }
    };
    assert_eq!(with(None, None), (100.0, 70.0, 700.0));
    assert_eq!(with(Some("a,1000"), None), (1000.0, 70.0, 700.0));
    assert_eq!(with(Some("a,-1"), None), (50.0, 70.0, 700.0));
    // A limit takes the output down along with the processing: ten records out of one remain ten.
    assert_eq!(with(None, Some("b,14")), (100.0, 28.0, 280.0));
    assert_eq!(with(None, Some("b,1000\nc,1")), (100.0, 70.0, 700.0));
    assert_eq!(with(None, Some("b,-1")), (100.0, 50.0, 500.0));
}

#[test]
fn a_topology_that_is_none_is_refused_by_its_line() {
    for (topology, expected) in [
        ("", "topology, line 1: expected an edge as 'id,name,instances,id,name,instances', found the end of the file"),
        ("# only\n# this\n", "topology, line 2: expected an edge"),
        ("a,a,1,b,b\n", "topology, line 1: expected an edge as 'id,name,instances,id,name,instances', 6 fields, found 5 in \"a,a,1,b,b\""),
        ("a,a,1,b,b,2,", "6 fields, found 7"),
        ("a,a,none,b,b,2", "line 1: expected a number of instances, at least 1, found \"none\""),
        ("a,a,0,b,b,2", "found \"0\""),
        ("a,a,-1,b,b,2", "found \"-1\""),
        ("a,a,99999999999,b,b,2", "found \"99999999999\""),
        (",a,1,b,b,2", "line 1: expected the identifier of an operator, found an empty field"),
        ("a,a,1,b,b,2\na,a,2,c,c,1", "topology, line 2: expected 'a' with 1 instances, as in line 1, found \"a\" with 2 instances"),
        ("a,a,1,a,a,1", "topology, line 1: expected edges that lead away from the sources, found a cycle through 'a' -> 'a'"),
        (
            "a,a,1,b,b,2\nb,b,2,c,c,1\nc,c,1,b,b,2\nc,c,1,d,d,1",
            "topology, line 2: expected edges that lead away from the sources, found a cycle through 'b' -> 'c'",
        ),
    ] {
        let error = flink(topology, RATES).unwrap_err();
        assert!(error.contains(expected), "{error}\n{expected}");
    }
}

#[test]
fn rates_that_are_none_are_refused_by_their_line() {
    let row = |rates: &str| format!("a,0,1,10,{rates}");
    for (rates, expected) in [
        (String::new(), "rates, line 1: expected rates as 'operator,instance,instances,time,"),
        (row("0,1,0"), "8 fields, found 7 in \"a,0,1,10,0,1,0\""),
        (row("0,NaN,0,1"), "line 1: expected a true output rate, in records/s from 0 to 1e18, found \"NaN\""),
        (row("-1,1,0,0"), "expected a true processing rate, in records/s from 0 to 1e18, found \"-1\""),
        (row("0,1,inf,0"), "expected an observed processing rate"),
        (row("0,1,0,1e300"), "found \"1e300\""),
        (row("0,1,0,x"), "found \"x\""),
        ("a,0,1,-10,0,1,0,0".into(), "line 1: expected a time, a whole number of at least 0, found \"-10\""),
        ("a,0,1,1.5,0,1,0,0".into(), "found \"1.5\""),
        ("a,,1,10,0,1,0,0".into(), "expected the identifier of an instance, found an empty field"),
        (
            format!("{RATES}a,0,1,10,0,100,0,50"),
            "rates, line 5: expected one row per instance and time, as in line 1, found another one of time 10",
        ),
        (format!("{RATES}d,0,1,10,0,100,0,50"), "rates, line 5: expected an operator of topology, found 'd'"),
        (RATES.replace("b,0,2", "b,0,3"), "rates, line 3: expected 3 instances of 'b', as in line 2, found 2"),
        (RATES.replace(",2,1", ",3,1"), "rates, line 2: expected 2 instances of 'b', as in topology, line 2, found 3"),
        (
            RATES.replace("b,1,2,11,40,400,30,300\n", ""),
            "rates, line 3: expected rates of 2 instances of 'b' (topology, line 2), found rates of 1 up to the end",
        ),
        (
            RATES.replace("c,0,1,12,900,0,500,0\n", ""),
            "rates, line 3: expected rates of 1 instances of 'c' (topology, line 3), found rates of 0",
        ),
    ] {
        let error = flink(TOPOLOGY, &rates).unwrap_err();
        assert!(error.contains(expected), "{error}\n{expected}");
    }
    let error = files(System::Flink, [TOPOLOGY.as_bytes(), b"a,0,1,10,0,\xff,0,0"], None, None).unwrap_err();
    assert_eq!(error, "rates, line 1: expected text in UTF-8, found the byte 0xff");
}

#[test]
fn given_rates_that_do_not_fit_are_refused_by_their_line() {
    for (sources, operators, expected) in [
        (Some("\n"), None, "sources, line 1: expected a rate as 'operator,rate of an instance', found the end of the file"),
        (Some("a"), None, "sources, line 1: expected a rate as 'operator,rate of an instance', 2 fields, found 1"),
        (Some("b,1"), None, "sources, line 1: expected a source of topology, found 'b'"),
        (Some("x,1"), None, "expected a source of topology, found 'x'"),
        (Some("a,-2"), None, "expected a rate of an instance (-1 for the observed one), in records/s from 0 to 1e18, found \"-2\""),
        (Some("a,1\na,2"), None, "sources, line 2: expected one rate an operator, as in line 1, found another one of 'a'"),
        (None, Some("x,1"), "operators, line 1: expected an operator of topology, found 'x'"),
        (None, Some("b,1e18"), "operators, line 1: expected a rate of at most 1e18 records/s over all instances, found 2e18"),
    ] {
        let error = files(System::Flink, [TOPOLOGY.as_bytes(), RATES.as_bytes()], sources, operators).unwrap_err();
        assert!(error.contains(expected), "{error}\n{expected}");
    }
}

/// Input (0) to FilterMap (2), on two workers.
fn timely_topology() -> String {
    let worker = |worker: u32| {
        format!(
            "replayed raw: 0 (5, TimelySetup {{ index: {worker} }}, Operates(OperatesEvent {{ id: 0, addr: [{worker}, 0, 1], name: \"Input\" }}))\n\
             replayed raw: 0 (6, TimelySetup {{ index: {worker} }}, Channels(ChannelsEvent {{ id: 1, scope_addr: [{worker}, 0], source: (1, 0), target: (2, 0) }}))\n\
             replayed raw: 0 (7, TimelySetup {{ index: {worker} }}, Operates(OperatesEvent {{ id: 2, addr: [{worker}, 0, 2], name: \"Filter Map\" }}))\n"
        )
    };
    format!("# a comment\nsomething else\n{}{}", worker(0), worker(1))
}

const TIMELY_RATES: &str = "replayed converted: 9 (Rates(Op(0, 0)), (0.0, 10.0, 0.0, 5.0))\nreplayed converted: 9 (Rates(Op(1, 0)), (0.0, 20.0, 0.0, 5.0))\n\
                            other\nreplayed converted: 9 (Rates(Op(0, 2)), (4, 1.0, 2.0, 1.0))\nreplayed converted: 9 (Rates(Op(1, 2)), (6.0, 1.0, 3.0, 1.0))\n";

#[test]
fn timelys_logs_are_read_by_their_operators_identifiers() {
    let topology = timely_topology();
    let read = |topology: &str, rates: &str| files(System::Timely, [topology.as_bytes(), rates.as_bytes()], Some("0,100"), None);
    let measured = read(&topology, TIMELY_RATES).unwrap();
    assert_eq!((measured.names, measured.instances), (vec!["Input".to_owned(), "Filter Map".to_owned()], vec![2, 2]));
    assert_eq!(measured.topology.operators()[1].name, "2");
    assert_eq!((measured.epochs[0].1[0].true_output, measured.epochs[0].1[1].true_processing), (200.0, 10.0));
    for (topology, rates, expected) in [
        (String::new(), TIMELY_RATES.to_owned(), "topology, line 1: expected Operates(OperatesEvent"),
        (
            topology.replace("target: (2", "target: (7"),
            TIMELY_RATES.into(),
            "line 4: expected a channel between operators of the log, found 7",
        ),
        (topology.replace("source: (1, 0)", "source: (2, 0)"), TIMELY_RATES.into(), "found a cycle through '2' -> '2'"),
        (
            topology.replace("addr: [1, 0, 2]", "addr: [1, 0, 3]"),
            TIMELY_RATES.into(),
            "expected operator 2 to be 'Filter Map' at 2, as in line 5",
        ),
        (
            topology.replace("addr: [1, 0, 2]", "addr: [0, 0, 2]"),
            TIMELY_RATES.into(),
            "expected operator 2 once a worker, found it again of worker 0",
        ),
        (topology.replace("id: 2, addr: [1", "id: 3, addr: [1"), TIMELY_RATES.into(), "expected one dataflow, in which 2 is operator 2"),
        (topology.replace("addr: [1, 0, 2]", "addr: []"), TIMELY_RATES.into(), "line 8: expected Operates(OperatesEvent"),
        (topology.replace("(1, 0), target", "(), target"), TIMELY_RATES.into(), "line 4: expected Channels(ChannelsEvent"),
        (topology.clone(), "none".into(), "rates, line 1: expected replayed converted: TIME (Rates("),
        (topology.clone(), TIMELY_RATES.replace("4, 1.0", "4"), "rates, line 4: expected replayed converted"),
        (topology.clone(), TIMELY_RATES.replace("4, 1.0", "4, NaN"), "line 4: expected a true output rate"),
        (topology.clone(), TIMELY_RATES.replace("Op(1, 2)", "Op(1, 3)"), "line 5: expected an operator of topology, found '3'"),
    ] {
        let error = read(&topology, &rates).unwrap_err();
        assert!(error.contains(expected), "{error}\n{expected}");
    }
}

#[test]
fn a_long_row_of_operators_is_read_in_time_that_grows_with_its_length() {
    let edge = |from: u32| format!("o{from},o,1,o{},o,1\n", from + 1);
    let edges: String = (0..20_000).map(edge).collect();
    // A cycle at its beginning, so that all that follows has no order either.
    let error = flink(&format!("{edges}o1,o,1,o0,o,1\n"), RATES).unwrap_err();
    assert!(error.starts_with("topology, line 1: expected edges that lead away from the sources"), "{error}");
    let rates: String = (0..=20_000).map(|operator| format!("o{operator},0,1,1,1,1,1,1\n")).collect();
    assert_eq!(flink(&edges, &rates).unwrap().epochs[0].1.len(), 20_001);
}
