//! What the spans of a trace waited for, inferred: they tell when each request was served and by whom
//! it was made, not what waited for what.
//!
//! A span waits for the child that ends last before its own end, before the start of that one for the
//! child that ends last before it, and so on; in between it works itself. Children that overlap with
//! the next by at most a twentieth of their length count as ended before it: clocks differ. Other
//! children run beside it; what sticks out of the parent is cut (as CRISP does).
//!
//! Left out and counted: spans that lie outside of a parent whose children they are said to be, those
//! that took no time and have no children, those that are their own ancestors.

use super::cuts::{Cuts, Relation};
use super::error::Oddities;
use crate::activity::{ActivityKind, Record};

/// A child may overlap with the next by this part of its length and still count as ended before it.
const OVERLAP: u64 = 20;
/// Why a span is left out.
pub(super) const OUTSIDE: &str = "spans outside of the time of their parent, and those below them, left out";
/// What is counted of a span that becomes a root for lack of its parent.
pub(super) const ORPHAN: &str = "spans whose parent is not in their trace";

/// A span of a trace, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkedSpan {
    pub(super) start: u64,
    pub(super) end: u64,
    /// What it does itself, between its waits.
    pub(super) kind: ActivityKind,
    pub(super) parent: Option<Parent>,
}

/// The span that another belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parent {
    /// Its number in the trace.
    pub(super) number: usize,
    /// Whether the other only follows from it, and may start after its end.
    pub(super) follows: bool,
}

/// Adds the spans of a trace to `cuts`; `name` gives the service and the operation of a span.
pub(super) fn take_tree<'n>(
    spans: &[LinkedSpan],
    name: &dyn Fn(usize) -> (&'n str, &'n str),
    cuts: &mut Cuts,
    out: &mut Vec<Record>,
    oddities: &mut Oddities,
) {
    let (mut roots, mut children) = (Vec::new(), vec![Vec::new(); spans.len()]);
    for (number, span) in spans.iter().enumerate() {
        match span.parent {
            Some(Parent { number: parent, follows }) => children[parent].push(Child { number, follows }),
            None => roots.push(number),
        }
    }
    roots.sort_by_key(|&root| spans[root].start);
    let first = cuts.len();
    let mut walk = Walk { spans, name, children: &children, cuts, stack: Vec::new(), out };
    for &root in &roots {
        walk.add(root, (spans[root].start, spans[root].end), Relation::Beside);
    }
    let mut unvisited = spans.len();
    while let Some((number, place)) = walk.stack.pop() {
        unvisited -= 1;
        match place {
            Ok(place) => walk.below(number, place),
            Err(why) => {
                oddities.count(why);
                walk.stack.extend(children[number].iter().map(|child| (child.number, Err(OUTSIDE))));
            }
        }
    }
    (0..unvisited).for_each(|_| oddities.count("spans that are their own ancestors, and those below them, left out"));
    if roots.is_empty() {
        oddities.count("traces without a root");
    } else {
        walk.cuts.end(first);
    }
}

#[derive(Clone, Copy, Debug)]
struct Child {
    number: usize,
    follows: bool,
}

/// Visits the spans of a trace from the roots downwards.
struct Walk<'t, 'n> {
    spans: &'t [LinkedSpan],
    name: &'t dyn Fn(usize) -> (&'n str, &'n str),
    children: &'t [Vec<Child>],
    cuts: &'t mut Cuts,
    /// Spans to visit, each with its number among the cuts, or why it is left out.
    stack: Vec<(usize, Result<usize, &'static str>)>,
    out: &'t mut Vec<Record>,
}

impl Walk<'_, '_> {
    /// Adds span number `number` between `start` and `end`.
    fn add(&mut self, number: usize, (start, end): (u64, u64), relation: Relation) {
        let place = self.cuts.add((self.name)(number), self.spans[number].kind, (start, end), relation, self.out);
        self.stack.push((number, Ok(place)));
    }

    /// Adds the children of a span.
    fn below(&mut self, number: usize, place: usize) {
        let (whole, parent) = (&self.spans[number], self.cuts.get(place));
        // The last to end first.
        let mut below: Vec<(u64, u64, usize)> = Vec::new();
        let since = self.cuts.len();
        for child in &self.children[number] {
            let span = &self.spans[child.number];
            let (start, end) = (span.start.max(parent.start), span.end.min(parent.end));
            let is_instant = span.start == span.end;
            if is_instant && self.children[child.number].is_empty() {
                self.stack.push((child.number, Err("spans that took no time, left out")));
            } else if child.follows && span.start >= whole.end {
                self.add(child.number, (span.start, span.end), Relation::Beside);
            } else if start == end && is_instant {
                // There is nothing to wait for.
                self.add(child.number, (start, end), Relation::Beside);
            } else if start < end {
                below.push((end, start, child.number));
            } else {
                self.stack.push((child.number, Err(OUTSIDE)));
            }
        }
        below.sort_unstable_by(|a, b| b.cmp(a));
        let (mut until, mut any) = (parent.end, false);
        for (end, start, child) in below {
            let waits = end <= until || (any && end - until <= (end - start) / OVERLAP);
            if waits {
                self.add(child, (start, end.min(until)), Relation::Waits);
                (until, any) = (start, true);
            } else {
                self.add(child, (start, end), Relation::Beside);
            }
        }
        self.cuts.adopt(place, since);
    }
}
