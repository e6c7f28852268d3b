//! Tables of recorded rows, as their views say; the same rows give the same text.

use super::table::table;
use crate::experiment::frame::{Frame, Row, text};
use crate::experiment::order::Order;
use crate::experiment::rows::variant_rank;
use crate::experiment::shown::{beside, filled, joined, shown};
use crate::experiment::view::{ColumnView, Order as Sorted, TableView};

/// All tables of rows, with the paper's rows beside them, and what failed.
pub fn tables(views: &[TableView], frame: &Frame, paper: &[Row]) -> String {
    let shown = views.iter().enumerate().map(|(index, view)| (index, one(view, frame, paper)));
    let mut text: String = shown.map(|(index, table)| if index > 0 && !table.is_empty() { format!("\n{table}") } else { table }).collect();
    for (position, note) in troubles(frame, views).into_iter().enumerate() {
        text.push_str(if position == 0 { "\n- " } else { "- " });
        text.push_str(&note);
        text.push('\n');
    }
    text
}

fn one(view: &TableView, whole: &Frame, paper: &[Row]) -> String {
    let frame = whole.only(&view.only);
    if view.optional && frame.is_empty() {
        return String::new();
    }
    let mut groups = frame.per(&view.per);
    sort(view, &mut groups);
    let several = whole.distinct("seed").len() > 1;
    let line = |group: &Frame| -> Vec<String> { view.columns.iter().map(|column| cell(column, group, paper, several)).collect() };
    let lines: Vec<Vec<String>> = groups.iter().map(|(_, group)| line(group)).collect();
    let header: Vec<String> = view.columns.iter().map(|column| filled(&column.head, &frame)).collect();
    let mut text = table(&header, &lines);
    for (position, note) in paper_notes(view, &groups, paper).into_iter().enumerate() {
        // A blank line ends the table in Markdown.
        text.push_str(if position == 0 { "\n- " } else { "- " });
        text.push_str(&note);
        text.push('\n');
    }
    text + &filled(&view.foot, whole)
}

fn sort(view: &TableView, groups: &mut [(Vec<String>, Frame)]) {
    match view.order {
        Sorted::AsRecorded => {}
        Sorted::Number => groups.sort_by(|a, b| {
            let number = |key: &[String]| key.first().and_then(|first| first.parse().ok()).unwrap_or(f64::INFINITY);
            number(&a.0).total_cmp(&number(&b.0))
        }),
        Sorted::Variant => {
            let first = |frame: &Frame, column: &str| frame.rows().first().map_or(String::new(), |row| text(row, column).to_owned());
            let mut cases: Vec<String> = Vec::new();
            for (_, group) in &*groups {
                let case = first(group, "case");
                if !view.per.iter().any(|column| column == "case") || cases.contains(&case) {
                    continue;
                }
                cases.push(case);
            }
            groups.sort_by_cached_key(|(_, group)| {
                let variant = first(group, "variant");
                (cases.iter().position(|case| *case == first(group, "case")), variant_rank(&variant), variant)
            });
        }
    }
}

fn cell(column: &ColumnView, group: &Frame, paper: &[Row], several_seeds: bool) -> String {
    let parts: Vec<Option<String>> = column.parts.iter().map(|part| shown(part, group, paper, several_seeds)).collect();
    joined(&column.join, &parts)
}

/// What the paper reports of the groups, in sentences.
fn paper_notes(view: &TableView, groups: &[(Vec<String>, Frame)], paper: &[Row]) -> Vec<String> {
    let Some(numbers) = &view.paper else { return Vec::new() };
    let mut notes: Vec<String> = Vec::new();
    for row in groups.iter().flat_map(|(_, group)| beside(group, paper).rows().to_vec()) {
        let note = note(&row, numbers);
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    notes
}

fn note(row: &Row, numbers: &[(String, String)]) -> String {
    if let Some(note) = row.get("note") {
        return note.clone();
    }
    let known = |column: &str| Some(text(row, column)).filter(|text| !text.is_empty()).map(str::to_owned);
    let labels: Vec<String> = ["case", "variant"].iter().filter_map(|label| known(label)).collect();
    let ms = |(name, column): &(String, String)| Some(format!("{name} {} ms", text(row, column).parse::<f64>().ok()? / 1e6));
    let said: Vec<String> = numbers.iter().filter_map(ms).chain(known("says")).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{}: ", labels.join(", ")) };
    format!("{labels}{} ({})", said.join(", "), text(row, "source"))
}

/// Why runs failed, and what they did not record.
fn troubles(frame: &Frame, views: &[TableView]) -> Vec<String> {
    let name = |row: &Row| {
        let labels = ["case", "variant"].map(|label| text(row, label)).into_iter().filter(|label| !label.is_empty());
        format!("{}, seed {}", labels.collect::<Vec<_>>().join(", "), text(row, "seed"))
    };
    let failed = frame.rows().iter().filter(|row| !text(row, "error").is_empty());
    let mut notes: Vec<String> = failed.map(|row| format!("{}: failed: {}", name(row), text(row, "error"))).collect();
    if views.iter().all(|view| !view.foot.contains("dropped")) {
        let dropped = frame.rows().iter().filter(|row| !["", "0"].contains(&text(row, "dropped_records")));
        notes
            .extend(dropped.map(|row| format!("{}: {} records of the activity log were dropped", name(row), text(row, "dropped_records"))));
        notes.dedup();
    }
    notes
}

/// In which order variants come on the two hosts, a line for each case and column; nothing without
/// any.
pub fn order_table(orders: &[Order]) -> String {
    if orders.is_empty() {
        return String::new();
    }
    let rounded = |number: f64| if number.fract() == 0.0 { format!("{number:.0}") } else { format!("{number:.3}") };
    let line = |order: &Order| {
        let variant = |(name, sim, engine): &(String, f64, f64)| format!("{name} {} / {}", rounded(*sim), rounded(*engine));
        let variants = order.variants.iter().map(variant).collect::<Vec<_>>().join(", ");
        [order.case.clone(), order.column.clone(), format!("{} of {}", order.pairs - order.opposite.len(), order.pairs), variants]
    };
    let lines: Vec<[String; 4]> = orders.iter().map(line).collect();
    let header = ["scenario", "less of", "pairs in the same order", "policies, in virtual time / on the engine"];
    format!("\n{}", table(&header, &lines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::frame::row;

    fn frame() -> Frame {
        let line = |variant: &str, seed: u64, actions: u32, last: &str, host: &str| {
            row([
                ("case", &"under"),
                ("variant", &variant),
                ("host", &host),
                ("seed", &seed),
                ("actions", &actions),
                ("final_configuration", &last),
                ("latency_ns_p99", &(u64::from(actions) * 1_000_000)),
            ])
        };
        let sim = [("ds2", 1, 1, "map=2"), ("ds2", 2, 7, "map=3"), ("ds2", 3, 2, "map=3"), ("dhalion", 1, 4, "map=9")];
        let rows = sim.into_iter().map(|(variant, seed, actions, last)| line(variant, seed, actions, last, "sim"));
        Frame::new(&[], rows.chain([line("ds2", 1, 5, "map=4", "engine")]).collect())
    }

    fn view(text: &str) -> TableView {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_table_shows_what_its_view_says() {
        let text = tables(
            &[view(
                "per = ['host', 'variant']\norder = 'variant'\nfoot = \"\\nSeeds {seeds sim}[; engine {seeds engine}][; none {seeds none}].\"\ncolumns = [\
                 { head = 'policy', parts = [{ of = 'variant', text = 'first' }] },\
                 { head = 'runs', parts = [{ text = 'rows' }] },\
                 { head = 'end', parts = [{ of = 'final_configuration', text = 'mode' }] },\
                 { head = 'paper / ours', parts = [{ of = 'actions', paper = true }, { of = 'actions', range = 'differing' }] },\
                 { head = 'all', parts = [{ of = 'actions', range = 'instead' }] },\
                 { head = 'latency', parts = [{ of = 'latency_ns_p99', show = 'latency' }, { of = 'nothing' }] }]",
            )],
            &frame(),
            &[row([("variant", &"ds2"), ("actions", &"1")])],
        );
        let expected = "\
| policy  | runs | end            | paper / ours   | all    | latency    |
|---------|------|----------------|----------------|--------|------------|
| dhalion | 1    | map=9          | - / 4          | 4      | 4.0 ms / - |
| ds2     | 3    | map=3 (2 of 3) | 1 / 2 (1 to 7) | 1 to 7 | 2.0 ms / - |
| ds2     | 1    | map=4          | 1 / 5          | 5      | 5.0 ms / - |

Seeds 1, 2, 3; engine 1.";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_failed_and_what_the_paper_says_stands_below() {
        let mut failed = frame();
        failed.set("error", |row| if text(row, "seed") == "2" { "worker 1 stopped".to_owned() } else { String::new() });
        let view = view("per = ['variant']\npaper = [['p90', 'ns_p90']]\ncolumns = [{ head = 'a', parts = [{ of = 'actions' }] }]");
        let point = row([("variant", &"ds2"), ("ns_p90", &"1640000"), ("says", &"flat"), ("source", &"figure 13")]);
        let text = tables(&[view], &failed, &[point.clone(), point]);
        assert_eq!(text.matches("\n\n- ds2: p90 1.64 ms, flat (figure 13)\n").count(), 1, "{text}");
        assert!(text.ends_with("\n- under, ds2, seed 2: failed: worker 1 stopped\n"), "{text}");
    }

    #[test]
    fn orders_of_both_hosts_stand_side_by_side() {
        assert_eq!(order_table(&[]), "");
        let order = Order {
            case: "under-30s".into(),
            column: "actions".into(),
            variants: vec![("ds2".into(), 1.0, 2.5), ("dhalion".into(), 4.0, 2.0)],
            pairs: 1,
            opposite: vec![("ds2".into(), "dhalion".into())],
        };
        let text = order_table(&[order]);
        assert!(text.contains("| under-30s | actions | 0 of 1 ") && text.contains("| ds2 1 / 2.500, dhalion 4 / 2 "), "{text}");
    }
}
