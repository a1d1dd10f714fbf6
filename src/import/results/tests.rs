//! Results are read as written, and what is not whole is refused by name.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::samples::{
    ORACLE_ROWS, SCORE_ROWS, derivatives, missions, provenance, scores, sweep, sweep_of, totals, write, write_sweep,
};
use super::*;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The message of a refusal, with the folder's path left out.
fn refusal(folder: &TempDir, path: &Path) -> String {
    let error = read_results(path).unwrap_err();
    assert!(error.to_string().contains(folder.path().to_str().unwrap()), "{error} names its file");
    error.to_string().replace(&format!("{}/", folder.path().display()), "")
}

fn edited(mut value: Value, pointer: &str, to: Value) -> Value {
    *value.pointer_mut(pointer).unwrap() = to;
    value
}

#[test]
fn a_sweep_comes_with_its_oracle() {
    let folder = folder();
    write_sweep(folder.path());
    for name in ["", "sweep.json", "sweep.csv"] {
        let found = read_results(&folder.path().join(name)).unwrap();
        assert_eq!((found.results.len(), found.notes.len()), (1, 0), "{name}");
        let result = &found.results[0];
        assert_eq!((result.verb(), result.files.len()), ("sweep", 2));
        let oracle = result.oracle().unwrap();
        assert_eq!(oracle.rises, [4.5, 1.0, -0.5, 0.0, 1.0]);
        let shapes: Vec<(&str, usize, usize)> =
            oracle.bits.arrays.iter().map(|array| (array.layer.as_str(), array.registers, array.width)).collect();
        assert_eq!(shapes, [("a", 2, 2), ("b", 1, 1)]);
        let ResultContent::Sweep(form, _) = &result.content else { panic!("a sweep") };
        assert_eq!((form.points.len(), form.points[1].price), (4, None));
    }
    // The oracle alone, by either of its files.
    for name in ["oracle.csv", "oracle.json"] {
        let found = read_results(&folder.path().join(name)).unwrap();
        assert_eq!(found.results[0].verb(), "oracle");
    }
    // A sweep without its oracle is still one.
    fs::remove_file(folder.path().join("oracle.csv")).unwrap();
    assert!(refusal(&folder, folder.path()).contains("sweep.json: oracle.csv is missing beside it"));
    fs::remove_file(folder.path().join("oracle.json")).unwrap();
    assert!(read_results(folder.path()).unwrap().results[0].oracle().is_none());
}

#[test]
fn later_fields_of_a_sweep_are_read_where_they_are() {
    let folder = folder();
    let verified = json!({"cells": 7, "mission": {"inside": true}});
    let mut later = sweep();
    later["points"][0]["price"] = json!(0.25);
    later["points"][0]["planning"] = json!({"method": "knapsack", "gap": 0.125, "verdict": "some of it fits"});
    later["points"][0]["verified"] = verified.clone();
    later["points"][0]["plan"] = Value::Null;
    later["verification"] = json!({"seed": 1});
    let path = write(folder.path(), "mine.json", later);
    let found = read_results(&path).unwrap();
    let ResultContent::Sweep(form, None) = &found.results[0].content else { panic!("a sweep alone") };
    assert_eq!((form.points[0].price, &form.points[0].plan), (Some(0.25), &None));
    assert_eq!(form.points[0].verified.as_ref(), Some(&verified));
    let planning = form.points[0].planning.as_ref().unwrap();
    assert_eq!((planning.method.as_str(), planning.gap), ("knapsack", 0.125));
    assert_eq!(form.points[1].planning, None);
}

#[test]
fn a_share_that_the_rises_contradict_is_named() {
    let folder = folder();
    for (pointer, value, shown) in [
        (
            "/points/2/share_removed",
            json!(0.8),
            "`msb` at 1bits has a `share_removed` of 0.8, but 1.5 left of a rise of 6;",
        ),
        ("/points/2/share_removed", Value::Null, "has a `share_removed` of null, but 1.5 left"),
        ("/points/3/rise_remaining", json!(1.0), "`msb` at 2bits has a `share_removed` of 0.6666"),
        (
            "/unprotected/rise",
            json!(-6.0),
            "`oracle` at 1bits has a `share_removed` of 0.75, but 1.5 left of a rise of -6;",
        ),
    ] {
        let mut other = sweep();
        *other.pointer_mut(pointer).unwrap() = value;
        let path = write(folder.path(), "odd.json", other);
        let text = refusal(&folder, &path);
        assert!(text.starts_with("odd.json: ") && text.contains(shown), "{text}");
    }
    // Where nothing can be removed no share is one of it.
    let mut none = sweep();
    none["unprotected"]["rise"] = json!(0.0);
    for point in none["points"].as_array_mut().unwrap() {
        point["share_removed"] = Value::Null;
    }
    read_results(&write(folder.path(), "none.json", none)).unwrap();
}

#[test]
fn a_folder_may_hold_several_results_and_other_files() {
    let folder = folder();
    write(folder.path(), "o.csv", ORACLE_ROWS);
    write(folder.path(), "o.csv.json", totals("oracle"));
    write(folder.path(), "s.csv", SCORE_ROWS);
    write(folder.path(), "s.csv.json", scores());
    write(folder.path(), "a.npz", "arrays");
    write(folder.path(), "a.npz.json", derivatives());
    write(folder.path(), "simulate.json", missions());
    write(folder.path(), "notes.txt", "x");
    write(folder.path(), "infer.json", json!({"provenance": provenance("infer"), "mean": 1}));
    write(folder.path(), "own.json", json!({"a": 1}));
    let found = read_results(folder.path()).unwrap();
    let verbs: Vec<&str> = found.results.iter().map(StoredResult::verb).collect();
    assert_eq!(verbs, ["analyze", "oracle", "analyze", "simulate"]);
    assert_eq!(found.notes.len(), 2, "{:?}", found.notes);
    assert!(found.notes[0].contains("infer.json: passed over; it was written by `infer`"), "{:?}", found.notes);
    let ResultContent::Scores(read) = &found.results[2].content else { panic!("scores") };
    assert_eq!(read.values, [[2.0, 1.0, 0.0, 0.5, 4.0], [9.0, 8.0, 9.0, 8.0, 9.0]]);
    // Any file of a result stands for it.
    for (name, verb) in [("o.csv", "oracle"), ("s.csv", "analyze"), ("s.csv.json", "analyze"), ("a.npz", "analyze")] {
        assert_eq!(read_results(&folder.path().join(name)).unwrap().results[0].verb(), verb, "{name}");
    }
}

#[test]
fn what_is_no_result_is_said_to_be() {
    let folder = folder();
    fs::create_dir(folder.path().join("empty")).unwrap();
    fs::create_dir(folder.path().join("empty/inner")).unwrap();
    let at = |name: &str| folder.path().join(name);
    assert!(refusal(&folder, &at("none")).contains("none: there is no such file or folder"));
    let nothing = refusal(&folder, &at("empty"));
    assert!(nothing.contains("empty: holds no result") && nothing.contains("empty/inner"), "{nothing}");
    let cases = [
        (json!({"format": "trivote-plan"}).to_string(), "is no result: it is a protection plan"),
        (json!({"systems": [], "sources": []}).to_string(), "is no result: it is a comparison"),
        (json!([1]).to_string(), "does not say by which command"),
        (json!({"provenance": provenance("inject"), "x": 1}).to_string(), "was written by `inject`"),
        (
            json!({"provenance": provenance("analyze"), "rankings": [], "golden_mean_error": 1}).to_string(),
            "name the scores",
        ),
        (json!({"provenance": provenance("analyze"), "looks": [], "flips": {}}).to_string(), "name an oracle instead"),
        (sweep().to_string()[..200].to_owned(), "is no whole JSON (EOF"),
        (String::new(), "is no whole JSON"),
        (
            edited(sweep(), "/provenance/trivote", json!("0.1.0")).to_string(),
            "written by trivote 0.1.0, an older version",
        ),
        (edited(sweep(), "/provenance/trivote", json!("9.0.0")).to_string(), "a newer version; this is"),
        (edited(sweep(), "/metric", json!(3)).to_string(), "is no sweep as this version writes it (invalid type"),
        (sweep().to_string().replace("accelerator_area", "area"), "missing field `accelerator_area`"),
        (sweep().to_string().replacen("\"protection\":\"feedback\",", "", 1), "missing field `protection`"),
        (edited(sweep(), "/points/1/budget", json!("1bits")).to_string(), "has two points of `oracle` for 1bits, so"),
        (
            edited(sweep(), "/targets/1/share", json!(0.5)).to_string(),
            "has two targets of `oracle` for a share of 0.5, so",
        ),
        (
            edited(sweep(), "/points/2/area_added", json!(-1.0)).to_string(),
            "field `area_added` of `msb` at 1bits is -1, which is no area",
        ),
        (
            edited(sweep(), "/points/3/share_of_registers", json!(2e12)).to_string(),
            "field `share_of_registers` of `msb` at 2bits is 2000000000000, which is no share",
        ),
        (edited(sweep(), "/points/0/share_removed", json!(-1e300)).to_string(), "which is no share"),
        (edited(sweep(), "/accelerator_area", json!(1e300)).to_string(), "field `accelerator_area` is 1000"),
        (sweep().to_string().replacen("40.0", "1e999", 1), "is no whole JSON (number out of range"),
        (
            edited(sweep(), "/targets/0/share_of_accelerator", json!(-0.5)).to_string(),
            "field `share_of_accelerator` of `oracle` for a share of 0.5 is -0.5, which is no share",
        ),
        (
            missions().to_string().replace("\"design_name\":\"net\",", ""),
            "result of simulate as this version writes it",
        ),
        (edited(sweep(), "/provenance/events", Value::Null).to_string(), "does not say which events it is of"),
    ];
    for (text, expected) in cases {
        let message = refusal(&folder, &write(folder.path(), "r.json", &text));
        assert!(message.starts_with("r.json: ") && message.contains(expected), "{message} has no {expected}");
    }
    let by = refusal(&folder, &write(folder.path(), "r.json", edited(sweep(), "/provenance/trivote", json!("0.1.0"))));
    assert!(by.ends_with("write it again by `trivote sweep net`, with the output it had"), "{by}");
    let odd = edited(sweep(), "/provenance/trivote", json!("0.1.0"));
    let odd = edited(odd, "/provenance/command", json!(["trivote", "sweep", "my net", "it's"]));
    let by = refusal(&folder, &write(folder.path(), "r.json", odd));
    assert!(by.contains(r"by `trivote sweep 'my net' 'it'\''s'`, with"), "{by}");
    // Where its name says which output it is of, that is part of the advice.
    let place = folder.path().join("my sweep");
    fs::create_dir(&place).unwrap();
    let by = refusal(&folder, &write(&place, "sweep.json", edited(sweep(), "/provenance/trivote", json!("0.1.0"))));
    assert!(by.ends_with("by `trivote sweep net -o 'my sweep'`"), "{by}");
    let old = edited(totals("oracle"), "/provenance/trivote", json!("0.1.0"));
    let by = refusal(&folder, &write(folder.path(), "o.csv.json", old));
    assert!(by.ends_with(" -o o.csv`"), "{by}");
    fs::remove_file(at("o.csv.json")).unwrap();
    // Files without what says what they are.
    let alone = refusal(&folder, &write(folder.path(), "replicas.csv", "a\n"));
    assert!(alone.contains("there is no replicas.csv.json or replicas.json beside it"), "{alone}");
    fs::remove_file(at("r.json")).unwrap();
    write(folder.path(), "simulate.csv", "a\n");
    assert!(refusal(&folder, folder.path()).contains("simulate.csv: simulate.json is missing"));
}

#[test]
fn rows_of_another_run_are_refused() {
    let cases = [
        (ORACLE_ROWS.trim_end().to_owned(), totals("oracle"), "o.csv: is cut off within its last line"),
        (ORACLE_ROWS.replace("b,kernel,0,0,0,-1,2,2,1\n", ""), totals("oracle"), "has 4 rows, but o.csv.json says 5"),
        (ORACLE_ROWS.replace(",5.5,4.5", ",5.5,4.25"), totals("oracle"), "add up to 5.75, but o.csv.json says 6"),
        (
            ORACLE_ROWS.replace(",2,1\na,kernel,1", ",2,0.5\na,kernel,1").replace(",1,0\nb", ",1,0.5\nb"),
            totals("oracle"),
            "has 4 bits whose flip raises the error, but o.csv.json says 3",
        ),
        (ORACLE_ROWS.replace("b,kernel,0,0", "b,kernel,0"), totals("oracle"), "line: 6"),
        (
            ORACLE_ROWS.replace("b,kernel,0,0", "a,kernel,0,0"),
            totals("oracle"),
            "`a.kernel[0].bit[0]` stands there twice",
        ),
        (
            ORACLE_ROWS.replace("b,kernel", "c,kernel"),
            totals("oracle"),
            "has 0 bits of b.kernel, but o.csv.json says 1",
        ),
        (
            ORACLE_ROWS.replace("b,kernel,0,0", "b,kernel,4000000000,0"),
            totals("oracle"),
            "`b.kernel[4000000000].bit[0]` is beyond",
        ),
        (
            ORACLE_ROWS.replace("b,kernel,0,0", "b,kernel,16777215,9"),
            totals("oracle"),
            "`b.kernel[16777215].bit[9]` is beyond",
        ),
        (
            ORACLE_ROWS.to_owned(),
            edited(totals("oracle"), "/provenance/trivote", json!("0.1.0")),
            "o.csv.json: was written by",
        ),
    ];
    for (rows, totals, expected) in cases {
        let folder = folder();
        let path = write(folder.path(), "o.csv", rows);
        write(folder.path(), "o.csv.json", totals);
        let message = refusal(&folder, &path);
        assert!(message.contains(expected), "{message} has no {expected}");
    }
    let folder = folder();
    write(folder.path(), "s.csv", SCORE_ROWS.replace("a,kernel,0,1,0.5,8\n", ""));
    let path = write(folder.path(), "s.csv.json", scores());
    assert!(refusal(&folder, &path).contains("s.csv: has 4 bits, but s.csv.json says 5"));
    write(folder.path(), "s.csv", SCORE_ROWS.replace("gradient", "other"));
    assert!(refusal(&folder, &path).contains("no score column `gradient`"));
    fs::remove_file(folder.path().join("s.csv")).unwrap();
    assert!(refusal(&folder, &path).contains("s.csv.json: s.csv is missing beside it"));
}

#[test]
fn a_sweep_and_an_oracle_of_different_runs_are_refused() {
    let cases = [
        ("/provenance/design", json!("f".repeat(64)), "their designs differ"),
        ("/provenance/events", json!("f".repeat(64)), "their events differ"),
        ("/provenance/command/2", json!("other"), "their commands and inputs differ"),
        ("/metric", json!("mse"), "their metrics differ"),
        ("/golden_mean_error", json!(1.5), "their fault-free mean errors differ"),
    ];
    for (pointer, to, expected) in cases {
        let folder = folder();
        write_sweep(folder.path());
        write(folder.path(), "oracle.json", edited(totals("sweep"), pointer, to));
        let message = refusal(&folder, folder.path());
        assert!(message.contains(expected) && message.contains("sweep.json and oracle.csv"), "{message}");
    }
    let folder = folder();
    write_sweep(folder.path());
    write(folder.path(), "sweep.json", sweep_of(6.25));
    assert!(refusal(&folder, folder.path()).contains("their summed error rises differ"));
    write(folder.path(), "oracle.json", missions());
    assert!(refusal(&folder, folder.path()).contains("their kinds differ"));
}
