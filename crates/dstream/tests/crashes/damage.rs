//! Every file of a checkpoint and of the write-ahead log, damaged in every way: an error that names the file, or the right result.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use millstream_formats::faults::crashes::copy_dir;

use crate::program::{Crashed, Ended, Mode, crash, logged, run, scratch, verify};

/// All files below a directory, as paths in it.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(from) = pending.pop() {
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                found.push(path.strip_prefix(dir).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// What can have happened to a file; each gives its name. `other` is the same file of another program, if it has one.
fn damages(file: &Path, all: &[PathBuf], other: &Path) -> Vec<(String, Damage)> {
    let mut damages: Vec<(String, Damage)> = Vec::new();
    for share in [0, 1, 25, 50, 75, 99] {
        damages.push((format!("cut at {share} %"), Damage::Cut(share)));
        damages.push((format!("a bit flipped at {share} %"), Damage::Flip(share)));
    }
    damages.push(("cut by a byte".to_owned(), Damage::Cut(1000)));
    damages.push(("removed".to_owned(), Damage::Remove));
    for neighbour in all.iter().filter(|path| path.parent() == file.parent() && *path != file) {
        damages.push((format!("swapped with {}", neighbour.display()), Damage::Swap(neighbour.clone())));
    }
    if let Ok(content) = std::fs::read(other.join(file)) {
        damages.push(("that of another program".to_owned(), Damage::Replace(content)));
    }
    damages
}

enum Damage {
    /// Per cent that are left; 1000: all but one byte.
    Cut(usize),
    Flip(usize),
    Remove,
    Swap(PathBuf),
    Replace(Vec<u8>),
}

impl Damage {
    fn to(&self, dir: &Path, file: &Path, side_file_too: bool) {
        let path = dir.join(file);
        let mut content = std::fs::read(&path).unwrap();
        match self {
            Damage::Cut(1000) => content.truncate(content.len().saturating_sub(1)),
            Damage::Cut(share) => content.truncate(content.len() * share / 100),
            Damage::Flip(share) => {
                let at = content.len() * share / 100;
                if let Some(byte) = content.get_mut(at) {
                    *byte ^= 4;
                }
            }
            Damage::Remove => {}
            Damage::Swap(neighbour) => {
                let neighbour = dir.join(neighbour);
                std::fs::write(&path, std::fs::read(&neighbour).unwrap()).unwrap();
                std::fs::write(neighbour, &content).unwrap();
                return;
            }
            Damage::Replace(with) => content.clone_from(with),
        }
        if side_file_too {
            let side = path.with_file_name(format!(".{}.crc", path.file_name().unwrap().to_str().unwrap()));
            let _there_is_none = std::fs::remove_file(side);
        }
        match self {
            Damage::Remove => std::fs::remove_file(&path).unwrap(),
            _ => std::fs::write(&path, content).unwrap(),
        }
    }
}

/// What an error may name: the file, that of which it is the side file, its directory, or the checkpoint that names that.
fn named(damage: &Damage, file: &Path) -> Vec<String> {
    // A checkpoint of the same program elsewhere is found out by the log.
    let mut names = vec!["checkpoint-".to_owned(), "another context".to_owned()];
    let neighbour = if let Damage::Swap(neighbour) = damage { Some(neighbour.as_path()) } else { None };
    for file in [Some(file), neighbour].into_iter().flatten() {
        let first = file.components().next().unwrap().as_os_str().to_str().unwrap();
        names.push(first.trim_start_matches('.').trim_end_matches(".crc").to_owned());
    }
    names
}

/// A program that crashed with a batch that is not done, a state that is saved, and numbers that no batch has.
fn crashed() -> Crashed {
    crash("checkpoint::rename", 12, Mode::Plain).unwrap()
}

#[test]
fn a_damaged_file_is_named_or_does_no_harm() {
    let (base, another) = (crashed(), crashed());
    let checkpoint = base.dir.path().join("checkpoint");
    let all = files(&checkpoint);
    for kind in ["checkpoint-", "program-", "rdd-", "receivedData/log-"] {
        assert!(all.iter().any(|path| path.to_str().unwrap().starts_with(kind)), "{kind}: {all:?}");
    }
    let mut promised = base.screen.shown().all_numbers();
    promised.extend(logged(base.dir.path()));
    let (mut refused, mut harmless) = (0, 0);
    for file in &all {
        for (name, damage) in damages(file, &all, &another.dir.path().join("checkpoint")) {
            for side_file_too in [false, true] {
                let what = format!("{} {name}, its side file too: {side_file_too}", file.display());
                let (dir, screen) = (scratch(), base.screen.copy());
                copy_dir(base.dir.path(), dir.path()).unwrap();
                damage.to(&dir.path().join("checkpoint"), file, side_file_too);
                match run(dir.path(), base.batch + 1, &screen, Mode::Plain, &promised, None) {
                    Ok(Ended::Complete) => {
                        verify(dir.path(), &screen, &what);
                        harmless += 1;
                    }
                    Ok(Ended::Struck(_)) => unreachable!(),
                    Err(error) => {
                        let error = error.to_string();
                        assert!(named(&damage, file).iter().any(|name| error.contains(name)), "{what}: {error}");
                        refused += 1;
                    }
                }
            }
        }
    }
    println!("{refused} refused, {harmless} harmless");
    assert!(refused > 20 && harmless > 20, "{refused} refused, {harmless} harmless");
}

#[test]
fn a_checkpoint_of_a_newer_form_is_refused_and_not_passed_over() {
    let base = crashed();
    let checkpoint = base.dir.path().join("checkpoint");
    let newest =
        files(&checkpoint).into_iter().rfind(|path| path.to_str().unwrap().starts_with("checkpoint-")).unwrap();
    let path = checkpoint.join(&newest);
    let text = std::fs::read_to_string(&path).unwrap();
    let (_, json) = text.split_once('\n').unwrap();
    let json = json.replace("\"version\":2", "\"version\":3");
    std::fs::write(&path, format!("{:08x}\n{json}", crc32fast::hash(json.as_bytes()))).unwrap();
    let _side = std::fs::remove_file(checkpoint.join(format!(".{}.crc", newest.display())));
    let error = run(base.dir.path(), base.batch + 1, &base.screen, Mode::Plain, &BTreeSet::new(), None).unwrap_err();
    let error = error.to_string();
    assert!(error.contains(newest.to_str().unwrap()) && error.contains("form 3"), "{error}");
}
