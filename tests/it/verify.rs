//! `trivote sweep --verify` as a user runs it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::cli::{Folder, csv, fail, run};

/// A sweep on few events.
const SMALL: [&str; 5] = ["sweep", "econ_t_small", "--limit", "20", "--quiet"];

/// Six points.
const POINTS: [&str; 4] = ["--budgets", "10%,50%,100%", "--rankings", "oracle,msb"];

/// Short missions under many strikes.
const MISSIONS: [&str; 5] = ["--verify", "--verify-hours", "1", "--verify-missions", "5"];

const RATE: [&str; 2] = ["--verify-rate", "1e-5"];

fn sweep(arguments: &[&str]) -> String {
    run(&[&SMALL[..], &POINTS, arguments].concat())
}

fn verify(arguments: &[&str]) -> String {
    sweep(&[&MISSIONS[..], &RATE, arguments].concat())
}

#[test]
fn every_point_is_as_predicted_and_files_say_so() {
    let folder = Folder::new();
    let write = |name: &str, threads: &str| {
        let out = folder.path(name);
        let text = verify(&["-o", &out, "--threads", threads]);
        let files = ["sweep.json", "sweep.csv", "verify.csv"];
        (text, files.map(|file| fs::read_to_string(Path::new(&out).join(file)).unwrap()))
    };
    let (text, [json, table, verified]) = write("a", "1");
    let (again, files) = write("b", "2");
    assert_eq!(text.replace("/a ", "/b "), again);
    assert_eq!(files, [json.clone(), table.clone(), verified.clone()], "threads change nothing");
    assert!(text.contains("6 of 6 points have what the sweep says, to the last bit of every figure"), "{text}");
    assert!(text.contains("5 missions of 60.00 min") && text.contains("cluster sizes 1:0.9,2:0.07,3:0.03"), "{text}");
    assert!(text.contains("written: ") && text.contains("verify.csv"), "{text}");
    let tables = text.split_once("verified by injection").unwrap().1;
    let longest = tables.lines().filter(|line| !line.starts_with("written")).map(|line| line.chars().count()).max();
    assert!(longest <= Some(120), "{longest:?} {text}");

    let json: Value = serde_json::from_str(&json).unwrap();
    let verification = &json["verification"];
    assert_eq!((&verification["points"], &verification["exhaustive_equal"]), (&Value::from(6), &Value::from(6)));
    assert_eq!(verification["scrub_cycles"], 40_000_000);
    let rows = csv(&verified);
    assert_eq!((rows.len(), rows[0]["ranking"].as_str(), rows[0]["budget"].as_str()), (7, "unprotected", ""));
    let points = json["points"].as_array().unwrap();
    for (point, row) in points.iter().zip(&rows[1..]) {
        let found = &point["verified"];
        for figure in ["rise_remaining", "share_removed", "mean_rise_per_upset"] {
            assert_eq!(point[figure], found[figure], "{figure}");
            assert_eq!(row[figure].parse::<f64>().unwrap(), found[figure].as_f64().unwrap());
        }
        assert_eq!((&found["exhaustive_equal"], row["exhaustive_equal"].as_str()), (&Value::from(true), "true"));
        assert_eq!(point["sensitive_remaining"], found["sensitive_cells"]);
        let protected = point["bits_protected"].as_u64().unwrap();
        assert_eq!(
            (&found["cells"], &found["read_wrong"]),
            (&(10_240 + 2 * protected).into(), &(10_240 - protected).into())
        );
        let mission = &found["mission"];
        let (low, high) = (mission["low"].as_f64(), mission["high"].as_f64());
        let inside = low.zip(high).map(|(low, high)| {
            let predicted = mission["predicted_rise"].as_f64().unwrap();
            (low..=high).contains(&predicted)
        });
        if protected < 10_240 {
            assert_eq!(mission["inside"].as_bool(), inside);
            assert!(inside.is_some() && mission["removed_low"].is_f64());
        } else {
            assert_eq!(
                (mission["inside"].as_bool(), low, mission["observed_rise"].as_f64()),
                (Some(true), None, Some(0.0))
            );
            assert_eq!(mission["removed"].as_f64(), Some(1.0));
        }
    }
    let of = |figure: &str| {
        verification[figure].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum::<u64>()
    };
    assert!(["rise", "rise_with_clusters", "removed", "removed_with_clusters"].iter().all(|figure| of(figure) == 6));
}

#[test]
fn without_asking_nothing_is_verified() {
    let folder = Folder::new();
    let out = folder.path("plain");
    let text = sweep(&["-o", &out]);
    assert!(!text.contains("verified"), "{text}");
    let json = fs::read_to_string(Path::new(&out).join("sweep.json")).unwrap();
    assert!(!json.contains("\"verified\"") && !json.contains("\"verification\"") && !json.contains("--verify"));
    assert!(!Path::new(&out).join("verify.csv").exists());
    // The first table is the same with and without; a folder with a verified sweep is one that a sweep may replace.
    let verified = verify(&["-o", &out]);
    let plain = text.split("written:").next().unwrap();
    assert!(verified.starts_with(plain.trim_end()), "{verified}");
    sweep(&["-o", &out]);
    assert!(!Path::new(&out).join("verify.csv").exists());
}

#[test]
fn some_bits_alone_and_biases_too() {
    let folder = Folder::new();
    let sites =
        folder.write("sites.csv", "layer,tensor,index,bit\nencoded_vector,kernel,3,0\nencoded_vector,kernel,2,0\n");
    let verified = |arguments: &[&str]| -> Value {
        let arguments = [&SMALL[..], &MISSIONS, &["--json", "--budgets", "50%", "--rankings", "oracle,msb"], arguments];
        serde_json::from_str(&run(&arguments.concat())).unwrap()
    };
    let json = verified(&["--sites", &sites, "--verify-rate", "0.05"]);
    let unprotected = &json["verification"]["unprotected"];
    assert_eq!((&unprotected["cells"], &unprotected["mission"]["cells"]), (&Value::from(2), &Value::from(2)));
    assert_eq!(json["verification"]["exhaustive_equal"], 2);
    let json = verified(&["--include-bias", "--verify-rate", "1e-5"]);
    assert_eq!(json["verification"]["unprotected"]["cells"], 10_496);
    assert_eq!(json["verification"]["exhaustive_equal"], 2);
}

#[test]
fn what_makes_no_sense_is_refused_before_any_work() {
    let refuse = |code, arguments: &[&str]| fail(code, &[&SMALL[..], &POINTS, arguments].concat());
    let verify = |arguments: &[&str]| refuse(1, &[&["--verify"], arguments].concat());
    for (arguments, expected) in [
        (&["--verify-scrub", "1ns"][..], "scrub period 1ns is shorter than half a clock cycle of 25.00 ns"),
        (&["--verify-rate", "0"], "0.000e0 strikes are expected in all 20 missions together, so nothing can be seen"),
        (&["--verify-environment", "datacenter", "--verify-hours", "1"], "strikes are expected in all 20 missions"),
        (&["--verify-rate", "-1"], "-1; it must be a finite number from 0"),
        (&["--verify-rate", "1"], "are more than can be followed"),
        (&["--verify-hours", "1e9"], "has more than 2^53 clock cycles"),
        (&["--verify-hours", "1e-12"], "is shorter than half a clock cycle"),
        (&["--verify-hours", "1e-11", "--verify-rate", "1e9"], "no frame comes out within"),
    ] {
        let error = verify(arguments);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    for arguments in [
        &["--verify", "--verify-missions", "0"][..],
        &["--verify", "--verify-missions", "1"],
        &["--verify", "--verify-scrub", "0s"],
        &["--verify", "--verify-scrub", "5"],
        &["--verify", "--verify-hours", "0"],
        &["--verify", "--verify-hours", "-1"],
        &["--verify", "--verify-cluster-sizes", "0:1"],
        &["--verify", "--verify-distance", "0"],
        &["--verify", "--verify-confidence", "1"],
        &["--verify", "--verify-environment", "space"],
        &["--verify", "--verify-environment", "lhc", "--verify-rate", "1"],
        &["--verify-hours", "2"],
        &["--verify-seed", "3"],
    ] {
        refuse(2, arguments);
    }
}
