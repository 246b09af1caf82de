//! A core module with checks in its code, a memory that they read, and a function that says where it is.

use super::Unusual;
use super::bulk::{self, Bulk, Instead};
use super::component::at;
use std::ops::Range;
use wasm_encoder::{
    BlockType, Encode, ExportKind, Function, InstructionSink, MemArg, MemArgTarget, MemoryType, Module,
    RawSection, SectionId, ValType,
};
use wasmparser::{FunctionBody, Parser, Payload, TypeRef};

/// The function that answers where the memory's byte is.
pub(super) const STOP: &str = "gristmill:stop";
/// The memory.
pub(super) const STOP_MEMORY: &str = "gristmill:stop-memory";

/// Where the answer of [`STOP`] is, behind the byte: an address, then a length.
const ANSWER: u32 = 8;

/// The functions that are added, in their order.
const ADDED_STOP: u32 = 0;
const ADDED_COPY: u32 = 1;
const ADDED_FILL: u32 = 2;
const ADDED: u32 = 3;

/// What a module consists of, as far as it is rewritten.
#[derive(Default)]
struct Sections<'a> {
    /// All sections, in their order: the id, and where the content is.
    sections: Vec<(u8, Range<u64>)>,
    types: u32,
    imported_functions: u32,
    functions: u32,
    memories: u32,
    /// Whether a memory is its own.
    own_memory: bool,
    /// Whether the first memory has addresses of 64 bits.
    wide: bool,
    name_taken: bool,
    bodies: Vec<FunctionBody<'a>>,
}

/// A module with checks; `None` if it needs none.
pub(super) fn rewrite(bytes: &[u8]) -> Result<Option<Vec<u8>>, Unusual> {
    let sections = Sections::read(bytes)?;
    let bulks: Result<Vec<Vec<Bulk>>, Unusual> =
        sections.bodies.iter().map(|body| bulk::find(body, sections.wide)).collect();
    let bulks = bulks?;
    if !sections.own_memory {
        let none = bulks.iter().all(Vec::is_empty);
        return if none { Ok(None) } else { Err("several modules that work on memory") };
    }
    if sections.name_taken {
        return Err("a name is taken");
    }
    sections.write(bytes, &bulks).map(Some)
}

impl<'a> Sections<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Unusual> {
        let mut found = Sections::default();
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(|_| "unreadable")?;
            found.sections.extend(payload.as_section());
            found.add(payload).map_err(|error| error.0)?;
        }
        Ok(found)
    }

    fn add(&mut self, payload: Payload<'a>) -> Result<(), Malformed> {
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
                        TypeRef::Memory(memory) => self.add_memory(memory),
                        _ => {}
                    }
                }
            }
            Payload::FunctionSection(section) => self.functions = section.count(),
            Payload::MemorySection(section) => {
                for memory in section {
                    self.add_memory(memory?);
                    self.own_memory = true;
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    self.name_taken |= [STOP, STOP_MEMORY].contains(&export?.name);
                }
            }
            // It would run before anybody knows where the memory is.
            Payload::StartSection { .. } => return Err(Malformed("it has a start function")),
            Payload::CodeSectionEntry(body) => self.bodies.push(body),
            _ => {}
        }
        Ok(())
    }

    fn add_memory(&mut self, memory: wasmparser::MemoryType) {
        self.wide |= self.memories == 0 && memory.memory64;
        self.memories += 1;
    }

    fn write(&self, bytes: &[u8], bulks: &[Vec<Bulk>]) -> Result<Vec<u8>, Unusual> {
        let mut module = Module::new();
        let mut appended = 0;
        for (id, range) in &self.sections {
            let content = part(bytes, range)?;
            let changed = match self.entries(*id) {
                Some((_, functions)) if *id == u8::from(SectionId::Code) => {
                    appended += 1;
                    Some(self.code(bytes, bulks, &functions)?)
                }
                Some((count, entries)) => {
                    appended += 1;
                    Some(append(content, count, &entries)?)
                }
                None => None,
            };
            module.section(&RawSection { id: *id, data: changed.as_deref().unwrap_or(content) });
        }
        // A module that has code has all of them, unless it is a strange one.
        if appended == 5 { Ok(module.finish()) } else { Err("no code, or no exports") }
    }

    /// What a section gets more: how many entries, and their bytes.
    fn entries(&self, id: u8) -> Option<(u32, Vec<u8>)> {
        let mut entries = Vec::new();
        let is = |section: SectionId| id == u8::from(section);
        let count = if is(SectionId::Type) {
            // Functions without parameters that answer an i32; those with three, which answer nothing.
            entries.extend([0x60, 0x00, 0x01]);
            ValType::I32.encode(&mut entries);
            entries.extend([0x60, 0x03]);
            (0..3).for_each(|_| ValType::I32.encode(&mut entries));
            entries.push(0x00);
            2
        } else if is(SectionId::Function) {
            for ty in [self.types, self.types + 1, self.types + 1] {
                ty.encode(&mut entries);
            }
            ADDED
        } else if is(SectionId::Memory) {
            MemoryType { minimum: 1, maximum: Some(1), memory64: false, shared: false, page_size_log2: None }
                .encode(&mut entries);
            1
        } else if is(SectionId::Export) {
            STOP.encode(&mut entries);
            ExportKind::Func.encode(&mut entries);
            self.added(ADDED_STOP).encode(&mut entries);
            STOP_MEMORY.encode(&mut entries);
            ExportKind::Memory.encode(&mut entries);
            self.memories.encode(&mut entries);
            2
        } else if is(SectionId::Code) {
            self.stop().encode(&mut entries);
            bulk::copy(|code| self.check(code)).encode(&mut entries);
            bulk::fill(|code| self.check(code)).encode(&mut entries);
            ADDED
        } else {
            return None;
        };
        Some((count, entries))
    }

    /// The code section: each function with its checks, and those that are added.
    fn code(&self, bytes: &[u8], bulks: &[Vec<Bulk>], added: &[u8]) -> Result<Vec<u8>, Unusual> {
        let mut section = Vec::new();
        (self.functions + ADDED).encode(&mut section);
        let mut body = Vec::new();
        for (function, bulks) in self.bodies.iter().zip(bulks) {
            body.clear();
            let range = function.range();
            let mut from = range.start;
            for bulk in bulks {
                body.extend_from_slice(part(bytes, &(from..bulk.at.start))?);
                let mut code = InstructionSink::new(&mut body);
                from = match bulk.instead {
                    None => {
                        self.check(&mut code);
                        bulk.at.start
                    }
                    Some(instead) => {
                        let function = match instead {
                            Instead::Copy => ADDED_COPY,
                            Instead::Fill => ADDED_FILL,
                        };
                        code.call(self.added(function));
                        bulk.at.end
                    }
                };
            }
            body.extend_from_slice(part(bytes, &(from..range.end))?);
            body.encode(&mut section);
        }
        section.extend_from_slice(added);
        Ok(section)
    }

    /// The index of a function that is added.
    fn added(&self, function: u32) -> u32 {
        self.imported_functions + self.functions + function
    }

    /// Says where the byte is.
    fn stop(&self) -> Function {
        let mut stop = Function::new([]);
        let place = |offset: u32| MemArg { offset: offset.into(), align: 2, ..self.byte() };
        stop.instructions()
            .i32_const(0)
            .i32_const(1)
            .i32_store(place(ANSWER + 4))
            .i32_const(i32::try_from(ANSWER).unwrap_or(i32::MAX))
            .end();
        stop
    }

    /// Reads the byte and traps if it is not 0.
    fn check(&self, code: &mut InstructionSink<'_>) {
        code.i32_const(0).i32_load8_u(self.byte()).if_(BlockType::Empty).unreachable().end();
    }

    /// The first byte of the memory that is added.
    fn byte(&self) -> MemArg {
        MemArg { offset: 0, align: 0, target: MemArgTarget::Memory(self.memories), ordering: None }
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
