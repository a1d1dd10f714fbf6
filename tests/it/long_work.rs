//! Oracles and other long work that is interrupted, killed, cut into shards and put together again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
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

/// A campaign of flips that takes a while; what scores cost is not part of it.
const CAMPAIGN: [&str; 7] = ["analyze", "econ_t_large", "-q", "--generate", "60", "--event-seed", "5"];

/// Long work and where it is written.
struct Work<'a> {
    words: &'a [&'a str],
    /// Options and files; the checkpoint stands beside the first.
    outputs: Vec<(&'a str, String)>,
}

impl Work<'_> {
    fn command<'b>(&'b self, more: &[&'b str]) -> Vec<&'b str> {
        let outputs = self.outputs.iter().flat_map(|(option, file)| [*option, file]);
        self.words.iter().copied().chain(outputs).chain(more.iter().copied()).collect()
    }

    fn refused(&self, more: &[&str], parts: &[&str]) {
        let error = fail(1, &self.command(more));
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
}

/// Runs a command with these outputs as a whole, then once more: interrupted, refused with these options for these reasons,
/// killed, and resumed.
#[cfg(unix)]
fn goes_on(words: &[&str], outputs: &[(&str, &str)], refusals: &[(&[&str], &str)]) {
    let folder = Folder::new();
    let work = |prefix: &str| Work {
        words,
        outputs: outputs.iter().map(|(option, name)| (*option, folder.path(&format!("{prefix}{name}")))).collect(),
    };
    let (whole, cut) = (work("whole_"), work("cut_"));
    let printed = run(&whole.command(&[]));

    let output = interrupt(&cut.command(&[]));
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    let checkpoint = format!("{}.checkpoint", cut.outputs[0].1.trim_end_matches('/'));
    assert!(message.contains("interrupted with") && message.contains("% done of the next"), "{message}");
    assert!(message.contains("--resume") && message.contains(&checkpoint), "{message}");
    let is_left = || fs::exists(&checkpoint).unwrap();
    assert!(is_left());

    cut.refused(&[], &[&checkpoint, "--resume, or delete"]);
    let other = [&checkpoint, "left by other work", &format!("`trivote {} econ_t_large", words[0])];
    cut.refused(&["--resume", "--metric", "mse"], &[&other[..], &["are the metric (emd, not mse);"]].concat());
    cut.refused(&["--resume", "--limit", "59"], &[&other[..], &["are the events;"]].concat());
    for (more, part) in refusals {
        cut.refused(&[&["--resume"], *more].concat(), &[&checkpoint, part]);
    }

    // kill -9 in the middle of the rest leaves the checkpoint as it is.
    let mut killed = start(&cut.command(&["--resume"]));
    sleep(Duration::from_millis(300));
    killed.kill().unwrap();
    assert!(!killed.wait().unwrap().success());
    assert!(is_left());

    assert_eq!(run(&cut.command(&["--resume"])).replace("cut_", "whole_"), printed);
    assert!(!is_left());
    for ((_, cut), (_, whole)) in cut.outputs.iter().zip(&whole.outputs) {
        let (cut_files, whole_files) = (files(cut), files(whole));
        assert!(cut_files.len() > 1 && cut_files == whole_files, "{cut}");
    }
}

/// What an output consists of: a file and the one beside it, or all files of a folder and of those in it, by path.
#[cfg(unix)]
fn files(output: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    if !Path::new(output).is_dir() {
        return ["", ".json"].map(|end| (end.into(), fs::read(format!("{output}{end}")).unwrap())).into();
    }
    let (mut files, mut folders) = (BTreeMap::new(), vec![PathBuf::from(output)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(output).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

#[cfg(unix)]
#[test]
fn comparisons_with_an_oracle_go_on() {
    let words = [&CAMPAIGN[..], &["--rankings", "msb", "--oracle", "run"]].concat();
    goes_on(&words, &[("--quality", "q.csv")], &[]);
}

#[cfg(unix)]
#[test]
fn samples_and_guided_campaigns_go_on() {
    let words =
        [&CAMPAIGN[..], &["--rankings", "msb,random", "--sample", "20000", "--guided", "msb", "--missing", "20%"]]
            .concat();
    goes_on(&words, &[("--flips", "f.csv"), ("--quality", "q.csv")], &[]);
}

#[cfg(unix)]
#[test]
fn sweeps_go_on() {
    let words = ["sweep", "econ_t_large", "-q", "--generate", "60", "--budgets", "10%,50%"];
    goes_on(&words, &[("-o", "sweep/")], &[]);
    fail(2, &["sweep", "econ_t_small", "--resume"]);
}

#[cfg(unix)]
#[test]
fn trials_go_on() {
    let words = ["inject", "econ_t_large", "-q", "--generate", "60", "--model", "bits:3", "--trials", "5000"];
    goes_on(&words, &[("-o", "i.csv")], &[(&["--seed", "2"], "left by a campaign of other trials, `trivote inject")]);
    fail(2, &["inject", "econ_t_small", "--resume"]);
}

#[test]
fn what_is_flipped_already_serves_another_promise() {
    let folder = Folder::new();
    let [first, alone, after, elsewhere] = ["first.csv", "alone.csv", "after.csv", "c"].map(|name| folder.path(name));
    let work = |more: &[&str]| {
        let common = ["analyze", "econ_t_small", "-q", "--generate", "21", "--guided", "msb", "--metric", "mse"];
        run(&[&common, more].concat())
    };
    let few = ["--missing", "20%", "--flips"];
    work(&[&few[..], &[&alone]].concat());
    // Flipped before for another purpose, the result is the same.
    work(&[&few[..], &[&after, "--oracle", "run", "--rankings", "msb"]].concat());
    assert_eq!(fs::read(&alone).unwrap(), fs::read(&after).unwrap());
    // The checkpoint can be beside a folder that is yet to be made, or elsewhere; nothing is left where nothing went wrong.
    let compared = ["--oracle", "run", "--rankings", "msb", "--figures"];
    work(&[&compared[..], &[&folder.path("new/figures/")]].concat());
    work(&[&["--flips", &first, "--checkpoint", &elsewhere], &["--resume"][..]].concat());
    let names = folder.names();
    assert!(!names.iter().any(|name| name.contains("checkpoint") || name == "c"), "{names:?}");
}

#[test]
fn what_cannot_be_resumed_is_refused() {
    let folder = Folder::new();
    let (file, shard) = (folder.path("f.csv"), folder.path("shard.npz"));
    run(&["oracle", "econ_t_small", "-q", "--generate", "5", "--shard", "1/2", "-o", &shard]);
    let refused = |more: &[&str], expected: &str| {
        let error = fail(1, &[&["analyze", "econ_t_small", "-q", "--generate", "5"], more].concat());
        assert!(error.contains(expected), "{error}");
    };
    refused(&["--guided", "msb", "--resume"], "name an output or --checkpoint FILE");
    refused(&["--guided", "msb", "--flips", &file, "--checkpoint", &file], "would be written twice");
    refused(&["--scores", &file, "--resume"], "--oracle run, --sample N or --guided");
    refused(&["--scores", &file, "--checkpoint", &shard], "--oracle run, --sample N or --guided");
    let wrong = "shard.npz: its format is `trivote partial oracle 1`, `trivote flips 1` is needed";
    refused(&["--guided", "msb", "--checkpoint", &shard, "--resume"], wrong);
    let broken = folder.write("broken.csv.checkpoint", b"PK");
    refused(&["--guided", "msb", "--flips", &folder.path("broken.csv"), "--resume"], "broken.csv.checkpoint");
    assert_eq!(fs::read(broken).unwrap(), b"PK");
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
