//! Completions and man pages.

use crate::cli::program::{Ran, linchpin};
use tokio::process::Command;

async fn print(arguments: &[&str]) -> String {
    Ran::of(linchpin(arguments).await, None).await.text().to_owned()
}

#[tokio::test]
async fn every_shell_has_its_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let script = print(&["completions", shell]).await;
        assert!(
            ["lock", "stream", "--url"].iter().all(|word| script.contains(word.trim_start_matches("--"))),
            "{shell}"
        );
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("linchpin.bash");
    std::fs::write(&file, print(&["completions", "bash"]).await).expect("written");
    let checked = Command::new("bash").arg("-n").arg(&file).output().await.expect("bash runs");
    assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");
}

#[tokio::test]
async fn bash_completes_a_subcommand() {
    let script = print(&["completions", "bash"]).await;
    let ask = "COMP_WORDS=(linchpin lo); COMP_CWORD=1; _linchpin linchpin lo linchpin; echo \"${COMPREPLY[@]}\"";
    let answer = Command::new("bash").args(["-c", &format!("{script}\n{ask}")]).output().await.expect("bash runs");
    assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), "lock", "{answer:?}");
}

#[tokio::test]
async fn there_is_a_man_page_for_each_subcommand() {
    let page = print(&["man"]).await;
    assert!(page.contains(".TH linchpin 1") && page.contains("Exit codes:") && page.contains("LINCHPIN_URL"), "{page}");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("text");
    assert_eq!(print(&["man", "--dir", path]).await, "");
    for name in ["linchpin", "linchpin-lock", "linchpin-elect", "linchpin-pub", "linchpin-stream-claim"] {
        let file = folder.path().join(format!("{name}.1"));
        let page = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(page.contains(&format!(".TH {name} 1")), "{page}");
        let Ok(rendered) = Command::new("man").args(["--warnings", "-l"]).arg(&file).output().await else { continue };
        let text = String::from_utf8_lossy(&rendered.stdout);
        assert!(rendered.status.success() && text.contains("Examples:"), "{name}: {rendered:?}");
    }
    let nowhere = Ran::of(linchpin(&["man", "--dir", "/no/such/folder"]).await, None).await;
    nowhere.failed(74, "/no/such/folder");
}
