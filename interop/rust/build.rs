//! Bindings to the devmgr.h that pkg-config finds: made at build time, so they cannot be older than the library.
use std::{env, path::Path};

fn main() {
    let library =
        pkg_config::Config::new().probe("libdevmgr").expect("libdevmgr: set PKG_CONFIG_PATH to where it is installed");
    let header = library
        .include_paths
        .iter()
        .map(|folder| folder.join("devmgr.h"))
        .find(|path| path.exists())
        .expect("devmgr.h in an include path of libdevmgr.pc");
    println!("cargo:rerun-if-changed={}", header.display());
    bindgen::Builder::default()
        .header(header.to_str().expect("a path in UTF-8"))
        .allowlist_item("devmgr.*|DEVMGR_.*")
        .prepend_enum_name(false)
        .generate()
        .expect("bindgen reads devmgr.h")
        .write_to_file(Path::new(&env::var("OUT_DIR").unwrap()).join("devmgr.rs"))
        .expect("OUT_DIR can be written");
}
