//! The paths an expression names: `metrics.f1`, `stages["train"].metrics.loss`.

use std::fmt;

use cel::{
    IdedExpr,
    common::ast::{EntryExpr, Expr, IdedEntryExpr, LiteralValue},
};

/// A path from a root name through fields or literal keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// `params`, `metrics`, `baseline`, or `stages`.
    pub root: String,
    /// What follows the root.
    pub fields: Vec<String>,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.root)?;
        self.fields.iter().try_for_each(|field| write!(f, ".{field}"))
    }
}

/// Every path of an expression, sorted, each once. Variables that a macro such as `all` binds are left out.
pub(super) fn of(expression: &IdedExpr) -> Vec<Name> {
    let mut walk = Walk { bound: Vec::new(), found: Vec::new() };
    walk.visit(expression);
    walk.found.sort();
    walk.found.dedup();
    walk.found
}

struct Walk<'e> {
    bound: Vec<&'e str>,
    found: Vec<Name>,
}

impl<'e> Walk<'e> {
    fn visit(&mut self, expression: &'e IdedExpr) {
        if let Some(name) = path(expression) {
            if !self.bound.contains(&name.root.as_str()) && !name.root.starts_with('@') {
                self.found.push(name);
            }
            return;
        }
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) => {}
            Expr::Select(select) => self.visit(&select.operand),
            Expr::Call(call) => call.target.iter().map(AsRef::as_ref).chain(&call.args).for_each(|part| self.visit(part)),
            Expr::List(list) => list.elements.iter().for_each(|element| self.visit(element)),
            Expr::Map(map) => self.visit_entries(&map.entries),
            Expr::Struct(fields) => self.visit_entries(&fields.entries),
            Expr::Comprehension(comprehension) => {
                self.visit(&comprehension.iter_range);
                self.visit(&comprehension.accu_init);
                let outer = self.bound.len();
                self.bound.extend([comprehension.iter_var.as_str(), comprehension.accu_var.as_str()]);
                self.bound.extend(comprehension.iter_var2.as_deref());
                for part in [&comprehension.loop_cond, &comprehension.loop_step, &comprehension.result] {
                    self.visit(part);
                }
                self.bound.truncate(outer);
            }
        }
    }

    fn visit_entries(&mut self, entries: &'e [IdedEntryExpr]) {
        for entry in entries {
            match &entry.expr {
                EntryExpr::StructField(field) => self.visit(&field.value),
                EntryExpr::MapEntry(entry) => {
                    self.visit(&entry.key);
                    self.visit(&entry.value);
                }
            }
        }
    }
}

/// The path an expression spells, if it is nothing but a path.
fn path(expression: &IdedExpr) -> Option<Name> {
    match &expression.expr {
        Expr::Ident(name) => Some(Name { root: name.clone(), fields: Vec::new() }),
        Expr::Select(select) => path(&select.operand).map(|name| extended(name, &select.field)),
        Expr::Call(call) if call.func_name == "_[_]" => match call.args.as_slice() {
            [operand, IdedExpr { expr: Expr::Literal(LiteralValue::String(key)), .. }] => {
                path(operand).map(|name| extended(name, key.inner()))
            }
            _ => None,
        },
        _ => None,
    }
}

fn extended(mut name: Name, field: &str) -> Name {
    name.fields.push(field.to_owned());
    name
}
