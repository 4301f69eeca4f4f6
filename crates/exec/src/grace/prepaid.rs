//! Memory that was reserved for an operator before it began.

use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool, MemoryReservation, UnboundedMemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A pool that gives what a reservation of the query's pool holds, and refuses nothing: what is taken
/// beyond is added to the reservation. What is given back is not needed again.
#[derive(Debug)]
pub(crate) struct Prepaid {
    used: Mutex<usize>,
    reservation: MemoryReservation,
}

impl Prepaid {
    /// The same context with the memory of `reservation` alone.
    pub(crate) fn context(context: &TaskContext, reservation: MemoryReservation) -> Result<Arc<TaskContext>> {
        with_pool(context, Arc::new(Prepaid { used: Mutex::new(0), reservation }))
    }

    /// The same context for what somebody else counts.
    pub(crate) fn uncounted(context: &TaskContext) -> Result<Arc<TaskContext>> {
        with_pool(context, Arc::new(UnboundedMemoryPool::default()))
    }
}

fn with_pool(context: &TaskContext, pool: Arc<dyn MemoryPool>) -> Result<Arc<TaskContext>> {
    let env =
        RuntimeEnvBuilder::from_runtime_env(&context.runtime_env()).with_memory_pool(pool).build_arc()?;
    Ok(Arc::new(TaskContext::new(
        context.task_id(),
        context.session_id(),
        context.session_config().clone(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        env,
    )))
}

impl fmt::Display for Prepaid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "prepaid({})", self.reservation.size())
    }
}

impl MemoryPool for Prepaid {
    fn name(&self) -> &str {
        "prepaid"
    }

    fn grow(&self, _: &MemoryReservation, additional: usize) {
        let mut used = self.used.lock();
        *used += additional;
        if *used > self.reservation.size() {
            self.reservation.grow(*used - self.reservation.size());
        }
    }

    fn shrink(&self, _: &MemoryReservation, shrink: usize) {
        let mut used = self.used.lock();
        *used = used.saturating_sub(shrink);
        self.reservation.resize(*used);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.grow(reservation, additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        *self.used.lock()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Infinite
    }
}
