//! A comparison gathers what results say, and refuses what cannot stand together.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::import::results::read_results;
use crate::import::results::samples::{
    ORACLE_ROWS, SCORE_ROWS, derivatives, missions, scores, sweep, sweep_of, totals, write, write_sweep,
};

fn named(label: Option<&str>, path: &Path) -> Vec<NamedResult> {
    let found = read_results(path).unwrap();
    found.results.into_iter().map(|result| NamedResult { label: label.map(str::to_owned), result }).collect()
}

fn edited(mut value: Value, pointer: &str, to: Value) -> Value {
    *value.pointer_mut(pointer).unwrap() = to;
    value
}

/// Everything there is to know of one system.
fn everything(folder: &TempDir) -> Vec<NamedResult> {
    write_sweep(folder.path());
    write(folder.path(), "simulate.json", missions());
    write(folder.path(), "a.npz.json", derivatives());
    write(folder.path(), "s.csv", SCORE_ROWS);
    write(folder.path(), "s.csv.json", scores());
    named(None, folder.path())
}

#[test]
fn everything_that_is_known_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (comparison, notes) = gather(&everything(&folder)).unwrap();
    assert!(notes.is_empty(), "{notes:?}");
    let verbs: Vec<&str> = comparison.sources.iter().map(|source| source.verb.as_str()).collect();
    assert_eq!(verbs, ["analyze", "analyze", "simulate", "sweep"]);
    let [system] = &comparison.systems[..] else { panic!("one system") };
    assert_eq!((system.label.as_str(), system.facts.as_ref().unwrap().latency_cycles), ("net", 3));
    assert_eq!(system.error, Some(ErrorFacts { metric: "emd".to_owned(), events: 4, golden_mean: 1.0 }));
    assert_eq!(
        system.bits,
        Some(BitFacts { candidates: 5, effective: Some(4), sensitive: 3, rise: 6.0, listed_in: None })
    );
    assert_eq!(system.area.as_ref().unwrap().unit, "GE");
    let map = system.map.as_ref().unwrap();
    assert_eq!(map.rises, [Some(4.5), Some(1.0), Some(-0.5), Some(0.0), Some(1.0)]);
    let positions: Vec<(usize, usize, usize, f64)> =
        system.positions.iter().map(|entry| (entry.bit, entry.bits, entry.sensitive, entry.rise)).collect();
    assert_eq!(positions, [(0, 3, 2, 5.0), (1, 2, 1, 1.0)]);
    let missions = &system.missions[0];
    assert_eq!((missions.environment.as_str(), missions.times_s.len()), ("hgcal: 1e-6 per s", 2));
    assert_eq!(missions.error_rise_by_time[1], MeanEntry { mean: 0.4, interval: None });
    assert_eq!(system.analyses[0].traces, [("a".to_owned(), 4.0), ("b".to_owned(), 5.0)]);
}

#[test]
fn curves_are_of_the_oracle_and_of_every_score() {
    let folder = tempfile::tempdir().unwrap();
    let (comparison, _) = gather(&everything(&folder)).unwrap();
    let curves = &comparison.systems[0].curves;
    let of = |name: &str| curves.iter().find(|curve| curve.ranking == name).unwrap();
    assert_eq!(curves.len(), 4, "oracle, gradient, msb of the file, random");
    assert_eq!((curves[0].ranking.as_str(), curves[0].area), ("oracle", Some(1.0)));
    assert!(curves.windows(2).all(|pair| pair[0].area >= pair[1].area));
    assert_eq!(of("oracle").bits, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
    assert_eq!(of("oracle").rise, [0.0, 4.5, 5.5, 6.5, 6.5, 6.0].map(|sum| sum / 6.0));
    // By the gradient: a[0].bit[0], b[0].bit[0], a[1].bit[1], a[0].bit[1], a[1].bit[0], whatever order the file has.
    assert_eq!(of("gradient").rise, [0.0, 4.5, 5.5, 5.5, 6.5, 6.0].map(|sum| sum / 6.0));
    assert_eq!(of("msb").rise, [0.0, 4.5, 4.0, 5.0, 6.0, 6.0].map(|sum| sum / 6.0));
    assert_eq!((of("gradient").source, of("oracle").source), (1, 3));

    // The order by positions needs no file, and is the same.
    let alone = named(None, &folder.path().join("oracle.csv"));
    let (comparison, _) = gather(&alone).unwrap();
    let msb = comparison.systems[0].curves.iter().find(|curve| curve.ranking == "msb").unwrap();
    assert_eq!(msb.rise, of("msb").rise);

    write(folder.path(), "t.csv", SCORE_ROWS.replace("0.5,8", "9,8"));
    let other = edited(scores(), "/provenance/command/2", json!("other"));
    write(folder.path(), "t.csv.json", other);
    let (comparison, _) = gather(&named(None, folder.path())).unwrap();
    let names: Vec<&str> = comparison.systems[0].curves.iter().map(|curve| curve.ranking.as_str()).collect();
    assert!(names.iter().any(|name| name.starts_with("gradient (") && name.ends_with("t.csv)")), "{names:?}");
}

#[test]
fn points_that_nothing_beats_are_on_the_front() {
    let folder = tempfile::tempdir().unwrap();
    write_sweep(folder.path());
    let mut other = sweep();
    other["protection"] = json!("unvoted");
    other["points"][0]["area_added"] = json!(8.0);
    other["provenance"]["command"][2] = json!("cheaper");
    let other = write(folder.path(), "unvoted.json", &other);
    let fpga = edited(sweep(), "/technology", json!("xc7"));
    let fpga = write(folder.path(), "fpga.json", edited(fpga, "/area_unit", json!("lut_ff")));
    let results: Vec<NamedResult> =
        [folder.path().join("sweep.json"), other, fpga].iter().flat_map(|path| named(None, path)).collect();
    let (comparison, _) = gather(&results).unwrap();
    let sweeps = &comparison.systems[0].sweeps;
    let front = |sweep: &SweepEntry| sweep.points.iter().map(|point| point.is_on_front).collect::<Vec<_>>();
    assert_eq!(front(&sweeps[0]), [false, true, false, false]);
    assert_eq!(front(&sweeps[1]), [true, true, false, false]);
    assert_eq!(front(&sweeps[2]), [true, true, true, false], "another technology has a front of its own");
    assert_eq!(sweeps[2].unit, "LUT eq.");

    let csv = comparison.csv();
    let rows: Vec<&str> = csv.lines().collect();
    assert_eq!(rows.len(), 1 + 12);
    assert!(
        rows[2].starts_with("net,") && rows[2].contains(",osu018,feedback,oracle,2bits,2,20,GE,0.5,0.2,0.5,"),
        "{csv}"
    );
    assert!(rows[2].ends_with(",true,plans/oracle-2bits.json,,"), "{csv}");
}

#[test]
fn how_a_point_was_planned_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let planning = json!({"method": "knapsack", "gap": 0.125, "verdict": "some of it fits"});
    let mut planned = sweep();
    planned["points"][1]["planning"] = planning.clone();
    let path = write(folder.path(), "planned.json", planned);
    let (comparison, _) = gather(&named(None, &path)).unwrap();
    let shown: Value = serde_json::from_str(&comparison.json()).unwrap();
    let points = &shown["systems"][0]["sweeps"][0]["points"];
    assert_eq!((&points[1]["planning"], &points[0]["planning"]), (&planning, &Value::Null));
    assert_eq!((&points[1]["ranking"], &points[1]["is_on_front"]), (&json!("oracle"), &json!(true)));
    let csv = comparison.csv();
    assert!(csv.lines().nth(2).unwrap().ends_with(",plans/oracle-2bits.json,knapsack,0.125"), "{csv}");
    let page = page::html(&comparison);
    assert!(page.contains("Planned by") && page.contains("<td>knapsack</td>") && page.contains("12.5"), "{page}");
    let path = write(folder.path(), "ranked.json", sweep());
    assert!(!page::html(&gather(&named(None, &path)).unwrap().0).contains("Planned by"));
}

#[test]
fn bits_that_a_file_lists_are_not_taken_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut listed = totals("oracle");
    listed["provenance"]["command"] = json!(["trivote", "oracle", "net", "--sites", "leading.csv"]);
    write(folder.path(), "o.csv", ORACLE_ROWS);
    write(folder.path(), "o.csv.json", listed);
    let (comparison, _) = gather(&named(None, folder.path())).unwrap();
    assert_eq!(comparison.systems[0].bits.as_ref().unwrap().listed_in.as_deref(), Some("leading.csv"));
    assert!(comparison.tables().contains("net: only the bits that leading.csv lists were flipped\n"));
    let page = page::html(&comparison);
    assert!(page.contains("5 (only those that leading.csv lists)"), "{page}");
    assert!(
        page.contains("net: 5 bits, those that leading.csv lists; registers and widths as far as flipped"),
        "{page}"
    );
}

#[test]
fn tables_fit_and_say_what_area_buys() {
    let folder = tempfile::tempdir().unwrap();
    let text = gather(&everything(&folder)).unwrap().0.tables();
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    let row = |start: &str| text.lines().find(|line| line.trim_start().starts_with(start)).unwrap().to_owned();
    // 75 % with one bit, 91.7 % with two.
    let cells: Vec<String> = row("oracle").split_whitespace().map(str::to_owned).collect();
    assert_eq!(cells.join(" "), "oracle 1.0000 10.00 % 20.00 % - 91.67 % 20.00 % 2");
    assert!(row("net").contains("emd 1.000") && row("net").contains("60.0 %"), "{text}");
    assert!(text.contains("a oracle   b msb   * several") && text.contains("hgcal: 1e-6 per s"), "{text}");
}

#[test]
fn large_numbers_are_shown_and_what_was_not_asked_is_no_never() {
    let folder = tempfile::tempdir().unwrap();
    let slow = edited(sweep(), "/design/latency_cycles", json!(5_000_000_000_u64));
    let slow = edited(slow, "/design/interval_cycles", json!(u64::MAX));
    let slow = write(folder.path(), "slow.json", edited(slow, "/protection", json!("unvoted")));
    let mut few = sweep();
    few["targets"].as_array_mut().unwrap().retain(|target| target["share"] == 0.5);
    few["design"] = read_json(&slow)["design"].clone();
    let few = write(folder.path(), "few.json", few);
    let both = [named(None, &slow), named(None, &few)].concat();
    let comparison = gather(&both).unwrap().0;
    let page = page::html(&comparison);
    assert!(page.contains("5,000,000,000 cycles"));
    // Oracle never removes 99 %; of the other sweep that was not asked.
    assert!(page.contains("</th><td class=\"n\">10.00</td><td class=\"n\">20.00</td><td class=\"n\">–</td>"));
    assert!(
        page.contains("oracle · feedback</th><td class=\"n\">10.00</td><td class=\"n\"></td><td class=\"n\"></td>")
    );
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn labels_and_doubles() {
    let folder = tempfile::tempdir().unwrap();
    write_sweep(folder.path());
    let twice = [named(None, folder.path()), named(None, &folder.path().join("sweep.json"))].concat();
    let (comparison, notes) = gather(&twice).unwrap();
    assert_eq!((comparison.sources.len(), comparison.systems.len()), (1, 1));
    assert!(notes[0].ends_with("sweep.json: given twice, taken once"), "{notes:?}");
    let copy = tempfile::tempdir().unwrap();
    write_sweep(copy.path());
    let (_, notes) = gather(&[named(None, folder.path()), named(None, copy.path())].concat()).unwrap();
    assert!(notes[0].contains("left out, it is the same result as"), "{notes:?}");
    let two = [named(Some("A"), folder.path()), named(Some("B"), folder.path())].concat();
    let (comparison, notes) = gather(&two).unwrap();
    let labels: Vec<&str> = comparison.systems.iter().map(|system| system.label.as_str()).collect();
    assert_eq!((labels, notes.len()), (vec!["A", "B"], 0));
    assert_eq!((comparison.sources[1].system.as_str(), comparison.systems[1].sweeps[0].source), ("B", 1));
    for label in ["", " A", "A\n"] {
        let error = gather(&named(Some(label), folder.path())).unwrap_err();
        assert!(matches!(error, CompareError::Label { .. }), "{error}");
    }
}

#[test]
fn scores_need_an_oracle_to_be_drawn() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "s.csv", SCORE_ROWS);
    write(folder.path(), "s.csv.json", scores());
    let (comparison, notes) = gather(&named(None, folder.path())).unwrap();
    assert!(comparison.systems[0].curves.is_empty());
    assert!(notes[0].contains("s.csv: not drawn, as `net` has no oracle"), "{notes:?}");
    write(folder.path(), "s.csv", SCORE_ROWS.replace("b,kernel,0,0", "b,kernel,1,0"));
    write(folder.path(), "o.csv", ORACLE_ROWS);
    write(folder.path(), "o.csv.json", totals("oracle"));
    let error = gather(&named(None, folder.path())).unwrap_err().to_string();
    assert!(
        error.contains("s.csv: has no row for `b.kernel[0].bit[0]`, which ") && error.contains("o.csv has"),
        "{error}"
    );
}

#[test]
fn what_cannot_stand_together_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    write_sweep(folder.path());
    let first = named(None, folder.path());
    let other = |value: &Value| {
        let path = write(folder.path(), "other.json", value);
        let both = [first.clone(), named(None, &path)].concat();
        let apart = [first.clone(), named(Some("other"), &path)].concat();
        assert_eq!(gather(&apart).unwrap().0.systems.len(), 2, "a label of its own is the way out");
        gather(&both).unwrap_err().to_string().replace(&format!("{}/", folder.path().display()), "")
    };
    let design = other(&edited(missions(), "/provenance/design", json!("0123456789abcdef")));
    assert_eq!(
        design,
        "other.json is of design 0123456789ab..., but sweep.json of dddddddddddd..., both under the label `net`; give one of \
         them a label of its own by LABEL=PATH"
    );
    let mut more = edited(sweep(), "/provenance/events", json!("f".repeat(64)));
    more["events"] = json!(5000);
    let cases = [
        (more, "other.json has 5,000 events ffffffffffff..., but sweep.json 4 events eeeeeeeeeeee..., so they"),
        (edited(sweep(), "/metric", json!("mse")), "other.json has the metric mse, but sweep.json the metric emd"),
        (edited(sweep(), "/golden_mean_error", json!(1.5)), "a fault-free mean error of 1.5"),
        (edited(sweep(), "/unprotected/candidate_bits", json!(4)), "other.json has 4 bits, 3 sensitive"),
        (sweep_of(6.5), "summed rise 6.500"),
        (edited(missions(), "/design/io", json!("stream")), "other.json has an accelerator with io stream at 40 MHz"),
        (edited(sweep(), "/accelerator_area", json!(120.0)), "other.json"),
        (edited(sweep(), "/area_per_bit", json!(11.0)), "other.json"),
    ];
    for (value, expected) in cases {
        let message = other(&value);
        assert!(message.contains(expected) && message.contains("LABEL=PATH"), "{message} has no {expected}");
    }
    // Missions and derivatives may be of other events.
    for value in [missions(), derivatives()] {
        let path = write(folder.path(), "other.json", edited(value, "/provenance/events", json!("f".repeat(64))));
        gather(&[first.clone(), named(None, &path)].concat()).unwrap();
    }
    let path = write(folder.path(), "other.json", edited(sweep(), "/area_unit", json!("um2")));
    let error = gather(&named(None, &path)).unwrap_err().to_string();
    assert!(error.contains("`um2` is no unit of areas"), "{error}");
}
