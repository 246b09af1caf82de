//! README's "Your first module", command by command, in a folder of its own.

use crate::city::repository;
use std::path::Path;
use std::process::Command;

/// The section's blocks: what is typed, and the files that are written.
fn section() -> String {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("\n## Your first module\n").unwrap();
    rest.split_once("\n## ").unwrap().0.to_owned()
}

/// The commands: the indented lines, each without its comment.
fn commands(section: &str) -> Vec<String> {
    let indented = section.lines().filter_map(|line| line.strip_prefix("    "));
    indented.map(|line| line.split("  #").next().unwrap().trim().to_owned()).collect()
}

/// The program under test is what `gristmill` means here. Dependencies are those of the workspace, built once into
/// a folder of this test's own.
fn shell(folder: &Path, command: &str) -> (bool, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_gristmill"));
    let path = std::env::join_paths(
        std::iter::once(program.parent().unwrap().to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let output = Command::new("bash")
        .args(["-ec", command])
        .current_dir(folder)
        .env("PATH", path.unwrap())
        .env("GRISTMILL_MODULES", crate::sandbox::modules())
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[test]
fn the_readmes_first_module_works_as_printed() {
    let section = section();
    let commands = commands(&section);
    let [new, cd, edit, test, build, cases, bless, check, run, token, push, swap, rollback] = &commands[..]
    else {
        panic!("{commands:#?}")
    };
    let toml = section.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let parent = tempfile::tempdir().unwrap();
    let good = |folder: &Path, command: &str| {
        let (good, text) = shell(folder, command);
        assert!(good, "{command}: {text}");
        text
    };
    good(parent.path(), new);
    let folder = parent.path().join(cd.strip_prefix("cd ").unwrap());
    // What a second run need not build again, and nothing newer than what the workspace has.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("first-module");
    std::fs::create_dir_all(&target).unwrap();
    std::os::unix::fs::symlink(target, folder.join("target")).unwrap();
    std::fs::copy(repository().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    good(&folder, "cargo fmt --check");
    good(&folder, edit);
    assert!(good(&folder, test).contains("people_need_a_name ... ok"));
    let text = good(&folder, build);
    assert!(
        text.contains("module   target/modules/hello.wasm") && text.contains("imports  gristmill:"),
        "{text}"
    );
    // The case still expects what was there before the edit.
    let (passed, text) = shell(&folder, cases);
    assert!(!passed && text.contains("expected  \"Ada\"") && text.contains("got       \"ADA\""), "{text}");
    assert!(good(&folder, bless).contains("1 passed"));
    good(&folder, cases);
    std::fs::write(folder.join("hello.toml"), toml).unwrap();
    assert!(good(&folder, check).contains("rows of people"));
    // A host, on a port of this test's own, and a new version for it.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let run = run.strip_prefix("gristmill ").unwrap().split(' ');
    let mut host = Command::new(env!("CARGO_BIN_EXE_gristmill"));
    let host = host.args(run).current_dir(&folder).env("GRISTMILL_LISTEN", format!("127.0.0.1:{port}"));
    let mut host = host.stderr(std::fs::File::create(parent.path().join("log")).unwrap()).spawn().unwrap();
    let start = std::time::Instant::now();
    while ureq::get(format!("http://127.0.0.1:{port}/readyz")).call().is_err() {
        let log = || std::fs::read_to_string(parent.path().join("log")).unwrap();
        assert!(start.elapsed().as_secs() < 60, "{}", log());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let asked = format!("export GRISTMILL_HOST=http://127.0.0.1:{port}\n{token}\n{push}\n{swap}\n{rollback}");
    let (done, text) = shell(&folder, &asked);
    let _ = host.kill();
    let _ = host.wait();
    assert!(done && text.contains("hello@2: accepted") && text.contains("cases: 1 passed"), "{text}");
    assert!(text.contains("hello/hello: hello@2, activation 1"), "{text}");
    assert!(text.contains("as the spec names it), activation 2"), "{text}");
}
