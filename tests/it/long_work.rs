//! Oracles that are interrupted, killed, cut into shards and put together again.

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
    let (whole, cut) = (folder.path("whole.csv"), folder.path("cut"));
    run(&work(&["-o", &whole]));

    let output = interrupt(&work(&["-o", &cut]));
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    let checkpoint = format!("{cut}.checkpoint");
    assert!(message.contains("--resume") && message.contains(&checkpoint), "{message}");
    assert_eq!(folder.names(), ["cut.checkpoint", "whole.csv", "whole.csv.json"]);

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
    assert!(folder.names().contains(&"cut.checkpoint".to_owned()));

    run(&work(&["-o", &cut, "--resume"]));
    assert_eq!(folder.names(), ["cut", "cut.json", "whole.csv", "whole.csv.json"]);
    assert_eq!(fs::read(&cut).unwrap(), fs::read(&whole).unwrap());
    assert_eq!(fs::read(format!("{cut}.json")).unwrap(), fs::read(format!("{whole}.json")).unwrap());
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
    let plain = folder.write("plain", fs::read(&shards[0]).unwrap());
    let error = fail(1, &["merge", &plain, &shards[1], &shards[2], "-o", &plain]);
    assert!(error.contains("plain") && error.contains("one of the files read"), "{error}");
    let error = fail(2, &["oracle", "econ_t_small", "--shard", "3/2", "-o", &other]);
    assert!(error.contains("3/2") && error.contains("i/n"), "{error}");
    fail(2, &["oracle", "econ_t_small", "--shard", "1/2"]);
    fail(2, &["oracle", "econ_t_small", "--resume"]);
}
