//! A core module with checks in its code, a memory that they read, and a function that says where it is.

use super::Unusual;
use super::checks::{self, Placed};
use super::component::at;
use super::graph::{Graph, index};
use std::ops::Range;
use wasm_encoder::{
    Encode, ExportKind, Function, MemArg, MemArgTarget, MemoryType, Module, RawSection, SectionId, ValType,
};
use wasmparser::{ExternalKind, FunctionBody, Parser, Payload, TypeRef};

/// The function that answers where the memory's bytes are.
pub(super) const STOP: &str = "gristmill:stop";
/// The memory.
pub(super) const STOP_MEMORY: &str = "gristmill:stop-memory";

/// A page, bytes: each check of a function reads one of its own, for the compiler leaves out a second read of the same
/// place.
const PAGE_BYTES: u32 = 1 << 16;
/// Where the answer of [`STOP`] is, behind the checks' bytes: an address, then a length.
const ANSWER: u32 = PAGE_BYTES - 8;
/// Bytes that checks may read.
const CHECKS_MAX: u32 = ANSWER;

/// What a module consists of, as far as it is rewritten.
#[derive(Default)]
pub(super) struct Sections<'a> {
    /// All sections, in their order: the id, and where the content is.
    sections: Vec<(u8, Range<u64>)>,
    types: u32,
    pub(super) imported_functions: u32,
    functions: u32,
    memories: u32,
    /// What keeps it from being rewritten, if it has code.
    unusual: Option<Unusual>,
    /// Functions that may be in a table.
    pub(super) in_tables: Vec<u32>,
    /// Functions that may be called while the module waits for one that it has imported.
    pub(super) reentered: Vec<u32>,
    pub(super) bodies: Vec<FunctionBody<'a>>,
}

/// A module with checks; `None` if it needs none. `reentered` are the exports that may be called while it waits for a
/// function that it has imported.
pub(super) fn rewrite(bytes: &[u8], reentered: &[&str]) -> Result<Option<Vec<u8>>, Unusual> {
    let sections = Sections::read(bytes, reentered)?;
    let graph = Graph::read(&sections)?;
    if graph.only_passes_on() {
        return Ok(None);
    }
    if let Some(unusual) = sections.unusual {
        return Err(unusual);
    }
    let placed = checks::place(&sections, &graph)?;
    if placed.iter().any(|placed| placed.len() > index(CHECKS_MAX)) {
        return Err("too many checks in a function");
    }
    sections.write(bytes, &placed).map(Some)
}

impl<'a> Sections<'a> {
    fn read(bytes: &'a [u8], reentered: &[&str]) -> Result<Self, Unusual> {
        let mut found = Sections::default();
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(|_| "unreadable")?;
            if let Some(section) = payload.as_section()
                && !matches!(payload, Payload::CodeSectionEntry(_))
            {
                found.sections.push(section);
            }
            found.add(payload, reentered).map_err(|error| error.0)?;
        }
        Ok(found)
    }

    fn add(&mut self, payload: Payload<'a>, reentered: &[&str]) -> Result<(), Malformed> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    self.types += u32::try_from(group?.types().len()).unwrap_or(u32::MAX);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    match import?.ty {
                        TypeRef::Func(_) => self.imported_functions += 1,
                        TypeRef::Memory(_) => self.memories += 1,
                        // Others may put functions there.
                        TypeRef::Table(_) => self.unusual = Some("an imported table"),
                        _ => {}
                    }
                }
            }
            Payload::FunctionSection(section) => self.functions = section.count(),
            Payload::MemorySection(section) => self.memories += section.count(),
            Payload::GlobalSection(section) => {
                for global in section {
                    self.reach(&mut global?.init_expr.get_operators_reader())?;
                }
            }
            Payload::ElementSection(section) => {
                for element in section {
                    match element?.items {
                        wasmparser::ElementItems::Functions(functions) => {
                            for function in functions {
                                self.in_tables.push(function?);
                            }
                        }
                        wasmparser::ElementItems::Expressions(_, expressions) => {
                            for expression in expressions {
                                self.reach(&mut expression?.get_operators_reader())?;
                            }
                        }
                    }
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    if [STOP, STOP_MEMORY].contains(&export.name) {
                        self.unusual = Some("a name is taken");
                    }
                    if export.kind == ExternalKind::Func && reentered.contains(&export.name) {
                        self.reentered.push(export.index);
                    }
                }
            }
            // It would run before anybody knows where the memory is.
            Payload::StartSection { .. } => return Err(Malformed("it has a start function")),
            Payload::CodeSectionEntry(body) => self.bodies.push(body),
            _ => {}
        }
        Ok(())
    }

    /// Functions that an expression refers to.
    fn reach(&mut self, expression: &mut wasmparser::OperatorsReader<'_>) -> Result<(), Malformed> {
        while !expression.eof() {
            if let wasmparser::Operator::RefFunc { function_index } = expression.read()? {
                self.in_tables.push(function_index);
            }
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8], placed: &[Placed]) -> Result<Vec<u8>, Unusual> {
        let mut module = Module::new();
        let mut appended = 0;
        for (id, range) in &self.sections {
            let content = part(bytes, range)?;
            let entry = self.entry(*id);
            let changed = match entry {
                Some((entries, entry)) => {
                    appended += 1;
                    Some(if *id == u8::from(SectionId::Code) {
                        self.code(bytes, placed, &entry)?
                    } else {
                        append(content, entries, &entry)?
                    })
                }
                None => None,
            };
            module.section(&RawSection { id: *id, data: changed.as_deref().unwrap_or(content) });
        }
        // A module that has code has all of them, unless it is a strange one.
        if appended == 5 { Ok(module.finish()) } else { Err("no memory of its own, or no exports") }
    }

    /// What a section gets more: how many entries, and their bytes.
    fn entry(&self, id: u8) -> Option<(u32, Vec<u8>)> {
        let (mut entries, mut entry) = (1, Vec::new());
        let is = |section: SectionId| id == u8::from(section);
        if is(SectionId::Type) {
            // The type of a function without parameters that answers an i32.
            entry.extend([0x60, 0x00, 0x01]);
            ValType::I32.encode(&mut entry);
        } else if is(SectionId::Function) {
            self.types.encode(&mut entry);
        } else if is(SectionId::Memory) {
            MemoryType { minimum: 1, maximum: Some(1), memory64: false, shared: false, page_size_log2: None }
                .encode(&mut entry);
        } else if is(SectionId::Export) {
            STOP.encode(&mut entry);
            ExportKind::Func.encode(&mut entry);
            (self.imported_functions + self.functions).encode(&mut entry);
            STOP_MEMORY.encode(&mut entry);
            ExportKind::Memory.encode(&mut entry);
            self.memories.encode(&mut entry);
            entries = 2;
        } else if is(SectionId::Code) {
            let mut stop = Function::new([]);
            let place = |offset: u32| MemArg { offset: offset.into(), align: 2, ..self.there() };
            stop.instructions()
                .i32_const(0)
                .i32_const(i32::try_from(CHECKS_MAX).unwrap_or(i32::MAX))
                .i32_store(place(ANSWER + 4))
                .i32_const(i32::try_from(ANSWER).unwrap_or(i32::MAX))
                .end();
            stop.encode(&mut entry);
        } else {
            return None;
        }
        Some((entries, entry))
    }

    /// The code section: each function with its checks, and one function more.
    fn code(&self, bytes: &[u8], placed: &[Placed], more: &[u8]) -> Result<Vec<u8>, Unusual> {
        let mut section = Vec::new();
        (self.bodies.len() + 1).encode(&mut section);
        let mut body = Vec::new();
        for (function, placed) in self.bodies.iter().zip(placed) {
            body.clear();
            let range = function.range();
            let mut from = range.start;
            for (n, place) in placed.iter().enumerate() {
                body.extend_from_slice(part(bytes, &(from..*place))?);
                self.check(u64::try_from(n).unwrap_or(u64::MAX), &mut body);
                from = *place;
            }
            body.extend_from_slice(part(bytes, &(from..range.end))?);
            body.encode(&mut section);
        }
        section.extend_from_slice(more);
        Ok(section)
    }

    /// The first byte of the memory that is added.
    fn there(&self) -> MemArg {
        MemArg { offset: 0, align: 0, target: MemArgTarget::Memory(self.memories), ordering: None }
    }

    /// Reads the `n`th byte and traps if it is not 0.
    fn check(&self, n: u64, body: &mut Vec<u8>) {
        wasm_encoder::InstructionSink::new(body)
            .i32_const(0)
            .i32_load8_u(MemArg { offset: n, ..self.there() })
            .if_(wasm_encoder::BlockType::Empty)
            .unreachable()
            .end();
    }
}

/// A section's content with so many entries more at its end.
fn append(content: &[u8], entries: u32, bytes: &[u8]) -> Result<Vec<u8>, Unusual> {
    let mut reader = wasmparser::BinaryReader::new(content, 0);
    let count = reader.read_var_u32().map_err(|_| "unreadable")?;
    let rest = content.get(at(reader.original_position())?..).ok_or("unreadable")?;
    let mut section = Vec::with_capacity(content.len() + bytes.len() + 1);
    count.saturating_add(entries).encode(&mut section);
    section.extend_from_slice(rest);
    section.extend_from_slice(bytes);
    Ok(section)
}

/// The bytes in a range that wasmparser gives.
fn part<'a>(bytes: &'a [u8], range: &Range<u64>) -> Result<&'a [u8], Unusual> {
    bytes.get(at(range.start)?..at(range.end)?).ok_or("unreadable")
}

/// What is wrong with bytes: they were validated before, so hardly ever anything.
struct Malformed(Unusual);

impl From<wasmparser::Error> for Malformed {
    fn from(_: wasmparser::Error) -> Self {
        Malformed("unreadable")
    }
}
