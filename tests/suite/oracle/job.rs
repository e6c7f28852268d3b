//! The jobs on the engine.

use std::ops::Range;

use thalweg::engine::{
    BatchStream, Context, ControlStream, ElasticBinary, ElasticKeyed, ElasticStateless, ElasticUnary, ElasticWindow, OperatorSpec, Time,
    WindowFunction, Windows,
};
use thalweg::migration::Assignment;
use thalweg::time::Epoch;

use super::{Case, Form, LATENESS, Value, event_time};

/// A result without its epoch.
pub type Row = (u16, [u64; 4]);

/// Says in a result whether a key's records came in the order of their epochs.
fn ordered(last: &mut Time, now: Time) -> u64 {
    let in_order = *last <= now;
    *last = now;
    u64::from(in_order)
}

/// The operators of a case: the first stream is doubled by a stateless one.
pub fn build<'s>(
    case: &Case,
    records: BatchStream<'s, (u16, Value)>,
    others: BatchStream<'s, (u16, Value)>,
    commands: ControlStream<'s>,
    context: &Context,
    map: &OperatorSpec,
    keyed: &OperatorSpec,
) -> BatchStream<'s, Row> {
    let first = Assignment::even(case.bins, 1);
    let records = records.elastic_flat_map(commands.clone(), context, map, 1, |record, twice| twice.extend([record, record]));
    match case.form {
        Form::StateMachine => records.elastic_keyed(commands, context, keyed, &first, |&key, (sent, _), (count, last), rows| {
            *count += 1;
            rows.push((key, [*count, ordered(last, sent), 0, 0]));
        }),
        Form::Unary => records.elastic_unary(
            commands,
            context,
            keyed,
            &first,
            |&key, (sent, random), (count, last, _): &mut (u64, Time, u64), session| {
                *count += 1;
                session.give((key, [*count, ordered(last, sent), 0, 0]));
                if random % 3 == 0 {
                    session.notify_at(Epoch(sent + u64::from(random % 7)));
                }
            },
            |&key, (count, last, calls), session| {
                let now = session.epoch().0;
                // The calls of a time come before its records and after all older ones.
                session.give((key, [*count, u64::from(*last < now), 1, *calls]));
                *calls += 1;
                if *calls % 3 == 1 {
                    session.notify_at(Epoch(now + 2));
                }
                if *count % 4 == 3 {
                    session.forget();
                }
            },
        ),
        Form::Binary => records.elastic_binary(
            others,
            commands,
            context,
            keyed,
            &first,
            |&key, (left, _), (lefts, rights): &mut (Vec<Time>, Vec<Time>), session| {
                rights.iter().for_each(|&right| session.give((key, [left, right, 0, 0])));
                lefts.push(left);
            },
            |&key, (right, _), (lefts, rights), session| {
                lefts.iter().for_each(|&left| session.give((key, [left, right, 0, 0])));
                rights.push(right);
            },
            |_, _, _| {},
        ),
        Form::Tumbling => records.elastic_window(commands, context, keyed, &first, Windows::Tumbling { size: 5 }, LATENESS, Counts),
        Form::Sliding => records.elastic_window(commands, context, keyed, &first, Windows::Sliding { size: 6, slide: 4 }, LATENESS, Counts),
        Form::Session => records.elastic_window(commands, context, keyed, &first, Windows::Session { gap: 3 }, LATENESS, Counts),
    }
}

/// How many events, and a sum over them.
struct Counts;

impl WindowFunction<u16, Value> for Counts {
    type State = (u64, u64);
    type Result = Row;

    fn time(&self, value: &Value) -> u64 {
        event_time(value)
    }

    fn add(&mut self, _: &u16, (sent, random): Value, (count, sum): &mut (u64, u64)) {
        *count += 1;
        *sum += sent * 1000 + u64::from(random);
    }

    fn merge(&mut self, (count, sum): &mut (u64, u64), other: (u64, u64)) {
        *count += other.0;
        *sum += other.1;
    }

    fn result(&mut self, &key: &u16, window: Range<u64>, (count, sum): (u64, u64)) -> Row {
        (key, [window.start, window.end, count, sum])
    }

    fn late(&mut self, &key: &u16, value: Value) -> Option<Row> {
        Some((key, [u64::MAX, event_time(&value), 0, 0]))
    }
}
