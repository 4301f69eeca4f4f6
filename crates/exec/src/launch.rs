//! Sends the stages of a query to the nodes that run them, from the node that was asked.

use crate::codec;
use crate::error::to_sql_error;
use crate::exchange::ExchangeId;
use crate::measured::Measured;
use crate::query::Cancel;
use crate::scan::ScanExec;
use crate::slice::slice;
use crate::spread::Spread;
use crate::stages::{QueryId, StageControl, StageNodes, StageRequest, StageService, StageSlice};
use columnstore::ReadView;
use datafusion::common::Result as DataFusionResult;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::physical_plan::ExecutionPlan;
use futures::StreamExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;
use types::{ErrorKind, NodeId, PartitionId, Result, SqlError, StatementNo};

/// What every part of one query is sent with.
pub(crate) struct Common {
    pub(crate) query: QueryId,
    pub(crate) catalog: u64,
    pub(crate) view: ReadView,
    pub(crate) written: Vec<(PartitionId, StatementNo)>,
    pub(crate) memory: Option<usize>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) options: Vec<(String, String)>,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Launcher(Arc<Inner>);

struct Inner {
    common: Common,
    spread: Arc<Spread>,
    own: Arc<dyn StageService>,
    nodes: Arc<dyn StageNodes>,
    /// The groups that have started.
    started: Mutex<BTreeSet<usize>>,
}

impl Launcher {
    pub(crate) fn new(
        common: Common,
        spread: Arc<Spread>,
        own: Arc<dyn StageService>,
        nodes: Arc<dyn StageNodes>,
    ) -> Launcher {
        Launcher(Arc::new(Inner { common, spread, own, nodes, started: Mutex::default() }))
    }

    /// What starts the stages that hang below `exchange`, on each of their nodes, unless they have been
    /// started. Each of these works lasts as long as the query; its end by an error cancels the query.
    pub(crate) fn launch(&self, exchange: ExchangeId, cancel: &Cancel) -> Vec<BoxFuture<'static, ()>> {
        let inner = &self.0;
        let Some(group) = inner.spread.group(exchange.0 as usize) else { return Vec::new() };
        if !inner.started.lock().insert(group) {
            return Vec::new();
        }
        let nodes = inner.nodes_of(group).into_iter();
        nodes
            .map(|node| {
                let (inner, cancel) = (inner.clone(), cancel.clone());
                Box::pin(async move { inner.hold(group, node, &cancel).await }) as BoxFuture<'static, ()>
            })
            .collect()
    }

    /// What the operators on all nodes did, by stage. What a node does not tell is left out.
    pub(crate) async fn measure(&self) -> Vec<(ExchangeId, Measured)> {
        let started: Vec<usize> = self.0.started.lock().iter().copied().collect();
        let mut all = Vec::new();
        for group in started {
            for node in self.0.nodes_of(group) {
                let measured = match self.0.service(node) {
                    Ok(service) => service.measure(self.0.common.query, group as u32).await,
                    Err(error) => Err(error),
                };
                match measured {
                    Ok(measured) => all.extend(measured),
                    Err(error) => tracing::debug!(%node, %error, "a node does not tell what it did"),
                }
            }
        }
        all
    }
}

impl Inner {
    fn nodes_of(&self, group: usize) -> BTreeSet<NodeId> {
        self.spread.stages_of(group).into_iter().flat_map(|stage| self.spread.nodes(stage)).collect()
    }

    fn service(&self, node: NodeId) -> Result<Arc<dyn StageService>> {
        if node == self.spread.here() { Ok(self.own.clone()) } else { self.nodes.stages(node) }
    }

    /// Starts the group's part on a node, and holds it until it fails; then cancels the query with what
    /// it failed of. It is let go after that, so that what its end does to others is not taken for the
    /// reason.
    async fn hold(&self, group: usize, node: NodeId, cancel: &Cancel) {
        match self.begin(group, node).await {
            Ok(mut control) => {
                let error = control.next().await.unwrap_or_else(|| self.lost(node));
                cancel.cancel(error);
            }
            Err(error) => cancel.cancel(error),
        }
    }

    async fn begin(&self, group: usize, node: NodeId) -> Result<StageControl> {
        let request = self.request(group, node).map_err(|error| to_sql_error(&error))?;
        self.service(node)?.start(request).await
    }

    fn lost(&self, node: NodeId) -> SqlError {
        let name = self.nodes.name(node);
        SqlError {
            kind: ErrorKind::ServerOffline,
            message: format!("{name} was lost while it ran a part of the query; try again once it is back"),
            retryable: true,
        }
    }

    fn request(&self, group: usize, node: NodeId) -> DataFusionResult<StageRequest> {
        let common = &self.common;
        let mut stages = Vec::new();
        let mut sources: Vec<crate::spread::Source> = Vec::new();
        let mut partitions = BTreeSet::new();
        for at in self.spread.stages_of(group) {
            let tasks = self.spread.tasks(at, node);
            let stage = &self.spread.stages()[at];
            let (false, Some(output)) = (tasks.is_empty(), &stage.output) else { continue };
            let place = self.spread.nodes(at).iter().position(|other| *other == node).unwrap_or(0);
            let plain = codec::plain(&stage.plan)?;
            let plan = slice(&self.spread.pairs().mark(plain.data)?, &tasks, place)?;
            scanned(&plan, &mut partitions)?;
            stages.push(StageSlice {
                exchange: stage.id,
                tasks: tasks.iter().map(|task| *task as u32).collect(),
                streams: self.spread.streams(at) as u32,
                plan: codec::encode(&plan, output, plain.transformed)?,
            });
            sources.extend(self.spread.sources(at)?);
        }
        let now = Instant::now();
        let written = common.written.iter().filter(|(partition, _)| partitions.contains(partition));
        Ok(StageRequest {
            query: common.query,
            part: group as u32,
            catalog: common.catalog,
            view: common.view,
            written: written.copied().collect(),
            partitions: partitions.into_iter().collect(),
            options: common.options.clone(),
            memory: common.memory.map(|memory| memory as u64),
            deadline: common.deadline.map(|deadline| deadline.saturating_duration_since(now)),
            stages,
            sources,
            keys: self.spread.key_routes(group),
        })
    }
}

fn scanned(plan: &Arc<dyn ExecutionPlan>, partitions: &mut BTreeSet<PartitionId>) -> DataFusionResult<()> {
    plan.apply(|node| {
        if let Some(scan) = node.downcast_ref::<ScanExec>() {
            partitions.extend(scan.partitions());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// The options that are not as DataFusion has them by default.
pub(crate) fn changed_options(options: &ConfigOptions) -> Vec<(String, String)> {
    let usual: std::collections::HashMap<String, Option<String>> =
        ConfigOptions::default().entries().into_iter().map(|entry| (entry.key, entry.value)).collect();
    options
        .entries()
        .into_iter()
        .filter(|entry| usual.get(&entry.key) != Some(&entry.value))
        .filter_map(|entry| Some((entry.key, entry.value?)))
        .collect()
}

/// The inverse of [`changed_options`].
pub(crate) fn options_of(changed: &[(String, String)]) -> DataFusionResult<ConfigOptions> {
    let mut options = ConfigOptions::default();
    for (key, value) in changed {
        options.set(key, value)?;
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_back() {
        let mut options = ConfigOptions::default();
        options.execution.target_partitions = 7;
        options.execution.time_zone = Some("+02:00".into());
        options.execution.perfect_hash_join_min_key_density = 0.05;
        options.optimizer.join_reordering = false;
        let changed = changed_options(&options);
        let back = options_of(&changed).unwrap();
        let text = |options: &ConfigOptions| {
            let mut entries: Vec<_> =
                options.entries().into_iter().map(|entry| (entry.key, entry.value)).collect();
            entries.sort();
            entries
        };
        assert_eq!(text(&back), text(&options));
        assert!(changed.len() < 8, "{changed:?}");
    }
}
