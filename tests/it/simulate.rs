//! `trivote simulate` as a user runs it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use trivote::hw::{Inventory, TmrStyle};
use trivote::import::design::Design;
use trivote::protect::ProtectionPlan;

use super::cli::{Folder, csv, fail, run};

/// A short and hectic mission on few events.
const SHORT: [&str; 9] = ["simulate", "econ_t_small", "--limit", "30", "--hours", "0.5", "--replicas", "8", "--quiet"];

fn simulate(arguments: &[&str]) -> String {
    run(&[&SHORT, arguments].concat())
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&simulate(&[arguments, &["--json"]].concat())).unwrap()
}

fn number(row: &BTreeMap<String, String>, column: &str) -> f64 {
    row[column].parse().unwrap()
}

/// A plan for every bit of a shipped design.
fn full_plan(design: &str) -> String {
    let design = Design::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("hw_models").join(design)).unwrap();
    let inventory = Inventory::new(&design.accelerator).unwrap();
    let plan = ProtectionPlan::uniform(&inventory, inventory.bit_ids(), TmrStyle::Feedback.into());
    plan.to_json(&inventory, &design.config.name, design.accelerator.fingerprint(), Value::Null)
}

#[test]
fn files_hold_scenarios_replicas_and_time() {
    let folder = Folder::new();
    let rates = ["--mean-time", "60", "--styles", "none,unvoted+flag,feedback", "--scrub", "none,300s"];
    let write = |name: &str, threads: &str| {
        let out = folder.path(name);
        let text = simulate(&[&rates[..], &["-o", &out, "--threads", threads]].concat());
        (
            text,
            ["simulate.json", "simulate.csv", "replicas.csv", "timeline.csv"]
                .map(|file| fs::read_to_string(Path::new(&out).join(file)).unwrap()),
        )
    };
    let (text, files) = write("a", "1");
    assert_eq!(files, write("b", "2").1, "threads change nothing");
    assert!(
        text.contains("the device is struck at one rate")
            && text.contains("a strike on the device every 60.00 s\n  as asked"),
        "{text}"
    );
    assert!(text.lines().all(|line| line.chars().count() <= 130), "{text}");
    let [summary, scenarios, replicas, timeline] = files;
    let (scenarios, replicas, timeline) = (csv(&scenarios), csv(&replicas), csv(&timeline));
    assert_eq!((scenarios.len(), replicas.len(), timeline.len()), (6, 48, 6 * 24));
    for row in &replicas {
        let fates = ["corrected_by_feedback", "corrected_by_reload", "undone", "latent_at_end", "wrong_at_end"];
        assert_eq!(number(row, "upsets"), fates.iter().map(|fate| number(row, fate)).sum::<f64>(), "{row:?}");
    }
    let of = |style: &str, scrub: &str, column: &str| {
        number(scenarios.iter().find(|row| row["style"] == style && row["scrub"] == scrub).unwrap(), column)
    };
    assert_eq!(of("none", "300s", "scrub_cycles"), 12e9);
    assert!(of("none", "none", "wrong_share") > of("none", "300s", "wrong_share"));
    assert!(of("none", "300s", "wrong_share") > 0.0);
    for scrub in ["none", "300s"] {
        assert_eq!(of("feedback", scrub, "wrong_outputs"), 0.0);
        assert!(of("feedback", scrub, "first_wrong_at_least_s") > 1800.0);
        assert_eq!(of("feedback", scrub, "masked"), of("feedback", scrub, "corrected_by_feedback"));
        // Strikes come at the same times, whatever is there to be hit.
        assert_eq!(of("feedback", scrub, "strikes"), of("none", "none", "strikes"));
    }
    assert!(of("unvoted+flag", "none", "detected") > 0.0 && of("unvoted+flag", "none", "latent_at_end") > 0.0);
    assert!(of("unvoted+flag", "300s", "corrected_by_reload") > of("unvoted+flag", "300s", "latent_at_end"));

    let summary: Value = serde_json::from_str(&summary).unwrap();
    let command: Vec<&str> =
        summary["provenance"]["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert!(command.contains(&"none,unvoted+flag,feedback") && command.contains(&"--mean-time"), "{command:?}");
    assert!(!command.contains(&"--threads") && !command.contains(&"--environment"));
    // The recorded command gives the same result.
    let again: Value = serde_json::from_str(&run(&[&command[1..], &["--json", "-q"]].concat())).unwrap();
    assert_eq!(again, summary);
}

#[test]
fn a_plan_for_every_bit_leaves_nothing_but_wide_clusters() {
    let folder = Folder::new();
    let plan = folder.write("plan.json", full_plan("econ_t_small"));
    let mission = ["--plan", &plan, "--hours", "24", "--replicas", "4"];
    let base = ["simulate", "econ_t_small", "--limit", "20", "-q", "--json"];
    let simulate = |more: &[&str]| -> Value { serde_json::from_str(&run(&[&base, &mission, more].concat())).unwrap() };
    let result = simulate(&[]);
    let of = |result: &Value, name: &str| result["scenarios"][0]["per_mission"][name]["mean"].as_f64().unwrap();
    assert!(of(&result, "upsets") > 1000.0);
    assert_eq!((of(&result, "wrong_outputs"), of(&result, "masked")), (0.0, of(&result, "upsets")));
    assert_eq!(result["scenarios"][0]["first_wrong_output"]["replicas"], 0);
    assert_eq!(of(&simulate(&["--cluster-sizes", "1:0.9,16:0.1"]), "wrong_outputs"), 0.0);
    let wide = simulate(&["--cluster-sizes", "1:0.9,17:0.1"]);
    assert!(of(&wide, "wrong_outputs") > 0.0 && of(&wide, "wrong_at_end") > 0.0);
    // Lines are targets when asked for; a shared voter that glitches is written back.
    let lines = simulate(&["--lines", "0.1"]);
    assert!(of(&lines, "transients") > 100.0 && of(&lines, "wrong_outputs") > 0.0);
    // So are values in flight, which are gone with their frame.
    let values = simulate(&["--state", "1"]);
    let (struck, wrong) = (of(&values, "other_state_upsets"), of(&values, "wrong_outputs"));
    assert!(struck > 20.0 && wrong > 0.0 && wrong <= struck, "{struck} {wrong}");
    assert_eq!(of(&values, "wrong_at_end"), 0.0);
}

#[test]
fn a_mission_can_be_watched_cycle_by_cycle() {
    let folder = Folder::new();
    let (trace, vcd) = (folder.path("trace.csv"), folder.path("waves.vcd"));
    let list =
        "cycle,address,kind\n3000,en_dense_0.kernel[5].bit[0].copy[1],flip\n3001,en_dense_0.fifo[7].bit[0],flip\n";
    let list = folder.write("faults.csv", list);
    let base = ["simulate", "econ_t_small", "--limit", "20", "-q", "--cycles", "5000", "--styles", "unvoted+flag"];
    let watch = ["--scrub", "1505cycles", "--faults", &list, "--trace", &trace, "--vcd", &vcd, "--window-cycles", "80"];
    let text = run(&[&base[..], &watch].concat());
    assert!(text.contains("(cycles 2980 to 3059 of replica 0)"), "{text}");
    let rows = csv(&fs::read_to_string(&trace).unwrap());
    assert_eq!(rows.len(), 80);
    let at = |cycle: usize, column: &str| rows[cycle - 2980][column].as_str();
    assert_eq!(at(3000, "injections"), "en_dense_0.kernel[5].bit[0].copy[1]:flip");
    assert_eq!(at(3001, "injections"), "en_dense_0.fifo[7].bit[0]:flip");
    assert_eq!([at(2999, "error_flags"), at(3000, "error_flags")], ["", "en_dense_0.kernel"]);
    assert_eq!([at(3010, "load"), at(3010, "wrong_copies"), at(3011, "wrong_copies")], ["1", "1", "0"]);
    // Every frame in its cycle, and a result in each: the pipeline is full.
    assert!((2980..3020).all(|cycle| at(cycle, "frame") == cycle.to_string() && at(cycle, "output") == "1"));
    let waves = fs::read_to_string(&vcd).unwrap();
    assert!(waves.contains("$timescale") && waves.contains("kernel_5") && waves.contains("#75000000"), "3000 x 25 ns");
    let late = fail(1, &[&base[..], &watch, &["--window-start", "5000"]].concat());
    assert!(late.contains("--window-start 5000 is after the mission, which has 5000 cycles"), "{late}");
}

#[test]
fn written_faults_replay_to_the_same_mission() {
    let folder = Folder::new();
    let (list, drawn, replayed) = (folder.path("faults.csv"), folder.path("drawn"), folder.path("replayed"));
    for protection in
        [&["--scrub", "400s"][..], &["--styles", "unvoted+flag", "--scrub", "200s", "--lines", "0.5", "--state", "0.5"]]
    {
        let rates = ["--bit-error-rate", "5e-14", "--cluster-sizes", "1:0.5,20:0.5"];
        simulate(&[&rates[..], protection, &["--write-faults", &list, "--replica", "5", "-o", &drawn]].concat());
        let faults = fs::read_to_string(&list).unwrap();
        assert!(faults.starts_with("cycle,address,kind\n") && faults.lines().count() > 20, "{faults}");
        let base = ["simulate", "econ_t_small", "--limit", "30", "--hours", "0.5", "-q"];
        let protection: Vec<&str> =
            protection.iter().copied().filter(|word| !["--lines", "--state", "0.5"].contains(word)).collect();
        let text = run(&[&base, &protection[..], &["--faults", &list, "--replica", "5", "-o", &replayed]].concat());
        assert!(text.contains("1 mission of") && text.contains("environment as listed"), "{text}");
        let rows = |folder: &str| csv(&fs::read_to_string(Path::new(folder).join("replicas.csv")).unwrap());
        let mut drawn = rows(&drawn).remove(5);
        let mut replayed = rows(&replayed).remove(0);
        assert!(number(&drawn, "wrong_outputs") > 0.0);
        assert!(number(&drawn, "strikes") > 5.0);
        // A list has faults, not strikes.
        for row in [&mut drawn, &mut replayed] {
            row.remove("strikes");
        }
        assert_eq!(replayed, drawn);
    }
}

#[test]
fn stuck_bits_stay_through_scrubs() {
    let folder = Folder::new();
    let rows = (0..10).map(|index| format!("1000,encoded_vector.kernel[{index}].bit[0],stuck1\n"));
    let rows = format!("cycle,address,kind\n{}", rows.collect::<String>());
    let stuck = folder.write("stuck.csv", rows);
    let quiet = ["--cross-section", "0", "--flux", "0", "--scrub", "1s", "--stuck", &stuck];
    let result = json(&quiet);
    let scenario = &result["scenarios"][0];
    assert_eq!(scenario["strikes_per_s"], 0.0);
    assert!(scenario["mean_machine_frames"].as_f64().unwrap() < 100.0, "a scrub that changes nothing costs nothing");
    let without = json(&quiet[..6]);
    let wrong = |result: &Value| result["scenarios"][0]["per_mission"]["wrong_share"]["mean"].as_f64().unwrap();
    assert!(wrong(&result) > 0.1 && wrong(&without) == 0.0, "{}", wrong(&result));
}

#[test]
fn what_cannot_be_simulated_is_refused() {
    let folder = Folder::new();
    let other = folder.write("other.json", full_plan("econ_t_medium"));
    let unknown = folder.write("unknown.csv", "cycle,address,kind\n1,nowhere.kernel[0].bit[0],flip\n");
    let other_state = folder.write(
        "state.csv",
        "cycle,address,kind\n1,en_dense_0.bias[0].bit[0],flip\n1,en_dense_0.error_counter[0].bit[0],flip\n",
    );
    let late = folder.write("late.csv", "cycle,address,kind\n99,nowhere.kernel[0].bit[0],flip\n");
    let flips = folder.write("flips.csv", "cycle,address,kind\n\n1,nowhere.kernel[0].bit[0],flip\n");
    let file = folder.write("file", "");
    for (code, arguments, expected) in [
        (2, &["--hours", "0"][..], "a number above 0"),
        (2, &["--hours", "-1"], "a number above 0"),
        (2, &["--replicas", "0"], "0 is not in 1"),
        (2, &["--cycles", "0"], "0 is not in 1"),
        (2, &["--hours", "1", "--cycles", "5"], "cannot be used with"),
        (2, &["--scrub", "0s"], "a scrub period of 0 is no period"),
        (2, &["--scrub", "often"], "no scrub period"),
        (1, &["--scrub", "1ns"], "shorter than half a clock cycle"),
        (2, &["--lines", "-1"], "a finite number from 0"),
        (2, &["--distance", "0"], "a whole number from 1"),
        (2, &["--styles", "tmr"], "no protection"),
        (2, &["--environment", "space"], "there are hgcal, lhc"),
        (2, &["--cross-section", "-1e-14", "--flux", "1"], "the cross section in cm2 per bit is -0.00000000000001"),
        (2, &["--cross-section", "1e-14"], "--flux"),
        (2, &["--mean-time", "0"], "must be a finite number above 0"),
        (2, &["--bit-error-rate", "NaN"], "the bit error rate per inference is NaN"),
        (2, &["--environment", "lhc", "--mean-time", "3"], "cannot be used with"),
        (1, &["--bit-error-rate", "0.1"], "more than can be followed"),
        (1, &["--hours", "1e9"], "more than 2^53 clock cycles"),
        (1, &["--hours", "1e-15"], "shorter than half a clock cycle"),
        (1, &["--plan", &other], "was made for design `econ_t_medium`"),
        (1, &["--plan", "nowhere.json"], "nowhere.json: cannot be read"),
        (1, &["--faults", &unknown], "unknown.csv: line 2: layer `nowhere` has no registers"),
        (
            1,
            &["--faults", &late, "--cycles", "99"],
            "late.csv: line 2: cycle 99 is after the mission, which has 99 cycles",
        ),
        (1, &["--faults", &other_state], "line 3: `en_dense_0.error_counter[0].bit[0]` counts and controls"),
        (1, &["--stuck", &flips], "flips.csv: line 3: kind `flip` is not stuck0 or stuck1"),
        (2, &["--faults", &unknown, "--environment", "lhc"], "cannot be used with"),
        (2, &["--window-cycles", "20"], "need --trace or --vcd"),
        (2, &["--trace", "t", "--vcd", "./t"], "./t would be written twice"),
        (2, &["-o", "new", "--trace", "new/t.csv"], "new/t.csv lies in the folder of --output"),
        (2, &["--styles", "none,feedback,none"], "name each style and each period once"),
        (1, &["--cycles", "2"], "no frame comes out within 2 cycles"),
        (1, &["--mean-time", "1e-320"], "strikes come faster than numbers can say"),
        (2, &["--write-faults", "f.csv", "--styles", "none,feedback"], "are of one scenario"),
        (2, &["--write-faults", "f.csv", "--replica", "100"], "must be smaller than --replicas"),
        (1, &["-o", &file], "is a file; name a folder"),
    ] {
        let error = fail(code, &[&["simulate", "econ_t_small", "--limit", "2", "-q"], arguments].concat());
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    // One of two branches fills its FIFO, and the other one waits.
    let error = fail(1, &["simulate", "digits_cnn", "--limit", "2", "-q", "--fifo-depth", "1"]);
    assert!(error.contains("stages wait for one another"), "{error}");
}
