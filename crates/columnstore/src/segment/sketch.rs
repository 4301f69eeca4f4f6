//! A sketch of how many distinct values a column holds: HyperLogLog (Flajolet, Fusy, Gandouet,
//! Meunier, 2007) with 1,024 registers, so an error of about 3%; sketches of several segments merge
//! into that of their union. Hashes are those of [`crate::encoding`], which never change.

use super::wire::{Read, Reader, Writer};

const REGISTERS: usize = 1_024;
const INDEX_BITS: u32 = REGISTERS.trailing_zeros();

#[derive(Clone, PartialEq, Eq)]
pub struct DistinctSketch {
    registers: Box<[u8; REGISTERS]>,
}

impl std::fmt::Debug for DistinctSketch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "about {} distinct", self.estimate())
    }
}

impl Default for DistinctSketch {
    fn default() -> DistinctSketch {
        DistinctSketch { registers: Box::new([0; REGISTERS]) }
    }
}

impl DistinctSketch {
    #[inline(always)]
    pub(crate) fn insert(&mut self, hash: u64) {
        let index = (hash >> (64 - INDEX_BITS)) as usize;
        let rank = ((hash << INDEX_BITS) | 1 << (INDEX_BITS - 1)).leading_zeros() as u8 + 1;
        let register = &mut self.registers[index];
        *register = (*register).max(rank);
    }

    /// Adds the values of another sketch.
    pub fn merge(&mut self, other: &DistinctSketch) {
        for (register, other) in self.registers.iter_mut().zip(other.registers.iter()) {
            *register = (*register).max(*other);
        }
    }

    /// The estimated number of distinct values.
    pub fn estimate(&self) -> u64 {
        let registers = REGISTERS as f64;
        let (mut sum, mut zeros) = (0.0, 0);
        for &register in self.registers.iter() {
            sum += 1.0 / (1u64 << register.min(63)) as f64;
            zeros += u32::from(register == 0);
        }
        let raw = 0.7213 / (1.0 + 1.079 / registers) * registers * registers / sum;
        if raw <= 2.5 * registers && zeros > 0 {
            // Linear counting is better while registers are empty.
            (registers * (registers / f64::from(zeros)).ln()).round() as u64
        } else {
            raw.round() as u64
        }
    }

    /// The number of registers that are not zero, then, if these are fewer than a third, pairs of
    /// the number of zeros skipped and the register; else all registers as they are.
    pub(crate) fn write(&self, to: &mut Writer) {
        let set = self.registers.iter().filter(|register| **register > 0).count();
        to.number(set as u64);
        if set * 3 < REGISTERS {
            let mut skipped = 0u32;
            for &register in self.registers.iter() {
                if register == 0 {
                    skipped += 1;
                } else {
                    to.number(skipped);
                    to.byte(register);
                    skipped = 0;
                }
            }
        } else {
            to.bytes.extend_from_slice(self.registers.as_slice());
        }
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Read<DistinctSketch> {
        let mut sketch = DistinctSketch::default();
        let set: usize = from.number()?;
        if set * 3 < REGISTERS {
            let mut at = 0usize;
            for _ in 0..set {
                at = at.saturating_add(from.number::<usize>()?);
                *sketch.registers.get_mut(at).ok_or("a sketch is too long")? = from.byte()?;
                at += 1;
            }
        } else {
            sketch.registers.copy_from_slice(from.take(REGISTERS)?);
        }
        Ok(sketch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::{bytes_hash, number_hash};

    #[test]
    fn estimates_are_near_and_merge() {
        for distinct in [0u64, 1, 10, 1_000, 50_000, 1_000_000] {
            let mut sketch = DistinctSketch::default();
            let mut halves = [DistinctSketch::default(), DistinctSketch::default()];
            for value in 0..distinct {
                sketch.insert(number_hash(value * 7));
                sketch.insert(number_hash(value * 7));
                halves[(value % 2) as usize].insert(number_hash(value * 7));
            }
            let [mut left, right] = halves;
            left.merge(&right);
            assert_eq!(left, sketch);
            let off = sketch.estimate().abs_diff(distinct);
            assert!(off <= distinct / 10, "{distinct}: {}", sketch.estimate());
            let mut writer = Writer::default();
            sketch.write(&mut writer);
            assert_eq!(DistinctSketch::read(&mut Reader::new(&writer.bytes)), Ok(sketch));
        }
        let mut strings = DistinctSketch::default();
        for value in 0..20_000 {
            strings.insert(bytes_hash(format!("Customer#{value:09}").as_bytes()));
        }
        assert!(strings.estimate().abs_diff(20_000) < 2_000, "{}", strings.estimate());
    }
}
