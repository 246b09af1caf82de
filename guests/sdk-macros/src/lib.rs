//! `#[derive(Row)]`: a struct's fields become the columns of a table.

use proc_macro::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Data, DeriveInput, Error, Field, Fields, LitStr, parse_macro_input};

/// Makes a struct a row of a table. Each field is a column of the same name, unless it says
/// `#[row(column = "…")]`; its type says the column's kind, `Option` that it may be NULL.
///
/// ```
/// use gristmill_sdk::{Kind, Row};
///
/// #[derive(Row)]
/// #[row(table = "orders")]
/// struct Order<'a> {
///     order_id: i64,
///     name: &'a str,
///     #[row(column = "type")]
///     kind: Option<&'a str>,
/// }
///
/// assert_eq!(Order::TABLE, "orders");
/// let columns: Vec<_> = Order::COLUMNS.iter().map(|c| (&*c.name, c.kind, c.nullable)).collect();
/// let text = Kind::Text;
/// assert_eq!(columns, [("order_id", Kind::Int, false), ("name", text, false), ("type", text, true)]);
/// ```
#[proc_macro_derive(Row, attributes(row))]
pub fn derive_row(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    row(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

fn row(input: &DeriveInput) -> Result<proc_macro2::TokenStream, Error> {
    let table = setting(&input.attrs, "table")?
        .ok_or_else(|| Error::new(input.ident.span(), "say which table: #[row(table = \"orders\")]"))?;
    let fields = columns(input)?;
    let mut declared = Vec::with_capacity(fields.len());
    let mut written = Vec::with_capacity(fields.len());
    for field in &fields {
        let (Some(ident), of) = (&field.ident, &field.ty) else { continue };
        let column = setting(&field.attrs, "column")?.unwrap_or_else(|| plain_name(ident));
        declared.push(quote_spanned! { of.span() =>
            ::gristmill_sdk::Column::fixed(
                #column,
                <#of as ::gristmill_sdk::Cell>::KIND,
                <#of as ::gristmill_sdk::Cell>::NULLABLE,
            )
        });
        written.push(quote! { row.cell(&self.#ident); });
    }
    let name = &input.ident;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        impl #generics ::gristmill_sdk::Row for #name #arguments #bounds {
            const TABLE: &'static str = #table;
            const COLUMNS: &'static [::gristmill_sdk::Column] = &[#(#declared),*];
            #[inline]
            fn write(&self, row: &mut ::gristmill_sdk::RowWriter<'_>) {
                #(#written)*
            }
        }
    })
}

fn columns(input: &DeriveInput) -> Result<Vec<&Field>, Error> {
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) if !fields.named.is_empty() => Ok(fields.named.iter().collect()),
            _ => Err(Error::new(input.ident.span(), "a row needs named fields: its columns")),
        },
        _ => Err(Error::new(input.ident.span(), "a row is a struct: its fields are the columns")),
    }
}

fn plain_name(ident: &syn::Ident) -> LitStr {
    let name = ident.to_string();
    LitStr::new(name.strip_prefix("r#").unwrap_or(&name), ident.span())
}

/// The value of `#[row(wanted = "…")]`; any other word in `#[row(…)]` is an error.
fn setting(attributes: &[syn::Attribute], wanted: &str) -> Result<Option<LitStr>, Error> {
    let mut found = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("row")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident(wanted) {
                return Err(meta.error(format!("expected `{wanted} = \"…\"`")));
            }
            found = Some(meta.value()?.parse()?);
            Ok(())
        })?;
    }
    Ok(found)
}
