//! Runs logical rules over a plan, each in the order in which it wants to see the nodes.
//!
//! DataFusion's own driver does that too, and more: before and after, it proves that subqueries stand where they may,
//! by looking at all subqueries within a subquery when it comes to that and again when it comes to them, so that each
//! level of nesting takes as long as all others together; and it hashes the whole plan between passes. Here a plan's
//! subqueries are looked at once each ([`crate::subqueries`]), and passes end when no rule has changed anything.
//!
//! Planning ends with its statement: KILL, a time-out, a client that has gone. A rule looks at every node of a plan,
//! one after the other, and most of planning's time goes by so. So before a rule looks at a node it is asked whether
//! the statement is cancelled. For a rule that walks the plan by itself that is asked once. Between rules, physical
//! ones too, and where a table is asked for its scan, that is looked at as well.

use crate::subqueries::has_subqueries;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRewriter};
use datafusion::logical_expr::logical_plan::assert_expected_schema;
use datafusion::logical_expr::{Distinct, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use exec::Cancel;
use std::mem;
use std::sync::Arc;

pub(crate) type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// Applies the rules one after the other, and all of them again up to so many times while they change something.
pub(crate) fn apply(
    rules: &[Rule],
    passes: usize,
    mut plan: LogicalPlan,
    config: &dyn OptimizerConfig,
    cancel: &Cancel,
) -> Result<LogicalPlan> {
    let schema = plan.schema().clone();
    // No rule makes a subquery of what is none.
    let mut nested = has_subqueries(&plan);
    for _ in 0..passes {
        let mut changed = false;
        for rule in rules {
            cancel.check()?;
            let applied = one(rule.as_ref(), nested, plan, config, cancel).and_then(|applied| {
                assert_expected_schema(&schema, &applied.data)?;
                Ok(applied)
            });
            let applied = applied.map_err(|error| error.context(rule.name()))?;
            plan = applied.data;
            if applied.transformed {
                changed = true;
                nested = nested && has_subqueries(&plan);
            }
        }
        if !changed {
            break;
        }
    }
    Ok(plan)
}

/// `nested`: the plan has subqueries, which the rule looks at too.
fn one(
    rule: &dyn OptimizerRule,
    nested: bool,
    mut plan: LogicalPlan,
    config: &dyn OptimizerConfig,
    cancel: &Cancel,
) -> Result<Transformed<LogicalPlan>> {
    let Some(order) = rule.apply_order() else { return rule.rewrite(plan, config) };
    let mut walk = Walk { rule, order, config, cancel };
    if nested {
        return plan.rewrite_with_subqueries(&mut walk);
    }
    let changed = walk.in_place(&mut plan)?;
    Ok(Transformed::new_transformed(plan, changed))
}

struct Walk<'a> {
    rule: &'a dyn OptimizerRule,
    order: ApplyOrder,
    config: &'a dyn OptimizerConfig,
    cancel: &'a Cancel,
}

impl Walk<'_> {
    fn when(&self, order: ApplyOrder, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        if self.order != order {
            return Ok(Transformed::no(node));
        }
        self.cancel.check()?;
        self.rule.rewrite(node, self.config)
    }

    fn replace_when(&self, order: ApplyOrder, node: &mut LogicalPlan) -> Result<bool> {
        if self.order != order {
            return Ok(false);
        }
        let after = self.when(order, mem::take(node))?;
        *node = after.data;
        Ok(after.transformed)
    }

    /// Rewrites a plan without subqueries where it lies, and says whether it changed. After an error nothing is left
    /// of the plan.
    fn in_place(&self, node: &mut LogicalPlan) -> Result<bool> {
        let mut changed = self.replace_when(ApplyOrder::TopDown, node)?;
        let mut has_other_columns = false;
        for_each_input(node, &mut |input| {
            let before = input.schema().clone();
            if self.in_place(input)? {
                changed = true;
                has_other_columns |= !Arc::ptr_eq(&before, input.schema()) && before != *input.schema();
            }
            Ok(())
        })?;
        if has_other_columns {
            *node = mem::take(node).recompute_schema()?;
        }
        Ok(changed | self.replace_when(ApplyOrder::BottomUp, node)?)
    }
}

impl TreeNodeRewriter for Walk<'_> {
    type Node = LogicalPlan;

    fn f_down(&mut self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        self.when(ApplyOrder::TopDown, node)
    }

    fn f_up(&mut self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        self.when(ApplyOrder::BottomUp, node)
    }
}

/// Calls `f` with what a node reads, which is copied only if others hold it too.
fn for_each_input(node: &mut LogicalPlan, f: &mut dyn FnMut(&mut LogicalPlan) -> Result<()>) -> Result<()> {
    let (first, second) = match node {
        LogicalPlan::Projection(node) => (&mut node.input, None),
        LogicalPlan::Filter(node) => (&mut node.input, None),
        LogicalPlan::Aggregate(node) => (&mut node.input, None),
        LogicalPlan::Sort(node) => (&mut node.input, None),
        LogicalPlan::Limit(node) => (&mut node.input, None),
        LogicalPlan::Window(node) => (&mut node.input, None),
        LogicalPlan::SubqueryAlias(node) => (&mut node.input, None),
        LogicalPlan::Distinct(Distinct::All(input)) => (input, None),
        LogicalPlan::Join(node) => (&mut node.left, Some(&mut node.right)),
        LogicalPlan::RecursiveQuery(node) => (&mut node.static_term, Some(&mut node.recursive_term)),
        LogicalPlan::Union(node) => {
            return node.inputs.iter_mut().try_for_each(|input| f(Arc::make_mut(input)));
        }
        LogicalPlan::TableScan(_) | LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => return Ok(()),
        other => {
            let whole = mem::take(other).map_children(|mut input| {
                f(&mut input)?;
                Ok(Transformed::yes(input))
            })?;
            *other = whole.data;
            return Ok(());
        }
    };
    f(Arc::make_mut(first))?;
    second.map_or(Ok(()), |second| f(Arc::make_mut(second)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::logical_expr::{Expr, LogicalPlanBuilder, Subquery, lit};
    use datafusion::optimizer::OptimizerContext;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Counts the nodes that it is shown, and puts the first limit away that it is shown.
    #[derive(Debug)]
    struct Counts {
        order: ApplyOrder,
        nodes: AtomicUsize,
        limits: AtomicUsize,
    }

    impl Counts {
        fn new(order: ApplyOrder) -> Arc<Counts> {
            Arc::new(Counts { order, nodes: AtomicUsize::new(0), limits: AtomicUsize::new(0) })
        }
    }

    impl OptimizerRule for Counts {
        fn name(&self) -> &str {
            "counts"
        }

        fn apply_order(&self) -> Option<ApplyOrder> {
            Some(self.order)
        }

        fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
            self.nodes.fetch_add(1, Ordering::Relaxed);
            match plan {
                LogicalPlan::Limit(limit) if self.limits.fetch_add(1, Ordering::Relaxed) == 0 => {
                    Ok(Transformed::yes(Arc::unwrap_or_clone(limit.input)))
                }
                plan => Ok(Transformed::no(plan)),
            }
        }
    }

    fn applied(rule: &Arc<Counts>, passes: usize, plan: LogicalPlan) -> LogicalPlan {
        let rule: Rule = rule.clone();
        apply(&[rule], passes, plan, &OptimizerContext::new(), &Cancel::new()).unwrap()
    }

    #[test]
    fn every_node_is_shown_once_a_pass_while_something_changes() {
        // A projection above two unions of a limit above a row each.
        let limited = |rows| LogicalPlanBuilder::empty(true).limit(0, Some(rows)).unwrap();
        let both = limited(5).union(limited(7).build().unwrap()).unwrap();
        let plan = both.project(vec![lit(1).alias("one")]).unwrap().build().unwrap();
        // Bottom-up both rows below limits are seen; top-down the row below the limit that goes is not looked at
        // again by the rule that took the limit away.
        for (order, first) in [(ApplyOrder::BottomUp, 6), (ApplyOrder::TopDown, 5)] {
            let rule = Counts::new(order);
            let after = applied(&rule, 5, plan.clone());
            let limits = after.display_indent().to_string().matches("Limit").count();
            assert_eq!(limits, 1, "{after:?}");
            assert_eq!(rule.nodes.load(Ordering::Relaxed), first + 5, "the second pass changes nothing");
            let rule = Counts::new(order);
            applied(&rule, 1, plan.clone());
            assert_eq!(rule.nodes.load(Ordering::Relaxed), first);
        }
    }

    #[test]
    fn nodes_of_nested_subqueries_are_shown_once() {
        let nested = |levels: usize| {
            let mut plan = LogicalPlanBuilder::empty(true).project(vec![lit(1).alias("v")]).unwrap();
            for _ in 0..levels {
                let subquery = Subquery {
                    subquery: Arc::new(plan.build().unwrap()),
                    outer_ref_columns: Vec::new(),
                    spans: Default::default(),
                };
                let value = Expr::ScalarSubquery(subquery).alias("v");
                plan = LogicalPlanBuilder::empty(true).project(vec![value]).unwrap();
            }
            plan.build().unwrap()
        };
        for levels in [0, 1, 40] {
            let rule = Counts::new(ApplyOrder::TopDown);
            applied(&rule, 2, nested(levels));
            // A projection, a row, and the subquery.
            assert_eq!(rule.nodes.load(Ordering::Relaxed), 2 + 3 * levels);
        }
    }
}
