//! Planned lines of `trivote sweep` as a user asks for them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::cli::{Folder, csv, fail, run};

const FAST: [&str; 5] = ["sweep", "econ_t_small", "-q", "--generate", "40"];

fn with(more: &[&str]) -> String {
    run(&FAST.iter().copied().chain(more.iter().copied()).collect::<Vec<_>>())
}

fn number(row: &BTreeMap<String, String>, column: &str) -> f64 {
    row[column].parse().unwrap_or_else(|_| panic!("{column} of {row:?}"))
}

#[test]
fn plans_are_never_worse_than_rankings_and_say_what_they_are() {
    let folder = Folder::new();
    let out = folder.path("out");
    let lines = "oracle,msb,planned,planned:register,planned:sec8:register,planned:by=bit-curve,planned:sensitive";
    let budgets = "0%,2%,10%,50%,3%area,4000ge";
    let printed = with(&["--rankings", lines, "--budgets", budgets, "--remove", "50%,99%,100%", "-o", &out]);
    assert!(printed.contains("+% acc to remove"), "{printed}");
    let points = csv(&fs::read_to_string(Path::new(&out).join("sweep.csv")).unwrap());
    let of = |ranking: &str| points.iter().filter(|point| point["ranking"] == ranking).collect::<Vec<_>>();
    let (oracle, planned) = (of("oracle"), of("planned"));
    assert_eq!((oracle.len(), planned.len()), (6, 6));
    for (position, best) in planned.iter().enumerate() {
        for line in lines.split(',').filter(|line| !line.contains("sec8")) {
            let other = of(line)[position];
            assert!(number(best, "rise_remaining") <= number(other, "rise_remaining"), "{best:?} {other:?}");
            assert!(number(other, "price") >= 0.0);
        }
        assert_eq!((best["price"].as_str(), best["gap"].as_str()), ("0", "0"));
        assert!(number(best, "area_added") <= number(oracle[position], "area_added") + 1e-6);
        let sensitive = of("planned:sensitive")[position];
        assert!(number(sensitive, "sensitive_remaining") <= number(oracle[position], "sensitive_remaining"));
    }
    // A code protects whole registers here, has no plan file, and costs more than it gains over copies.
    let coded = of("planned:sec8:register")[2];
    assert_eq!((coded["plan"].as_str(), number(coded, "bits_protected") % 8.0), ("", 0.0));
    assert!(number(coded, "price") > 0.0);
    assert!(!Path::new(&out).join("plans/planned_sec8_register-10pct.json").exists());
    // Other plans go on to missions.
    let plan = Path::new(&out).join(&of("planned:register")[2]["plan"]);
    let mission =
        ["simulate", "econ_t_small", "-q", "--generate", "5", "--cycles", "1000", "--replicas", "2", "--json"];
    let mission = run(&mission.into_iter().chain(["--plan", plan.to_str().unwrap()]).collect::<Vec<_>>());
    let mission: Value = serde_json::from_str(&mission).unwrap();
    let protected = mission["scenarios"][0]["protected_bits"].as_u64().unwrap().to_string();
    assert_eq!(protected, of("planned:register")[2]["bits_protected"], "as many as missions see");
    let info = ["info", "econ_t_small", "--json", "--plan", plan.to_str().unwrap()];
    let info: Value = serde_json::from_str(&run(&info)).unwrap();
    let counted: u64 = info["plan"]["arrays"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|array| array["by_position"].as_array().unwrap())
        .map(|count| count.as_u64().unwrap())
        .sum();
    assert_eq!((counted.to_string(), &info["plan"]["area_unit"]), (protected, &Value::from("ge")));
    let (area, planned) =
        (info["plan"]["area_added"].as_f64().unwrap(), number(of("planned:register")[2], "area_added"));
    assert!((area - planned).abs() < 1e-6);
    assert_eq!(of("planned:register")[2]["protection"], "feedback");
    // The shortest prefix of the oracle that removes half, by hand.
    let mut rises: Vec<f64> = csv(&fs::read_to_string(Path::new(&out).join("oracle.csv")).unwrap())
        .iter()
        .map(|row| number(row, "error_rise"))
        .collect();
    rises.sort_by(|a, b| b.total_cmp(a));
    let total: f64 = rises.iter().sum();
    let half = (1..=rises.len()).find(|bits| rises[..*bits].iter().sum::<f64>() >= total / 2.0).unwrap();
    let targets = csv(&fs::read_to_string(Path::new(&out).join("targets.csv")).unwrap());
    let row = targets.iter().find(|row| row["ranking"] == "oracle" && row["share_removed"] == "0.5").unwrap();
    assert_eq!(row["bits_protected"], half.to_string());
    // What is known of each bit reads back as scores: places put the oracle's order last, rises put it first.
    let bits = Path::new(&out).join("bits.parquet").display().to_string();
    let columns =
        format!("oracle,{bits}:error_rise,{bits}:place.oracle,{bits}:planned@10%,planned:by={bits}:error_rise");
    let again = with(&["--rankings", &columns, "--budgets", "10%", "--json"]);
    let again: Value = serde_json::from_str(&again).unwrap();
    let left = |line: usize| again["points"][line]["rise_remaining"].as_f64().unwrap();
    assert_eq!((left(0), left(0)), (left(1), left(3)));
    assert!(left(2) > left(0));
    assert_eq!(left(4), left(0));
}

#[test]
fn what_cannot_be_planned_is_named() {
    let folder = Folder::new();
    let poor = with(&["--rankings", "msb,planned,planned:sec8:column,planned:parity8:register", "--budgets", "5ge"]);
    assert!(poor.contains("5ge pays no bit of any ranking: one takes 10.958 GE"), "{poor}");
    assert!(
        poor.contains("planned at 5ge: pays nothing that gains: the cheapest is `feedback` at 10.958 GE"),
        "{poor}"
    );
    assert!(poor.contains("planned:sec8:column at 5ge: pays nothing that gains: the cheapest is `sec` at"), "{poor}");
    assert!(poor.contains("planned:parity8:register at 5ge: nothing offered takes any harm away"), "{poor}");
    assert!(poor.lines().all(|line| line.chars().count() <= 120), "{poor}");
    for (choice, part) in [
        ("planned:nibble", "`nibble` is none of: a granularity"),
        ("planned:sec0", "a word has 1 to 4096 bits"),
        ("planned:parity8=7", "`7` is no share of harm from 0 to 1"),
        ("planned:by=hesian", "`hesian` is neither oracle, a score ("),
        ("planned:above=-2", "`-2` is no tolerated error rise"),
    ] {
        let error = fail(2, &["sweep", "econ_t_small", "--rankings", choice]);
        assert!(error.contains(part), "{choice}: {error}");
    }
    let twice = fail(1, &["sweep", "econ_t_small", "-q", "--generate", "2", "--rankings", "planned,planned"]);
    assert!(twice.contains("is asked for twice"), "{twice}");
    let share = fail(2, &["sweep", "econ_t_small", "--remove", "0%"]);
    assert!(share.contains("is no share of the error rise"), "{share}");
    let scores = folder.path("s.csv");
    let analyze = ["analyze", "econ_t_small", "-q", "--generate", "2", "--scores", &scores, "--rankings", "planned"];
    assert!(fail(1, &analyze).contains("`planned` is no order of bits but a plan for each budget"));
}

#[test]
fn long_names_of_plans_stand_on_lines_of_their_own() {
    let long = "planned:register:sec-ded8+encoder:feedback3:by=bit-curve";
    let text = with(&["--rankings", &format!("oracle,{long}"), "--budgets", "5%,50%", "--plot"]);
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    assert!(text.contains("\n ranking oracle\n") && text.contains(&format!("\n ranking {long}\n")), "{text}");
    let short = with(&["--rankings", "oracle,planned", "--budgets", "5%"]);
    assert!(!short.contains("\n ranking oracle\n") && short.contains("\n oracle "), "{short}");
}
