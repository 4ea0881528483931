//! Names that objects have of themselves: modules, functions, code, generators.

use alloc::string::String;

use super::dict;
use crate::types::ObjectKind;
use crate::{Memory, Runtime, TypeInfo, strings};

const NAME_MAX: usize = 1024;
/// `PyModuleObject`: `md_dict`.
const MODULE_DICT: u64 = 16;
/// `PyMethodObject`: `im_func`.
const METHOD_FUNCTION: u64 = 16;
/// `PyFunctionObject`: `func_qualname`.
const FUNCTION_QUALNAME: u64 = 40;
/// `PyCFunctionObject`: `m_ml`, whose first word is the name.
const BUILTIN_DEF: u64 = 16;

/// See `object::module_name`.
pub(super) fn module<M: Memory>(mem: &M, rt: &Runtime, module: u64) -> Option<String> {
    let globals = mem.u64(module.checked_add(MODULE_DICT)?)?;
    text(mem, rt, dict::lookup_str(mem, rt, globals, "__name__")?)
}

/// See `object::function_name`.
pub(super) fn function<M: Memory>(mem: &M, rt: &Runtime, info: &TypeInfo, object: u64) -> Option<String> {
    match info.kind {
        ObjectKind::BuiltinFunction => {
            let def = mem.u64(object.checked_add(BUILTIN_DEF)?)?;
            mem.c_string(mem.u64(def)?, NAME_MAX)
        }
        ObjectKind::Method => {
            // Almost always a function; anything else has no string there.
            let function = mem.u64(object.checked_add(METHOD_FUNCTION)?)?;
            text(mem, rt, mem.u64(function.checked_add(FUNCTION_QUALNAME)?)?)
        }
        _ => {
            let ends = ["qualname", "qualname__", "_name"];
            let field =
                ends.iter().find_map(|end| info.fields.iter().find(|field| field.name.ends_with(end)))?;
            text(mem, rt, mem.u64(object.checked_add(u64::from(field.offset))?)?)
        }
    }
}

fn text<M: Memory>(mem: &M, rt: &Runtime, object: u64) -> Option<String> {
    strings::read(mem, rt, object, NAME_MAX)
}
