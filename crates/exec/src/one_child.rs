//! Operators that yield the rows of their only child, as they are or otherwise made.

use datafusion::physical_plan::ExecutionPlan;
use std::sync::Arc;

pub(crate) type Plan = Arc<dyn ExecutionPlan>;

/// What such an operator says of itself, within its `impl ExecutionPlan`; what it does stands beside.
///
/// `$child` gives its child, `$over` the operator over another one, as functions of the operator;
/// `$keeps_order`: whether rows come in the order of the child's; `$statistics`: those of the operator by those of its
/// child, which are the same unless it says otherwise.
macro_rules! one_child {
    ($name:ident, $child:expr, keeps_order: $keeps_order:literal, $over:expr) => {
        $crate::one_child::one_child!(
            $name,
            $child,
            keeps_order: $keeps_order,
            statistics: |_, of_child| of_child.clone(),
            $over
        );
    };
    (
        $name:ident,
        $child:expr,
        keeps_order: $keeps_order:literal,
        statistics: $statistics:expr,
        $over:expr
    ) => {
        fn name(&self) -> &'static str {
            stringify!($name)
        }

        fn children(&self) -> Vec<&$crate::one_child::Plan> {
            let child: fn(&Self) -> &$crate::one_child::Plan = $child;
            vec![child(self)]
        }

        fn maintains_input_order(&self) -> Vec<bool> {
            vec![$keeps_order]
        }

        fn benefits_from_input_partitioning(&self) -> Vec<bool> {
            vec![false]
        }

        fn with_new_children(
            self: std::sync::Arc<Self>,
            children: Vec<$crate::one_child::Plan>,
        ) -> datafusion::common::Result<$crate::one_child::Plan> {
            let over: fn(
                &Self,
                $crate::one_child::Plan,
            ) -> datafusion::common::Result<$crate::one_child::Plan> = $over;
            match <[_; 1]>::try_from(children) {
                Ok([child]) => over(&self, child),
                Err(_) => datafusion::common::internal_err!("{} has one child", stringify!($name)),
            }
        }

        fn apply_expressions(
            &self,
            _: &mut dyn FnMut(
                &std::sync::Arc<dyn datafusion::physical_expr::PhysicalExpr>,
            )
                -> datafusion::common::Result<datafusion::common::tree_node::TreeNodeRecursion>,
        ) -> datafusion::common::Result<datafusion::common::tree_node::TreeNodeRecursion> {
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        }

        fn child_stats_requests(
            &self,
            partition: Option<usize>,
        ) -> Vec<datafusion::physical_plan::statistics::ChildStats> {
            vec![datafusion::physical_plan::statistics::ChildStats::At(partition)]
        }

        fn statistics_from_inputs(
            &self,
            inputs: &[std::sync::Arc<datafusion::common::Statistics>],
            _: &datafusion::physical_plan::statistics::StatisticsArgs,
        ) -> datafusion::common::Result<std::sync::Arc<datafusion::common::Statistics>> {
            let statistics: fn(
                &Self,
                &std::sync::Arc<datafusion::common::Statistics>,
            ) -> std::sync::Arc<datafusion::common::Statistics> = $statistics;
            match inputs {
                [input] => Ok(statistics(self, input)),
                _ => datafusion::common::internal_err!("{} has one child", stringify!($name)),
            }
        }
    };
}

pub(crate) use one_child;
