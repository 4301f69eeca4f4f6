//! The frame of a scalar function: a name, a result type and a kernel over whole arrays.
//!
//! The binder brings arguments to the types a kernel takes, so a kernel reads exactly those and
//! refuses others with an internal error. Arguments are read row by row through small readers that
//! repeat a constant; nothing is boxed or allocated by row. A call on constants alone is evaluated
//! once.

use super::failure::raise;
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryViewArray, BinaryViewBuilder, BooleanBuilder,
    PrimitiveArray, PrimitiveBuilder, StringViewArray, StringViewBuilder,
};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use types::{ErrorKind, SqlError};

/// What a kernel sees of a call.
pub(crate) struct Arguments<'a> {
    values: &'a [ColumnarValue],
    /// Rows to produce; 1 if all arguments are constants.
    pub(crate) rows: usize,
    pub(crate) result: &'a DataType,
}

pub(crate) type Kernel = fn(&Arguments<'_>) -> Result<ArrayRef>;

/// The type of a result.
#[derive(Clone)]
pub(crate) enum Returns {
    Type(DataType),
    /// That of an argument.
    Argument(usize),
    /// By the types of the arguments and those that are constants.
    By(fn(&[FieldRef], &[Option<&ScalarValue>]) -> Result<DataType>),
}

/// When a result may be NULL.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nulls {
    /// If an argument is, and then it is.
    Propagate,
    /// Even if no argument is.
    Always,
    Never,
}

pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) returns: Returns,
    pub(crate) nulls: Nulls,
    pub(crate) kernel: Kernel,
    signature: Signature,
}

impl Function {
    pub(crate) fn new(name: &'static str, returns: Returns, nulls: Nulls, kernel: Kernel) -> Function {
        Function { name, returns, nulls, kernel, signature: Signature::variadic_any(Volatility::Immutable) }
    }

    /// A function without arguments whose result differs from call to call.
    pub(crate) fn volatile(name: &'static str, returns: Returns, kernel: Kernel) -> Function {
        Function {
            name,
            returns,
            nulls: Nulls::Always,
            kernel,
            signature: Signature::nullary(Volatility::Volatile),
        }
    }

    /// A function of `arguments` whose result differs from call to call.
    pub(crate) fn volatile_of(
        name: &'static str,
        arguments: usize,
        returns: Returns,
        kernel: Kernel,
    ) -> Function {
        let signature = Signature::any(arguments, Volatility::Volatile);
        Function { name, returns, nulls: Nulls::Always, kernel, signature }
    }

    pub(crate) fn udf(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(self))
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Function({})", self.name)
    }
}

// A name stands for one function: the registry has each once.
impl PartialEq for Function {
    fn eq(&self, other: &Function) -> bool {
        self.name == other.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match &self.returns {
            Returns::Type(ty) => Ok(ty.clone()),
            Returns::Argument(at) => types.get(*at).cloned().ok_or_else(|| too_few(self.name)),
            Returns::By(rule) => {
                let fields: Vec<FieldRef> =
                    types.iter().map(|ty| Arc::new(Field::new("", ty.clone(), true))).collect();
                rule(&fields, &vec![None; types.len()])
            }
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let ty = match &self.returns {
            Returns::Type(ty) => ty.clone(),
            Returns::Argument(at) => {
                args.arg_fields.get(*at).ok_or_else(|| too_few(self.name))?.data_type().clone()
            }
            Returns::By(rule) => rule(args.arg_fields, args.scalar_arguments)?,
        };
        let nullable = match self.nulls {
            Nulls::Propagate => args.arg_fields.iter().any(|field| field.is_nullable()),
            Nulls::Always => true,
            Nulls::Never => false,
        };
        Ok(Arc::new(Field::new(self.name, ty, nullable)))
    }

    fn is_strict(&self) -> bool {
        self.nulls == Nulls::Propagate
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = self.signature.volatility != Volatility::Volatile
            && !args.args.is_empty()
            && args.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let result = args.return_field.data_type();
        let array = (self.kernel)(&Arguments { values: &args.args, rows, result })?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

fn too_few(name: &str) -> DataFusionError {
    DataFusionError::Internal(format!("{name} got too few arguments"))
}

fn unexpected(at: usize, wanted: &str, found: &DataType) -> DataFusionError {
    DataFusionError::Internal(format!("argument {} is {found}, not {wanted}", at + 1))
}

/// A number or a boolean argument by rows.
pub(crate) enum Numbers<'a, T: ArrowPrimitiveType> {
    One(Option<T::Native>),
    Many(&'a PrimitiveArray<T>),
}

impl<T: ArrowPrimitiveType> Numbers<'_, T> {
    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<T::Native> {
        match self {
            Numbers::One(value) => *value,
            Numbers::Many(array) => array.is_valid(row).then(|| array.value(row)),
        }
    }
}

pub(crate) enum Texts<'a> {
    One(Option<&'a str>),
    Many(&'a StringViewArray),
}

impl<'a> Texts<'a> {
    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<&'a str> {
        match self {
            Texts::One(value) => *value,
            Texts::Many(array) => array.is_valid(row).then(|| array.value(row)),
        }
    }

    /// The value, if it is the same for all rows.
    pub(crate) fn constant(&self) -> Option<Option<&'a str>> {
        match self {
            Texts::One(value) => Some(*value),
            Texts::Many(_) => None,
        }
    }
}

/// Text or binary, as bytes.
pub(crate) enum Blobs<'a> {
    One(Option<&'a [u8]>),
    Text(&'a StringViewArray),
    Binary(&'a BinaryViewArray),
}

impl<'a> Blobs<'a> {
    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<&'a [u8]> {
        match self {
            Blobs::One(value) => *value,
            Blobs::Text(array) => array.is_valid(row).then(|| array.value(row).as_bytes()),
            Blobs::Binary(array) => array.is_valid(row).then(|| array.value(row)),
        }
    }
}

impl<'a> Arguments<'a> {
    /// Arguments for a kernel that another one calls.
    pub(crate) fn of(values: &'a [ColumnarValue], rows: usize, result: &'a DataType) -> Arguments<'a> {
        Arguments { values, rows, result }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn value(&self, at: usize) -> Result<&'a ColumnarValue> {
        self.values.get(at).ok_or_else(|| too_few("a function"))
    }

    pub(crate) fn data_type(&self, at: usize) -> Result<DataType> {
        Ok(self.value(at)?.data_type())
    }

    /// An argument as an array of `rows` values.
    pub(crate) fn array(&self, at: usize) -> Result<ArrayRef> {
        self.value(at)?.to_array(self.rows)
    }

    pub(crate) fn numbers<T: ArrowPrimitiveType>(&self, at: usize) -> Result<Numbers<'a, T>> {
        match self.value(at)? {
            ColumnarValue::Array(array) => match array.as_primitive_opt::<T>() {
                Some(array) => Ok(Numbers::Many(array)),
                None => Err(unexpected(at, &T::DATA_TYPE.to_string(), array.data_type())),
            },
            ColumnarValue::Scalar(scalar) => {
                let array = scalar.to_array()?;
                match array.as_primitive_opt::<T>() {
                    Some(array) => Ok(Numbers::One(array.is_valid(0).then(|| array.value(0)))),
                    None if scalar.is_null() => Ok(Numbers::One(None)),
                    None => Err(unexpected(at, &T::DATA_TYPE.to_string(), array.data_type())),
                }
            }
        }
    }

    pub(crate) fn texts(&self, at: usize) -> Result<Texts<'a>> {
        match self.value(at)? {
            ColumnarValue::Array(array) => match array.as_string_view_opt() {
                Some(array) => Ok(Texts::Many(array)),
                None => Err(unexpected(at, "text", array.data_type())),
            },
            ColumnarValue::Scalar(ScalarValue::Utf8View(value)) => Ok(Texts::One(value.as_deref())),
            ColumnarValue::Scalar(value) if value.is_null() => Ok(Texts::One(None)),
            ColumnarValue::Scalar(value) => Err(unexpected(at, "text", &value.data_type())),
        }
    }

    pub(crate) fn blobs(&self, at: usize) -> Result<Blobs<'a>> {
        match self.value(at)? {
            ColumnarValue::Array(array) => match array.data_type() {
                DataType::Utf8View => Ok(Blobs::Text(array.as_string_view())),
                DataType::BinaryView => Ok(Blobs::Binary(array.as_binary_view())),
                other => Err(unexpected(at, "text or binary", other)),
            },
            ColumnarValue::Scalar(ScalarValue::Utf8View(value)) => {
                Ok(Blobs::One(value.as_deref().map(str::as_bytes)))
            }
            ColumnarValue::Scalar(ScalarValue::BinaryView(value)) => Ok(Blobs::One(value.as_deref())),
            ColumnarValue::Scalar(value) if value.is_null() => Ok(Blobs::One(None)),
            ColumnarValue::Scalar(value) => Err(unexpected(at, "text or binary", &value.data_type())),
        }
    }
}

/// Bytes of one string that a function makes: max_allowed_packet.
pub(crate) const MAX_STRING: usize = 64 << 20;

/// 1301 if a string of `length` bytes and `more` are too long for one. Asked before they are put together: a
/// few long arguments make a string of any length.
pub(crate) fn fits(function: &str, length: usize, more: usize) -> Result<()> {
    if length.saturating_add(more) <= MAX_STRING {
        return Ok(());
    }
    Err(raise(SqlError::new(
        ErrorKind::WarnAllowedPacketOverflowed,
        format!("Result of {function}() was larger than max_allowed_packet ({MAX_STRING})"),
    )))
}

/// Bytes that the strings of one batch may make: a short query must not be able to take all memory.
const MAX_BATCH_BYTES: usize = 1 << 30;

fn within_limit(bytes: usize) -> Result<usize> {
    if bytes <= MAX_BATCH_BYTES {
        return Ok(bytes);
    }
    Err(DataFusionError::ResourcesExhausted(format!(
        "a string function made more than {} MiB of one batch of rows",
        MAX_BATCH_BYTES >> 20
    )))
}

/// A text result: `row` writes into the buffer, which comes empty, and answers `None` for NULL.
pub(crate) fn build_text(
    rows: usize,
    mut row: impl FnMut(usize, &mut String) -> Result<Option<()>>,
) -> Result<ArrayRef> {
    let mut builder = StringViewBuilder::with_capacity(rows);
    let mut buffer = String::new();
    let mut bytes = 0;
    for at in 0..rows {
        buffer.clear();
        match row(at, &mut buffer)? {
            Some(()) => {
                bytes = within_limit(bytes + buffer.len())?;
                builder.append_value(&buffer);
            }
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// A text result that borrows from its arguments.
pub(crate) fn build_slices<'a>(
    rows: usize,
    mut row: impl FnMut(usize) -> Option<&'a str>,
) -> Result<ArrayRef> {
    let mut builder = StringViewBuilder::with_capacity(rows);
    for at in 0..rows {
        builder.append_option(row(at));
    }
    Ok(Arc::new(builder.finish()))
}

pub(crate) fn build_binary(
    rows: usize,
    mut row: impl FnMut(usize, &mut Vec<u8>) -> Result<Option<()>>,
) -> Result<ArrayRef> {
    let mut builder = BinaryViewBuilder::with_capacity(rows);
    let mut buffer = Vec::new();
    let mut bytes = 0;
    for at in 0..rows {
        buffer.clear();
        match row(at, &mut buffer)? {
            Some(()) => {
                bytes = within_limit(bytes + buffer.len())?;
                builder.append_value(&buffer);
            }
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

pub(crate) fn build_numbers<T: ArrowPrimitiveType>(
    args: &Arguments<'_>,
    mut row: impl FnMut(usize) -> Result<Option<T::Native>>,
) -> Result<ArrayRef> {
    let mut builder = PrimitiveBuilder::<T>::with_capacity(args.rows).with_data_type(args.result.clone());
    for at in 0..args.rows {
        builder.append_option(row(at)?);
    }
    Ok(Arc::new(builder.finish()))
}

pub(crate) fn build_booleans(
    rows: usize,
    mut row: impl FnMut(usize) -> Result<Option<bool>>,
) -> Result<ArrayRef> {
    let mut builder = BooleanBuilder::with_capacity(rows);
    for at in 0..rows {
        builder.append_option(row(at)?);
    }
    Ok(Arc::new(builder.finish()))
}

/// Declares functions that each make their UDF once, and `all` of them:
/// `name, "name", result, nulls, kernel;`
macro_rules! functions {
    ($($(#[$doc:meta])* $function:ident, $name:literal, $returns:expr, $nulls:ident, $kernel:expr;)*) => {
        $(
            $(#[$doc])*
            pub(crate) fn $function() -> Arc<ScalarUDF> {
                static UDF: LazyLock<Arc<ScalarUDF>> =
                    LazyLock::new(|| Function::new($name, $returns, Nulls::$nulls, $kernel).udf());
                Arc::clone(&UDF)
            }
        )*

        pub(crate) fn all() -> Vec<Arc<ScalarUDF>> {
            vec![$($function()),*]
        }
    };
}
pub(super) use functions;
