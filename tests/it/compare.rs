//! `trivote compare` as a user runs it.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;

use super::cli::{Folder, csv, fail, run};

/// Results of every verb on a few events: a sweep, missions, an oracle, scores and derivatives.
fn results() -> &'static Folder {
    static MADE: OnceLock<Folder> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = Folder::new();
        let few = ["econ_t_small", "--generate", "20", "-q"];
        let make = |verb: &str, more: &[&str]| run(&[&[verb], &few[..], more].concat());
        make("sweep", &["--rankings", "oracle,msb,random", "-o", &folder.path("sweep")]);
        make("sweep", &["--technology", "xc7", "--budgets", "10%,50%", "-o", &folder.path("fpga")]);
        let missions = ["--hours", "0.5", "--replicas", "4", "--styles", "none,feedback"];
        make("simulate", &[&missions[..], &["-o", &folder.path("missions")]].concat());
        let scores = ["--rankings", "bit-curve,gradient,msb", "--probes", "2", "--eigenpairs", "1"];
        let outputs = ["--scores", &folder.path("scores.parquet"), "-o", &folder.path("a.npz")];
        make("analyze", &[&scores[..], &outputs].concat());
        run(&["oracle", "econ_t_small", "--generate", "10", "-q", "-o", &folder.path("ten.csv")]);
        folder
    })
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&run(&[&["compare"], arguments, &["--json"]].concat())).unwrap()
}

/// Names of the rankings that have curves, best first.
fn curves(system: &Value) -> Vec<&str> {
    system["curves"].as_array().unwrap().iter().map(|curve| curve["ranking"].as_str().unwrap()).collect()
}

#[test]
fn results_of_all_verbs_become_one_system() {
    let made = results();
    let [sweep, fpga, missions] = ["sweep", "fpga", "missions"].map(|name| made.path(name));
    let [scores, arrays, ten] = ["scores.parquet", "a.npz", "ten.csv"].map(|name| made.path(name));
    let out = Folder::new();
    let page = out.path("report.html");
    let labeled = format!("ten events={ten}");
    let arguments = [sweep.as_str(), &fpga, &missions, &scores, &arrays, &labeled];
    let text = run(&[&["compare"], &arguments[..], &["-q", "-o", &page]].concat());
    assert_eq!(out.names(), ["report.csv", "report.html", "report.json"]);
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    for part in ["econ_t_small on osu018, style of rankings feedback", "on xc7", "missions", "ten events: area under"] {
        assert!(text.contains(part), "{text}");
    }
    let written = fs::read_to_string(out.path("report.json")).unwrap();
    let comparison = json(&arguments);
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), comparison);
    let systems = comparison["systems"].as_array().unwrap();
    let labels: Vec<&str> = systems.iter().map(|system| system["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["econ_t_small", "ten events"]);
    let (all, ten) = (&systems[0], &systems[1]);
    assert_eq!(all["fingerprint"], ten["fingerprint"]);
    assert_eq!((all["bits"]["candidates"].as_u64(), all["error"]["events"].as_u64()), (Some(10_240), Some(20)));
    assert_eq!(ten["error"]["events"], 10);
    let names = curves(all);
    assert!(
        names[0] == "oracle" && names[1] == "bit-curve" && names.contains(&"gradient") && names.len() == 5,
        "{names:?}"
    );
    assert_eq!(curves(ten).len(), 3);
    assert_eq!((all["missions"].as_array().unwrap().len(), all["analyses"].as_array().unwrap().len()), (2, 1));

    // Points are those of the sweeps, and the oracle's are on the front, as no order is better.
    let rows = csv(&fs::read_to_string(out.path("report.csv")).unwrap());
    let own = csv(&fs::read_to_string(Path::new(&sweep).join("sweep.csv")).unwrap());
    assert_eq!(rows.len(), 21 + 6);
    for (row, own) in rows.iter().zip(&own) {
        for column in ["ranking", "budget", "bits_protected", "area_added", "rise_remaining", "share_removed", "plan"] {
            assert_eq!(row[column], own[column]);
        }
        assert_eq!(row["area_unit"], "GE");
    }
    assert_eq!(rows[21]["area_unit"], "LUT eq.");
    let on_front = |row: &&std::collections::BTreeMap<String, String>| row["on_front"] == "true";
    assert!(rows.iter().filter(on_front).any(|row| row["ranking"] == "oracle" && row["budget"] == "10%"));
    assert!(rows.iter().filter(on_front).all(|row| row["ranking"] == "oracle" || row["budget"] == "100%"));
    // The same again replaces what it wrote.
    run(&[&["compare"], &arguments[..], &["-q", "-o", &page]].concat());
    assert_eq!(fs::read_to_string(out.path("report.json")).unwrap(), written);
}

#[test]
fn curves_are_those_of_sweeps() {
    let sweep = results().path("sweep");
    let comparison = json(&[&sweep]);
    let system = &comparison["systems"][0];
    // A number of bits that the curves have, protected by a sweep.
    let shares = system["curves"][0]["bits"].as_array().unwrap();
    let middle = shares.len() / 2;
    let bits = format!("{}bits", (shares[middle].as_f64().unwrap() * 10_240.0).round());
    let swept = ["sweep", "econ_t_small", "--generate", "20", "-q", "--json", "--budgets", &bits];
    let swept: Value = serde_json::from_str(&run(&swept)).unwrap();
    let removed = |ranking: &str| {
        let points = swept["points"].as_array().unwrap();
        points.iter().find(|point| point["ranking"] == ranking).unwrap()["share_removed"].as_f64().unwrap()
    };
    for ranking in ["oracle", "msb", "random"] {
        let curve = system["curves"].as_array().unwrap().iter().find(|curve| curve["ranking"] == ranking).unwrap();
        let (bits, rise) = (curve["bits"].as_array().unwrap(), curve["rise"].as_array().unwrap());
        assert!(bits.len() > 100 && bits.len() <= 200 && bits.len() == rise.len());
        let end = bits.len() - 1;
        assert_eq!((bits[0].as_f64(), rise[0].as_f64()), (Some(0.0), Some(0.0)));
        assert_eq!((bits[end].as_f64(), rise[end].as_f64()), (Some(1.0), Some(1.0)));
        assert_eq!(bits[middle], shares[middle]);
        assert!((rise[middle].as_f64().unwrap() - removed(ranking)).abs() < 1e-12, "{ranking}");
    }
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let made = results();
    let [sweep, ten] = ["sweep", "ten.csv"].map(|name| made.path(name));
    let refused = |arguments: &[&str]| fail(1, &[&["compare", "-q"], arguments].concat());
    let apart = refused(&[&sweep, &ten]);
    assert!(
        apart.contains("ten.csv has 10 events")
            && apart.contains("sweep.json 20 events")
            && apart.contains("LABEL=PATH"),
        "{apart}"
    );
    let folder = Folder::new();
    run(&["oracle", "econ_t_medium", "--generate", "5", "-q", "-o", &folder.path("m.csv")]);
    let other = refused(&[&sweep, &format!("econ_t_small={}", folder.path("m.csv"))]);
    assert!(other.contains("m.csv is of design ") && other.contains("under the label `econ_t_small`"), "{other}");
    assert!(refused(&[&folder.path("none")]).contains("there is no such file or folder"));
    assert!(refused(&[&format!("A={}", folder.path("none"))]).contains("none: there is no such"));
    let plan = format!("{sweep}/plans/oracle-5pct.json");
    assert!(refused(&[&plan]).contains("it is a protection plan; name the folder of its sweep"));
    let old = fs::read_to_string(Path::new(&sweep).join("sweep.json")).unwrap();
    let old = old.replacen(env!("CARGO_PKG_VERSION"), "0.1.0", 1).replacen("\"design_name\"", "\"other\"", 1);
    let old = refused(&[&folder.write("old.json", old)]);
    assert!(old.contains("old.json: was written by trivote 0.1.0, an older version"), "{old}");
    assert!(old.contains("write it again by `trivote sweep econ_t_small"), "{old}");
    fail(2, &["compare"]);
}

#[test]
fn outputs_replace_nothing_but_earlier_comparisons() {
    let sweep = results().path("sweep");
    let folder = Folder::new();
    let refused = |name: &str| fail(1, &["compare", &sweep, "-q", "-o", &folder.path(name)]);
    assert!(refused("report.txt").contains("its name must end in .html"));
    assert!(refused("no/such/report.html").contains("no/such to write it into; make it first"));
    let foreign = folder.write("thesis.csv", "a,b\n");
    assert!(refused("thesis.html").contains("thesis.csv: exists, and is not of an earlier comparison"));
    assert_eq!(fs::read_to_string(foreign).unwrap(), "a,b\n");
    let own = fail(1, &["compare", &sweep, "-q", "-o", &format!("{sweep}/oracle.html")]);
    assert!(own.contains("is one of the files read"), "{own}");
    assert_eq!(folder.names(), ["thesis.csv"]);
}

#[test]
fn a_sweep_draws_its_plot_when_asked() {
    let small = ["sweep", "econ_t_small", "--generate", "5", "-q", "--rankings", "msb,random", "--budgets", "10%,50%"];
    let plain = run(&small);
    let plot = run(&[&small[..], &["--plot"]].concat());
    let drawn = plot.strip_prefix(&plain).unwrap();
    assert!(drawn.contains("share of the summed rise that remains") && drawn.contains("a msb   b random"), "{drawn}");
}

#[test]
fn sweeps_of_one_style_and_technology_are_told_apart() {
    let sweep = results().path("sweep");
    let folder = Folder::new();
    let other = folder.path("other");
    run(&["sweep", "econ_t_small", "--generate", "20", "-q", "--rankings", "oracle", "--budgets", "10%", "-o", &other]);
    let text = run(&["compare", &sweep, &other, "-q"]);
    for (number, path) in [(1, &sweep), (2, &other)] {
        assert!(text.contains(&format!("style of rankings feedback, source {number}\n")), "{text}");
        assert!(text.contains(&format!("\nsource {number}: {path}/sweep.json (sweep)\n")), "{text}");
    }
    let alone = run(&["compare", &sweep, "-q"]);
    assert!(alone.contains("style of rankings feedback\n") && !alone.contains("source 1"), "{alone}");
}
