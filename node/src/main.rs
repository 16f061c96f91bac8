//! The binary `chordite`: a node and everything an operator does with one. The allocator and what
//! happens to a panic are settled here, all else in `cli` and in the library.

mod cli;

use std::process::ExitCode;

use node::exit::Exit;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    end_on_panic();
    cli::run()
}

/// A panic on any thread ends the whole process: a node that lost one of its cores would go on
/// owning keys that it cannot serve.
fn end_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        eprintln!("chordite: this is a bug in Chordite; please report it with the lines above");
        std::process::exit(i32::from(Exit::Bug.code()));
    }));
}
