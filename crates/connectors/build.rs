//! Embeds every `providers/*/connector.yaml`. Adding a provider touches its folder and nothing else.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo names the package's folder"));
    let providers = root.join("providers");
    println!("cargo::rerun-if-changed={}", providers.display());

    let mut folders: Vec<PathBuf> = fs::read_dir(&providers)
        .expect("the providers folder is there")
        .map(|entry| entry.expect("its entries can be read").path())
        .filter(|path| path.join("connector.yaml").is_file())
        .collect();
    folders.sort();

    let mut list = String::from("&[\n");
    for folder in &folders {
        let name = folder.file_name().and_then(|n| n.to_str()).expect("a provider's name is plain text");
        let file = folder.join("connector.yaml");
        println!("cargo::rerun-if-changed={}", file.display());
        writeln!(
            list,
            "    BuiltIn {{ name: {name:?}, text: include_str!({:?}) }},",
            file.display().to_string()
        )
        .expect("a string takes text");
    }
    list.push_str("]\n");

    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo names the output folder"));
    fs::write(Path::new(&out).join("built_in.rs"), list).expect("the output folder can be written");
}
