//! What the jobs give, computed one epoch after the other without any of the engine.

use std::collections::{BTreeMap, BTreeSet};

use thalweg::engine::Time;

use super::{Case, Form, LATENESS, Output, Value, event_time};

/// The output of a case, sorted.
pub fn sequential(case: &Case) -> Vec<Output> {
    let mut keys: BTreeMap<u16, Vec<Value>> = BTreeMap::new();
    let mut others: BTreeMap<u16, Vec<Value>> = BTreeMap::new();
    for (epoch, records) in (0..).zip(case.all_epochs()) {
        for (key, random) in records {
            if case.form == Form::Binary && random % 2 == 1 {
                others.entry(key).or_default().push((epoch, random));
            } else {
                // The stateless operator doubles every record.
                keys.entry(key).or_default().extend([(epoch, random); 2]);
            }
        }
    }
    let mut output = Vec::new();
    for (key, values) in keys {
        let mut give = |epoch: Time, row: [u64; 4]| output.push((epoch, key, row));
        match case.form {
            Form::StateMachine => (1..).zip(&values).for_each(|(count, &(sent, _))| give(sent, [count, 1, 0, 0])),
            Form::Unary => unary(&values, give),
            Form::Binary => {
                for (left, _) in values {
                    let rights = others.get(&key).into_iter().flatten();
                    rights.for_each(|&(right, _)| give(left.max(right), [left, right, 0, 0]));
                }
            }
            Form::Tumbling => windows(5, 5, &values, give),
            Form::Sliding => windows(6, 4, &values, give),
            Form::Session => sessions(3, &values, give),
        }
    }
    output.sort_unstable();
    output
}

fn unary(values: &[Value], mut give: impl FnMut(Time, [u64; 4])) {
    let (mut count, mut last, mut calls) = (0, 0, 0);
    let mut timers: BTreeSet<Time> = BTreeSet::new();
    for &(sent, random) in values.iter().chain([&(Time::MAX, 0)]) {
        while let Some(&at) = timers.first().filter(|&&at| at <= sent) {
            timers.pop_first();
            give(at, [count, u64::from(last < at), 1, calls]);
            calls += 1;
            if calls % 3 == 1 {
                timers.insert(at + 2);
            }
            if count % 4 == 3 {
                (count, last, calls) = (0, 0, 0);
            }
        }
        if sent < Time::MAX {
            (count, last) = (count + 1, sent);
            give(sent, [count, 1, 0, 0]);
            if random % 3 == 0 {
                timers.insert((sent + u64::from(random % 7)).max(sent + 1));
            }
        }
    }
}

/// What a window keeps of an event.
fn weight(&(sent, random): &Value) -> u64 {
    sent * 1000 + u64::from(random)
}

fn windows(size: u64, slide: u64, values: &[Value], mut give: impl FnMut(Time, [u64; 4])) {
    let mut whole: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for value in values {
        let time = event_time(value);
        let holds: Vec<u64> = (0..=time).step_by(slide as usize).filter(|start| start + size > time).collect();
        let open: Vec<u64> = holds.iter().copied().filter(|start| start + size + LATENESS > value.0).collect();
        if open.is_empty() && !holds.is_empty() {
            give(value.0, [u64::MAX, time, 0, 0]);
        }
        for start in open {
            let (count, sum) = whole.entry(start).or_default();
            (*count, *sum) = (*count + 1, *sum + weight(value));
        }
    }
    for (start, (count, sum)) in whole {
        give(start + size + LATENESS, [start, start + size, count, sum]);
    }
}

fn sessions(gap: u64, values: &[Value], mut give: impl FnMut(Time, [u64; 4])) {
    // Beginning, last event, number, sum.
    let mut open: Vec<[u64; 4]> = Vec::new();
    let end = |open: &mut Vec<[u64; 4]>, epoch: Time, give: &mut dyn FnMut(Time, [u64; 4])| {
        let over = |session: &[u64; 4]| session[1] + gap + LATENESS <= epoch;
        for [first, last, count, sum] in open.iter().copied().filter(over) {
            give(last + gap + LATENESS, [first, last + gap, count, sum]);
        }
        open.retain(|session| !over(session));
    };
    for value in values {
        end(&mut open, value.0, &mut give);
        let time = event_time(value);
        if time + gap + LATENESS <= value.0 {
            give(value.0, [u64::MAX, time, 0, 0]);
            continue;
        }
        let near = |session: &[u64; 4]| time < session[1] + gap && session[0] < time + gap;
        let mut joined = [time, time, 1, weight(value)];
        for [first, last, count, sum] in open.iter().copied().filter(near) {
            joined = [joined[0].min(first), joined[1].max(last), joined[2] + count, joined[3] + sum];
        }
        open.retain(|session| !near(session));
        open.push(joined);
    }
    end(&mut open, Time::MAX, &mut give);
}
