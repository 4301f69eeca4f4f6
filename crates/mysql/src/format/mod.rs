//! Values as MySQL prints them, appended to a buffer. Those whose length is not known beforehand
//! are made by the `put_*` functions with their length in front, as rows need them.

pub mod float;
pub mod integer;
pub mod temporal;
