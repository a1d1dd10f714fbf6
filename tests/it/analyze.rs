//! `trivote analyze` as a user runs it: arrays, scores that a sweep takes back, comparisons, figures, guided campaigns.

use std::fs;
use std::path::Path;

use serde_json::Value;
use trivote::import::npy::{NpyData, read_npz};

use super::cli::{Folder, fail, run};

const FAST: [&str; 5] = ["analyze", "econ_t_small", "-q", "--generate", "60"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    FAST.iter().copied().chain(more.iter().copied()).collect()
}

fn reals(file: &str, name: &str) -> (Vec<usize>, Vec<f64>) {
    let bytes = fs::read(file).unwrap();
    let array = read_npz(file, &bytes, name).unwrap();
    let NpyData::F64(values) = array.data() else { panic!("{name} is float64") };
    (array.shape().to_vec(), values.clone())
}

fn json(file: &str) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// A figure of a ranking in the JSON of a comparison.
fn figure(quality: &Value, ranking: &str, name: &str) -> f64 {
    let rankings = quality["rankings"].as_array().unwrap();
    let figures = rankings.iter().find(|found| found["ranking"] == ranking).unwrap()["figures"].as_array().unwrap();
    figures.iter().find(|found| found["figure"] == name).unwrap()["value"].as_f64().unwrap()
}

#[test]
fn arrays_are_in_the_order_of_the_registers() {
    let folder = Folder::new();
    let out = folder.path("a.npz");
    let text = run(&with(&["--diagonal", "--diagonal-estimate", "--eigenpairs", "3", "--probes", "40", "-o", &out]));
    assert!(text.starts_with("econ_t_small: mean energy loss of 60 events: "), "{text}");
    for name in [
        "params",
        "register_values",
        "gradient",
        "hessian_diagonal",
        "gauss_newton_diagonal",
        "hessian_diagonal_estimate",
    ] {
        assert_eq!(reals(&out, name).0, [1312], "{name}");
    }
    let (shape, vectors) = reals(&out, "eigenvectors");
    assert_eq!(shape, [1312, 3]);
    let (_, values) = reals(&out, "eigenvalues");
    assert!(values[0].abs() >= values[1].abs() && values[1].abs() >= values[2].abs());
    let length: f64 = vectors.iter().step_by(3).map(|entry| entry * entry).sum();
    assert!((length - 1.0).abs() < 1e-9);
    // Traces are sums of the diagonal over kernel and bias of both layers, and the probes agree.
    let (_, diagonal) = reals(&out, "hessian_diagonal");
    let (shape, traces) = reals(&out, "trace_per_tensor");
    assert_eq!(shape, [4]);
    let (_, estimates) = reals(&out, "trace_per_tensor_estimate");
    let (_, errors) = reals(&out, "trace_per_tensor_standard_error");
    for (tensor, range) in [0..1024, 1024..1040, 1040..1296, 1296..1312].into_iter().enumerate() {
        assert!((traces[tensor] - diagonal[range].iter().sum::<f64>()).abs() < 1e-9);
        assert!((traces[tensor] - estimates[tensor]).abs() < 5.0 * errors[tensor]);
    }
    let summary = json(&format!("{out}.json"));
    assert_eq!((&summary["loss"], &summary["registers"]), (&Value::from("energy"), &Value::from(1312)));
    assert_eq!(summary["layers"].as_array().unwrap().len(), 2);
    // The threads make no difference.
    let again = folder.path("b.npz");
    let mut command = with(&["--diagonal", "--diagonal-estimate", "--eigenpairs", "3", "--probes", "40", "-o", &again]);
    command.extend(["--threads", "1"]);
    run(&command);
    assert_eq!(fs::read(&out).unwrap(), fs::read(&again).unwrap());
}

#[test]
fn scores_rank_as_they_should_and_a_sweep_takes_them_back() {
    let folder = Folder::new();
    let (oracle, quality) = (folder.path("oracle.csv"), folder.path("quality.csv"));
    run(&["oracle", "econ_t_small", "-q", "--generate", "60", "-o", &oracle]);
    for name in ["scores.csv", "scores.parquet"] {
        let scores = folder.path(name);
        run(&with(&["--scores", &scores, "--oracle", &oracle, "--quality", &quality]));
        let compared = json(&format!("{quality}.json"));
        let area = |ranking| figure(&compared, ranking, "area");
        assert!(area("bit-curve") > 0.98 && area("bit-curve") > area("bit-gauss-newton"));
        assert!(area("bit-gauss-newton") > area("hessian") && area("hessian") > area("msb"));
        assert!(area("gradient") > area("msb") && area("msb") > area("random"));
        // By name or by file, the order is the same.
        let by_file = format!("{scores}:bit-curve,{scores}:hessian,{scores}:msb");
        let sweep = |rankings: &str| {
            let text = run(&["sweep", "econ_t_small", "-q", "--generate", "60", "--json", "--rankings", rankings]);
            let sweep: Value = serde_json::from_str(&text).unwrap();
            let points = sweep["points"].as_array().unwrap().clone();
            points.iter().map(|point| point["rise_remaining"].as_f64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(sweep(&by_file), sweep("bit-curve,hessian,msb"));
    }
    // Columns of one name in two files, here by another loss, are told apart.
    let other = folder.path("telescope.csv");
    let telescope = run(&with(&["--loss", "telescope", "--rankings", "hessian", "--scores", &other]));
    assert!(telescope.contains("1 ranking of 10,240 bits on 60 events; derivatives are of the mean telescope loss"));
    let both = format!("{}:hessian,{other}:hessian,hessian", folder.path("scores.csv"));
    run(&with(&["--oracle", &oracle, "--rankings", &both, "--quality", &quality]));
    let compared = json(&format!("{quality}.json"));
    assert_eq!(figure(&compared, "scores.hessian", "area"), figure(&compared, "hessian", "area"));
    assert_ne!(figure(&compared, "telescope.hessian", "area"), figure(&compared, "hessian", "area"));
    // Rankings of files are compared like any other.
    let file = format!("{}:bit-curve", folder.path("scores.csv"));
    let text = run(&with(&["--oracle", &oracle, "--rankings", &file, "--json"]));
    let found: Value = serde_json::from_str(&text).unwrap();
    assert!(figure(&found["quality"], "bit-curve", "area") > 0.98);
}

#[test]
fn a_sample_says_nearly_the_same() {
    let folder = Folder::new();
    let quality = folder.path("q.csv");
    run(&with(&["--rankings", "bit-curve,random", "--sample", "800", "--quality", &quality]));
    let sampled = json(&format!("{quality}.json"));
    run(&with(&["--rankings", "bit-curve,random", "--oracle", "run", "--quality", &quality]));
    let exact = json(&format!("{quality}.json"));
    for ranking in ["bit-curve", "random"] {
        let areas = [&sampled, &exact].map(|quality| figure(quality, ranking, "area"));
        assert!((areas[0] - areas[1]).abs() < 0.08, "{ranking}: {areas:?}");
    }
}

#[test]
fn figures_are_drawn_from_a_known_oracle() {
    let folder = Folder::new();
    let (oracle, figures) = (folder.path("oracle.csv"), folder.path("figures"));
    run(&["oracle", "econ_t_small", "-q", "--generate", "60", "-o", &oracle]);
    run(&with(&["--oracle", &oracle, "--rankings", "bit-curve,msb", "--figures", &figures]));
    let curves = fs::read_to_string(format!("{figures}/econ_t_small-cumulative.csv")).unwrap();
    for ranking in ["oracle", "bit-curve", "msb"] {
        assert!(curves.lines().any(|line| line.starts_with(&format!("{ranking},"))), "{ranking}");
    }
    for file in ["error_map.svg", "error_map.png", "cumulative.svg", "bit_positions.svg"] {
        assert!(fs::metadata(format!("{figures}/econ_t_small-{file}")).unwrap().len() > 1000, "{file}");
    }
}

#[test]
fn a_guided_campaign_keeps_its_promise() {
    let folder = Folder::new();
    let flips = folder.path("flips.csv");
    let text = run(&with(&["--guided", "bit-curve", "--missing", "10%", "--flips", &flips, "--json"]));
    let found: Value = serde_json::from_str(&text).unwrap();
    let guided = &found["guided"];
    let all = guided["flips"]["all"].as_u64().unwrap();
    assert_eq!(u64::try_from(fs::read_to_string(&flips).unwrap().lines().count()).unwrap(), all + 1);
    assert!(all < 10_240 && guided["missing_share_bound"].as_f64().unwrap() <= 0.1, "{guided}");
}

#[test]
fn figures_of_an_earlier_version_are_refused_before_the_work() {
    let folder = Folder::new();
    let figures = folder.path("figures");
    fs::create_dir(&figures).unwrap();
    let earlier = "design,metric,events,bits,sensitive_bits,sensitive_share,summed_rise,fault_free_error\n\
                   econ_t_large,emd,2000,10,5,0.5,1,1\n";
    fs::write(format!("{figures}/sensitive_share.csv"), earlier).unwrap();
    let error = fail(1, &["analyze", "econ_t_small", "-q", "--generate", "5", "--figures", &figures]);
    assert!(error.contains("delete it, and draw these designs again: econ_t_large"), "{error}");
    assert_eq!(fs::read_dir(&figures).unwrap().count(), 1);
}

#[test]
fn bits_of_a_list_have_no_share() {
    let folder = Folder::new();
    let figures = folder.path("figures");
    let sites =
        folder.write("sites.csv", "layer,tensor,index,bit\nencoded_vector,kernel,0,0\nencoded_vector,kernel,1,0\n");
    let with = |more: &[&str]| {
        let common = ["analyze", "econ_t_small", "-q", "--generate", "5", "--rankings", "msb", "--figures", &figures];
        run(&[&common[..], more].concat())
    };
    let text = with(&["--sites", &sites]);
    assert!(text.contains("no sensitive_share: these are neither all kernel bits nor all bits"), "{text}");
    assert!(!Path::new(&figures).join("sensitive_share.csv").exists());
    // Kernels, and with biases, are two rows of one design.
    assert!(with(&[]).contains("sensitive_share; each as .csv, .svg and .png)"));
    with(&["--include-bias"]);
    let table = fs::read_to_string(format!("{figures}/sensitive_share.csv")).unwrap();
    let sets: Vec<&str> = table.lines().map(|line| line.split(',').nth(4).unwrap()).collect();
    assert_eq!(sets, ["bit_set", "kernels", "kernels+biases"]);
}

#[test]
fn bad_requests_are_refused_by_name() {
    let folder = Folder::new();
    let oracle = folder.path("oracle.csv");
    run(&["oracle", "econ_t_small", "-q", "--generate", "5", "-o", &oracle]);
    let alone = folder.write("alone.csv", fs::read(&oracle).unwrap());
    let header: Vec<String> = (0..48).map(|cell| format!("CALQ_{cell}")).collect();
    let none = folder.write("none.csv", format!("{}\n", header.join(",")));
    let (scores, both) = (folder.path("scores.csv"), folder.path("both"));
    let cases: [(&[&str], &str); 17] = [
        (&["analyze", "econ_t_medium", "-q", "--generate", "5", "--oracle", &oracle], "is an oracle of another design"),
        (&["analyze", "econ_t_small", "-q", "--generate", "6", "--oracle", &oracle], "has the emd of 5 events"),
        (&["analyze", "econ_t_small", "-q", "--generate", "5", "--oracle", &alone], "alone.csv.json"),
        (&["analyze", "econ_t_small", "-q", "--generate", "5", "--eigenpairs", "1313"], "only 1312 parameters"),
        (&["analyze", "econ_t_small", "-q", "--generate", "5", "--eigenpairs", "0"], "ask for at least 1"),
        (&["analyze", "econ_t_small", "-q", "--generate", "5", "--loss", "cross-entropy"], "reconstructs the event"),
        (&["analyze", "econ_t_small", "-q", "--events", &none], "no events"),
        (&["analyze", "econ_t_small", "-q", "--generate", "5", "--rankings", "msb"], "say how, too"),
        (&["analyze", "econ_t_small", "-q", "--quality", &scores], "say with what"),
        (
            &["analyze", "econ_t_small", "-q", "--oracle", &oracle, "--rankings", "msb,msb"],
            "two rankings are called `msb`",
        ),
        (&["analyze", "econ_t_small", "-q", "--generate", "5", "--sample", "3"], "a sample of 3 bits is too small"),
        (&["analyze", "econ_t_small", "-q", "-o", &both, "--scores", &both], "would be written twice"),
        (&["analyze", "econ_t_small", "-q", "--missing", "5%"], "say which order guides it"),
        (&["analyze", "econ_t_small", "-q", "--confidence", "90%"], "is that of --guided or --sample"),
        (&["analyze", "econ_t_small", "-q", "--protect", "5%"], "is part of a comparison"),
        (&["analyze", "econ_t_small", "-q", "--include-bias"], "derivatives are of all registers"),
        (&["analyze", "econ_t_small", "-q", "--guided", "oracle"], "the oracle is what rankings are compared with"),
    ];
    for (arguments, expected) in cases {
        let error = fail(1, arguments);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    for (arguments, expected) in [
        (&["analyze", "econ_t_small", "--loss", "emd"][..], "there is no loss `emd`"),
        (&["analyze", "econ_t_small", "--scores", &scores, "--rankings", "hesian"], "is neither oracle, a score"),
        (&["analyze", "econ_t_small", "--sample", "9", "--oracle", "run"], "cannot be used with"),
        (&["analyze", "econ_t_small", "--protect", "120%"], "is no part of all bits"),
        (&["analyze", "econ_t_small", "--probes", "1"], "a whole number from 2"),
    ] {
        let error = fail(2, arguments);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    assert_eq!(folder.names(), ["alone.csv", "none.csv", "oracle.csv", "oracle.csv.json"]);

    // What is read is not written, and what a file says it was made for counts.
    let ranking = format!("{oracle}:error_rise");
    for output in ["--scores", "--quality", "--flips"] {
        let arguments = [
            "analyze",
            "econ_t_small",
            "-q",
            "--generate",
            "5",
            "--oracle",
            "run",
            "--rankings",
            &ranking,
            "--guided",
            "msb",
            output,
            &oracle,
        ];
        let error = fail(1, &arguments);
        assert!(error.contains("is one of the files read"), "{error}");
    }
    let sweep = |file: &str| fail(1, &["sweep", "econ_t_small", "-q", "--generate", "5", "--rankings", file]);
    let copy = folder.write("copy.csv", fs::read(&oracle).unwrap());
    let said = fs::read_to_string(format!("{oracle}.json")).unwrap();
    let design = json(&format!("{oracle}.json"))["provenance"]["design"].as_str().unwrap().to_owned();
    folder.write("copy.json", said.replace(&design, &"f".repeat(64)));
    assert!(sweep(&format!("{copy}:error_rise")).contains("its scores are of another design"));
    folder.write("copy.json", "{");
    assert!(sweep(&format!("{copy}:error_rise")).contains("is no JSON"));
}
