//! Every command as a user runs it: what it prints, what it writes, how it fails.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use trivote::hw::{Inventory, TmrStyle};
use trivote::import::design::Design;
use trivote::import::npy::read_npz;
use trivote::protect::ProtectionPlan;

use super::keras::data;

fn trivote(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trivote")).args(arguments).output().unwrap()
}

/// Standard output of a command that succeeds.
pub fn run(arguments: &[&str]) -> String {
    let output = trivote(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Standard error of a command that fails with `code`, having written nothing to standard output.
pub fn fail(code: i32, arguments: &[&str]) -> String {
    let output = trivote(arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    assert!(!error.contains("panicked"), "{error}");
    error
}

pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Names of what lies in the folder.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(self.0.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Every file below a folder with its content.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(
                tree(&path)
                    .into_iter()
                    .map(|(name, bytes)| (path.file_name().unwrap().into(), name, bytes))
                    .map(|(parent, name, bytes): (PathBuf, PathBuf, Vec<u8>)| (parent.join(name), bytes)),
            );
        } else {
            found.insert(path.file_name().unwrap().into(), fs::read(&path).unwrap());
        }
    }
    found
}

pub fn csv(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(Result::unwrap).collect()
}

fn shipped(name: &str) -> Design {
    Design::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("hw_models").join(name)).unwrap()
}

fn header() -> String {
    (0..48).map(|cell| format!("CALQ_{cell}")).collect::<Vec<_>>().join(",")
}

/// One row of charges: `charge` in cell 5, 7 in cell 20.
fn row(charge: &str) -> String {
    (0..48)
        .map(|cell| match cell {
            5 => charge,
            20 => "7",
            _ => "0",
        })
        .collect::<Vec<_>>()
        .join(",")
}

#[test]
fn info_counts_the_bits_of_the_shipped_designs() {
    for (design, kernel, all) in
        [("econ_t_small", 10_240, 10_496), ("econ_t_medium", 12_720, 12_864), ("econ_t_large", 61_344, 61_616)]
    {
        let info: Value = serde_json::from_str(&run(&["info", design, "--json"])).unwrap();
        assert_eq!(info["kernel_bits"], kernel);
        assert_eq!(info["kernel_bits"].as_u64().unwrap() + info["bias_bits"].as_u64().unwrap(), all);
        assert!(info["area"]["unprotected"]["area"]["registers"]["ge"].as_f64().unwrap() > 0.0);
    }
    let text = run(&["info", "econ_t_medium"]);
    assert!(text.contains("conv2d_0_m") && text.contains("12,720 kernel bits + 144 bias bits = 12,864"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 130), "fits a terminal");
}

#[test]
fn infer_writes_its_arrays() {
    let folder = Folder::new();
    let out = folder.path("out.npz");
    run(&["infer", "econ_t_medium", "--limit", "7", "-o", &out]);
    let bytes = fs::read(&out).unwrap();
    let shape = |name: &str| read_npz("out.npz", &bytes, name).unwrap().shape().to_vec();
    assert_eq!(shape("latent"), [7, 16]);
    assert_eq!(shape("codes"), [7, 16]);
    assert_eq!(shape("decoded"), [7, 48]);
    assert_eq!(shape("error"), [7]);
    let values = |name: &str| read_npz("out.npz", &bytes, name).unwrap().data().to_f64().unwrap();
    for (code, value) in values("codes").into_iter().zip(values("latent")) {
        assert_eq!(code / 256.0, value, "ap_ufixed<9,1>");
    }
    let again = folder.path("again.npz");
    run(&["infer", "econ_t_medium", "--limit", "7", "-o", &again, "--threads", "1"]);
    assert_eq!(bytes, fs::read(again).unwrap());
}

#[test]
fn generated_events_are_those_a_design_uses_by_itself() {
    let folder = Folder::new();
    let events = folder.path("events.csv");
    run(&["events", "-n", "5", "--seed", "1", "-o", &events]);
    let text = fs::read_to_string(&events).unwrap();
    assert_eq!(text.lines().count(), 6);
    let error = |arguments: &[&str]| {
        let json: Value = serde_json::from_str(&run(arguments)).unwrap();
        json["mean_error"].as_f64().unwrap()
    };
    let own = error(&["infer", "econ_t_small", "--limit", "5", "--json"]);
    assert_eq!(own, error(&["infer", "econ_t_small", "--events", &events, "--json"]));
    assert_eq!(own, error(&["infer", "econ_t_small", "--generate", "5", "--json"]));
    assert_ne!(own, error(&["infer", "econ_t_small", "--generate", "5", "--event-seed", "2", "--json"]));
}

#[test]
fn oracle_rows_are_complete_and_sites_restrict_them() {
    let folder = Folder::new();
    let all = folder.path("all.csv");
    run(&["oracle", "econ_t_small", "--limit", "3", "--include-bias", "-o", &all]);
    let text = fs::read_to_string(&all).unwrap();
    assert_eq!(
        text.lines().next().unwrap(),
        "layer,tensor,index,bit,golden,faulty,changed_events,mean_error,error_rise"
    );
    let rows = csv(&text);
    assert_eq!(rows.len(), 10_496);
    let totals: Value = serde_json::from_str(&fs::read_to_string(folder.path("all.csv.json")).unwrap()).unwrap();
    assert_eq!(totals["total"]["bits"], 10_496);
    let golden = totals["golden_mean_error"].as_f64().unwrap();
    for row in &rows {
        let number = |name: &str| row[name].parse::<f64>().unwrap();
        let width = 8;
        let step = 2.0_f64.powi(-6);
        let weight = step * 2.0_f64.powi(width - 1 - number("bit") as i32);
        assert_eq!((number("golden") - number("faulty")).abs(), weight, "{row:?}");
        assert!((number("mean_error") - golden - number("error_rise")).abs() < 1e-12);
        assert!(
            number("changed_events") > 0.0 || (row["error_rise"] == "0" && row["mean_error"] == golden.to_string())
        );
    }

    let sites = folder.write(
        "sites.csv",
        "layer,tensor,index,bit\nencoded_vector,kernel,7,0\nen_dense_0,bias,3,7\nen_dense_0,kernel,1000,2\n",
    );
    let some = folder.path("some.csv");
    run(&["oracle", "econ_t_small", "--limit", "3", "--sites", &sites, "-o", &some]);
    let chosen = csv(&fs::read_to_string(&some).unwrap());
    assert_eq!(chosen.len(), 3);
    for chosen in chosen {
        assert!(rows.contains(&chosen), "{chosen:?}");
    }
    assert_eq!(csv(&fs::read_to_string(&some).unwrap())[0]["layer"], "encoded_vector", "order is kept");
}

#[test]
fn sweep_is_reproducible_and_ranks_as_it_should() {
    let folder = Folder::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| folder.path(name));
    let sweep = |out: &str, threads: &str| {
        run(&[
            "sweep",
            "econ_t_medium",
            "--limit",
            "20",
            "--threads",
            threads,
            "--budgets",
            "0%,10%,50%,100%",
            "-o",
            out,
        ])
    };
    let printed = sweep(&a, "1");
    sweep(&b, "2");
    sweep(&c, "1");
    let files = tree(Path::new(&a));
    assert_eq!(files, tree(Path::new(&b)), "threads do not matter");
    assert_eq!(files, tree(Path::new(&c)), "a second run writes the same");
    let names: Vec<&Path> = files.keys().map(PathBuf::as_path).collect();
    for name in ["oracle.csv", "oracle.json", "sweep.csv", "sweep.json", "plans/msb-10pct.json"] {
        assert!(names.contains(&Path::new(name)), "{name} in {names:?}");
    }
    assert!(printed.contains("oracle") && printed.lines().all(|line| line.chars().count() <= 130), "{printed}");

    let points = csv(std::str::from_utf8(&files[Path::new("sweep.csv")]).unwrap());
    let left = |ranking: &str, budget: &str| {
        let point = points.iter().find(|p| p["ranking"] == ranking && p["budget"] == budget).unwrap();
        point["rise_remaining"].parse::<f64>().unwrap()
    };
    assert!(left("oracle", "50%") < left("msb", "50%") && left("msb", "50%") < left("random", "50%"));
    for ranking in ["oracle", "msb", "random"] {
        assert_eq!(left(ranking, "100%"), 0.0);
        assert_eq!(left(ranking, "0%"), left("oracle", "0%"));
    }
    let rows = csv(std::str::from_utf8(&files[Path::new("oracle.csv")]).unwrap());
    let network = shipped("econ_t_medium").accelerator;
    let inventory = Inventory::new(&network).unwrap();
    for point in &points {
        let text = std::str::from_utf8(&files[Path::new(&point["plan"])]).unwrap();
        let plan = ProtectionPlan::from_json(&point["plan"], text, &inventory, network.fingerprint()).unwrap();
        let protected = |row: &BTreeMap<String, String>| {
            let address = format!("{}.{}[{}].bit[{}]", row["layer"], row["tensor"], row["index"], row["bit"]);
            plan.of(inventory.resolve_bit(&address.parse().unwrap()).unwrap()).style == TmrStyle::Feedback
        };
        let (kept, left): (Vec<_>, Vec<_>) = rows.iter().partition(|row| protected(row));
        assert_eq!(kept.len().to_string(), point["bits_protected"]);
        assert_eq!(plan.counts().values().sum::<usize>(), kept.len(), "no bias bit is protected");
        let rise = |row: &&BTreeMap<String, String>| row["error_rise"].parse::<f64>().unwrap();
        let least_kept = kept.iter().map(rise).fold(f64::INFINITY, f64::min);
        let most_left = left.iter().map(rise).fold(f64::NEG_INFINITY, f64::max);
        assert!(point["ranking"] != "oracle" || least_kept >= most_left, "{point:?}");
        let remaining: f64 = left.iter().map(rise).sum();
        assert!((remaining - point["rise_remaining"].parse::<f64>().unwrap()).abs() < 1e-9);
        assert!(point["rise_remaining"] != "-0", "no -0 in files");
    }

    // The oracle's rows are scores too: ranked by them, the sweep says the same as by the oracle itself.
    let mut scores = String::from("layer,tensor,index,bit,score\n");
    for r in &rows {
        writeln!(scores, "{},{},{},{},{}", r["layer"], r["tensor"], r["index"], r["bit"], r["error_rise"]).unwrap();
    }
    let own = folder.write("own.csv", scores);
    let result: Value = serde_json::from_str(&run(&[
        "sweep",
        "econ_t_medium",
        "--limit",
        "20",
        "--budgets",
        "10%",
        "--rankings",
        &format!("oracle,{own}"),
        "--json",
    ]))
    .unwrap();
    assert_eq!(result["points"][1]["ranking"], "own");
    assert_eq!(result["points"][0]["rise_remaining"], result["points"][1]["rise_remaining"]);
}

#[test]
fn budgets_in_every_unit() {
    let result = |arguments: &[&str]| -> Value {
        let mut all = vec!["sweep", "econ_t_small", "--limit", "1", "--rankings", "msb", "--json"];
        all.extend(arguments);
        serde_json::from_str(&run(&all)).unwrap()
    };
    let asic = result(&["--budgets", "1000bits,1%area,5000ge,25%", "--style", "unvoted+flag"]);
    let per_bit = asic["area_per_bit"].as_f64().unwrap();
    let bits: Vec<u64> =
        asic["points"].as_array().unwrap().iter().map(|p| p["bits_protected"].as_u64().unwrap()).collect();
    let accelerator = asic["accelerator_area"].as_f64().unwrap();
    let expected = [1000.0, accelerator / 100.0 / per_bit, 5000.0 / per_bit, 2560.0];
    for (bits, expected) in bits.iter().zip(expected) {
        assert_eq!(*bits as f64, expected.floor());
    }
    let fpga = result(&["--budgets", "300lut", "--technology", "xc7"]);
    assert!(fpga["points"][0]["area_added"].as_f64().unwrap() <= 300.0);
    assert_eq!(fpga["technology"], "xc7");
}

#[test]
fn an_imported_model_is_a_design() {
    let folder = Folder::new();
    let design = folder.path("design");
    let model = data("keras_nested.h5");
    let text = run(&["import", model.to_str().unwrap(), "--accelerator", "encoder", "-o", &design]);
    assert!(text.contains("in hardware: encoder") && text.contains("off-chip: decoder"), "{text}");
    assert_eq!(folder.names(), ["design"]);
    let files: Vec<PathBuf> = tree(Path::new(&design)).into_keys().collect();
    assert_eq!(files, ["design.toml", "model.h5", "network.json"].map(PathBuf::from));
    for path in [design.clone(), format!("{design}/design.toml")] {
        assert!(run(&["info", &path]).contains("conv2d 3x3x1x4"));
    }
    // Its decoder gives five values, not 48 cells: the error is how far the output moves.
    let json: Value = serde_json::from_str(&run(&["oracle", &design, "--limit", "4", "--json"])).unwrap();
    assert_eq!(json["metric"], "deviation");
    assert_eq!(json["golden_mean_error"], 0.0);
    assert!(json["total"]["rise"].as_f64().unwrap() > 0.0);

    let blocks = folder.path("blocks");
    let model = data("keras_blocks.h5").to_str().unwrap().to_owned();
    run(&["import", &model, "--accelerator", "blocks", "--input-format", "ap_fixed<12,6,RND_CONV,SAT>", "-o", &blocks]);
    assert!(run(&["info", &blocks]).contains("ap_fixed<12,6>"));

    let flat = folder.path("flat");
    let [architecture, weights] = ["keras_flat.json", "keras_flat_weights.h5"].map(data);
    run(&["import", architecture.to_str().unwrap(), "--weights", weights.to_str().unwrap(), "-o", &flat]);
    let error = fail(1, &["oracle", &flat]);
    assert!(error.contains("--events"), "{error}");
}

#[test]
fn outputs_never_replace_what_is_not_theirs() {
    let folder = Folder::new();
    let design = folder.path("design");
    let model = data("keras_nested.h5").to_str().unwrap().to_owned();
    run(&["import", &model, "-o", &design]);
    let before = tree(Path::new(&design));
    let events = folder.path("events.csv");
    run(&["events", "-n", "2", "-o", &events]);
    let error = fail(1, &["import", &model, "-o", &design]);
    assert!(error.contains("design.toml"), "{error}");
    assert_eq!(tree(Path::new(&design)), before);

    for file in ["model.h5", "design.toml", "network.json"] {
        let named = format!("{design}/{file}");
        let error = fail(2, &["oracle", &design, "--events", &events, "-o", &named]);
        assert!(error.contains("its ending says"), "{error}");
        // Nor by another name.
        let link = folder.path(&format!("link_{}", &file[..5]));
        #[cfg(unix)]
        std::os::unix::fs::symlink(&named, &link).unwrap();
        #[cfg(unix)]
        {
            assert!(fail(1, &["oracle", &design, "--events", &events, "-o", &link]).contains("one of the files read"));
            fs::remove_file(&link).unwrap();
        }
    }
    assert_eq!(tree(Path::new(&design)), before);

    // The folder one works in, by its short name.
    let output = Command::new(env!("CARGO_BIN_EXE_trivote"))
        .args(["sweep", "econ_t_small", "--limit", "1", "-o", "."])
        .current_dir(&design)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(tree(Path::new(&design)), before);

    let sites = folder.write("sites.csv", "layer,tensor,index,bit\nencoded_vector,kernel,0,0\n");
    let error = fail(1, &["oracle", "econ_t_small", "--limit", "1", "--sites", &sites, "-o", &sites]);
    assert!(error.contains("one of the files read"), "{error}");

    // A sweep replaces an earlier sweep, and leaves no plan of that one behind.
    let out = folder.path("out");
    let sweep = |budgets: &str| run(&["sweep", "econ_t_small", "--limit", "1", "--budgets", budgets, "-o", &out]);
    sweep("10%,20%");
    sweep("30%");
    let plans = fs::read_dir(format!("{out}/plans")).unwrap().count();
    assert_eq!(plans, 3);
    fs::write(format!("{out}/plans/notes.txt"), "mine").unwrap();
    let error = fail(1, &["sweep", "econ_t_small", "--limit", "1", "-o", &out]);
    assert!(error.contains("notes.txt"), "{error}");
    assert_eq!(folder.names(), ["design", "events.csv", "out", "sites.csv"]);
}

/// What the shipped designs do, to the last digit of a latent word. `TRIVOTE_BLESS=1 cargo test` writes the files anew; look
/// at the difference before keeping it.
#[test]
fn shipped_designs_do_what_they_did() {
    let folder = Folder::new();
    for design in ["econ_t_small", "econ_t_medium", "econ_t_large"] {
        let layers: Vec<String> =
            shipped(design).accelerator.nodes().iter().filter(|n| n.fan_in() > 0).map(|n| n.name.clone()).collect();
        let mut text = String::from("layer,tensor,index,bit\n");
        for layer in &layers {
            for (index, bit) in [(0, 0), (1, 1), (17, 0), (42, 2), (70, 3), (71, 4)] {
                writeln!(text, "{layer},kernel,{index},{bit}").unwrap();
            }
            writeln!(text, "{layer},bias,3,0").unwrap();
        }
        let sites = folder.write("sites.csv", text);
        let (table, arrays) = (folder.path("rows.csv"), folder.path("out.npz"));
        run(&["oracle", design, "--limit", "40", "--sites", &sites, "-o", &table]);
        run(&["infer", design, "--limit", "3", "-o", &arrays]);
        let bytes = fs::read(&arrays).unwrap();
        let codes = read_npz("out.npz", &bytes, "codes").unwrap().data().to_f64().unwrap();
        let mut found = format!("codes of the first three events: {codes:?}\n");
        for row in csv(&fs::read_to_string(&table).unwrap()) {
            // Eight digits: square roots and exponentials of the host may differ in the last ones between machines.
            let rise: f64 = row["error_rise"].parse().unwrap();
            let [layer, tensor, index, bit] = ["layer", "tensor", "index", "bit"].map(|name| &row[name]);
            let (golden, faulty, changed) = (&row["golden"], &row["faulty"], &row["changed_events"]);
            writeln!(found, "{layer}.{tensor}[{index}].bit[{bit}]: {golden} -> {faulty}, {changed} events, {rise:.8}")
                .unwrap();
        }
        let path = data(&format!("{design}.golden.txt"));
        if std::env::var_os("TRIVOTE_BLESS").is_some() {
            fs::write(&path, &found).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), found, "{design}");
    }
}

#[test]
fn wrong_input_is_named_and_nothing_is_written() {
    let folder = Folder::new();
    let out = folder.path("out");
    let model = fs::read(data("keras_nested.h5")).unwrap();
    let truncated = folder.write("truncated.h5", &model[..model.len() / 2]);
    let short = folder.write("short.csv", format!("{}\n{}\n1,2,3\n", header(), row("3")));
    let negative = folder.write("negative.csv", format!("{}\n{}\n{}\n", header(), row("3"), row("-4")));
    let empty = folder.write("empty.csv", format!("{}\n{}\n", header(), vec!["0"; 48].join(",")));
    let headless = folder.write("headless.csv", format!("{}\n", row("3")));
    let text = folder.write("text.csv", format!("{}\n{}\n", header(), row("many")));
    let site = folder.write("site.csv", "layer,tensor,index,bit\nencoded_vector,kernel,256,0\n");
    let scores = folder.write("scores.csv", "layer,tensor,index,bit,score\nen_dense_0,kernel,0,0,1.0\n");
    let broken = folder.path("broken");
    fs::create_dir(&broken).unwrap();
    fs::write(format!("{broken}/design.toml"), "format = 1\nname = \"x\"\ncolour = 3\n").unwrap();
    let [golden_model, nested_model, blocks_model] =
        ["keras_golden.json", "keras_nested.h5", "keras_blocks.h5"].map(|name| data(name).to_str().unwrap().to_owned());
    let before = folder.names();

    let cases: [(&[&str], i32, &[&str]); 25] = [
        (&["import", "no_such.h5"], 1, &["no_such.h5", "cannot be read"]),
        (&["import", &truncated], 1, &["truncated.h5", "is truncated"]),
        (&["import", &golden_model], 1, &["keras_golden.json"]),
        (&["import", &nested_model, "--accelerator", "x"], 1, &["`x`", "encoder"]),
        (&["import", &blocks_model, "--accelerator", "blocks"], 1, &["--input-format"]),
        (&["sweep", "econ_t_small", "--events", "no_such.csv"], 1, &["no_such.csv"]),
        (&["sweep", "econ_t_small", "--events", &short], 1, &["short.csv", "line 3", "3"]),
        (&["sweep", "econ_t_small", "--events", &negative], 1, &["negative.csv", "line 3", "CALQ_5", "-4"]),
        (&["sweep", "econ_t_small", "--events", &empty], 1, &["empty.csv", "line 2"]),
        (&["sweep", "econ_t_small", "--events", &headless], 1, &["headless.csv", "CALQ_0"]),
        (&["sweep", "econ_t_small", "--events", &text], 1, &["text.csv", "line 2", "CALQ_5", "many"]),
        (&["oracle", "econ_t_small", "--sites", &site], 1, &["site.csv", "line 2", "256", "0 to 255"]),
        (&["sweep", "econ_t_small", "--rankings", &scores], 1, &["scores.csv", "en_dense_0.kernel[0].bit[1]"]),
        (
            &["sweep", "econ_t_small", "--rankings", "hesian"],
            2,
            &["hesian", "neither oracle, a score (random, msb, gradient"],
        ),
        (&["sweep", "econ_t_small", "--budgets", "101%"], 2, &["101%", "0 % and 100 %"]),
        (&["sweep", "econ_t_small", "--budgets", "99999bits"], 1, &["99999", "10240"]),
        (&["sweep", "econ_t_small", "--budgets", "5lut"], 1, &["lut", "osu018"]),
        (&["sweep", "econ_t_small", "--style", "none"], 2, &["none", "feedback3"]),
        (&["sweep", "econ_t_small", "--budgets", "5%,5%tmr"], 1, &["5%", "is asked for twice"]),
        (&["import", &nested_model, "--metric", "emd"], 1, &["emd", "decoder"]),
        (&["sweep", &nested_model], 1, &["keras_nested.h5", "trivote import"]),
        (&["sweep", "econ_t_tiny"], 1, &["econ_t_tiny", "econ_t_small"]),
        (&["sweep", &broken], 1, &["design.toml", "colour"]),
        (&["sweep", "econ_t_small", "--limit", "0"], 2, &["--limit"]),
        (&["sweep", "econ_t_small", "--technology", "tsmc"], 1, &["tsmc", "sky130hd"]),
    ];
    for (arguments, code, parts) in cases {
        let mut all = arguments.to_vec();
        all.extend(["-o", &out]);
        let error = fail(code, &all);
        for part in parts {
            assert!(error.contains(part), "{arguments:?}: `{part}` in: {error}");
        }
        assert_eq!(folder.names(), before, "{arguments:?} left something behind");
    }

    // Errors say a thing once.
    let error = fail(1, &["infer", &broken]);
    assert_eq!(error.matches("design.toml").count(), 1, "{error}");

    let mine = folder.path("mine");
    fs::create_dir(&mine).unwrap();
    fs::write(format!("{mine}/thesis.tex"), "x").unwrap();
    let error = fail(1, &["sweep", "econ_t_small", "--limit", "1", "-o", &mine]);
    assert!(error.contains("mine") && Path::new(&mine).join("thesis.tex").exists(), "{error}");
    assert_eq!(trivote(&[]).status.code(), Some(2), "no verb is wrong usage");
    assert_eq!(trivote(&["sweep"]).status.code(), Some(2));
    assert_eq!(trivote(&["--help"]).status.code(), Some(0));
}

#[test]
fn endings_that_say_another_format_are_refused() {
    let folder = Folder::new();
    let path = |name: &str| folder.path(name);
    let cases: [(&[&str], &str, &str); 16] = [
        (&["analyze", "econ_t_small", "-o"], "out.csv", "end in .npz"),
        (&["analyze", "econ_t_small", "--scores"], "x.npz", "end in .csv or .parquet"),
        (&["analyze", "econ_t_small", "--sample", "9", "--quality"], "x.json", "end in .csv"),
        (&["analyze", "econ_t_small", "--guided", "msb", "--flips"], "x.parquet", "end in .csv"),
        (&["analyze", "econ_t_small", "--figures"], "x.svg", "without an ending"),
        (&["oracle", "econ_t_small", "-o"], "x.npz", "end in .csv or .parquet"),
        (&["oracle", "econ_t_small", "--shard", "1/2", "-o"], "x.csv", "end in .npz"),
        (&["merge", "none.npz", "-o"], "x.npz", "end in .csv or .parquet"),
        (&["infer", "econ_t_small", "-o"], "x.npy", "end in .npz"),
        (&["inject", "econ_t_small", "-o"], "x.parquet", "end in .csv"),
        (&["sweep", "econ_t_small", "-o"], "sweep.csv", "without an ending"),
        (&["simulate", "econ_t_small", "-o"], "missions.json", "without an ending"),
        (&["simulate", "econ_t_small", "--trace"], "t.vcd", "end in .csv"),
        (&["simulate", "econ_t_small", "--vcd"], "w.fst", "end in .vcd"),
        (&["simulate", "econ_t_small", "--write-faults"], "f.npz", "end in .csv"),
        (&["events", "-n", "3", "-o"], "e.npz", "end in .csv"),
    ];
    for (arguments, name, advice) in cases {
        let error = fail(2, &[arguments, &[&path(name)]].concat());
        assert!(error.contains("its ending says ."), "{arguments:?}: {error}");
        // The help of clap breaks no words, but may break lines.
        assert!(error.replace('\n', " ").contains(advice), "{arguments:?}: {error}");
    }
    assert!(folder.names().is_empty());
    // Names that say no format are taken.
    run(&["events", "-n", "3", "-o", &path("three.v2")]);
    run(&["events", "-n", "3", "-o", &path("three")]);
    assert_eq!(folder.names(), ["three", "three.v2"]);
}

#[test]
fn confidences_are_shares_or_percentages_for_all_verbs() {
    let of = |confidence: &str| {
        run(&["inject", "econ_t_small", "--limit", "2", "--trials", "40", "--confidence", confidence, "--json"])
    };
    assert_eq!(of("90%"), of("0.9"));
    let error = fail(2, &["simulate", "econ_t_small", "--confidence", "90"]);
    assert!(error.contains("such as 95% or 0.95"), "{error}");
}
