//! Oracles and other long work that is interrupted, killed, cut into shards and put together again.

use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::cli::{Folder, fail, run};

/// Long enough not to be over before it is interrupted.
const WORK: [&str; 6] = ["oracle", "econ_t_large", "--generate", "60", "--event-seed", "5"];

fn work<'a>(more: &[&'a str]) -> Vec<&'a str> {
    WORK.iter().copied().chain(more.iter().copied()).collect()
}

fn start(arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trivote"));
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Interrupts a command at work. Before it has read its input the signal simply ends it; then it is given more time.
fn interrupt(arguments: &[&str]) -> Output {
    for wait in [100, 200, 400, 800, 1_600, 3_200] {
        let child = start(arguments);
        sleep(Duration::from_millis(wait));
        signal(&child, "-INT");
        let output = child.wait_with_output().unwrap();
        if output.status.code().is_some() {
            return output;
        }
    }
    panic!("{arguments:?} does not get to work");
}

#[cfg(unix)]
#[test]
fn interrupted_and_killed_work_goes_on() {
    let folder = Folder::new();
    let (whole, cut) = (folder.path("whole.csv"), folder.path("cut.csv"));
    run(&work(&["-o", &whole]));

    let output = interrupt(&work(&["-o", &cut]));
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    let checkpoint = format!("{cut}.checkpoint");
    assert!(message.contains("--resume") && message.contains(&checkpoint), "{message}");
    assert_eq!(folder.names(), ["cut.csv.checkpoint", "whole.csv", "whole.csv.json"]);

    // Without --resume the work done is not thrown away; with other events it is not mixed.
    let error = fail(1, &work(&["-o", &cut]));
    assert!(error.contains(&checkpoint) && error.contains("--resume") && error.contains("delete"), "{error}");
    let error = fail(1, &work(&["-o", &cut, "--resume", "--metric", "mse"]));
    assert!(error.contains(&checkpoint) && error.contains("other work") && error.contains("metric"), "{error}");
    let error = fail(1, &work(&["-o", &cut, "--resume", "--shard", "1/2"]));
    assert!(error.contains(&checkpoint) && error.contains("shard 1/1, this is shard 1/2"), "{error}");

    // kill -9 in the middle of the rest leaves the checkpoint as it is.
    let mut killed = start(&work(&["-o", &cut, "--resume"]));
    sleep(Duration::from_millis(300));
    killed.kill().unwrap();
    assert!(!killed.wait().unwrap().success());
    assert!(folder.names().contains(&"cut.csv.checkpoint".to_owned()));

    run(&work(&["-o", &cut, "--resume"]));
    assert_eq!(folder.names(), ["cut.csv", "cut.csv.json", "whole.csv", "whole.csv.json"]);
    assert_eq!(fs::read(&cut).unwrap(), fs::read(&whole).unwrap());
    assert_eq!(fs::read(format!("{cut}.json")).unwrap(), fs::read(format!("{whole}.json")).unwrap());
}

/// A campaign of flips that takes a while; what scores cost is not part of it.
const CAMPAIGN: [&str; 8] = ["analyze", "econ_t_large", "-q", "--generate", "60", "--event-seed", "5", "--rankings"];

/// Runs `work` with these outputs as a whole, then once more: interrupted, killed, refused, and resumed.
#[cfg(unix)]
fn campaign_goes_on(work: &[&str], outputs: &[(&str, &str)]) {
    let folder = Folder::new();
    let command = |prefix: &str, more: &[&str]| {
        let outputs =
            outputs.iter().flat_map(|(option, name)| [(*option).to_owned(), folder.path(&format!("{prefix}{name}"))]);
        let words = work.iter().map(|word| (*word).to_owned()).chain(outputs);
        words.chain(more.iter().map(|word| (*word).to_owned())).collect::<Vec<String>>()
    };
    let go = |prefix: &str, more: &[&str]| {
        let words = command(prefix, more);
        run(&words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let refused = |more: &[&str], parts: &[&str]| {
        let words = command("cut_", more);
        let error = fail(1, &words.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    let whole = go("whole_", &[]);

    let words = command("cut_", &[]);
    let output = interrupt(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    let name = format!("cut_{}.checkpoint", outputs[0].1);
    let checkpoint = folder.path(&name);
    assert!(message.contains("--resume") && message.contains(&checkpoint), "{message}");
    assert!(message.contains("interrupted with") && message.contains("bits flipped"), "{message}");
    assert!(folder.names().contains(&name));

    refused(&[], &[&checkpoint, "--resume", "delete"]);
    refused(&["--resume", "--metric", "mse"], &[&checkpoint, "left by other work", "the metric (emd, not mse);"]);
    refused(
        &["--resume", "--limit", "59"],
        &[&checkpoint, "not the same are the events;", "trivote analyze econ_t_large"],
    );
    refused(&["--resume", "--checkpoint", &folder.path(&format!("whole_{}", outputs[0].1))], &["whole_", "archive"]);

    let words = command("cut_", &["--resume"]);
    let mut killed = start(&words.iter().map(String::as_str).collect::<Vec<_>>());
    sleep(Duration::from_millis(300));
    killed.kill().unwrap();
    assert!(!killed.wait().unwrap().success());
    assert!(folder.names().contains(&name));

    assert_eq!(go("cut_", &["--resume"]).replace("cut_", "whole_"), whole);
    assert!(!folder.names().contains(&name));
    for (_, name) in outputs {
        for name in [(*name).to_owned(), format!("{name}.json")] {
            let [cut, whole] =
                ["cut_", "whole_"].map(|prefix| fs::read(folder.path(&format!("{prefix}{name}"))).unwrap());
            assert_eq!(cut, whole, "{name}");
        }
    }
}

#[cfg(unix)]
#[test]
fn comparisons_with_an_oracle_go_on() {
    campaign_goes_on(&[&CAMPAIGN[..], &["msb", "--oracle", "run"]].concat(), &[("--quality", "q.csv")]);
}

#[cfg(unix)]
#[test]
fn samples_and_guided_campaigns_go_on() {
    let work = [&CAMPAIGN[..], &["msb,random", "--sample", "30000", "--guided", "random"]].concat();
    campaign_goes_on(&work, &[("--flips", "f.csv"), ("--quality", "q.csv")]);
}

#[test]
fn what_is_flipped_already_serves_another_promise() {
    let folder = Folder::new();
    let work = |more: &[&str]| {
        let common = ["analyze", "econ_t_small", "-q", "--generate", "21", "--guided", "msb", "--metric", "mse"];
        common.iter().chain(more).map(|word| (*word).to_owned()).collect::<Vec<_>>()
    };
    let go = |more: &[&str]| run(&work(more).iter().map(String::as_str).collect::<Vec<_>>());
    let (alone, after) = (folder.path("alone.csv"), folder.path("after.csv"));
    go(&["--missing", "20%", "--flips", &alone]);
    // In the folder of an output that is not made yet; nothing is left where nothing went wrong.
    let figures = folder.path("new/figures/");
    go(&[
        "--missing",
        "20%",
        "--oracle",
        "run",
        "--rankings",
        "msb",
        "--figures",
        &figures,
        "--checkpoint",
        &folder.path("c"),
    ]);
    assert_eq!(folder.names(), ["alone.csv", "alone.csv.json", "new"]);
    go(&["--missing", "20%", "--oracle", "run", "--rankings", "msb", "--flips", &after]);
    assert_eq!(fs::read(&alone).unwrap(), fs::read(&after).unwrap());

    let refused = |more: &[&str], expected: &str| {
        let words = work(more);
        let error = fail(1, &words.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(error.contains(expected), "{error}");
    };
    refused(&["--resume"], "name an output or --checkpoint FILE");
    refused(&["--flips", &alone, "--checkpoint", &alone], "would be written twice");
    let error = fail(1, &["analyze", "econ_t_small", "-q", "--generate", "5", "--resume", "--scores", &alone]);
    assert!(error.contains("--oracle run, --sample N or --guided"), "{error}");
    // A checkpoint of an oracle is none of a campaign.
    let shard = folder.path("shard.npz");
    run(&["oracle", "econ_t_small", "-q", "--generate", "5", "--shard", "1/2", "-o", &shard]);
    refused(
        &["--resume", "--checkpoint", &shard],
        "its format is `trivote partial oracle 1`, `trivote flips 1` is needed",
    );
}

#[test]
fn shards_make_the_same_file_as_one_run() {
    let work = |more: &[&str]| {
        let all: Vec<&str> =
            ["oracle", "econ_t_small", "--limit", "21"].into_iter().chain(more.iter().copied()).collect();
        all.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>()
    };
    let go = |more: &[&str]| {
        let arguments = work(more);
        run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let folder = Folder::new();
    let whole = folder.path("whole.csv");
    let tables = go(&["-o", &whole]);
    let shards: Vec<String> = (1..=3).map(|number| folder.path(&format!("shard{number}.npz"))).collect();
    for (number, shard) in (1..=3).zip(&shards) {
        let printed = go(&["--shard", &format!("{number}/3"), "-o", shard, "--threads", &number.to_string()]);
        assert!(printed.contains(shard.as_str()) && printed.contains("merge"), "{printed}");
    }
    let merged = folder.path("merged.csv");
    let printed = run(&["merge", &shards[2], &shards[0], &shards[1], "-o", &merged]);
    assert_eq!(printed.replace("merged.csv", "whole.csv"), tables);
    assert_eq!(fs::read(&merged).unwrap(), fs::read(&whole).unwrap());
    assert_eq!(fs::read(format!("{merged}.json")).unwrap(), fs::read(format!("{whole}.json")).unwrap());

    let refused = |files: &[&str], parts: &[&str]| {
        let arguments: Vec<&str> = ["merge"].into_iter().chain(files.iter().copied()).collect();
        let error = fail(1, &arguments);
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    refused(&[&shards[0], &shards[2]], &["shard 2/3 is missing"]);
    refused(&[&shards[0], &shards[1], &shards[1]], &["shard2.npz", "both shard 2/3"]);
    let other = folder.path("other.npz");
    go(&["--shard", "3/3", "-o", &other, "--metric", "mse"]);
    refused(&[&shards[0], &shards[1], &other], &["other.npz", "other work", "shard1.npz"]);
    go(&["--shard", "2/2", "-o", &other]);
    refused(&[&shards[0], &other], &["shard1.npz is shard 1/3", "other.npz is shard 2/2"]);
    refused(&[&whole], &["whole.csv", "archive"]);
    let missing = folder.path("missing.npz");
    refused(&[&missing], &["missing.npz", "cannot be read"]);
    let half = fs::read(&shards[0]).unwrap();
    let half = folder.write("half.npz", &half[..half.len() / 2]);
    refused(&[&half], &["half.npz"]);
    let error = fail(1, &["merge", &shards[0], &shards[1], &shards[2], "-o", &shards[0]]);
    assert!(error.contains("shard1.npz") && error.contains("read"), "{error}");
    let error = fail(2, &["oracle", "econ_t_small", "--shard", "3/2", "-o", &other]);
    assert!(error.contains("3/2") && error.contains("i/n"), "{error}");
    fail(2, &["oracle", "econ_t_small", "--shard", "1/2"]);
    fail(2, &["oracle", "econ_t_small", "--resume"]);
}
