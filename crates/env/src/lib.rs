//! What Pando needs of its surroundings, behind traits, so that a simulation can stand in for each:
//! a disk, a clock, and the account of memory; what is kept within that; and how a thread waits for the disk.

pub mod clock;
pub mod disk;
pub mod memory;
pub mod recent;
pub mod sim;
pub mod waiting;

pub use clock::{Clock, SystemClock};
pub use disk::{Disk, File, OpenMode, RealDisk};
pub use memory::{MemoryBudget, Reservation};
pub use recent::{Recent, Seen};
pub use sim::{Fault, SimClock, SimDisk};
