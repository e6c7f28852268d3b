//! Events of every version of timely, and what is no event.

use super::*;

#[test]
fn times_are_exact() {
    let at = |text: &str| match parse(&format!("({text}, 1, GMsg {{ is_start: true }})")) {
        Ok(Line::Event { at, .. }) => Ok(at),
        Ok(other) => panic!("{other:?}"),
        Err((expected, _)) => Err(expected),
    };
    assert_eq!(at("6.275699ms"), Ok(6_275_699));
    assert_eq!(at("350ns"), Ok(350));
    assert_eq!(at("1.5µs"), Ok(1_500));
    assert_eq!(at("2.000000001s"), Ok(2_000_000_001));
    assert_eq!(at("18446744073.709551615s"), Ok(u64::MAX));
    for wrong in ["18446744073.709551616s", "6.2.7ms", "6ks", "6"] {
        assert!(at(wrong).unwrap_err().starts_with("a time"), "{wrong}");
    }
}

fn event(line: &str) -> (Option<u64>, Event<'_>) {
    match parse(line) {
        Ok(Line::Event { worker, event, .. }) => (worker, event),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn events_of_every_version_are_read() {
    let name = "Map";
    let built = Event::Operates { operator: 4, address: vec![0, 2], name };
    assert_eq!(event(r#"(12.5µs, 0, Operates(OperatesEvent { id: 4, addr: [0, 2], name: "Map" }))"#), (Some(0), built));
    let built = Event::Channels { channel: 3, scope: vec![0], source: 1, target: 2 };
    let line = r#"LOG1: (1ms, Channels(ChannelsEvent { id: 3, scope_addr: [0], source: (1, 0), target: (2, 0), typ: "Vec<(u64, i64)>" }))"#;
    assert_eq!(event(line), (None, built));
    for line in [
        "(1ms, 0, Sched { id: 2, start_stop: Stop })",
        "(1ms, 0, Schedule(ScheduleEvent { id: 2, start_stop: Stop }))",
        "worker 0: (1ms, 0, Schedule(ScheduleEvent { id: 2, start_stop: Stop { activity: true } }))",
    ] {
        assert_eq!(event(line), (Some(0), Event::Sched { operator: 2, starts: false }));
    }
    let message = || Event::Msg { sends: true, channel: 3, source: 0, target: 1, sequence: 5, length: 9 };
    let line = |event: &str, length: &str| {
        format!("(1ms, {event} {{ is_send: true, channel: 3, source: 0, target: 1, seq_no: 5, {length}: 9 }}))")
    };
    assert_eq!(event(&line("Messages(MessagesEvent", "length")).1, message());
    assert_eq!(event(&line("Messages(MessagesEvent", "record_count")).1, message());
    assert_eq!(event("(1ms, Park(Park(Some(1.5ms))))").1, Event::Park { starts: true });
    assert_eq!(event("(1ms, 3, Park(Unpark))").1, Event::Park { starts: false });
    assert_eq!(event("(1ms, GuardedMessage(GuardedMessageEvent { is_start: true }))").1, Event::GMsg);
    assert_eq!(event("(1ms, PushProgress(PushProgressEvent { op_id: 3 }))").1, Event::PushProgress);
    assert_eq!(event(r#"(1ms, Shutdown(ShutdownEvent { id: 3, text: "})" }))"#).1, Event::Other("Shutdown"));
    for line in ["LOG1: Flush 1.2ms", "hello", "total: (3, 4)", "(3, 4)", "Result: {1ms}"] {
        assert_eq!(parse(line), Ok(Line::Foreign), "{line}");
        assert!(!begins_an_event(line), "{line}");
    }
}

#[test]
fn lines_are_whole_or_refused() {
    assert_eq!(parse("  ;; a comment"), Ok(Line::Nothing));
    let text = Event::Text(r#"a \" quote) ;;"#);
    let worker = Some(0);
    assert_eq!(parse(r#"(1ns, 0, Text("a \" quote) ;;")) ;; said"#), Ok(Line::Event { at: 1, worker, event: text }));
    let other = Line::Event { at: 1, worker, event: Event::Other("Shutdown") };
    assert_eq!(parse("(1ns, 0, Shutdown { id: { 3 } })"), Ok(other));
    let refused = |line| parse(line).unwrap_err();
    assert_eq!(refused("(1ns, 0, Sched { id: 1, start_stop: Sto").0, "'Start' or 'Stop'");
    assert_eq!(refused("(1ns, 0, Sched { id: 1, start_stop: Stop }"), ("')'".to_owned(), "the end of the line".to_owned()));
    assert_eq!(refused("(1ns, Schedule(ScheduleEvent { id: 1, start_stop: Stop })").0, "')'");
    assert_eq!(refused("(1ns, Schedule(ScheduleEvent { id: 1, start_stop: Stop").0, "'}' at the end of the event");
    assert_eq!(refused("(1ns, Park(Wait))").0, "'Park' or 'Unpark'");
    assert_eq!(refused("Dataflow: Channel 3: (1, Input) (2, Map)").0, "'->'");
    assert_eq!(refused("(1ns, 0, GMsg { is_start: true }) more").1, "\"more\"");
}

#[test]
fn what_a_program_prints_is_damage_only_if_it_names_an_event_where_events_do() {
    for line in [
        "((1, Point { x: 2 }), 0, 1)",
        "(1, Point { x: 2 })",
        "(1ms, 5, 7)",
        "(1ms, 0, Point { x: 2",
        "(1ms, Schedules { x: 2",
        r#"("Sched", Sched { x: 2 })"#,
        "Dataflow: it is built",
        "Dataflow: Channels: 3",
    ] {
        assert_eq!(parse(line), Ok(Line::Foreign), "{line}");
    }
    for line in ["(1ms, 0, Sched { x: 2 })", "LOG1: (1ms, Sched { x: 2 })", "(0, Sched { id: 1, start_stop: Stop })"] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn a_line_that_ends_early_is_cut_off() {
    let line = r#"LOG1: (1.5µs, 0, Text("a \") b"))"#;
    let cut_off = |line: &str| is_cut_off(line, parse(line).err().as_ref());
    let cuts = line.char_indices().map(|(end, _)| end).filter(|&end| end > 6);
    assert!(cuts.clone().count() > 20);
    for end in cuts {
        assert!(cut_off(&line[..end]), "{}", &line[..end]);
    }
    assert!(cut_off("Dataflow: Channel 3: (1, Input) ->"));
    for whole in [line, "a program's line", "(1ms, 0, Sched { id: 1, start_stop: Halt })"] {
        assert!(!cut_off(whole), "{whole}");
    }
}
