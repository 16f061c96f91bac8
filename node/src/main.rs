//! Placeholder.
fn main() -> std::process::ExitCode {
    let file = std::env::args().nth(1).expect("a file");
    let config = node::config::Config::load(Some(std::path::Path::new(&file)), [], &[]).expect("config");
    match node::runtime::serve(config) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => { eprintln!("{e}"); e.exit().into() }
    }
}
