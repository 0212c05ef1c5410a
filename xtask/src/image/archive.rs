//! The image as a file: one layer, what a container of it is like, and the list of both, in the form
//! that `docker save` writes and every engine reads.
//!
//! Files are packed by `tar` in the order of their names, with one owner and the time of the commit,
//! so that the same program gives the same image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Image, Release, program};
use crate::workspace::{output_of, root};

/// Whom a container runs as. A number of its own, so that no user of the host's is met by chance.
const USER: &str = "10001";

/// Where a container keeps what must outlive it.
const DATA: &str = "/var/lib/isthmus";

/// Packs everything under `folder`, whose former content goes.
pub(super) fn write(
    folder: &Path,
    program: &Path,
    libraries: &[PathBuf],
    release: &Release,
) -> Result<Image> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("could not clear {}", folder.display()))?;
    }
    let parts = folder.join("parts");
    fs::create_dir_all(&parts)?;
    let files = Files::lay_out(&folder.join("root"), program, libraries)?;
    let layer = parts.join("layer.tar");
    files.pack(&layer, release)?;
    let config = serde_json::to_vec_pretty(&config(release, &digest(&layer)?))?;
    fs::write(parts.join("config"), &config)?;
    let name = format!("{}.json", digest(&parts.join("config"))?);
    fs::rename(parts.join("config"), parts.join(&name))?;
    let reference = release.reference();
    let manifest = json!([{ "Config": name, "RepoTags": [reference], "Layers": ["layer.tar"] }]);
    fs::write(parts.join("manifest.json"), manifest.to_string())?;
    let archive = folder.join(format!("{}.tar", reference.replace(':', "-")));
    let mut command = tar("--create", &archive, release, "0");
    command.arg("--directory").arg(&parts);
    output_of(command.args(["manifest.json", &name, "layer.tar"]))?;
    Ok(Image {
        reference,
        archive,
        program_bytes: files.program_bytes,
        library_bytes: files.library_bytes,
    })
}

/// The root of a container's file system, laid out in a folder.
struct Files {
    root: PathBuf,
    program_bytes: u64,
    library_bytes: u64,
}

impl Files {
    fn lay_out(to: &Path, program: &Path, libraries: &[PathBuf]) -> Result<Self> {
        for folder in [
            "usr/bin",
            "etc/isthmus",
            "usr/share/doc/isthmus",
            &DATA[1..],
        ] {
            fs::create_dir_all(to.join(folder))?;
        }
        program::strip(program, &to.join("usr/bin/isthmus"))?;
        let mut files = Self {
            root: to.to_owned(),
            program_bytes: fs::metadata(to.join("usr/bin/isthmus"))?.len(),
            library_bytes: 0,
        };
        for library in libraries {
            files.library_bytes += files.copy(library)?;
        }
        let users = format!("root:x:0:0::/:\nisthmus:x:{USER}:{USER}::{DATA}:\n");
        fs::write(to.join("etc/passwd"), users)?;
        fs::write(
            to.join("etc/group"),
            format!("root:x:0:\nisthmus:x:{USER}:\n"),
        )?;
        fs::copy(
            root().join("LICENSE"),
            to.join("usr/share/doc/isthmus/LICENSE"),
        )?;
        // Debian's word on the rights in its C library goes with it.
        for notice in
            ["libc6", "libgcc-s1"].map(|it| PathBuf::from(format!("/usr/share/doc/{it}/copyright")))
        {
            if notice.exists() {
                files.copy(&notice)?;
            }
        }
        Ok(files)
    }

    /// To the same path; gives its size.
    fn copy(&self, file: &Path) -> Result<u64> {
        let to = self.root.join(file.strip_prefix("/").unwrap_or(file));
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(file, &to).with_context(|| format!("could not copy {}", file.display()))
    }

    /// All of it as root's, but for the folder of the data.
    fn pack(&self, layer: &Path, release: &Release) -> Result<()> {
        let mut names: Vec<_> = fs::read_dir(&self.root)?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<Result<_>>()?;
        names.sort();
        let data = &DATA[1..];
        let mut command = tar("--create", layer, release, "0");
        command
            .arg(format!("--exclude={data}"))
            .arg("--directory")
            .arg(&self.root);
        output_of(command.args(names))?;
        let mut command = tar("--append", layer, release, USER);
        output_of(command.arg("--directory").arg(&self.root).arg(data)).map(drop)
    }
}

/// A `tar` that gives the same bytes for the same files.
fn tar(act: &str, archive: &Path, release: &Release, owner: &str) -> Command {
    let commit = release.commit.as_ref();
    let time = commit.map_or("0", |commit| commit.seconds.as_str());
    let mut command = Command::new("tar");
    command.args([act, "--format=gnu", "--sort=name", "--numeric-owner"]);
    command.args(["--mode=u=rwX,go=rX", &format!("--mtime=@{time}")]);
    command.args([format!("--owner={owner}"), format!("--group={owner}")]);
    command.arg("--file").arg(archive);
    command
}

/// What a container of the image is like, as the Docker image specification (v1.2) has it.
fn config(release: &Release, layer: &str) -> Value {
    let mut labels = json!({
        "org.opencontainers.image.title": "Isthmus",
        "org.opencontainers.image.description": "Join Kafka clusters, or stretch one over several sites",
        "org.opencontainers.image.version": release.version,
        "org.opencontainers.image.licenses": "Apache-2.0",
    });
    if let Some(commit) = &release.commit {
        labels["org.opencontainers.image.revision"] = json!(commit.hash);
    }
    let time = release.commit.as_ref().map(|commit| &commit.time);
    json!({
        // Null where it is not known, which is as if it were not there.
        "created": time,
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "User": format!("{USER}:{USER}"),
            "Entrypoint": ["/usr/bin/isthmus"],
            "Cmd": ["--help"],
            "Env": ["PATH=/usr/bin"],
            // A broker's clients, and its pages; nothing listens there unless it is told to.
            "ExposedPorts": { "9092/tcp": {}, "8640/tcp": {} },
            "Volumes": { DATA: {} },
            "WorkingDir": DATA,
            "StopSignal": "SIGTERM",
            "Labels": labels,
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer}")] },
        "history": [{ "created_by": "cargo xtask image" }],
    })
}

/// Go's words for processors, which images use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The SHA-256 of a file, in hexadecimal.
fn digest(file: &Path) -> Result<String> {
    let text = output_of(Command::new("sha256sum").arg(file))?;
    let digest = text
        .split_whitespace()
        .next()
        .context("sha256sum said nothing")?;
    Ok(digest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Commit;

    /// A folder that goes with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let folder = format!("isthmus-xtask-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(folder))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            // A test that failed before it made the folder has none.
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn release() -> Release {
        Release {
            version: "1.2.3".to_owned(),
            debug: false,
            commit: Some(Commit {
                hash: "c0ffee".to_owned(),
                seconds: "1000000000".to_owned(),
                time: "2001-09-09T01:46:40+00:00".to_owned(),
            }),
        }
    }

    fn listed(archive: &Path, more: &[&str]) -> String {
        let mut command = Command::new("tar");
        command.args(["--list", "--verbose", "--numeric-owner", "--utc", "--file"]);
        output_of(command.arg(archive).args(more)).unwrap()
    }

    /// The whole way, with the program of this test in the place of ours.
    #[test]
    fn an_archive_has_one_layer_and_tells_what_a_container_is_like() {
        let scratch = Scratch::new("archive");
        let program = std::env::current_exe().unwrap();
        let libraries = program::libraries(&program).unwrap();
        let libraries: Vec<_> = libraries.into_iter().map(|it| it.path).collect();
        let image = write(&scratch.0, &program, &libraries, &release()).unwrap();
        assert_eq!(image.reference, "isthmus:1.2.3");
        assert!(image.archive.ends_with("isthmus-1.2.3.tar"));
        let parts = scratch.0.join("parts");
        let manifest = fs::read_to_string(parts.join("manifest.json")).unwrap();
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], "isthmus:1.2.3");
        let name = manifest[0]["Config"].as_str().unwrap();
        let all = listed(&image.archive, &[]);
        assert!(all.contains(name) && all.contains("layer.tar"), "{all}");
        let config: Value = serde_json::from_slice(&fs::read(parts.join(name)).unwrap()).unwrap();
        let digest = format!("sha256:{}", digest(&parts.join("layer.tar")).unwrap());
        assert_eq!(config["rootfs"]["diff_ids"], json!([digest]));
        assert_eq!(config["created"], "2001-09-09T01:46:40+00:00");
        assert_eq!(config["config"]["User"], "10001:10001");
        assert_eq!(
            config["config"]["Volumes"],
            json!({ "/var/lib/isthmus": {} })
        );
        let layer = listed(&parts.join("layer.tar"), &[]);
        let line = |end: &str| layer.lines().find(|line| line.ends_with(end)).unwrap();
        assert!(
            line(" usr/bin/isthmus").starts_with("-rwxr-xr-x 0/0 "),
            "{layer}"
        );
        let data = line(" var/lib/isthmus/");
        assert!(data.starts_with("drwxr-xr-x 10001/10001 "), "{layer}");
        assert!(line(" var/lib/").contains(" 0/0 "), "{layer}");
        assert_eq!(layer.matches("var/lib/isthmus").count(), 1, "{layer}");
        for library in &libraries {
            line(&format!(" {}", &library.to_str().unwrap()[1..]));
        }
    }

    #[test]
    fn the_same_program_gives_the_same_image() {
        let made = ["once", "twice"].map(|name| {
            let scratch = Scratch::new(name);
            let image = write(&scratch.0, Path::new("/bin/true"), &[], &release()).unwrap();
            digest(&image.archive).unwrap()
        });
        assert_eq!(made[0], made[1]);
    }
}
