//! Finds members of the kernel's structures in its BTF (Documentation/bpf/btf.rst, Linux 6.18).
//!
//! One pass over the types and an index of the structures: 5 MiB take a few ms, where a full parse takes 100 ms.

use std::collections::HashMap;

const MAGIC: u16 = 0xeb9f;

const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;

/// Members of a structure that are looked at, with those of the nameless parts in it. A kernel's largest have some hundreds; in
/// a damaged file a structure may be a part of itself.
const LOOKED_AT: u32 = 4096;

/// The types of a kernel.
pub(super) struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins, by its id less 1: id 0 is void.
    starts: Vec<usize>,
    structures: HashMap<&'a [u8], u32>,
    enumerations: HashMap<&'a [u8], u32>,
}

/// A type's first three words.
struct Type {
    name: u32,
    kind: u32,
    members: usize,
    /// Members of this structure may be bit fields: their offsets carry a width.
    bit_fields: bool,
    /// The type that this one refers to, for those that do.
    refers_to: u32,
}

impl<'a> Btf<'a> {
    /// Indexes the types; an error says what is wrong with the file.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let word = |at| word(bytes, at).ok_or("it is cut short");
        if word(0)? & 0xffff != u32::from(MAGIC) {
            return Err("it is not BTF of this machine's byte order");
        }
        let part = |start: u32, length: u32| {
            let start = word(4)?.saturating_add(start) as usize;
            bytes.get(start..start.saturating_add(length as usize)).ok_or("it is cut short")
        };
        let (types, strings) = (part(word(8)?, word(12)?)?, part(word(16)?, word(20)?)?);
        let mut btf =
            Self { types, strings, starts: Vec::new(), structures: HashMap::new(), enumerations: HashMap::new() };
        let mut at = 0;
        while at < types.len() {
            btf.starts.push(at);
            let found = btf.at(at).ok_or("a type is cut short")?;
            if matches!(found.kind, KIND_STRUCT | KIND_ENUM) && found.members > 0 {
                let name = btf.name(found.name).ok_or("a name is missing")?;
                let index = if found.kind == KIND_ENUM { &mut btf.enumerations } else { &mut btf.structures };
                index.entry(name).or_insert(btf.starts.len() as u32);
            }
            at += 12 + details(&found).ok_or("it holds a kind of type that is not known")?;
        }
        Ok(btf)
    }

    /// How many bits into the structure the member at `path` (`structure.member.member`) lies.
    pub(super) fn bits(&self, path: &str) -> Option<u32> {
        let mut names = path.split('.');
        let mut id = *self.structures.get(names.next()?.as_bytes())?;
        let mut total = 0;
        for name in names {
            let (offset, member) = self.member(id, name.as_bytes(), &mut LOOKED_AT.clone())?;
            total = offset.checked_add(total)?;
            id = member;
        }
        Some(total)
    }

    /// The value of `name` in an enumeration.
    pub(super) fn enumerator(&self, of: &str, name: &str) -> Option<u32> {
        let id = *self.enumerations.get(of.as_bytes())?;
        let start = *self.starts.get((id as usize).checked_sub(1)?)?;
        (0..self.at(start)?.members).find_map(|index| {
            let at = start + 12 + index * 8;
            let is_it = self.name(word(self.types, at)?)? == name.as_bytes();
            is_it.then(|| word(self.types, at + 4))?
        })
    }

    /// A member's offset in bits and its type, sought in nameless structures and unions too.
    fn member(&self, id: u32, name: &[u8], left: &mut u32) -> Option<(u32, u32)> {
        let (start, within) = self.structure(id)?;
        (0..within.members).find_map(|index| {
            *left = left.checked_sub(1)?;
            let at = start + 12 + index * 12;
            let (own, of_type, offset) = (word(self.types, at)?, word(self.types, at + 4)?, word(self.types, at + 8)?);
            let offset = if within.bit_fields { offset & 0xff_ffff } else { offset };
            match self.name(own)? {
                own if own == name => Some((offset, of_type)),
                b"" => {
                    let (inner, of_type) = self.member(of_type, name, left)?;
                    Some((offset.checked_add(inner)?, of_type))
                }
                _ => None,
            }
        })
    }

    /// The structure or union behind typedefs and qualifiers, and where it begins.
    fn structure(&self, mut id: u32) -> Option<(usize, Type)> {
        // A chain of qualifiers is short; what is longer is damaged.
        for _ in 0..16 {
            let start = *self.starts.get((id as usize).checked_sub(1)?)?;
            let found = self.at(start)?;
            match found.kind {
                KIND_STRUCT | KIND_UNION => return Some((start, found)),
                // typedef, volatile, const, restrict, type_tag
                8..=11 | 18 => id = found.refers_to,
                _ => return None,
            }
        }
        None
    }

    fn at(&self, start: usize) -> Option<Type> {
        let info = word(self.types, start + 4)?;
        Some(Type {
            name: word(self.types, start)?,
            kind: info >> 24 & 0x1f,
            members: (info & 0xffff) as usize,
            bit_fields: info >> 31 != 0,
            refers_to: word(self.types, start + 8)?,
        })
    }

    fn name(&self, at: u32) -> Option<&'a [u8]> {
        let rest = self.strings.get(at as usize..)?;
        rest.get(..rest.iter().position(|byte| *byte == 0)?)
    }
}

/// How many bytes follow a type's first three words.
fn details(of: &Type) -> Option<usize> {
    Some(match of.kind {
        // int, var, decl_tag
        1 | 14 | 17 => 4,
        // ptr, fwd, typedef, volatile, const, restrict, func, float, type_tag
        2 | 7..=12 | 16 | 18 => 0,
        // array
        3 => 12,
        // struct, union, datasec, enum64
        4 | 5 | 15 | 19 => 12 * of.members,
        // enum, func_proto
        6 | 13 => 8 * of.members,
        _ => return None,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::properties::config;

    /// `struct outer { int a; union { struct { const inner b:3; }; }; }`, `typedef struct inner { int c; } inner`,
    /// `enum kind { a, b = 5 }`.
    fn sample() -> Vec<u8> {
        let strings = b"\0outer\0a\0b\0inner\0c\0int\0kind\0";
        let name = |name: &[u8]| strings.windows(name.len()).position(|part| part == name).unwrap() as u32;
        let kind = |kind: u32, members: u32| kind << 24 | members;
        let (bits, inner) = (1 << 31, name(b"inner\0"));
        let types = [
            vec![name(b"int\0"), kind(1, 0), 4, 32],
            vec![name(b"outer\0"), kind(4, 2), 8, name(b"a\0"), 1, 0, 0, 3, 32],
            vec![0, kind(5, 1), 4, 0, 4, 0],
            vec![0, kind(4, 1) | bits, 4, name(b"b\0"), 5, 3 << 24 | 7],
            vec![0, kind(10, 0), 6],
            vec![inner, kind(8, 0), 7],
            vec![inner, kind(4, 1), 4, name(b"c\0"), 1, 16],
            vec![name(b"kind\0"), kind(6, 2), 4, name(b"a\0"), 0, name(b"b\0"), 5],
        ]
        .concat();
        let length = 4 * types.len() as u32;
        let header = [u32::from(MAGIC) | 1 << 16, 24, 0, length, length, strings.len() as u32];
        header.into_iter().chain(types).flat_map(u32::to_ne_bytes).chain(*strings).collect()
    }

    #[test]
    fn members_are_found_through_nameless_parts_and_qualifiers() {
        let bytes = sample();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(btf.bits("outer.a"), Some(0));
        assert_eq!(btf.bits("outer.b"), Some(39));
        assert_eq!(btf.bits("outer.b.c"), Some(55));
        assert_eq!(btf.bits("outer.c"), None);
        assert_eq!(btf.bits("outer.a.b"), None);
        assert_eq!(btf.bits("absent.a"), None);
    }

    #[test]
    fn enumerators_are_found() {
        let bytes = sample();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!((btf.enumerator("kind", "a"), btf.enumerator("kind", "b")), (Some(0), Some(5)));
        assert_eq!((btf.enumerator("kind", "c"), btf.enumerator("outer", "a")), (None, None));
    }

    #[test]
    fn damage_is_refused_and_never_panics() {
        let bytes = sample();
        for length in 0..bytes.len() {
            assert!(Btf::parse(&bytes[..length]).is_err(), "cut at {length}");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xff;
            if let Ok(btf) = Btf::parse(&damaged) {
                let _ = (btf.bits("outer.b.c"), btf.bits("inner.c"), btf.enumerator("kind", "c"));
            }
        }
    }

    #[test]
    fn a_structure_that_is_a_part_of_itself_ends() {
        let strings = b"\0outer\0";
        // struct outer { outer; outer; }
        let types = [1, 4 << 24 | 2, 8, 0, 1, 0, 0, 1, 0];
        let header = [u32::from(MAGIC) | 1 << 16, 24, 0, 36, 36, strings.len() as u32];
        let bytes: Vec<u8> = header.into_iter().chain(types).flat_map(u32::to_ne_bytes).chain(*strings).collect();
        assert_eq!(Btf::parse(&bytes).unwrap().bits("outer.a"), None);
    }

    proptest! {
        #![proptest_config(config(500))]

        #[test]
        fn any_damage_is_refused_or_harmless(
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<[u8; 4]>(), 1usize..5), 1..6),
            bytes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut damaged = sample();
            for (at, with, length) in edits {
                let at = at.index(damaged.len());
                damaged.iter_mut().skip(at).zip(&with[..length.min(4)]).for_each(|(to, from)| *to = *from);
            }
            let mut behind_a_header = sample()[..24].to_vec();
            behind_a_header.extend(&bytes);
            for bytes in [&damaged, &bytes, &behind_a_header] {
                if let Ok(btf) = Btf::parse(bytes) {
                    prop_assert!(btf.starts.len() * 12 <= bytes.len());
                    let _ = (btf.bits("outer.b.c"), btf.bits("inner.c"), btf.bits("outer.nowhere"));
                    let _ = btf.enumerator("kind", "nowhere");
                }
            }
        }
    }
}
