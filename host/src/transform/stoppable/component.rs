//! What a component consists of, as far as it is rewritten.

use super::{STOP, Unusual, module};
use std::ops::Range;
use wasm_encoder::{
    Alias, CanonicalFunctionSection, ComponentAliasSection, ComponentExportKind, ComponentExportSection,
    ComponentSection, ComponentTypeSection, ComponentValType, ExportKind, PrimitiveValType,
};
use wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentOuterAliasKind, ComponentType,
    ComponentTypeRef, Encoding, ExternalKind, Instance, Parser, Payload,
};

/// A component's section that holds a module.
const MODULE_SECTION: u8 = 1;

/// What a component defines, in the order of its indices, and what it is put together from.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) modules: Vec<ModuleSection>,
    /// By core instance: the module that it is one of.
    instances: Vec<Option<u32>>,
    core_functions: u32,
    core_memories: u32,
    types: u32,
    functions: u32,
}

/// Where a module is.
pub(super) struct ModuleSection {
    /// Its section, from the first byte.
    whole: Range<usize>,
    /// What is in it.
    content: Range<usize>,
}

impl Parts {
    pub(super) fn read(component: &[u8]) -> Result<Self, Unusual> {
        let mut parts = Parts::default();
        let (mut end, mut depth) = (0, 0_u32);
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload.map_err(|_| "unreadable")?;
            match &payload {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                    return Err("no component");
                }
                Payload::ModuleSection { .. } if depth > 0 => return Err("a module in a nested component"),
                Payload::ModuleSection { unchecked_range, .. } => {
                    let content = at(unchecked_range.start)?..at(unchecked_range.end)?;
                    parts.modules.push(ModuleSection { whole: end..content.end, content });
                }
                _ if depth == 0 => parts.add(&payload)?,
                _ => {}
            }
            if depth == 0 {
                end = match &payload {
                    Payload::Version { range, .. } => at(range.end)?,
                    other => other.as_section().map_or(Ok(end), |(_, range)| at(range.end))?,
                };
            }
            match &payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        Ok(parts)
    }

    /// Takes up what a section of the component itself defines.
    fn add(&mut self, payload: &Payload<'_>) -> Result<(), Unusual> {
        let unreadable = |_| "unreadable";
        match payload {
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    self.instances.push(match instance.map_err(unreadable)? {
                        Instance::Instantiate { module_index, .. } => Some(module_index),
                        Instance::FromExports(_) => None,
                    });
                }
            }
            Payload::ComponentTypeSection(section) => {
                for ty in section.clone() {
                    if let ComponentType::Resource { .. } = ty.map_err(unreadable)? {
                        return Err("it defines resources");
                    }
                    self.types += 1;
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    match alias.map_err(unreadable)? {
                        ComponentAlias::CoreInstanceExport { kind, .. } => match kind {
                            ExternalKind::Func => self.core_functions += 1,
                            ExternalKind::Memory => self.core_memories += 1,
                            _ => {}
                        },
                        ComponentAlias::InstanceExport { kind, .. } => self.add_kind(kind)?,
                        ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, .. } => self.types += 1,
                        ComponentAlias::Outer { .. } => {}
                    }
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for canonical in section.clone() {
                    match canonical.map_err(unreadable)? {
                        CanonicalFunction::Lift { .. } => self.functions += 1,
                        _ => self.core_functions += 1,
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    match import.map_err(unreadable)?.ty {
                        ComponentTypeRef::Module(_) => return Err("an imported module"),
                        ComponentTypeRef::Func(_) => self.functions += 1,
                        ComponentTypeRef::Type(_) => self.types += 1,
                        _ => {}
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    let export = export.map_err(unreadable)?;
                    if export.name.name == STOP {
                        return Err("a name is taken");
                    }
                    self.add_kind(export.kind)?;
                }
            }
            Payload::ComponentStartSection { .. } => return Err("it has a start function"),
            _ => {}
        }
        Ok(())
    }

    fn add_kind(&mut self, kind: ComponentExternalKind) -> Result<(), Unusual> {
        match kind {
            ComponentExternalKind::Module => return Err("a module from elsewhere"),
            ComponentExternalKind::Func => self.functions += 1,
            ComponentExternalKind::Type => self.types += 1,
            _ => {}
        }
        Ok(())
    }

    /// A module's bytes.
    pub(super) fn module<'b>(&self, component: &'b [u8], module: usize) -> Result<&'b [u8], Unusual> {
        let section = self.modules.get(module).ok_or("unreadable")?;
        component.get(section.content.clone()).ok_or("unreadable")
    }

    /// The component with other bytes in place of a module's, and a function more that says where it can be stopped.
    pub(super) fn write(&self, component: &[u8], module: usize, bytes: &[u8]) -> Result<Vec<u8>, Unusual> {
        let is_it = |of: Option<u32>| of.is_some_and(|of| usize::try_from(of) == Ok(module));
        let mut of_it = self.instances.iter().zip(0..).filter(|(of, _)| is_it(**of));
        let (Some((_, instance)), None) = (of_it.next(), of_it.next()) else {
            return Err("not instantiated once");
        };
        let section = &self.modules.get(module).ok_or("unreadable")?.whole;
        let (Some(before), Some(after)) = (component.get(..section.start), component.get(section.end..))
        else {
            return Err("unreadable");
        };
        let mut written = Vec::with_capacity(component.len() + component.len() / 8);
        written.extend_from_slice(before);
        written.push(MODULE_SECTION);
        wasm_encoder::Encode::encode(bytes, &mut written);
        written.extend_from_slice(after);
        self.lift(instance, &mut written);
        Ok(written)
    }

    /// Appends to a component what makes a function of its own of the module's one that says where the byte is.
    fn lift(&self, instance: u32, component: &mut Vec<u8>) {
        let mut aliases = ComponentAliasSection::new();
        for (name, kind) in [(module::STOP, ExportKind::Func), (module::STOP_MEMORY, ExportKind::Memory)] {
            aliases.alias(Alias::CoreInstanceExport { instance, kind, name });
        }
        aliases.append_to_component(component);
        let mut types = ComponentTypeSection::new();
        types.defined_type().list(ComponentValType::Primitive(PrimitiveValType::U8));
        let none: [(&str, ComponentValType); 0] = [];
        types.function().params(none).result(Some(ComponentValType::Type(self.types)));
        types.append_to_component(component);
        let mut lifted = CanonicalFunctionSection::new();
        let memory = wasm_encoder::CanonicalOption::Memory(self.core_memories);
        lifted.lift(self.core_functions, self.types + 1, [memory]);
        lifted.append_to_component(component);
        let mut exports = ComponentExportSection::new();
        exports.export(STOP, ComponentExportKind::Func, self.functions, None);
        exports.append_to_component(component);
    }
}

/// An offset that wasmparser gives, as an index.
pub(super) fn at(offset: u64) -> Result<usize, Unusual> {
    usize::try_from(offset).map_err(|_| "unreadable")
}
