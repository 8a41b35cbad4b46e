//! Postgres: how it is started, and asked whether it is ready.

use super::clock::Time;
use super::folder::{Folder, command_in, give_away};
use super::server::{provided, setting};
use super::sql::greets;
use super::{Packaged, Place, Program, Software, TestServer, unique_name};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// A Postgres server for tests, which syncs each commit to the disk. A local one is what
/// `LINCHPIN_TEST_POSTGRES_SERVER` names, else `postgres` on `PATH`, else the newest that Debian has installed,
/// else the one that `make setup` has put into `target/servers`.
///
/// Its user and its database are both called `postgres`, and it asks for no password. Files that its arguments
/// name (`-c ssl_key_file=path`, `-c hba_file=path`) are copied before each start, so that it may read them.
pub type PostgresServer = TestServer<Postgres>;

/// The software of a [`PostgresServer`].
#[derive(Debug)]
pub enum Postgres {}

#[async_trait]
impl Software for Postgres {
    const NAME: &'static str = "postgres";
    const REFUSES_ROOT: bool = true;

    fn program() -> Program {
        let named = setting("LINCHPIN_TEST_POSTGRES_SERVER").map(|program| vec![program.into()]);
        let known = || [vec!["postgres".into()], debians(), vec![provided(PROVIDED_18)]].concat();
        Program {
            candidates: named.unwrap_or_else(known),
            missing: "postgres is not at LINCHPIN_TEST_POSTGRES_SERVER or, without that, on PATH, in \
                      /usr/lib/postgresql or in target/servers: `make setup` gets it where it can; by hand: \
                      apt install postgresql (Debian), brew install postgresql (macOS)",
        }
    }

    fn arguments(place: &Place<'_>, further: &[String]) -> Vec<String> {
        let mut settings = ["max_connections=200", "shared_buffers=64MB"].map(String::from).to_vec();
        settings.push(format!("cluster_name={}", place.name));
        if let Some(folder) = place.folder {
            let folder = folder.display();
            // Files and not the system's shared memory, which would outlive it.
            settings.push("dynamic_shared_memory_type=mmap".to_owned());
            settings.push("listen_addresses=127.0.0.1".to_owned());
            settings.push(format!("port={}", place.port));
            settings.push(format!("unix_socket_directories=\"{folder}\""));
        }
        let ours = settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]);
        let theirs = further.iter().map(|arg| match (place.folder, file(arg)) {
            (Some(folder), Some((setting, _))) => format!("{setting}={}", copy(folder, setting).display()),
            _ => arg.clone(),
        });
        let data = place.folder.map(|folder| ["-D".to_owned(), folder.join("data").display().to_string()]);
        data.into_iter().flatten().chain(ours).chain(theirs).collect()
    }

    /// A copy of data that were initialised once, as that takes a second. What a killed server has left there
    /// about its process may be about another one by now.
    async fn prepare(place: &Place<'_>, program: &Path, further: &[String]) -> Result<PathBuf, String> {
        let Some(folder) = place.folder else { return Ok(program.to_owned()) };
        let installed = Installed::of(program).await?;
        let data = folder.join("data");
        if data.exists() {
            let _ = fs::remove_file(data.join("postmaster.pid"));
            let _ = fs::remove_file(folder.join(format!(".s.PGSQL.{}.lock", place.port)));
        } else {
            // It stays `nobody`'s.
            copy_all("-Rp", &installed.data, &data).await?;
        }
        for (setting, path) in further.iter().filter_map(|arg| file(arg)) {
            lend(path, &copy(folder, setting)).map_err(|error| format!("cannot copy {path}: {error}"))?;
        }
        Ok(installed.program.clone())
    }

    /// Its piece of the system's shared memory shows a second server on the same data that there is a first one. The
    /// system removes it with the last process that uses it, now that it is told to.
    async fn contain(place: &Place<'_>) {
        let written = place.folder.and_then(|folder| fs::read_to_string(folder.join("data/postmaster.pid")).ok());
        let memory =
            written.as_deref().and_then(|lines| lines.lines().nth(6)).and_then(|keys| keys.split(' ').next_back());
        let mut remove = Command::new("ipcrm");
        remove.arg("-m").args(memory);
        let _ = output(remove).await;
    }

    fn url(port: u16, _further: &[String]) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/postgres")
    }

    /// A local server's own socket is asked: something else may listen on the port. Postgres opens it after
    /// the port, and lets nobody in until it has recovered.
    async fn answers(place: &Place<'_>) -> bool {
        let ask = async {
            match place.folder {
                Some(folder) => {
                    greets(UnixStream::connect(folder.join(format!(".s.PGSQL.{}", place.port))).await?).await
                }
                None => greets(TcpStream::connect((Ipv4Addr::LOCALHOST, place.port)).await?).await,
            }
        };
        matches!(timeout(Duration::from_secs(1), ask).await, Ok(Ok(true)))
    }
}

impl Packaged for Postgres {
    const IMAGE: &'static str = "postgres:18";
    const PORT: u16 = 5432;
    const ENVIRONMENT: &'static [(&'static str, &'static str)] = &[("POSTGRES_HOST_AUTH_METHOD", "trust")];
}

const PROVIDED_18: &str = "postgres-18.0.0/bin/postgres";

impl TestServer<Postgres> {
    /// Starts a local server of version 18, whatever the environment says, with these arguments after our own.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_18(args: &[&str]) -> Result<Self, String> {
        Self::start_newest(args, Time::Machines).await
    }

    /// Starts a local server of version 18 that goes by a [clock of its own](Self::start_with_own_clock).
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_18_with_own_clock() -> Result<Self, String> {
        Self::start_newest(&[], Time::Own).await
    }

    async fn start_newest(args: &[&str], time: Time) -> Result<Self, String> {
        let newest = Program {
            candidates: vec![provided(PROVIDED_18)],
            missing: "postgres 18 is not in target/servers: `make setup` gets it on Linux; by hand: unpack \
                      io.zonky.test.postgres:embedded-postgres-binaries-* from Maven Central, and the archive in it, \
                      to target/servers/postgres-18.0.0",
        };
        Self::start_program(newest, args, time).await
    }
}

/// The versions that Debian's packages have installed, the newest first.
fn debians() -> Vec<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<u32> = versions.filter_map(|version| version.file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable_by(|one, other| other.cmp(one));
    versions.iter().map(|version| format!("/usr/lib/postgresql/{version}/bin/postgres").into()).collect()
}

/// The setting and the path of an argument that names a file.
fn file(arg: &str) -> Option<(&str, &str)> {
    arg.split_once('=').filter(|(setting, path)| setting.ends_with("_file") && !path.is_empty())
}

fn copy(folder: &Path, setting: &str) -> PathBuf {
    folder.join(setting.trim_start_matches('-'))
}

/// Copies a file for the server, which takes no key that others may read.
fn lend(path: &str, copy: &Path) -> io::Result<()> {
    let content = fs::read(path)?;
    let _ = fs::remove_file(copy);
    let mut options = fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    io::Write::write_all(&mut options.write(true).create_new(true).open(copy)?, &content)?;
    give_away(copy)
}

async fn copy_all(how: &str, from: &Path, to: &Path) -> Result<(), String> {
    let mut command = Command::new("cp");
    command.arg(how).args([from, to]);
    output(command).await.map(drop)
}

/// What a command says, if it succeeds.
async fn output(command: Command) -> Result<String, String> {
    let program = command.get_program().display().to_string();
    let output = tokio::process::Command::from(command).kill_on_drop(true).output().await;
    let output = output.map_err(|error| format!("cannot run {program}: {error}"))?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(said) } else { Err(format!("{program} ended: {}\n{said}", output.status)) }
}

/// What all servers of one program share. It is never dropped: the folder's guard removes it.
struct Installed {
    program: PathBuf,
    data: PathBuf,
    _folder: Folder,
}

impl Installed {
    async fn of(program: &Path) -> Result<Arc<Self>, String> {
        static KNOWN: Mutex<BTreeMap<PathBuf, Arc<Installed>>> = Mutex::const_new(BTreeMap::new());
        let mut known = KNOWN.lock().await;
        if let Some(installed) = known.get(program) {
            return Ok(Arc::clone(installed));
        }
        let installed = Arc::new(Self::make(program).await?);
        known.insert(program.to_owned(), Arc::clone(&installed));
        Ok(installed)
    }

    async fn make(program: &Path) -> Result<Self, String> {
        let folder = Folder::create::<Postgres>(&unique_name::<Postgres>())?;
        let program = usable(program, folder.path()).await?;

        let data = folder.path().join("data");
        let mut initdb = command_in(folder.path(), &program.with_file_name("initdb"));
        initdb.args(["--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D"]).arg(&data);
        output(initdb).await?;
        Ok(Self { program, data, _folder: folder })
    }
}

/// The program, or its copy in this folder where the folder's owner cannot run it: `nobody` gets nowhere below
/// the home of root.
async fn usable(program: &Path, folder: &Path) -> Result<PathBuf, String> {
    let version = |mut command: Command| {
        command.arg("--version");
        output(command)
    };
    if version(command_in(folder, program)).await.is_ok() {
        return Ok(program.to_owned());
    }
    version(Command::new(program)).await?;
    let installation = program.parent().and_then(Path::parent).ok_or("postgres is not in a folder called bin")?;
    let copied = folder.join("installed");
    copy_all("-R", installation, &copied).await?;
    let mut chmod = Command::new("chmod");
    chmod.args(["-R", "a+rX"]).arg(&copied);
    output(chmod).await?;
    Ok(copied.join("bin").join(program.file_name().unwrap_or_default()))
}
