//! What a guest leaves to the host: working on many bytes of memory, or many places of a table, at once.
//!
//! Copies of a few bytes are the exception, which is most of them: a name, a number's digits, a key. A call out of the
//! sandbox takes longer than to move them, so the guest is made to do it itself.

use super::Unusual;
use std::ops::Range;
use wasm_encoder::{BlockType, Function, InstructionSink, MemArg, MemArgTarget};
use wasmparser::{FunctionBody, Operator};

/// Up to so many bytes are copied in place; as many more are no dearer by a call.
const IN_PLACE_MAX: i32 = 64;
/// Copies of so many bytes at most, known beforehand, the compiler does in place (wasmtime 48).
const COMPILED_IN_PLACE_MAX: i32 = 128;

/// Something in a function's code that the host does.
pub(super) struct Bulk {
    /// Its bytes in the module.
    pub(super) at: Range<u64>,
    /// A function of the same parameters that is to be called instead; absent if a check is to go before it.
    pub(super) instead: Option<Instead>,
}

#[derive(Clone, Copy)]
pub(super) enum Instead {
    Copy,
    Fill,
}

/// Finds all of it in a function. `wide`: addresses of the first memory have 64 bits.
pub(super) fn find(body: &FunctionBody<'_>, wide: bool) -> Result<Vec<Bulk>, Unusual> {
    let mut found = Vec::new();
    let mut operators = body.get_operators_reader().map_err(|_| "unreadable")?;
    let mut constant = None;
    while !operators.eof() {
        let (operator, offset) = operators.read_with_offset().map_err(|_| "unreadable")?;
        let instead = match operator {
            Operator::MemoryCopy { .. } if constant.is_some_and(in_place) => None,
            Operator::MemoryCopy { dst_mem: 0, src_mem: 0 } if !wide => Some(Some(Instead::Copy)),
            Operator::MemoryFill { mem: 0 } if !wide => Some(Some(Instead::Fill)),
            Operator::MemoryCopy { .. }
            | Operator::MemoryFill { .. }
            | Operator::MemoryInit { .. }
            | Operator::MemoryGrow { .. }
            | Operator::TableCopy { .. }
            | Operator::TableFill { .. }
            | Operator::TableInit { .. }
            | Operator::TableGrow { .. } => Some(None),
            _ => None,
        };
        found.extend(instead.map(|instead| Bulk { at: offset..operators.original_position(), instead }));
        constant = match operator {
            Operator::I32Const { value } => Some(value),
            _ => None,
        };
    }
    Ok(found)
}

fn in_place(bytes: i32) -> bool {
    (0..=COMPILED_IN_PLACE_MAX).contains(&bytes)
}

/// The parameters of the functions that are called instead: as the operators take them.
const TO: u32 = 0;
const FROM: u32 = 1;
const BYTES: u32 = 2;

/// What is called instead of `memory.fill`.
pub(super) fn fill(check: impl Fn(&mut InstructionSink<'_>)) -> Function {
    let mut function = Function::new([]);
    let mut code = function.instructions();
    check(&mut code);
    code.local_get(TO).local_get(FROM).local_get(BYTES).memory_fill(0).end();
    function
}

/// What is called instead of `memory.copy`. All is read before anything is written, for the two places may overlap. Beyond
/// the end of memory it traps as the operator does, but what is in reach may be written before.
pub(super) fn copy(check: impl Fn(&mut InstructionSink<'_>)) -> Function {
    let mut function = Function::new([]);
    let mut code = function.instructions();
    code.local_get(BYTES).i32_const(16).i32_gt_u().if_(BlockType::Empty);
    {
        code.local_get(BYTES).i32_const(IN_PLACE_MAX).i32_gt_u().if_(BlockType::Empty);
        check(&mut code);
        code.local_get(TO).local_get(FROM).local_get(BYTES).memory_copy(0, 0).return_().end();
        code.local_get(BYTES).i32_const(32).i32_gt_u().if_(BlockType::Empty);
        move_parts(&mut code, 16, &[Part::first(0), Part::first(16), Part::last(32), Part::last(16)]);
        code.end();
        move_parts(&mut code, 16, &[Part::first(0), Part::last(16)]);
    }
    code.end();
    for width in [8, 4, 2] {
        code.local_get(BYTES).i32_const(width).i32_ge_u().if_(BlockType::Empty);
        move_parts(&mut code, width, &[Part::first(0), Part::last(width)]);
        code.end();
    }
    code.local_get(BYTES).if_(BlockType::Empty);
    move_parts(&mut code, 1, &[Part::first(0)]);
    code.end().end();
    function
}

/// A part of what is copied.
#[derive(Clone, Copy)]
struct Part {
    /// How far it is from the beginning, or from the end.
    bytes: i32,
    from_end: bool,
}

impl Part {
    fn first(bytes: i32) -> Self {
        Part { bytes, from_end: false }
    }

    fn last(bytes: i32) -> Self {
        Part { bytes, from_end: true }
    }

    /// Its address in what begins there.
    fn address(self, code: &mut InstructionSink<'_>, begin: u32) -> MemArg {
        code.local_get(begin);
        if self.from_end {
            code.local_get(BYTES).i32_add().i32_const(self.bytes).i32_sub();
        }
        let offset = if self.from_end { 0 } else { u64::try_from(self.bytes).unwrap_or_default() };
        MemArg { offset, align: 0, target: MemArgTarget::Memory(0), ordering: None }
    }
}

/// Copies parts of so many bytes each, and returns.
fn move_parts(code: &mut InstructionSink<'_>, width: i32, parts: &[Part]) {
    let mut to = Vec::with_capacity(parts.len());
    for part in parts {
        to.push(part.address(code, TO));
        let from = part.address(code, FROM);
        match width {
            16 => code.v128_load(from),
            8 => code.i64_load(from),
            4 => code.i32_load(from),
            2 => code.i32_load16_u(from),
            _ => code.i32_load8_u(from),
        };
    }
    while let Some(to) = to.pop() {
        match width {
            16 => code.v128_store(to),
            8 => code.i64_store(to),
            4 => code.i32_store(to),
            2 => code.i32_store16(to),
            _ => code.i32_store8(to),
        };
    }
    code.return_();
}
