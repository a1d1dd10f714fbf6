//! How a design is built, as a user says it and sees it (keys of `design.toml`, options, warnings, errors), and laws that
//! hold for every network.

use std::fs;
use std::num::NonZeroU64;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use serde_json::Value;
use trivote::hw::schedule::timing::Strategy as Products;
use trivote::hw::schedule::{Io, Schedule, ScheduleOptions, Stage, Work};
use trivote::hw::{AreaModel, Technology};
use trivote::net::Network;

use super::cli::{Folder, fail, run};
use super::keras::data;
use super::networks::{cnn_specs, specs};

/// What a command that succeeds prints, and what it says on standard error.
fn run_with_notes(arguments: &[&str]) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_trivote")).args(arguments).output().unwrap();
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {notes}");
    (String::from_utf8(output.stdout).unwrap(), notes)
}

/// `info --json` of a design, and the notes.
fn info(design: &str, options: &[&str]) -> (Value, String) {
    let mut arguments = vec!["info", design, "--json"];
    arguments.extend(options);
    let (text, notes) = run_with_notes(&arguments);
    (serde_json::from_str(&text).unwrap(), notes)
}

fn stage<'a>(info: &'a Value, name: &str) -> &'a Value {
    info["schedule"]["stages"].as_array().unwrap().iter().find(|stage| stage["name"] == name).unwrap()
}

/// ECON-T Medium in a folder, with this `[hardware]` in its `design.toml`.
fn design(folder: &Folder, hardware: &str) -> String {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("hw_models/econ_t_medium");
    let path = folder.path("design");
    fs::create_dir_all(&path).unwrap();
    fs::copy(shipped.join("model.h5"), format!("{path}/model.h5")).unwrap();
    let text = fs::read_to_string(shipped.join("design.toml")).unwrap();
    let kept = text.split("[hardware]").next().unwrap();
    fs::write(format!("{path}/design.toml"), format!("{kept}{hardware}")).unwrap();
    path
}

#[test]
fn the_shipped_designs_answer_in_two_cycles_of_40_mhz() {
    for design in ["econ_t_small", "econ_t_medium", "econ_t_large"] {
        let (info, notes) = info(design, &[]);
        assert_eq!(notes, "");
        let schedule = &info["schedule"];
        assert_eq!((&schedule["io"], &schedule["clock_mhz"]), (&"econ_t".into(), &40.0.into()));
        assert_eq!((&schedule["latency_cycles"], &schedule["interval_cycles"]), (&2.into(), &1.into()));
        assert_eq!(schedule["machine_latency_cycles"], 2);
        assert_eq!(schedule["stages"].as_array().unwrap().len(), 2);
        assert_eq!(info["area"]["unprotected"]["parts"]["buffer_bits"], 0);
    }
    let text = run(&["info", "econ_t_medium"]);
    for part in ["io econ_t at 40 MHz, 40,000,000 frames per second", "50.00 ns", "25.00 ns"] {
        assert!(text.contains(part), "`{part}` in: {text}");
    }
}

#[test]
fn illegal_reuse_factors_become_legal_with_a_warning() {
    let options = ["--io", "parallel", "--reuse-factor", "7", "--layer-reuse", "encoded_vector=100"];
    let (json, notes) = info("econ_t_medium", &options);
    // Nine products per output of the convolution; 128 inputs of the dense layer, where 128 is nearer than 64.
    let warnings = [
        "warning: layer `conv2d_0_m`: reuse factor 7 is not legal; it gets 9, the nearest that is",
        "warning: layer `encoded_vector`: reuse factor 100 is not legal; it gets 128, the nearest that is",
    ];
    assert_eq!(notes.lines().collect::<Vec<_>>(), warnings);
    for (name, asked, legal, partitions) in [("conv2d_0_m", 7, 9, 16), ("encoded_vector", 100, 128, 1)] {
        let stage = stage(&json, name);
        let found = [&stage["asked_reuse_factor"], &stage["reuse_factor"], &stage["partitions"]];
        assert_eq!(found, [&Value::from(asked), &legal.into(), &partitions.into()]);
    }
    // The area is that of the legal factors: 8 and 16 multipliers.
    assert_eq!(json["area"]["unprotected"]["parts"]["multipliers"], 8 + 16);
    let mut quiet = options.to_vec();
    quiet.push("--quiet");
    assert_eq!(info("econ_t_medium", &quiet), (json, String::new()));
}

#[test]
fn sharing_multipliers_of_an_unrolled_design_means_parallel() {
    for options in [["--reuse-factor", "2"], ["--layer-reuse", "encoded_vector=2"]] {
        let (json, notes) = info("econ_t_medium", &options);
        assert_eq!(json["schedule"]["io"], "parallel");
        assert!(notes.starts_with("note: io parallel instead of the design's econ_t"), "{notes}");
    }
    let error = fail(1, &["info", "econ_t_medium", "--io", "econ_t", "--reuse-factor", "2"]);
    assert!(error.contains("`conv2d_0_m`") && error.contains("reuse factor 2"), "{error}");
    let (json, notes) = info("econ_t_medium", &["--reuse-factor", "1", "--fifo-depth", "3", "--strategy", "resource"]);
    assert_eq!(json["schedule"]["io"], "econ_t");
    assert!(notes.contains("--fifo-depth changes nothing") && notes.contains("--strategy changes nothing"), "{notes}");
}

#[test]
fn tables_of_every_io_fit_a_terminal() {
    for options in [
        &["--io", "stream"][..],
        &["--io", "stream", "--reuse-factor", "7", "--clock", "200", "--fifo-depth", "4"],
        &["--io", "parallel", "--reuse-factor", "7", "--strategy", "resource"],
    ] {
        for design in ["econ_t_small", "econ_t_medium", "econ_t_large"] {
            let mut arguments = vec!["info", design, "--quiet"];
            arguments.extend(options);
            let text = run(&arguments);
            let schedule = text.split_once("\nschedule: ").unwrap().1.split_once("\narea on").unwrap().0;
            assert!(schedule.lines().all(|line| line.chars().count() <= 100), "{schedule}");
            assert!(schedule.contains("frames per second") && schedule.contains("latency"), "{schedule}");
        }
    }
    let text = run(&["info", "econ_t_medium", "--io", "stream", "--fifo-depth", "4"]);
    assert!(text.contains("conv2d_0_m.pad") && text.contains("64 -> 81"), "{text}");
}

#[test]
fn a_design_says_how_it_is_built() {
    let folder = Folder::new();
    let keys = "[hardware]\nio = \"stream\"\nclock_mhz = 160\nstrategy = \"resource\"\nreuse_factor = 2\nfifo_depth = 6\n\
                [hardware.layers.conv2d_0_m]\nreuse_factor = 3\nstrategy = \"latency\"\n";
    let path = design(&folder, keys);
    let (json, notes) = info(&path, &[]);
    assert_eq!(notes, "");
    let schedule = &json["schedule"];
    assert_eq!((&schedule["io"], &schedule["clock_mhz"]), (&"stream".into(), &160.0.into()));
    let of = |json: &Value, name: &str| {
        let stage = stage(json, name);
        let number = |key: &str| stage[key].as_u64().unwrap();
        (number("reuse_factor"), stage["strategy"].as_str().unwrap().to_owned(), number("fifo_depth"))
    };
    assert_eq!(of(&json, "conv2d_0_m"), (3, "latency".to_owned(), 6));
    assert_eq!(of(&json, "encoded_vector"), (2, "resource".to_owned(), 1));
    assert!(json["area"]["unprotected"]["parts"]["buffer_bits"].as_u64().unwrap() > 0);
    // The command line wins key by key: the layer keeps its strategy, and its factor where only the general one is given.
    let (json, _) = info(&path, &["--reuse-factor", "4", "--strategy", "latency", "--fifo-depth", "9"]);
    assert_eq!(of(&json, "conv2d_0_m"), (3, "latency".to_owned(), 9));
    assert_eq!(of(&json, "encoded_vector"), (4, "latency".to_owned(), 1));
    let (json, _) = info(&path, &["--layer-reuse", "conv2d_0_m=9"]);
    assert_eq!(of(&json, "conv2d_0_m"), (9, "latency".to_owned(), 6));

    // What older versions wrote.
    let old = |factor: u32| design(&folder, &format!("[hardware]\ntechnology = \"osu018\"\nreuse_factor = {factor}\n"));
    let io = |path: &str| info(path, &["--quiet"]).0["schedule"]["io"].clone();
    assert_eq!(io(&old(1)), "econ_t");
    assert_eq!(io(&old(4)), "parallel");
    assert_eq!(io(&design(&folder, "")), "econ_t");
    assert_eq!(io(&design(&folder, "[hardware.layers.encoded_vector]\nreuse_factor = 8\n")), "parallel");
}

#[test]
fn faulty_keys_are_named() {
    let folder = Folder::new();
    let cases: [(&str, &[&str]); 9] = [
        ("io = \"serial\"", &["hardware.io", "`serial`", "econ_t, parallel or stream"]),
        ("clock_mhz = 0.0", &["hardware.clock_mhz", "0 MHz", "positive"]),
        ("strategy = \"fast\"", &["hardware.strategy", "`fast`", "latency or resource"]),
        ("reuse_factor = 0", &["design.toml", "reuse_factor = 0", "nonzero"]),
        ("fifo_depth = -1", &["design.toml", "fifo_depth = -1"]),
        ("io = \"econ_t\"\nreuse_factor = 4", &["`conv2d_0_m`", "reuse factor 4", "parallel or stream"]),
        ("[hardware.layers.accum1_qa]\nreuse_factor = 4", &["`accum1_qa`", "conv2d_0_m, encoded_vector"]),
        ("[hardware.layers.conv2d_0_m]\nstrategy = \"x\"", &["hardware.layers.conv2d_0_m.strategy", "`x`"]),
        ("[hardware.layers.conv2d_0_m]\nreuse = 4", &["design.toml", "`reuse`", "reuse_factor"]),
    ];
    for (keys, parts) in cases {
        let path = design(&folder, &format!("[hardware]\n{keys}\n"));
        let error = fail(1, &["info", &path]);
        for part in parts {
            assert!(error.contains(part), "{keys}: `{part}` in: {error}");
        }
    }
}

#[test]
fn faulty_options_are_wrong_usage() {
    let cases: [(&[&str], i32, &[&str]); 9] = [
        (&["--clock", "0"], 2, &["--clock", "0 MHz"]),
        (&["--clock", "fast"], 2, &["--clock", "MHz"]),
        (&["--io", "serial"], 2, &["--io", "econ_t, parallel or stream"]),
        (&["--strategy", "area"], 2, &["--strategy", "latency or resource"]),
        (&["--reuse-factor", "0"], 2, &["--reuse-factor", "from 1"]),
        (&["--layer-reuse", "conv2d_0_m"], 2, &["LAYER=N"]),
        (&["--layer-reuse", "conv2d_0_m=x"], 2, &["--layer-reuse", "from 1"]),
        (&["--fifo-depth", "0"], 2, &["--fifo-depth", "from 1"]),
        (&["--layer-reuse", "conf=2"], 1, &["`conf`", "conv2d_0_m, encoded_vector"]),
    ];
    for (options, code, parts) in cases {
        let mut arguments = vec!["info", "econ_t_medium"];
        arguments.extend(options);
        let error = fail(code, &arguments);
        for part in parts {
            assert!(error.contains(part), "{options:?}: `{part}` in: {error}");
        }
    }
}

#[test]
fn a_sweep_records_how_the_design_was_built() {
    let options = ["--io", "stream", "--layer-reuse", "en_dense_0=64", "--reuse-factor", "16", "--clock", "160.5"];
    let mut arguments =
        vec!["sweep", "econ_t_small", "--limit", "1", "--rankings", "msb", "--budgets", "1%area", "--json"];
    let unrolled: Value = serde_json::from_str(&run(&arguments)).unwrap();
    arguments.extend(options);
    let shared: Value = serde_json::from_str(&run(&arguments)).unwrap();
    let area = |result: &Value| result["accelerator_area"].as_f64().unwrap();
    assert!(area(&shared) < area(&unrolled) / 2.0);
    let command: Vec<&str> =
        shared["provenance"]["command"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
    let recorded = ["--io", "stream", "--clock", "160.5", "--reuse-factor", "16", "--layer-reuse", "en_dense_0=64"];
    assert!(command.windows(recorded.len()).any(|part| part == recorded), "{command:?}");
}

#[test]
fn an_imported_design_has_the_keys() {
    let folder = Folder::new();
    let path = folder.path("design");
    run(&["import", data("keras_nested.h5").to_str().unwrap(), "-o", &path]);
    let text = fs::read_to_string(format!("{path}/design.toml")).unwrap();
    let keys = "[hardware]\ntechnology = \"osu018\"\nio = \"econ_t\"\nclock_mhz = 40.0\nstrategy = \"latency\"\nreuse_factor = 1\n";
    assert!(text.ends_with(keys), "{text}");
    assert_eq!(info(&path, &[]).0["schedule"]["io"], "econ_t");
}

/// Pixels of a streaming window that come after the last one that it sees.
fn unused_pixels(network: &Network, stage: &Stage) -> u64 {
    let node = stage.nodes.first().map(|id| network.node(*id));
    let Some((node, window)) = node.and_then(|node| Some((node, node.op.window()?))) else { return 0 };
    let columns = network.node(stage.input()).shape[1] + window.padding.left + window.padding.right;
    let last = |axis: usize| (node.shape[axis] - 1) * window.stride[axis] + window.kernel[axis] - 1;
    stage.packets_in.saturating_sub((last(0) * columns + last(1) + 1) as u64)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn times_and_parts_of_any_network_fit_together(
        spec in prop_oneof![specs(), cnn_specs()],
        asked in 1_u64..60,
        io in prop::sample::select(vec![Io::Parallel, Io::Stream]),
        strategy in prop::sample::select(Products::ALL.to_vec()),
    ) {
        let network = spec.build();
        let reuse_factor = NonZeroU64::new(asked).unwrap();
        let options = ScheduleOptions { io, reuse_factor, strategy, ..ScheduleOptions::econ_t() };
        let schedule = Schedule::new(&network, &options).unwrap();
        for (number, stage) in schedule.stages.iter().enumerate() {
            for from in stage.sources.iter().filter_map(|source| source.stage) {
                prop_assert!(from < number);
                prop_assert_eq!(schedule.stages[from].packets_out, stage.packets_in, "{:?}", stage);
            }
            let is_last = number + 1 == schedule.stages.len();
            prop_assert_eq!(schedule.readers(Some(number)).count() == 0, is_last);
            // Packets are copied by a stage of their own.
            let copies = io == Io::Parallel || stage.work == Work::Clone;
            prop_assert!(copies || schedule.depths_behind(number).len() == 1);
        }
        for stage in &schedule.stages {
            prop_assert!(stage.latency_cycles >= stage.delay_cycles && stage.delay_cycles >= 1);
            prop_assert!(stage.latency_cycles >= stage.partitions * stage.reuse_factor.get(), "{:?}", stage);
            prop_assert!(schedule.latency_cycles >= stage.latency_cycles);
            prop_assert!(schedule.interval_cycles >= schedule.reported_interval_cycles);
            prop_assert!(schedule.interval_cycles >= stage.partitions * stage.reuse_factor.get());
        }
        // A frame that nothing holds up takes what the report says, in a stream the pipelines of all layers besides, unless
        // the report waits for pixels that come behind the last window.
        let machine = schedule.machine_latency_cycles(&network);
        let is_all_seen = schedule.stages.iter().all(|stage| unused_pixels(&network, stage) == 0);
        prop_assert!(!is_all_seen || machine >= schedule.latency_cycles);
        prop_assert!(io == Io::Stream || machine == schedule.latency_cycles);
        prop_assert!(schedule.worst_latency_cycles >= schedule.latency_cycles);

        let model = AreaModel::new(&network, &Technology::shipped("osu018").unwrap(), &schedule);
        let report = model.report(&[]).unwrap();
        for stage in schedule.stages.iter().filter(|stage| stage.nodes.len() == 1) {
            let parts = report.layers[stage.nodes[0].index()].parts;
            prop_assert!(parts.multipliers * stage.partitions * stage.reuse_factor.get() >= parts.macs);
            prop_assert_eq!(parts.buffer_bits > 0, io == Io::Stream);
        }
        prop_assert!(report.area.total().cost().is_finite() && report.area.pipeline.cost() > 0.0);
    }
}
