//! What was measured under churn as chapters of a report: tables, plots and the goals.
//! Nothing is measured here.

use crate::papers::chapter::{Chapter, Gate};
use crate::papers::plot::{Axis, Plot, Series};
use crate::papers::table::{Cell, Table};
use crate::ring_net::Notice;

use super::collapse::Collapse;
use super::{Costs, Figures, Law, Row};

/// Lookups while members crash and are replaced, with its goals.
#[must_use]
pub fn sessions(rows: &[Row]) -> Chapter {
    let mut chapter = Chapter::new("Lookups under churn");
    let mut table = Table::new("churn", ABOUT, &COLUMNS);
    for row in rows {
        let (costs, kademlia) = (&row.costs, &row.kademlia_costs);
        table.row(cells(row, "Chordite", &row.retried, &row.single, costs));
        if row.setting.model {
            let (retried, single) = (&row.kademlia, &row.kademlia_single);
            table.row(cells(row, "Kademlia model", retried, single, kademlia));
        }
        let name = format!("{}: correct with retry, in percent", row.setting.sessions);
        let correct = row.retried.correct_percent();
        chapter
            .gates
            .push(Gate::at_least(name, correct, row.setting.goal()));
    }
    chapter.tables.push(table);
    chapter.plots.push(plot(rows));
    chapter.note(MODEL);
    chapter
}

/// A ring of which a large part crashes at once, with its goals.
#[must_use]
pub fn collapses(collapses: &[Collapse]) -> Chapter {
    let mut chapter = Chapter::new("Two fifths of the ring crash at once");
    let mut table = Table::new(
        "collapse",
        "Nodes as shipped, s = 16: lookups begun in each second after the crash, in percent \
         correct within five seconds. *Killed*: links break at once; *power cut*: links end after \
         8 to 10 s.",
        &[("second", ""), ("killed", "%"), ("power cut", "%")],
    );
    let of = |notice| collapses.iter().find(|one| one.notice == notice);
    let (killed, cut) = (of(Notice::AtOnce), of(Notice::Keepalive));
    let percent = |collapse: Option<&Collapse>, second: usize| {
        let [lookups, correct, _] = collapse?.seconds[second];
        Some(correct as f64 * 100.0 / lookups.max(1) as f64)
    };
    for second in SHOWN {
        table.row([
            Cell::from(second as u64),
            Cell::maybe(percent(killed, second), 2),
            Cell::maybe(percent(cut, second), 2),
        ]);
    }
    for one in collapses {
        let how = match one.notice {
            Notice::AtOnce => "killed",
            Notice::Keepalive | Notice::Never => "power cut",
        };
        let all_correct = one.all_correct_from().map_or(f64::NAN, |from| from as f64);
        let ideal = one.ideal_after.map_or(f64::NAN, |after| after as f64);
        let name = format!("{how}: every lookup is correct that begins this many seconds after");
        chapter.gates.push(Gate::at_most(name, all_correct, HEALED));
        let name = format!("{how}: every pointer is right after this many seconds");
        chapter.gates.push(Gate::at_most(name, ideal, IDEAL));
    }
    chapter.tables.push(table);
    chapter
}

fn cells(row: &Row, who: &str, retried: &Figures, single: &Figures, costs: &Costs) -> [Cell; 12] {
    [
        Cell::from(&*row.setting.sessions.to_string()),
        Cell::from(who),
        Cell::from(retried.lookups),
        Cell::Figure(retried.correct_percent(), 4),
        Cell::Figure(single.correct_percent(), 4),
        Cell::Figure(retried.hops(), 2),
        Cell::Figure(retried.timeouts(), 3),
        Cell::Figure(retried.took(0.5).as_secs_f64() * 1e3, 0),
        Cell::Figure(retried.took(0.99).as_secs_f64() * 1e3, 0),
        Cell::Figure(costs.messages, 2),
        Cell::Figure(costs.bytes, 0),
        Cell::Figure(costs.lookup_bytes, 0),
    ]
}

fn plot(rows: &[Row]) -> Plot {
    let line = |law: Law, of: Choice| -> Vec<(f64, f64)> {
        let rows = rows.iter().filter(|row| row.setting.sessions.law == law);
        let rows = rows.filter(|row| of(row).lookups > 0);
        let point = |row: &Row| {
            let minutes = row.setting.sessions.median.as_secs_f64() / 60.0;
            // A logarithm has no zero: without a single miss, half of one is drawn.
            let figures = of(row);
            let least = 50.0 / figures.lookups.max(1) as f64;
            (minutes, (100.0 - figures.correct_percent()).max(least))
        };
        rows.map(point).collect()
    };
    let mut plot = Plot::new(
        "churn",
        "Lookups that miss the owner",
        Axis::logarithmic("median session in minutes"),
        Axis::logarithmic("percent"),
    );
    let kinds: [(&str, Choice); 3] = [
        ("Chordite, retry", |row| &row.retried),
        ("Chordite, one attempt", |row| &row.single),
        ("Kademlia model", |row| &row.kademlia),
    ];
    for law in [Law::Exponential, Law::Weibull] {
        for (name, of) in kinds {
            let points = line(law, of);
            if !points.is_empty() {
                plot = plot.with(Series::measured(&format!("{name}, {law:?}"), points));
            }
        }
    }
    plot
}

/// Which lookups of a row are meant.
type Choice = fn(&Row) -> &Figures;

const ABOUT: &str = "Members crash without a word (their links end after 8 to 10 s) and are \
    replaced at once under another identity. *Correct*: names the member that owned the \
    position when it answered. One-way delays are exponential over the pairs of nodes with mean \
    50 ms; a new link costs two round trips. Messages and bytes are those of the upkeep, without \
    the lookups that were asked for; bytes are whole frames, without TLS, TCP, UDP and IP.";

const MODEL: &str = "The Kademlia model (k = 20, α = 3, one second for an answer, refresh every \
    hour) is a yardstick: own code after the paper, with its hops counted as nodes asked one after \
    the other, and a lookup that runs out of its five seconds names the closest node so far.";

const COLUMNS: [(&str, &str); 12] = [
    ("median session", ""),
    ("protocol", ""),
    ("lookups", ""),
    ("correct with retry", "%"),
    ("correct, one attempt", "%"),
    ("mean hops", ""),
    ("mean timeouts", ""),
    ("median time", "ms"),
    ("99th percentile", "ms"),
    ("messages", "1/s"),
    ("bytes", "B/s"),
    ("bytes of a lookup", "B"),
];

/// Seconds after the crash that the table shows.
const SHOWN: [usize; 12] = [0, 1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 45];

/// Seconds after which no lookup may miss its owner any more.
const HEALED: f64 = 30.0;

/// Seconds after which every pointer has to be right.
const IDEAL: f64 = 60.0;
