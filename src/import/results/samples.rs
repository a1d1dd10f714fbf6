//! Small results for tests, as the verbs write them. All are of one design and the same events.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Rows of an oracle over two registers of 2 bits and one of 1.
pub const ORACLE_ROWS: &str = "layer,tensor,index,bit,golden,faulty,changed_events,mean_error,error_rise\n\
                               a,kernel,0,0,0,-2,3,5.5,4.5\na,kernel,0,1,0,1,3,2,1\na,kernel,1,0,0,-2,1,0.5,-0.5\n\
                               a,kernel,1,1,0,1,0,1,0\nb,kernel,0,0,0,-1,2,2,1\n";

/// Scores of the same bits, in another order.
pub const SCORE_ROWS: &str = "layer,tensor,index,bit,gradient,msb\nb,kernel,0,0,2,9\na,kernel,1,1,1,8\na,kernel,1,0,0,9\n\
                              a,kernel,0,1,0.5,8\na,kernel,0,0,4,9\n";

/// Provenance of a verb.
pub fn provenance(verb: &str) -> Value {
    json!({
        "trivote": env!("CARGO_PKG_VERSION"), "command": ["trivote", verb, "net"], "design_name": "net",
        "design": "d".repeat(64), "events": "e".repeat(64), "seeds": [["events", 7]], "inputs": [["net.h5", "00"]],
    })
}

/// Size and times.
pub fn facts() -> Value {
    json!({
        "name": "net", "registers": 4, "register_bits": 6, "io": "econ_t", "clock_mhz": 40.0, "latency_cycles": 3,
        "latency_s": 7.5e-8, "interval_cycles": 1,
    })
}

fn target(ranking: &str, share: f64, needed: Option<(usize, f64)>) -> Value {
    let (bits, area) = needed.unzip();
    json!({
        "ranking": ranking, "share": share, "bits_protected": bits, "area_added": area,
        "share_of_registers": area.map(|area| area / 40.0), "share_of_accelerator": area.map(|area| area / 100.0),
    })
}

/// A sweep, of the same rise as the oracle.
pub fn sweep() -> Value {
    sweep_of(6.0)
}

/// A sweep of bits whose rises have that sum.
pub fn sweep_of(rise: f64) -> Value {
    let point = |ranking: &str, budget: &str, (bits, area, left): (usize, f64, f64)| {
        json!({
            "ranking": ranking, "budget": budget, "protection": "feedback", "bits_protected": bits, "area_added": area,
            "share_of_registers": area / 40.0, "share_of_accelerator": area / 100.0, "rise_remaining": left,
            "share_removed": 1.0 - left / rise, "sensitive_remaining": 1, "mean_rise_per_upset": left / 10.0,
            "plan": format!("plans/{ranking}-{budget}.json"),
        })
    };
    json!({
        "provenance": provenance("sweep"), "design": facts(), "metric": "emd", "events": 4, "golden_mean_error": 1.0,
        "protection": "feedback", "technology": "osu018", "area_unit": "ge", "area_per_bit": 10.0, "register_area": 40.0,
        "accelerator_area": 100.0,
        "unprotected": {"candidate_bits": 5, "other_register_bits": 1, "rise": rise, "sensitive_bits": 3,
                        "mean_rise_per_upset": rise / 5.0},
        "points": [point("oracle", "1bits", (1, 10.0, 1.5)), point("oracle", "2bits", (2, 20.0, 0.5)),
                   point("msb", "1bits", (1, 10.0, 1.5)), point("msb", "2bits", (2, 20.0, 2.0))],
        "targets": [target("oracle", 0.5, Some((1, 10.0))), target("oracle", 0.9, Some((2, 20.0))),
                    target("oracle", 0.99, None), target("msb", 0.5, Some((1, 10.0))), target("msb", 0.9, None),
                    target("msb", 0.99, None)],
    })
}

/// Totals of the oracle.
pub fn totals(verb: &str) -> Value {
    json!({
        "provenance": provenance(verb), "metric": "emd", "events": 4, "golden_mean_error": 1.0,
        "total": {"bits": 5, "effective": 4, "sensitive": 3, "rise": 6.0},
        "arrays": [{"layer": "a", "tensor": "kernel", "bits": 4, "effective": 3, "sensitive": 2, "rise": 5.0},
                   {"layer": "b", "tensor": "kernel", "bits": 1, "effective": 1, "sensitive": 1, "rise": 1.0}],
        "bit_positions": [{"bit": 0, "bits": 3, "effective": 3, "sensitive": 2, "rise": 5.0},
                          {"bit": 1, "bits": 2, "effective": 1, "sensitive": 1, "rise": 1.0}],
    })
}

/// What stands beside the scores.
pub fn scores() -> Value {
    json!({"provenance": provenance("analyze"), "bits": 5, "scores": ["gradient", "msb"]})
}

/// Derivatives.
pub fn derivatives() -> Value {
    json!({
        "provenance": provenance("analyze"), "loss": "energy", "events": 9, "mean_loss": 0.5, "registers": 4,
        "gradient_norm": 2.0, "eigenvalues": [3.0, -1.0],
        "layers": [{"name": "a", "registers": 3, "gradient_norm": 1.0, "trace_estimate": 4.0},
                   {"name": "b", "registers": 1, "gradient_norm": 1.0, "trace_estimate": 4.0, "trace": 5.0}],
    })
}

/// Missions.
pub fn missions() -> Value {
    let estimate = |mean: f64| json!({"mean": mean, "low": mean - 1.0, "high": mean + 1.0, "interval": "t"});
    json!({
        "provenance": provenance("simulate"), "design": facts(),
        "mission": {"environment": "hgcal", "rate": "1e-6 per s", "source": "assumed", "cluster_sizes": "1:1",
                    "plan": null, "mission_s": 10.0, "replicas": 3, "confidence": 0.95,
                    "metric": "emd", "events": 2},
        "scenarios": [{
            "style": "none", "scrub": "1s", "protected_bits": 0,
            "per_mission": {"strikes": estimate(7.0), "wrong_share": estimate(0.5), "error_rise": estimate(0.25)},
            "first_wrong_output": {"restricted_mean_s": estimate(5.0)},
            "timeline": [{"from_s": 0.0, "to_s": 5.0, "wrong_share": estimate(0.1), "error_rise": estimate(0.2)},
                         {"from_s": 5.0, "to_s": 10.0, "wrong_share": estimate(0.3),
                          "error_rise": {"mean": 0.4, "low": null, "high": null, "interval": null}}],
        }],
    })
}

/// Writes a file.
///
/// # Panics
/// When the system refuses.
#[allow(clippy::needless_pass_by_value, reason = "tests hand over what they have just made")]
pub fn write(folder: &Path, name: &str, content: impl ToString) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content.to_string()).expect("the folder of a test can be written to");
    path
}

/// Writes the folder of a sweep.
///
/// # Panics
/// When the system refuses.
pub fn write_sweep(folder: &Path) {
    fs::create_dir_all(folder.join("plans")).expect("the folder of a test can be written to");
    write(folder, "sweep.json", sweep());
    write(folder, "sweep.csv", "ranking\n");
    write(folder, "oracle.json", totals("sweep"));
    write(folder, "oracle.csv", ORACLE_ROWS);
}
