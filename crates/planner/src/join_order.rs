//! The order of inner joins, by cost.
//!
//! A tree of inner joins is taken apart into its relations and its conditions. Semi and anti joins
//! above or within the tree are kept as *filters* on the relations that their conditions name: they
//! may be applied as soon as those are there. Columns that are equal to each other form a class, so
//! that two relations are joined on any pair of the class, stated or implied.
//!
//! Up to [`EXACT`] relations every tree without cross products is considered (dynamic programming
//! over sets); above that, the pair that is cheapest to join is joined, again and again. Sets that no
//! condition connects are multiplied at the end.
//!
//! What is not an inner join (an outer join, an aggregation) is a relation of its own, with its own
//! joins ordered before.
//!
//! Where a tree's rows are placed is a property of it, as their order is in other optimizers (Selinger et al.,
//! "Access path selection", 1979): for each set the cheapest tree is kept for each class of columns that places the
//! rows and that joins outside of the set compare, or that an aggregation above groups by, unless moving the rows of a
//! cheaper one would cost less ([`crate::movement`]).

use crate::cardinality::{Relation, estimate, join_rows, joined, semi_share};
use crate::movement::{BUILD, PROBE, Side, Ways, placed_by};
use crate::settings::Settings;
use crate::sizes::width_of;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{Column, JoinConstraint, JoinType, NullEquality, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Operator, binary_expr,
};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The most relations for which all orders are tried.
const EXACT: usize = 10;

/// What a row that a join yields costs, in nanoseconds, roughly.
const OUTPUT: f64 = 15.0;

/// A set of relations, by bits.
type Set = u64;

/// Orders the joins of a plan, and of its subqueries. `partitions`: of its tables.
pub(crate) fn order_joins(plan: LogicalPlan, settings: &Settings, partitions: usize) -> Result<LogicalPlan> {
    let ways = Ways::new(settings, partitions);
    let read = columns_read(&plan)?;
    order(plan, &Around { ways, read })
}

/// What is known of a plan besides a tree of joins in it.
struct Around {
    ways: Ways,
    /// Columns that some node's expressions name; others are not carried along.
    read: HashSet<Column>,
}

fn columns_read(plan: &LogicalPlan) -> Result<HashSet<Column>> {
    let mut read: HashSet<Column> = plan.schema().columns().into_iter().collect();
    plan.apply_with_subqueries(|node| {
        // What a scan filters by need not leave it.
        if !matches!(node, LogicalPlan::TableScan(_)) {
            node.apply_expressions(|expr| {
                read.extend(expr.column_refs().into_iter().cloned());
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(read)
}

fn order(plan: LogicalPlan, around: &Around) -> Result<LogicalPlan> {
    // The keys of the aggregation right above.
    let mut grouped: Vec<Expr> = Vec::new();
    plan.transform_down_with_subqueries(|node| {
        let Some(graph) = Graph::of(&node, &grouped, around)? else {
            match &node {
                LogicalPlan::Aggregate(aggregate) => grouped = aggregate.group_expr.clone(),
                LogicalPlan::Projection(_) | LogicalPlan::Filter(_) => {}
                _ => grouped.clear(),
            }
            return Ok(Transformed::no(node));
        };
        grouped.clear();
        let schema = node.schema().clone();
        let ordered = graph.solve()?;
        // The columns come in the order of the new tree; the rest of the plan finds them by name,
        // except where it counts them.
        let ordered = if ordered.schema().columns() == schema.columns() {
            ordered
        } else {
            let columns = schema.columns().into_iter().map(Expr::Column);
            LogicalPlanBuilder::from(ordered).project(columns)?.build()?
        };
        // The relations have been looked into already.
        Ok(Transformed::new(ordered, true, TreeNodeRecursion::Jump))
    })
    .data()
}

/// A semi or anti join that waits for the relations that it looks at.
struct SetFilter {
    join_type: JoinType,
    plan: Arc<LogicalPlan>,
    /// Pairs (of the tree, of `plan`).
    on: Vec<(Expr, Expr)>,
    filter: Option<Expr>,
    null_aware: bool,
    needs: Set,
    share: f64,
    rows: f64,
}

/// A condition that is no equality between two relations.
struct Condition {
    expr: Expr,
    needs: Set,
}

struct Graph {
    ways: Ways,
    relations: Vec<(Arc<LogicalPlan>, Relation)>,
    /// Bytes of a row of each relation.
    widths: Vec<f64>,
    /// The class of columns by which the rows of each relation are placed, if there is one.
    placed: Vec<Option<usize>>,
    /// By what the result is grouped; by nothing if this is empty.
    grouped: Vec<Expr>,
    /// Columns that are equal: for each class, its columns with their relations.
    classes: Vec<Vec<(usize, Expr)>>,
    conditions: Vec<Condition>,
    filters: Vec<SetFilter>,
}

/// A tree over a set of relations.
#[derive(Clone)]
struct Tree {
    cost: f64,
    relation: Arc<Relation>,
    /// Bytes of a row.
    width: f64,
    /// The class of columns by which its rows are placed, if it matters.
    placed: Option<usize>,
    /// Which of the graph's filters have been applied.
    filters: u64,
    shape: Shape,
}

#[derive(Clone)]
enum Shape {
    Relation(usize),
    /// Build side, probe side.
    Join(Arc<Tree>, Arc<Tree>),
    Filter(Arc<Tree>, usize),
}

/// The cheapest trees of one set: one for each choice of applied filters and each placement.
#[derive(Default)]
struct Cheapest(Vec<Tree>);

impl Cheapest {
    /// Whether there is none like that which costs as little.
    fn has_none(&self, filters: u64, placed: Option<usize>, cost: f64) -> bool {
        !self.0.iter().any(|tree| tree.filters == filters && tree.placed == placed && tree.cost <= cost)
    }

    fn take(&mut self, tree: &Tree) {
        if self.has_none(tree.filters, tree.placed, tree.cost) {
            self.0.retain(|other| other.filters != tree.filters || other.placed != tree.placed);
            self.0.push(tree.clone());
        }
    }
}

impl Tree {
    fn side(&self) -> Side {
        Side { rows: self.relation.rows, width: self.width, placed: self.placed }
    }
}

/// What the joins of a tree say, before it is known which relation each column is of.
#[derive(Default)]
struct Parts {
    relations: Vec<Arc<LogicalPlan>>,
    equalities: Vec<(Expr, Expr)>,
    conditions: Vec<Expr>,
    filters: Vec<Join>,
}

fn collect(plan: &LogicalPlan, parts: &mut Parts) {
    match plan {
        LogicalPlan::Join(join)
            if join.join_type == JoinType::Inner && join.null_equality == NullEquality::NullEqualsNothing =>
        {
            collect(&join.left, parts);
            collect(&join.right, parts);
            parts.equalities.extend(join.on.iter().cloned());
            parts.conditions.extend(join.filter.iter().cloned().flat_map(split_conjunction_owned));
        }
        LogicalPlan::Join(join)
            if matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
                && !join.null_aware
                && join.null_equality == NullEquality::NullEqualsNothing =>
        {
            collect(&join.left, parts);
            parts.filters.push(join.clone());
        }
        LogicalPlan::Filter(filter) if is_inner_tree(&filter.input) => {
            collect(&filter.input, parts);
            parts.conditions.extend(split_conjunction_owned(filter.predicate.clone()));
        }
        other => parts.relations.push(Arc::new(other.clone())),
    }
}

fn is_inner_tree(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Join(join) => {
            matches!(join.join_type, JoinType::Inner | JoinType::LeftSemi | JoinType::LeftAnti)
        }
        LogicalPlan::Filter(filter) => is_inner_tree(&filter.input),
        _ => false,
    }
}

impl Graph {
    /// The graph of the tree of joins that this node is the root of, if it has something to order.
    fn of(plan: &LogicalPlan, grouped: &[Expr], around: &Around) -> Result<Option<Graph>> {
        if !is_inner_tree(plan) {
            return Ok(None);
        }
        let mut parts = Parts::default();
        collect(plan, &mut parts);
        let count = parts.relations.len();
        if count + parts.filters.len() < 2 || count > 60 || parts.filters.len() > 60 {
            return Ok(None);
        }
        // A column must name one relation, and a condition nothing else.
        let mut owners: HashMap<Column, usize> = HashMap::new();
        for (at, relation) in parts.relations.iter().enumerate() {
            for column in relation.schema().columns() {
                if owners.insert(column, at).is_some() {
                    return Ok(None);
                }
            }
        }
        let needs = |expr: &Expr| -> Option<Set> {
            expr.column_refs().into_iter().try_fold(0, |set, column| Some(set | 1 << owners.get(column)?))
        };
        let volatile = parts.conditions.iter().any(Expr::is_volatile)
            || parts.equalities.iter().any(|(l, r)| l.is_volatile() || r.is_volatile());
        if volatile {
            return Ok(None);
        }

        let mut relations = Vec::with_capacity(count);
        for relation in &parts.relations {
            let plan = order(relation.as_ref().clone(), around)?;
            let rows = estimate(&plan);
            relations.push((Arc::new(plan), rows));
        }
        let widths = parts.relations.iter().map(|relation| width(relation, &around.read)).collect();
        let mut graph = Graph {
            ways: around.ways,
            relations,
            widths,
            placed: Vec::new(),
            grouped: grouped.to_vec(),
            classes: Vec::new(),
            conditions: Vec::new(),
            filters: Vec::new(),
        };
        let mut equalities = Vec::new();
        for (left, right) in parts.equalities {
            match (needs(&left), needs(&right)) {
                (Some(l), Some(r)) if l.count_ones() == 1 && r.count_ones() == 1 && l != r => {
                    equalities.push((l.trailing_zeros() as usize, left, r.trailing_zeros() as usize, right));
                }
                (Some(l), Some(r)) => {
                    let expr = binary_expr(left, Operator::Eq, right);
                    graph.conditions.push(Condition { expr, needs: l | r });
                }
                _ => return Ok(None),
            }
        }
        for condition in parts.conditions {
            let Some(needs) = needs(&condition) else { return Ok(None) };
            graph.conditions.push(Condition { expr: condition, needs });
        }
        graph.classes = classes(equalities, &graph.relations)?;
        graph.placed = graph.placements();
        graph.equate_within_relations();
        for join in parts.filters {
            let on_left: Option<Set> = join.on.iter().try_fold(0, |set, (left, _)| Some(set | needs(left)?));
            // The other side's columns are its own.
            let in_filter: Option<Set> =
                join.filter.iter().flat_map(|f| f.column_refs()).try_fold(0, |set, c| match owners.get(c) {
                    Some(at) => Some(set | 1 << at),
                    None => join.right.schema().has_column(c).then_some(set),
                });
            let (Some(on_left), Some(in_filter)) = (on_left, in_filter) else { return Ok(None) };
            let ambiguous = join.right.schema().columns().iter().any(|column| owners.contains_key(column));
            if ambiguous || on_left | in_filter == 0 {
                return Ok(None);
            }
            let plan = Arc::new(order(join.right.as_ref().clone(), around)?);
            let right = estimate(&plan);
            let owner = graph.relations[(on_left | in_filter).trailing_zeros() as usize].1.clone();
            let pairs: Vec<(&Expr, &Expr)> = join.on.iter().map(|(l, r)| (l, r)).collect();
            let semi = semi_share(&owner, &right, &pairs);
            let share = match join.join_type {
                JoinType::LeftSemi => semi,
                _ => (1.0 - semi).max(0.3),
            };
            graph.filters.push(SetFilter {
                join_type: join.join_type,
                plan,
                on: join.on.clone(),
                filter: join.filter.clone(),
                null_aware: join.null_aware,
                needs: on_left | in_filter,
                share,
                rows: right.rows,
            });
        }
        Ok(Some(graph))
    }

    fn placements(&self) -> Vec<Option<usize>> {
        let class_of = |at: usize, column: Column| {
            let member = (at, Expr::Column(column));
            self.classes.iter().position(|class| class.contains(&member))
        };
        let plans = self.relations.iter().map(|(plan, _)| placed_by(plan)).enumerate();
        plans.map(|(at, column)| class_of(at, column?)).collect()
    }

    /// Columns of one relation that are in one class are equal, which no join says: a pair of the class
    /// joins on one of them.
    fn equate_within_relations(&mut self) {
        for class in &self.classes {
            for (at, (relation, expr)) in class.iter().enumerate() {
                if let Some((_, first)) = class[..at].iter().find(|(other, _)| other == relation) {
                    let expr = binary_expr(first.clone(), Operator::Eq, expr.clone());
                    self.conditions.push(Condition { expr, needs: 1 << relation });
                }
            }
        }
    }

    fn solve(self) -> Result<LogicalPlan> {
        let all: Vec<usize> = (0..self.relations.len()).collect();
        let mut islands: Vec<(Set, Arc<Tree>)> = Vec::new();
        for component in self.components(&all) {
            let tree =
                if component.len() <= EXACT { self.exact(&component) } else { self.greedy(&component) };
            islands.push(tree);
        }
        // What nothing connects is multiplied, the small ones first.
        islands.sort_by(|a, b| a.1.relation.rows.total_cmp(&b.1.relation.rows));
        let mut islands = islands.into_iter();
        // Invariant: a graph has a relation.
        let (mut set, mut tree) = islands.next().unwrap_or_else(|| (1, Arc::new(self.leaf(0))));
        for (other_set, other) in islands {
            tree = Arc::new(self.join_cheaply(&tree, &other, set, other_set));
            set |= other_set;
        }
        // Filters that no smaller set could take.
        for at in 0..self.filters.len() {
            if tree.filters & (1 << at) == 0 {
                tree = Arc::new(self.filter(&tree, at));
            }
        }
        let mut used = vec![false; self.conditions.len()];
        let (plan, _) = self.build(&tree, &mut used)?;
        let rest: Vec<Expr> = self
            .conditions
            .iter()
            .zip(&used)
            .filter(|(_, used)| !**used)
            .map(|(c, _)| c.expr.clone())
            .collect();
        match conjunction(rest) {
            Some(filter) => LogicalPlanBuilder::from(plan).filter(filter)?.build(),
            None => Ok(plan),
        }
    }

    /// Relations that conditions connect, directly or through others.
    fn components(&self, relations: &[usize]) -> Vec<Vec<usize>> {
        let mut left: Vec<usize> = relations.to_vec();
        let mut components = Vec::new();
        while let Some(first) = left.first().copied() {
            let mut set: Set = 1 << first;
            loop {
                let grown = left
                    .iter()
                    .filter(|r| set & (1 << **r) != 0 || self.connected(set, 1 << **r))
                    .fold(set, |set, r| set | 1 << r);
                if grown == set {
                    break;
                }
                set = grown;
            }
            let (inside, outside): (Vec<usize>, Vec<usize>) =
                left.iter().partition(|r| set & (1 << **r) != 0);
            components.push(inside);
            left = outside;
        }
        components
    }

    fn connected(&self, a: Set, b: Set) -> bool {
        self.classes.iter().any(|class| {
            class.iter().any(|(r, _)| a & (1 << r) != 0) && class.iter().any(|(r, _)| b & (1 << r) != 0)
        })
    }

    /// One pair of equal expressions for each class that has members on both sides, and the class.
    fn pairs(&self, a: Set, b: Set) -> impl Iterator<Item = (usize, (&Expr, &Expr))> {
        self.classes.iter().enumerate().filter_map(move |(at, class)| {
            let left = class.iter().find(|(r, _)| a & (1 << r) != 0)?;
            let right = class.iter().find(|(r, _)| b & (1 << r) != 0)?;
            Some((at, (&left.1, &right.1)))
        })
    }

    fn leaf(&self, at: usize) -> Tree {
        Tree {
            cost: 0.0,
            relation: Arc::new(self.relations[at].1.clone()),
            width: self.widths[at],
            placed: self.outside(self.placed[at], 1 << at),
            filters: 0,
            shape: Shape::Relation(at),
        }
    }

    /// The class if relations outside of the set are compared by it, or the result is grouped by it.
    fn outside(&self, class: Option<usize>, set: Set) -> Option<usize> {
        let compared = |class: &usize| self.classes[*class].iter().any(|(at, _)| set & (1 << at) == 0);
        class.filter(|class| compared(class) || self.groups(*class))
    }

    fn groups(&self, class: usize) -> bool {
        self.classes[class].iter().any(|(_, member)| self.grouped.contains(member))
    }

    /// What it costs to bring the groups of a whole tree's rows together.
    fn grouping(&self, tree: &Tree) -> f64 {
        if self.grouped.is_empty() || tree.placed.is_some_and(|class| self.groups(class)) {
            return 0.0;
        }
        let groups: f64 = self.grouped.iter().map(|key| tree.relation.distinct(key)).product();
        self.ways.moved(&Side { rows: groups.min(tree.relation.rows), ..tree.side() })
    }

    /// The cheapest way to join two trees.
    fn join_cheaply(&self, a: &Arc<Tree>, b: &Arc<Tree>, a_set: Set, b_set: Set) -> Tree {
        let (compared, pairs): (Vec<usize>, Vec<_>) = self.pairs(a_set, b_set).unzip();
        let trees = self.join((a, a_set), (b, b_set), &compared, &pairs, |_, _, _| true).into_iter();
        // Invariant: each join has the way that collects its build side.
        trees.min_by(|a, b| a.cost.total_cmp(&b.cost)).unwrap_or_else(|| a.as_ref().clone())
    }

    /// The ways to join two trees on pairs of these classes, as far as one of these filters, placement and cost is
    /// `wanted`.
    fn join(
        &self,
        (a, a_set): (&Arc<Tree>, Set),
        (b, b_set): (&Arc<Tree>, Set),
        compared: &[usize],
        pairs: &[(&Expr, &Expr)],
        wanted: impl Fn(u64, Option<usize>, f64) -> bool,
    ) -> Vec<Tree> {
        let (set, filters) = (a_set | b_set, a.filters | b.filters);
        let mut rows = join_rows(&a.relation, &b.relation, pairs);
        // It has all columns of both, and most pairs of trees are not wanted.
        let mut relation = None;
        for condition in &self.conditions {
            if condition.needs & !set == 0 && condition.needs & !a_set != 0 && condition.needs & !b_set != 0 {
                let relation = relation.get_or_insert_with(|| joined(&a.relation, &b.relation, rows));
                relation.rows *= relation.selectivity(&condition.expr);
                rows = relation.rows;
            }
        }
        let mut relation = relation.map(Arc::new);
        let (build, probe) = if a.relation.rows <= b.relation.rows { (a, b) } else { (b, a) };
        let mut trees = Vec::new();
        for way in self.ways.of(build.side(), probe.side(), compared) {
            let cost = a.cost + b.cost + way.cost + rows * OUTPUT;
            let placed = self.outside(way.placed, set);
            if !wanted(filters, placed, cost) {
                continue;
            }
            let relation = relation.get_or_insert_with(|| Arc::new(joined(&a.relation, &b.relation, rows)));
            trees.push(Tree {
                cost,
                relation: relation.clone(),
                width: a.width + b.width,
                placed,
                filters,
                shape: Shape::Join(build.clone(), probe.clone()),
            });
        }
        trees
    }

    fn filter(&self, tree: &Arc<Tree>, at: usize) -> Tree {
        let filter = &self.filters[at];
        let mut relation = tree.relation.as_ref().clone();
        relation.rows = (relation.rows * filter.share).max(1.0);
        let (small, large) = (tree.relation.rows.min(filter.rows), tree.relation.rows.max(filter.rows));
        let cost = tree.cost + small * BUILD + large * PROBE + relation.rows * OUTPUT;
        let (width, placed) = (tree.width, tree.placed);
        Tree {
            cost,
            relation: Arc::new(relation),
            width,
            placed,
            filters: tree.filters | 1 << at,
            shape: Shape::Filter(tree.clone(), at),
        }
    }

    /// The tree and the trees with every choice of the filters that its set allows.
    fn with_filters(&self, tree: Tree, set: Set, into: &mut Cheapest) {
        let open: Vec<usize> = (0..self.filters.len())
            .filter(|at| tree.filters & (1 << at) == 0 && self.filters[*at].needs & !set == 0)
            .collect();
        into.take(&tree);
        // Filters that are open at the same place are applied from the most selective one on.
        let mut open = open;
        open.sort_by(|a, b| self.filters[*a].share.total_cmp(&self.filters[*b].share));
        let mut tree = Arc::new(tree);
        for at in open {
            tree = Arc::new(self.filter(&tree, at));
            into.take(&tree);
        }
    }

    /// The cheapest tree of all for one connected set of relations.
    fn exact(&self, relations: &[usize]) -> (Set, Arc<Tree>) {
        let n = relations.len();
        let set_of = |bits: usize| -> Set {
            (0..n).filter(|i| bits & (1 << i) != 0).fold(0, |set, i| set | 1 << relations[i])
        };
        // For each subset: its cheapest tree for each choice of applied filters and each placement.
        let mut best: Vec<Vec<Arc<Tree>>> = vec![Vec::new(); 1 << n];
        for bits in 1usize..1 << n {
            let set = set_of(bits);
            let mut found = Cheapest::default();
            if bits.count_ones() == 1 {
                self.with_filters(self.leaf(relations[bits.trailing_zeros() as usize]), set, &mut found);
            }
            let mut part = (bits - 1) & bits;
            while part > 0 {
                let rest = bits & !part;
                // Each split once.
                if part > rest && !best[part].is_empty() && !best[rest].is_empty() {
                    let (a_set, b_set) = (set_of(part), set_of(rest));
                    let (compared, pairs): (Vec<usize>, Vec<_>) = self.pairs(a_set, b_set).unzip();
                    if !pairs.is_empty() {
                        for a in &best[part] {
                            for b in &best[rest] {
                                let wanted = |filters, placed, cost| found.has_none(filters, placed, cost);
                                for tree in self.join((a, a_set), (b, b_set), &compared, &pairs, wanted) {
                                    self.with_filters(tree, set, &mut found);
                                }
                            }
                        }
                    }
                }
                part = (part - 1) & bits;
            }
            best[bits] = self.worth(found);
        }
        let set = set_of((1 << n) - 1);
        // Filters that are still open are paid for at the end.
        let total = |tree: &Arc<Tree>| {
            let mut tree = tree.clone();
            for at in 0..self.filters.len() {
                if tree.filters & (1 << at) == 0 && self.filters[at].needs & !set == 0 {
                    tree = Arc::new(self.filter(&tree, at));
                }
            }
            tree
        };
        let whole = best.pop().unwrap_or_default();
        let cost = |tree: &Arc<Tree>| tree.cost + self.grouping(tree);
        let tree = whole.iter().map(total).min_by(|a, b| cost(a).total_cmp(&cost(b)));
        // Invariant: a connected set has a tree, since every split into connected halves is tried.
        (set, tree.unwrap_or_else(|| Arc::new(self.leaf(relations[0]))))
    }

    /// The trees of one set that may be part of the cheapest whole.
    fn worth(&self, found: Cheapest) -> Vec<Arc<Tree>> {
        let cheapest = |filters: u64| {
            let costs = found.0.iter().filter(|tree| tree.filters == filters).map(|tree| tree.cost);
            costs.fold(f64::INFINITY, f64::min)
        };
        let worth = |tree: &&Tree| {
            let moved = if tree.placed.is_some() { self.ways.moved(&tree.side()) } else { 0.0 };
            tree.cost <= cheapest(tree.filters) + moved
        };
        found.0.iter().filter(worth).cloned().map(Arc::new).collect()
    }

    /// Joins the pair that yields the fewest rows, until one tree is left.
    fn greedy(&self, relations: &[usize]) -> (Set, Arc<Tree>) {
        let mut trees: Vec<(Set, Arc<Tree>)> = relations
            .iter()
            .map(|at| {
                let set = 1 << at;
                (set, self.take_filters(Arc::new(self.leaf(*at)), set))
            })
            .collect();
        while trees.len() > 1 {
            let mut best: Option<(f64, usize, usize)> = None;
            for i in 0..trees.len() {
                for j in i + 1..trees.len() {
                    if self.connected(trees[i].0, trees[j].0) {
                        let joined = self.join_cheaply(&trees[i].1, &trees[j].1, trees[i].0, trees[j].0);
                        let rows =
                            joined.relation.rows + (joined.cost - trees[i].1.cost - trees[j].1.cost) / 100.0;
                        if best.is_none_or(|(least, _, _)| rows < least) {
                            best = Some((rows, i, j));
                        }
                    }
                }
            }
            // Invariant: the relations are connected, so some pair is.
            let Some((_, i, j)) = best else { break };
            let (b_set, b) = trees.swap_remove(j);
            let (a_set, a) = trees.swap_remove(i);
            let set = a_set | b_set;
            let tree = self.take_filters(Arc::new(self.join_cheaply(&a, &b, a_set, b_set)), set);
            trees.push((set, tree));
        }
        trees.swap_remove(0)
    }

    fn take_filters(&self, mut tree: Arc<Tree>, set: Set) -> Arc<Tree> {
        for (at, filter) in self.filters.iter().enumerate() {
            if tree.filters & (1 << at) == 0 && filter.needs & !set == 0 && filter.share < 0.5 {
                tree = Arc::new(self.filter(&tree, at));
            }
        }
        tree
    }

    /// The plan of a tree and its set.
    fn build(&self, tree: &Tree, used: &mut [bool]) -> Result<(LogicalPlan, Set)> {
        match &tree.shape {
            Shape::Relation(at) => {
                let set = 1 << at;
                let mut plan = self.relations[*at].0.as_ref().clone();
                // Conditions on one relation that were stated in a join.
                let own = self.take_conditions(set, used);
                if let Some(filter) = conjunction(own) {
                    plan = LogicalPlanBuilder::from(plan).filter(filter)?.build()?;
                }
                Ok((plan, set))
            }
            Shape::Join(left, right) => {
                let (left, left_set) = self.build(left, used)?;
                let (right, right_set) = self.build(right, used)?;
                let set = left_set | right_set;
                let on: Vec<(Expr, Expr)> =
                    self.pairs(left_set, right_set).map(|(_, (l, r))| (l.clone(), r.clone())).collect();
                let filter = conjunction(self.take_conditions(set, used));
                let join = Join::try_new(
                    Arc::new(left),
                    Arc::new(right),
                    on,
                    filter,
                    JoinType::Inner,
                    JoinConstraint::On,
                    NullEquality::NullEqualsNothing,
                    false,
                )?;
                Ok((LogicalPlan::Join(join), set))
            }
            Shape::Filter(input, at) => {
                let (input, set) = self.build(input, used)?;
                let filter = &self.filters[*at];
                let join = Join::try_new(
                    Arc::new(input),
                    filter.plan.clone(),
                    filter.on.clone(),
                    filter.filter.clone(),
                    filter.join_type,
                    JoinConstraint::On,
                    NullEquality::NullEqualsNothing,
                    filter.null_aware,
                )?;
                Ok((LogicalPlan::Join(join), set))
            }
        }
    }

    fn take_conditions(&self, set: Set, used: &mut [bool]) -> Vec<Expr> {
        let mut taken = Vec::new();
        for (condition, used) in self.conditions.iter().zip(used) {
            if !*used && condition.needs != 0 && condition.needs & !set == 0 {
                *used = true;
                taken.push(condition.expr.clone());
            }
        }
        taken
    }
}

/// Bytes of a row, as far as it is read.
fn width(plan: &LogicalPlan, read: &HashSet<Column>) -> f64 {
    let columns = plan.schema().iter().filter(|(qualifier, field)| {
        read.contains(&Column::new(qualifier.map(|qualifier| (*qualifier).clone()), field.name()))
    });
    columns.map(|(_, field)| width_of(field.data_type())).sum()
}

/// Expressions that are equal, by classes. An equality only joins a class if the types agree: equal
/// after a cast is not equal before it.
fn classes(
    equalities: Vec<(usize, Expr, usize, Expr)>,
    relations: &[(Arc<LogicalPlan>, Relation)],
) -> Result<Vec<Vec<(usize, Expr)>>> {
    let mut classes: Vec<Vec<(usize, Expr)>> = Vec::new();
    let ty = |at: usize, expr: &Expr| expr.get_type(relations[at].0.schema());
    for (l, left, r, right) in equalities {
        let same_type = ty(l, &left)? == ty(r, &right)?;
        let find = |member: &(usize, Expr)| classes.iter().position(|class| class.contains(member));
        let (left, right) = ((l, left), (r, right));
        let (a, b) = if same_type { (find(&left), find(&right)) } else { (None, None) };
        match (a, b) {
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => {
                let merged = classes.swap_remove(a.max(b));
                classes[a.min(b)].extend(merged);
            }
            (Some(a), None) => classes[a].push(right),
            (None, Some(b)) => classes[b].push(left),
            (None, None) => classes.push(vec![left, right]),
        }
    }
    Ok(classes)
}
