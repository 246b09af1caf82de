//! Migrations are embedded: a new file among them must build the host anew.
fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
