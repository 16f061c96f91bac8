//! Whether a node may be sent requests, and what it lacks: what `/readyz` answers. Nothing is kept:
//! the cores are asked each time.

use super::control::CoreReport;
use super::node::{NoAnswer, Node, Phase};
use super::rise::Progress;
use crate::engine::wal::log::AppendError;

/// One condition: whether it is met, and its name with the reason when it is not.
pub(super) type Check = (bool, String);

/// Every condition, as far as the node has come.
pub(super) async fn checks(node: &Node) -> Vec<Check> {
    match node.phase() {
        Phase::Preparing(why) => vec![(false, why)],
        Phase::Recovering(since) => match node.reports().await {
            Ok(cores) => vec![(false, Progress::of(&cores, since.elapsed()).to_string())],
            Err(error) => vec![(false, error.to_string())],
        },
        Phase::Serving { .. } => of_serving(node, node.reports().await.as_deref()),
    }
}

/// What a node that serves must be able to do.
fn of_serving(node: &Node, reports: Result<&[CoreReport], &NoAnswer>) -> Vec<Check> {
    let cores = reports.unwrap_or_default();
    let is_member = reports.is_ok() && cores.iter().all(|core| core.is_member);
    let mut checks = vec![
        (reports.is_ok(), "cores answer".into()),
        (is_member, "member of the ring".into()),
        (!node.is_stopping(), "not stopping".into()),
    ];
    if node.config.data_dir.is_some() {
        checks.push(match refusal(cores) {
            None => (true, "log writes".into()),
            Some((shard, why)) => (false, format!("log writes: shard {shard}: {why}")),
        });
    }
    checks
}

/// The first shard whose log refuses writes for longer than a moment, and why.
pub(super) fn refusal(cores: &[CoreReport]) -> Option<(usize, &AppendError)> {
    cores.iter().enumerate().find_map(|(shard, core)| {
        let refusal = core.log.as_ref()?.refusal.as_ref()?;
        (*refusal != AppendError::Busy).then_some((shard, refusal))
    })
}
