//! Colours of the page: what is written can be read on what is behind it (WCAG 2.2, AA), in light and dark.

use std::collections::BTreeMap;

use thalweg::live::page::STYLE;

/// The colours that the style sheet names, of the first or the second theme.
fn colours(theme: usize) -> BTreeMap<&'static str, [f64; 3]> {
    let block = STYLE.split(":root").nth(theme + 1).unwrap().split('}').next().unwrap();
    let pair = |part: &'static str| {
        let (name, value) = part.trim().trim_start_matches(|c: char| c != '-').strip_prefix("--")?.split_once(": #")?;
        let number = u32::from_str_radix(value.trim(), 16).ok()?;
        let part = |shift: u32| {
            let share = f64::from((number >> shift) & 255) / 255.0;
            if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        Some((name, [part(16), part(8), part(0)]))
    };
    block.split([';', '{']).filter_map(pair).collect()
}

/// The contrast ratio of two colours, 1 to 21.
fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
    let light = |[r, g, b]: [f64; 3]| 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
    (light(a) / light(b)).max(light(b) / light(a))
}

#[test]
fn text_can_be_read_and_lines_can_be_seen() {
    const WHITE: [f64; 3] = [1.0; 3];
    assert!((contrast(WHITE, [0.0; 3]) - 21.0).abs() < 1e-9);
    for (theme, name) in ["light", "dark"].into_iter().enumerate() {
        let colours = colours(theme);
        assert!(colours.len() >= 28, "{name}: {} colours", colours.len());
        let expect = |text: &str, a: [f64; 3], b: [f64; 3], least: f64| {
            let found = contrast(a, b);
            assert!(found >= least, "{name}: {text}: expected at least {least}, found {found:.2}");
        };
        for (ink, back) in [("ink", "card"), ("ink", "back"), ("soft", "card"), ("soft", "back"), ("link", "card"), ("accent", "card")] {
            expect(&format!("{ink} on {back}"), colours[ink], colours[back], 4.5);
        }
        for (ink, back) in [("bad", "bad-back"), ("warn", "warn-back"), ("note", "note-back"), ("ink", "mark"), ("soft", "mark")] {
            expect(&format!("{ink} on {back}"), colours[ink], colours[back], 4.5);
        }
        // Boxes of the graph are written on in white.
        for back in ["idle", "busy", "blocked", "wait"] {
            expect(&format!("white on {back}"), WHITE, colours[back], 4.5);
        }
        // Lines and marks need less.
        for line in ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "path"] {
            expect(&format!("{line} on card"), colours[line], colours["card"], 3.0);
        }
    }
}
